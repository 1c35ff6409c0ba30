"""Who may talk to the server."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse

from freehold.graphs.server_app import create_app


def _client(app: Starlette) -> httpx.AsyncClient:
    for path in ("/ok", "/internal/truncate", "/deploy", "/deployments"):
        app.add_route(path, lambda _: PlainTextResponse("reached"), methods=["GET", "POST"])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:2024")


@pytest.mark.parametrize(
    "path",
    ["/internal/truncate", "/internal", "/internal/debug/thread/x", "/deploy", "/deploy/1/stream", "//internal/x"],
)
async def test_internal_routes_are_not_found(path: str) -> None:
    """Nobody can erase or read everything through the server's unauthenticated internal routes."""
    async with _client(create_app()) as client:
        for method in ("GET", "POST", "OPTIONS"):
            assert (await client.request(method, path)).status_code == 404


async def test_a_path_that_only_begins_alike_is_served() -> None:
    """The closed prefixes are whole path segments."""
    async with _client(create_app()) as client:
        assert (await client.get("/deployments")).text == "reached"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://[", ""])
async def test_pages_of_other_hosts_are_refused(origin: str) -> None:
    """A website that the owner visits cannot use the server from the browser."""
    async with _client(create_app()) as client:
        assert (await client.get("/ok", headers={"origin": origin})).status_code == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:80"])
async def test_local_pages_are_served(origin: str) -> None:
    """A page that the owner serves on this machine may use the server."""
    async with _client(create_app()) as client:
        assert (await client.get("/ok", headers={"origin": origin})).text == "reached"


async def test_a_name_that_is_not_ours_is_refused() -> None:
    """A foreign name that was made to point at loopback (DNS rebinding) does not reach the server."""
    async with _client(create_app()) as client:
        assert (await client.get("/ok", headers={"host": "evil.example:2024"})).status_code == 400


async def test_further_hosts_are_served() -> None:
    """A host that the owner listens on may be called, and its pages may call, by that name."""
    async with _client(create_app(["desk.home"])) as client:
        headers = {"host": "desk.home:2024", "origin": "http://desk.home:2024"}
        assert (await client.get("/ok", headers=headers)).text == "reached"
