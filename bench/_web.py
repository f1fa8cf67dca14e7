"""A web server on the loopback address that knows ranges, in a process of its own, whose answers come after a delay."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

SENT = "bytes-sent"  # the name under which the server says how much it has sent


class Server:
    """The server, as its clients see it. `base` is its address."""

    def __init__(self, base: str) -> None:
        self.base = base

    def url(self, name: str) -> str:
        """The address of a file of the folder."""
        return f"{self.base}/files/{name}"

    @property
    def sent(self) -> int:
        """Bytes of all answers so far."""
        with urlopen(f"{self.base}/{SENT}") as answer:
            return int(answer.read())


def _serve(folder: str, latency: float, pipe: Any) -> None:
    from aiohttp import web

    sent = 0

    async def count(request: Any, response: Any) -> None:
        nonlocal sent
        if request.path.startswith("/files/") and request.method == "GET":
            await asyncio.sleep(latency)
            sent += response.content_length or 0

    async def tell(request: Any) -> Any:
        return web.Response(text=str(sent))

    async def run() -> None:
        app = web.Application()
        app.on_response_prepare.append(count)
        app.router.add_get(f"/{SENT}", tell)
        app.router.add_static("/files", folder)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.to_thread(pipe.recv)

    asyncio.run(run())


@contextmanager
def serving(folder: Path, latency: float) -> Iterator[Server]:
    """A server of the files of a folder, each of whose answers begins `latency` seconds after it was asked for."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(str(folder), latency, theirs), daemon=True)
    process.start()
    try:
        yield Server(f"http://127.0.0.1:{mine.recv()}")
    finally:
        mine.send(None)
        process.join()
