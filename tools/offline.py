"""Run a command in a network namespace that has loopback and nothing else: `python tools/offline.py COMMAND...`.

Needs Linux with user namespaces and the program `unshare` (util-linux); exits with 77 where the system does not allow
it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys

NOT_POSSIBLE = 77
_INSIDE = "FREEHOLD_OFFLINE_INSIDE"
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def raise_loopback() -> None:
    """What `ip link set lo up` does; a new namespace has its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def run(command: list[str]) -> int:
    """Enter the namespace by starting this file again inside it, then become the command."""
    if os.environ.get(_INSIDE):
        raise_loopback()
        os.execvp(command[0], command)
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        print("This system allows no network namespace.", file=sys.stderr)
        return NOT_POSSIBLE
    inside = ["unshare", "-rn", sys.executable, __file__, *command]
    return subprocess.run(inside, check=False, env={**os.environ, _INSIDE: "1"}).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
