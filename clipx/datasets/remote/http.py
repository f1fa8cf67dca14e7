"""Ranges of a file over HTTP, by the session of fsspec's file system; each answer is checked before it is believed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from clipx.datasets.remote.answers import Answer
from clipx.datasets.remote.filesystems import shown
from clipx.datasets.remote.retries import Refused, ShortAnswer

__all__ = ["HttpAnswer", "HttpRanges", "RangesIgnored"]

CONNECT_SECONDS, SILENT_SECONDS = 30, 60
"""Seconds until a connection stands, and until the next bytes come, before a request is given up."""

LARGEST = 2**63 - 1


class RangesIgnored(Refused):
    """A server answers a request for a range with the whole file, which is too large to be held."""


def _number(text: str | None) -> int | None:
    """A number of bytes in a header; None where there is none."""
    found = int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None
    return found if found is not None and found <= LARGEST else None


async def _request(filesystem: Any, url: str, headers: dict[str, str]) -> Any:
    """The response to a request for a file as it is stored, whose body has not been read."""
    import aiohttp

    options = dict(filesystem.kwargs)
    headers = {**options.pop("headers", {}), "Accept-Encoding": "identity", **headers}
    if "timeout" not in filesystem.client_kwargs:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)
        options = {"timeout": timeout, **options}
    session = await filesystem.set_session()
    return await session.get(filesystem.encode_url(url), headers=headers, **options)


class HttpAnswer:
    """The body of the answer to a request for a whole file, as it comes. Raises what aiohttp raises."""

    def __init__(self, filesystem: Any, url: str) -> None:
        from fsspec.asyn import sync

        self._loop, self._sync, self._process = filesystem.loop, sync, os.getpid()
        self._response: Any = sync(self._loop, self._open, filesystem, url)

    async def _open(self, filesystem: Any, url: str) -> Any:
        response = await _request(filesystem, url, {})
        try:
            response.raise_for_status()
        except BaseException:
            response.close()
            raise
        return response

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; none at the end. Raises OSError in another process."""
        if self._process != os.getpid():
            raise OSError("the connection is that of another process")
        data: bytes = self._sync(self._loop, self._response.content.read, size)
        return data

    def close(self) -> None:
        """Give up the connection, if the answer has not been read to its end."""
        if self._process == os.getpid():
            with suppress(RuntimeError):  # of a loop that has ended
                self._loop.call_soon_threadsafe(self._response.close)


class HttpRanges:
    """A file on a web server.

    Args:
        filesystem: fsspec's, of HTTP.
        url: its address.
    """

    def __init__(self, filesystem: Any, url: str) -> None:
        self._filesystem, self._url = filesystem, url

    def fetch(self, start: int, stop: int, most_whole: int, count: Callable[[int], None]) -> Answer:
        """The bytes from `start` to `stop`, or to the end; the whole file from a server that ignores ranges.

        Args:
            most_whole: of a file that is taken whole, its most bytes.
            count: called with the number of bytes that come, as they do.

        Raises RangesIgnored for a larger file of such a server, Refused for answers that break HTTP's rules,
        ShortAnswer, and what aiohttp raises.
        """
        from fsspec.asyn import sync

        answer: Answer = sync(self._filesystem.loop, self._fetch, start, stop, most_whole, count)
        return answer

    async def _fetch(self, start: int, stop: int, most_whole: int, count: Callable[[int], None]) -> Answer:
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        async with await _request(self._filesystem, self._url, headers) as response:
            return await self._answer(response, start, stop, most_whole, count)

    async def _answer(
        self, response: Any, start: int, stop: int, most_whole: int, count: Callable[[int], None]
    ) -> Answer:
        headers = response.headers
        version = {name: headers[name] for name in ("ETag", "Last-Modified") if name in headers}
        if response.status == 416:
            found = re.fullmatch(r"bytes \*/(\d+)", headers.get("Content-Range", "").strip())
            return Answer(start, b"", _number(found[1]) if found else None, version)
        response.raise_for_status()
        if response.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
            raise self._refused(f"is sent compressed ({headers['Content-Encoding']}), so that ranges are not its own")
        if response.status == 206:
            at, end, size = self._content_range(headers, start, stop)
            data = await self._body(response, end - at, count)
            if len(data) != end - at:
                raise ShortAnswer(f"the answer has {len(data)} bytes, but should have {end - at}")
            return Answer(at, data, size, version)
        if response.status != 200:
            raise self._refused(f"is answered with status {response.status}, which has no bytes of it")
        size = _number(headers.get("Content-Length"))
        if size is not None and size > most_whole:
            raise self._ignored(f"{size} bytes", most_whole)
        data = await self._body(response, most_whole, count)
        if len(data) > most_whole:
            raise self._ignored("bytes whose number it does not say", most_whole)
        if size is not None and len(data) != size:
            raise ShortAnswer(f"the answer has {len(data)} bytes, but should have {size}")
        return Answer(0, data, len(data), version)

    def _content_range(self, headers: Any, start: int, stop: int) -> tuple[int, int, int | None]:
        """Begin and end of the bytes of an answer, which are those that were asked for, and the size of the file."""
        text = headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", text.strip())
        if found is None:
            raise self._refused(f"is answered by a part without saying which: Content-Range is {text!r}")
        at, end, size = int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])
        ends_well = end == stop if size is None or size > stop else end == size
        if at != start or not at < end or not (ends_well or (size is None and end < stop)):
            raise self._refused(f"is answered by other bytes than {start} to {stop}: Content-Range is {text!r}")
        return at, end, size

    async def _body(self, response: Any, most: int, count: Callable[[int], None]) -> bytes:
        """The body of an answer, of which no more than a piece beyond `most` bytes is read."""
        pieces, nbytes = [], 0
        async for piece in response.content.iter_any():
            count(len(piece))
            pieces.append(piece)
            nbytes += len(piece)
            if nbytes > most:
                break
        return b"".join(pieces)

    def _refused(self, reason: str) -> Refused:
        return Refused(f"{shown(self._url)!r} {reason}")

    def _ignored(self, size: str, most: int) -> RangesIgnored:
        return RangesIgnored(
            f"the server of {shown(self._url)!r} ignores ranges: it answers with the whole file of {size}, of which at "
            f"most {most} would be held. Copy the file to a local path, or serve it by a server that knows ranges"
        )
