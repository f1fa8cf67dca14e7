"""A web server on the loopback address, in a thread, that fails as it is told to."""

import asyncio
import gzip
import threading
from collections import deque
from contextlib import contextmanager, suppress
from hashlib import sha256

import pytest


class WebServer:
    """Files by name, and how they are served.

    Attributes:
        files: bytes by name.
        sent: bytes of bodies that were sent.
        requests: (name, begin, end) of each request; end None: to the end.
        faults: what happens to the next requests, one each: a status, "reset", "short" (half of the body), "other"
            (other bytes than those asked for), "unsaid" (a part without saying which), "packed" (by gzip), or None.
        always: a fault of all requests.
        ranges: False: the whole file is sent.
        says_size: False: neither size nor, of a whole file, length is sent.
        tags: False: no ETag is sent.
        latency: seconds before each answer.
    """

    def __init__(self):
        self.base = ""
        self.reset()

    def reset(self):
        """No files, no faults, nothing sent."""
        self.files, self._tags, self.sent, self.requests = {}, {}, 0, []
        self.faults, self.always = deque(), None
        self.ranges = self.says_size = self.tags = True
        self.latency = 0

    def add(self, name, data):
        """Serves bytes under a name; returns the address."""
        self.files[name] = bytes(data)
        self._tags[name] = f'"{sha256(data).hexdigest()[:16]}"'
        return f"{self.base}/{name}"

    async def answer(self, request):
        from aiohttp import web

        name = request.path.lstrip("/")
        asked = request.http_range if "Range" in request.headers else slice(0, None)
        self.requests.append((name, asked.start, asked.stop))
        fault = self.faults.popleft() if self.faults else self.always
        await asyncio.sleep(self.latency)
        if fault == "reset":
            request.transport.abort()
            return web.Response()
        if isinstance(fault, int):
            return web.Response(status=fault)
        if name not in self.files:
            return web.Response(status=404)
        data = self.files[name]
        headers = {"ETag": self._tags[name]} if self.tags else {}
        if self.ranges and "Range" in request.headers:
            begin, end = asked.start, min(asked.stop, len(data))
            if begin >= len(data):
                return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
            begin += fault == "other"
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data) if self.says_size else '*'}"
            status, body = 206, data[begin:end]
        else:
            status, body = 200, data
        if fault == "unsaid":
            del headers["Content-Range"]
        if fault == "packed":
            headers["Content-Encoding"], body = "gzip", gzip.compress(body, 1)
        response = web.StreamResponse(status=status, headers=headers)
        if self.says_size or status == 206:
            response.content_length = len(body)
        if request.method == "HEAD":
            body = b""
        if fault == "short":
            body = body[: len(body) // 2]
        with suppress(ConnectionError):  # of a client that has seen enough
            await response.prepare(request)
            for at in range(0, len(body), 1 << 16):
                piece = body[at : at + (1 << 16)]
                self.sent += len(piece)
                await response.write(piece)
            if fault == "short":
                request.transport.abort()
            else:
                await response.write_eof()
        return response


@contextmanager
def serving():
    """A WebServer that runs while the block does."""
    web = pytest.importorskip("aiohttp.web")
    pytest.importorskip("fsspec")
    server, loop, ready = WebServer(), asyncio.new_event_loop(), threading.Event()

    async def start():
        app = web.Application()
        app.router.add_get("/{name:.*}", server.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.base = "http://{}:{}".format(*site._server.sockets[0].getsockname()[:2])
        ready.set()
        return runner

    def run():
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, name="web-server", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
