"""llama-server as a peer: a process of its own, asked over HTTP on loopback."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx

from benchmarks.inference_runners import SLOTS, THREADS, Work

__all__ = ["LlamaServer"]

_START = 60.0
"""Seconds that it may take to load the model."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LlamaServer:
    """llama-server with its defaults, eight slots and the benchmark's threads; all requests at once.

    Args:
        binary: The server's program.
        model: The GGUF.

    Raises:
        RuntimeError: The server ended, or did not become ready; the message holds the end of its log.
    """

    name = "llama-server"

    def __init__(self, binary: Path, model: Path) -> None:
        port = _free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        command = [binary, "-m", model, "-np", str(SLOTS), "-t", str(THREADS), "--host", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*map(str, command), "--port", str(port), "--offline"], stdout=self._log, stderr=subprocess.STDOUT
        )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        until = time.monotonic() + _START
        with httpx.Client(base_url=self._url, trust_env=False) as client:
            while time.monotonic() < until and self._process.poll() is None:
                with suppress(httpx.TransportError):  # it does not listen yet
                    if client.get("/health").status_code == 200:
                        return
                time.sleep(0.1)
        self._log.seek(0)
        end = self._log.read().decode("utf-8", "replace")[-2000:]
        raise RuntimeError(f"llama-server did not become ready:\n{end}")

    def forget(self) -> None:
        """Nothing: a slot forgets only what its next prompt does not begin with, and prompts are new."""

    def seconds(self, work: Work) -> float:
        """From the first request to the last answer, connections open already."""
        return asyncio.run(self._all_at_once(work))

    async def _all_at_once(self, work: Work) -> float:
        async with httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=None) as client:
            await asyncio.gather(*(client.get("/health") for _ in work.prompts))
            started = time.perf_counter()
            count = sum(await asyncio.gather(*(self._complete(client, prompt, work) for prompt in work.prompts)))
            spent = time.perf_counter() - started
        if count != work.tokens:
            raise RuntimeError(f"llama-server gave {count} tokens instead of {work.tokens}.")
        return spent

    async def _complete(self, client: httpx.AsyncClient, prompt: tuple[int, ...], work: Work) -> int:
        body = {"prompt": list(prompt), "n_predict": work.new_tokens, "temperature": 0, "ignore_eos": True}
        reply = await client.post("/completion", json=body)
        reply.raise_for_status()
        return int(reply.json()["tokens_predicted"])

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
