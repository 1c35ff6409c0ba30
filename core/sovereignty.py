"""Nothing leaves the machine: telemetry and downloads off at import, and a guard on every connection.

The guard is a Python audit hook (PEP 578). It sees every connection made through Python's sockets; native code that
opens sockets by itself does not pass through it, and none of the libraries that Freehold uses in the process does so.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Self

from freehold.errors import NetworkRefusedError

__all__ = ["SWITCHES", "NetworkGuard", "refused_connections", "switch_off_telemetry"]

SWITCHES = {
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGSMITH_TRACING": "false",
    "MEM0_TELEMETRY": "False",
    "NEMO_GUARDRAILS_NO_USAGE_STATS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "POSTHOG_DISABLED": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
"""Environment variables that switch telemetry, tracing, version checks and model downloads off, with their values."""


def switch_off_telemetry() -> None:
    """Set every switch, also over a value that the environment holds."""
    os.environ.update(SWITCHES)


@dataclass
class _Guards:
    """The guards in force, and what they refused; an audit hook cannot be removed, so this says whether it acts."""

    active: list[NetworkGuard] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    refused: int = 0
    installed: bool = False


_guards = _Guards()


def refused_connections() -> int:
    """How many connections and name look-ups this process tried to make beyond the allowed hosts."""
    return _guards.refused


def _caller() -> str:
    """The innermost frame outside this module and the standard library, as `file:line`."""
    library = os.path.dirname(socket.__file__)  # noqa: PTH120 - an audit hook must be quick
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the documented way to a caller
    while frame is not None:
        name = frame.f_code.co_filename
        standard = name.startswith(("<frozen", library)) and "site-packages" not in name
        if not standard and name != __file__:
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown code"


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@functools.lru_cache(maxsize=64)
def _addresses(name: str) -> frozenset[str]:
    """The addresses of an allowed name."""
    try:
        return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(name, None))
    except OSError:
        return frozenset()


def _host(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The host that an audit event asks for, or None where the event cannot leave the machine."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
        return host.decode() if isinstance(host, bytes) else host
    if event == "socket.getnameinfo":
        return str(arguments[0][0])
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        return str(address[0]) if isinstance(address, tuple) and address else None
    return None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guards.active or not event.startswith("socket."):
        return
    host = _host(event, arguments)
    if host is None or _is_loopback(host):
        return
    if all(guard.allows(host) for guard in _guards.active):
        return
    _guards.refused += 1
    raise NetworkRefusedError(host, _caller())


class NetworkGuard:
    """Refuse connections and name look-ups beyond loopback and the allowed hosts while it is open.

    Args:
        allowed_hosts: Host names or addresses that may be reached; `"*"` allows every host.

    Example:
        >>> import socket
        >>> with NetworkGuard():
        ...     socket.getaddrinfo("example.org", 80)
        Traceback (most recent call last):
        freehold.errors.NetworkRefusedError: ...
    """

    def __init__(self, allowed_hosts: Iterable[str] = ()) -> None:
        self.allowed_hosts = frozenset(allowed_hosts)

    def allows(self, host: str) -> bool:
        """Whether this host or address may be reached; an address may where an allowed name resolves to it."""
        if host in self.allowed_hosts or "*" in self.allowed_hosts:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        if any(host in _addresses(name) for name in self.allowed_hosts):
            return True
        _addresses.cache_clear()  # an allowed name may have moved, or could not be looked up before
        return any(host in _addresses(name) for name in self.allowed_hosts)

    def open(self) -> Self:
        """Put the guard in force; where several are open, a host must be allowed by each."""
        with _guards.lock:
            if not _guards.installed:
                sys.addaudithook(_audit)
                _guards.installed = True
            if self not in _guards.active:
                _guards.active = [*_guards.active, self]
        return self

    def close(self) -> None:
        """Take the guard out of force."""
        with _guards.lock:
            _guards.active = [guard for guard in _guards.active if guard is not self]

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()
