"""Nothing leaves the machine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import urllib.request

import pytest

from freehold.errors import NetworkRefusedError
from freehold.sovereignty import NetworkGuard, refused_connections

OUTSIDE = "192.0.2.1"


def test_an_outside_address_is_refused_and_counted() -> None:
    """The guard names the address and the code that asked for it."""
    before = refused_connections()
    with NetworkGuard(), socket.socket() as probe, pytest.raises(NetworkRefusedError) as refused:
        probe.connect((OUTSIDE, 80))
    assert refused.value.host == OUTSIDE
    assert "test_sovereignty.py" in refused.value.caller
    assert refused_connections() == before + 1


@pytest.mark.parametrize(
    "ask", [lambda: socket.getaddrinfo("example.org", 80), lambda: socket.gethostbyname("example.org")]
)
def test_a_name_is_refused_before_it_is_looked_up(ask: object) -> None:
    """A look-up tells a name server what is wanted, so it counts as leaving."""
    with NetworkGuard(), pytest.raises(NetworkRefusedError):
        ask()  # type: ignore[operator]


def test_datagrams_are_refused() -> None:
    """A datagram leaves without a connection."""
    with NetworkGuard(), socket.socket(type=socket.SOCK_DGRAM) as probe, pytest.raises(NetworkRefusedError):
        probe.sendto(b"x", (OUTSIDE, 53))


def test_libraries_and_event_loops_pass_through_it() -> None:
    """Urllib and asyncio connect through the same sockets."""

    async def connect() -> None:
        await asyncio.open_connection(OUTSIDE, 80)

    with NetworkGuard():
        with pytest.raises(NetworkRefusedError):
            urllib.request.urlopen(f"http://{OUTSIDE}/", timeout=1)
        with pytest.raises(NetworkRefusedError):
            asyncio.run(connect())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_is_allowed(host: str) -> None:
    """Redis, a Qdrant server or a model server on this machine can be reached."""
    with NetworkGuard():
        assert socket.getaddrinfo(host, 80)


def test_an_allowed_host_is_allowed() -> None:
    """The owner may say so; nothing listens there, so the connection itself may fail."""
    with NetworkGuard([OUTSIDE]), socket.socket() as probe:
        probe.settimeout(0.01)
        with pytest.raises(OSError):  # noqa: PT011 - refused, unreachable or timed out, as the machine has it
            probe.connect((OUTSIDE, 80))


def test_each_open_guard_must_allow() -> None:
    """Two workspaces in one process cannot widen each other's hosts."""
    with NetworkGuard(["*"]), NetworkGuard(), pytest.raises(NetworkRefusedError):
        socket.getaddrinfo("example.org", 80)


def test_without_an_open_guard_nothing_is_refused() -> None:
    """A host application that closes its workspace gets its network back."""
    code = (
        "import socket\nfrom freehold.sovereignty import NetworkGuard\n"
        "NetworkGuard().open().close()\n"
        "s = socket.socket(); s.settimeout(0.01)\n"
        "try: s.connect(('192.0.2.1', 80))\nexcept OSError: print('reached the system')\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "reached the system"
