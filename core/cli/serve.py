"""`freehold serve`: the assistant and the ingest graph behind a LangGraph server on this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import socket
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from freehold.cli.options import Home, Model
from freehold.cli.render import terminal
from freehold.errors import UserError

if TYPE_CHECKING:
    from freehold.settings import Settings
    from freehold.workspace import Workspace

__all__ = ["serve"]

_RUNS_AT_ONCE = 10  # the server's own default is one run at a time


def serve(
    home: Home = None,
    model: Model = None,
    host: Annotated[
        str,
        typer.Option(help="The address to listen on. Anybody who reaches it may use it: nothing asks who they are."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 2024,
) -> None:
    """Serve the graphs through a LangGraph server, for the LangGraph SDK and everything that speaks its protocol.

    Threads are kept in the workspace; the server's list of them lives as long as the server, since it holds messages
    before they are masked. Exit code 2 for a mistake that you can mend.
    """
    from freehold.settings import Settings
    from freehold.workspace import Workspace

    if find_spec("langgraph_api") is None:
        raise UserError(
            "`freehold serve` needs the LangGraph server, which is not installed: pip install 'freehold[server]'. "
            "Its licence is Elastic-2.0; everything else in Freehold does without it."
        )
    _check_address(host, port)
    from freehold.graphs import serve as served

    console = terminal(soft_wrap=True)
    with Workspace(settings=_absolute(Settings.load(home=home, model=model))) as workspace:
        with console.status("Loading the models..."):
            served.use(workspace, _names(host))
        console.print(f"{escape(str(workspace.home))} is open.")
        console.print(f"Freehold is served at [bold]http://{_bracketed(host)}:{port}[/] (graphs: assistant, ingest).")
        if not _is_loopback(host):
            console.print(
                f"[bold yellow]{escape(host)} is not a loopback address, and there is no authentication: whoever "
                "reaches this port can ask, read every thread, and have any file that you can read ingested.[/]"
            )
        console.print("[dim]Ctrl-C stops it. /docs describes the endpoints, /metrics is for Prometheus.[/]")
        with contextlib.suppress(KeyboardInterrupt):
            _run(workspace, host, port, served.CONFIGURATION)
    console.print("Stopped.")


def _run(workspace: Workspace, host: str, port: int, configuration: dict[str, Any]) -> None:
    """Run the server until it is interrupted."""
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    folder = workspace.home / "server"
    folder.mkdir(exist_ok=True)
    os.chdir(folder)  # the server writes to `./.langgraph_api`, and cannot be told otherwise

    from langgraph_api.cli import run_server  # type: ignore[import-untyped]

    warnings.filterwarnings("ignore", "`durability` has no effect")  # the server's own, at every run without a thread
    logging.getLogger("langgraph_api.cli").setLevel(logging.WARNING)  # a banner with a link to a web service
    run_server(
        host,
        port,
        n_jobs_per_worker=_RUNS_AT_ONCE,
        open_browser=False,
        disable_persistence=workspace.settings.mask_personal_data,
        **configuration,
    )


def _absolute(settings: Settings) -> Settings:
    """The settings with every path absolute, since the server changes the current folder."""
    paths = {
        name: Path.cwd() / value
        for name in type(settings).model_fields
        if isinstance(value := getattr(settings, name), Path)
    }
    return settings.model_copy(update=paths)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _bracketed(host: str) -> str:
    return escape(f"[{host}]") if ":" in host else host


def _check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on; the server itself would quietly take another port.

    Raises:
        UserError: The host is a name, the address is not this machine's, or the port is taken.
    """
    try:
        family = socket.AF_INET if host == "localhost" or ipaddress.ip_address(host).version == 4 else socket.AF_INET6
    except ValueError as error:
        raise UserError(f"--host {host} is not an address: give one of this machine's, such as 127.0.0.1.") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(
                f"{host}:{port} cannot be listened on: {error.strerror or error}. Choose another --host or --port."
            ) from error


def _names(host: str) -> tuple[str, ...]:
    """Names, beyond loopback, under which a server on this address may be called."""
    if _is_loopback(host):
        return ()
    if not ipaddress.ip_address(host).is_unspecified:
        return (host, socket.gethostname())
    import psutil

    addresses = [address for found in psutil.net_if_addrs().values() for address in found]
    own = {entry.address.split("%")[0] for entry in addresses if entry.family in (socket.AF_INET, socket.AF_INET6)}
    return (*sorted(own), socket.gethostname())
