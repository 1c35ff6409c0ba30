"""The part of the LangGraph server that is Freehold's: who may talk to it, and when the workspace opens and closes.

A LangGraph server for development answers everyone: it allows every origin, and `POST /internal/truncate` erases all
data. A page of any website that the owner opens could use it. `LocalOnly` and Starlette's `TrustedHostMiddleware` close
that.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from freehold.graphs import serve

__all__ = ["LocalOnly", "app", "create_app"]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_CLOSED = re.compile(r"/+(internal|deploy)(/|$)", re.IGNORECASE)


class LocalOnly:
    """Answer 404 for the server's internal routes, and 403 for requests that a page of another host makes.

    Args:
        app: The application behind.
        hosts: Hosts whose pages may use the server.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.strip("[]").lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        app = self._app
        if scope["type"] in ("http", "websocket"):
            origin = Headers(scope=scope).get("origin")
            if _CLOSED.match(scope["path"]):
                app = PlainTextResponse("Not Found", status_code=404)
            elif origin is not None and not self._allows(origin):
                app = PlainTextResponse("Pages of other hosts may not use this server.", status_code=403)
        await app(scope, receive, send)

    def _allows(self, origin: str) -> bool:
        try:
            host = urlsplit(origin).hostname
        except ValueError:  # not an origin that a browser would send
            return False
        return host is not None and host.lower() in self._hosts


def _keep_records_in_memory() -> None:
    """Keep the records of the server's in-memory runtime off the disk.

    They hold each run's input as it came, before a node or the checkpointer masks it, and would be written to
    `./.langgraph_api` every ten seconds and at the end. A server with another runtime has no such file.
    """
    runtime = sys.modules.get("langgraph_runtime_inmem.database")
    if runtime is not None:
        runtime.GLOBAL_STORE.flag = "r"  # read-only, in the words of langgraph's PersistentDict


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    """Open the workspace before the first request and let go of it behind the last."""
    async with serve.hold() as workspace:
        if workspace.settings.mask_personal_data:
            _keep_records_in_memory()
        yield


def create_app(hosts: Iterable[str] = ()) -> Starlette:
    """The application that a LangGraph server adds its routes to (`http.app` in `langgraph.json`).

    Args:
        hosts: Names and addresses, beyond loopback, under which the server may be called.
    """
    allowed = [*_LOOPBACK, *(f"[{host}]" if ":" in host else host for host in hosts)]
    return Starlette(
        lifespan=_lifespan,
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=allowed, www_redirect=False),
            Middleware(LocalOnly, hosts=allowed),
        ],
    )


app = create_app(serve.allowed_hosts())
