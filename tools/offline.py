"""Run a command in a network namespace that has loopback and nothing else: `python tools/offline.py COMMAND...`.

Needs Linux with user namespaces and the program `unshare` (util-linux); elsewhere it says so and runs the command as it
is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys

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
    possible = (
        shutil.which("unshare")
        and not subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode
    )
    if not possible:
        print("This system allows no network namespace: what follows runs with the network.", file=sys.stderr)
        os.execvp(command[0], command)
    inside = ["unshare", "-rn", sys.executable, __file__, *command]
    return subprocess.run(inside, check=False, env={**os.environ, _INSIDE: "1"}).returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
