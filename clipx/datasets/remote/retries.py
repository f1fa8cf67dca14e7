"""Requests that are repeated where their failure may pass, and the errors of those that fail for good."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from clipx.datasets.origins import shorten
from clipx.datasets.remote.filesystems import shown

__all__ = ["FIRST_WAIT", "MOST_WAIT", "TRIES", "Refused", "ShortAnswer", "changed", "is_passing", "pause", "repeat"]

TRIES = 6
"""Requests for the same bytes before their error is raised."""

FIRST_WAIT = 0.2
"""Seconds before the second request, at most; each further wait is up to twice as long."""

MOST_WAIT = 10.0
"""Seconds between two requests, also where a server asks for more."""

PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524})
MISSING_STATUS, FORBIDDEN_STATUS = frozenset({404, 410}), frozenset({401, 403, 407})
PASSING_ERRNO = frozenset(
    {errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH}
    | {errno.EINTR, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.EPIPE, errno.ETIMEDOUT, errno.EIO}
)
PASSING_NAMES = frozenset(
    # of aiohttp, botocore, httpx, requests and urllib3, some of which may not be installed
    {"ClientConnectionError", "ClientPayloadError", "HTTPClientError", "ConnectionError", "IncompleteRead"}
    | {"TransportError", "ProtocolError", "ChunkedEncodingError", "RetryError", "Timeout", "ResponseStreamingError"}
)

T = TypeVar("T")
_jitter = random.SystemRandom()


class Refused(OSError):
    """An answer that is not what was asked for, and would not be the next time either."""


class ShortAnswer(OSError):
    """An answer that ended early, or was of other bytes than the server said it would be."""


def changed(url: str, change: str) -> Refused:
    """The error of a file that has changed; `change` is a clause such as "its size was 3 and is 4"."""
    return Refused(
        f"{shown(url)!r} has changed while it was read: {change}. Leave files in place while they are read, or put "
        f"a new version at another address"
    )


def _causes(exn: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it."""
    seen = 0
    while exn is not None and seen < 8:
        yield exn
        exn, seen = exn.__cause__ or exn.__context__, seen + 1


def status_of(exn: BaseException) -> int | None:
    """The HTTP status that an error carries, wherever a library keeps it."""
    for found in (exn, getattr(exn, "response", None)):
        for name in ("status", "code", "status_code"):
            value = getattr(found, name, None)
            with suppress(TypeError, ValueError):
                if value is not None and not isinstance(value, bool) and 100 <= int(value) < 600:
                    return int(value)
    return None


def is_passing(exn: Exception) -> bool:
    """True for a connection that broke, a time-out, an answer that ended early, and a server that is busy."""
    if isinstance(exn, ShortAnswer):
        return True
    if isinstance(exn, (Refused, FileNotFoundError, PermissionError, IsADirectoryError)):
        return False
    for each in _causes(exn):
        status = status_of(each)
        if status is not None:
            return status in PASSING_STATUS
        if isinstance(each, (ConnectionError, TimeoutError)):
            return True
        if isinstance(each, OSError) and each.errno in PASSING_ERRNO:
            return True
        if any(base.__name__ in PASSING_NAMES for base in type(each).__mro__):
            return True
    return False


def wait_asked(exn: Exception) -> float:
    """Seconds that a server asks to wait; 0 where it doesn't."""
    headers: Any = getattr(exn, "headers", None) or getattr(getattr(exn, "response", None), "headers", None) or {}
    with suppress(Exception):
        return max(float(headers.get("Retry-After", 0)), 0.0)
    return 0.0


def pause(number: int, exn: Exception) -> None:
    """Wait after a request, the number of which counts from 1, that failed with an error."""
    longest = min(FIRST_WAIT * 2 ** (number - 1), MOST_WAIT)
    time.sleep(max(longest * _jitter.uniform(0.5, 1), min(wait_asked(exn), MOST_WAIT)))


def reason_of(exn: BaseException) -> str:
    """An error in words, with the status that it carries."""
    status, text = status_of(exn), shorten(str(getattr(exn, "message", "") or exn))
    return f"status {status}, {text}" if status is not None and str(status) not in text else text or type(exn).__name__


def repeat(request: Callable[[], T], url: str, part: str) -> T:
    """What a request gives, repeated while its failure may pass.

    Waits grow from FIRST_WAIT to MOST_WAIT, each by a random part less, so that processes do not come back together.

    Args:
        part: names the bytes in messages, such as "bytes 0 to 100".

    Raises FileNotFoundError, PermissionError or OSError, which name the address and the bytes.
    """
    name, began = repr(shown(url)), time.monotonic()
    for number in range(1, TRIES + 1):
        try:
            return request()
        except (ImportError, MemoryError):
            raise
        except Exception as exn:
            if not is_passing(exn):
                raise _final(exn, f"{name}, {part}") from exn
            if number == TRIES:
                seconds = time.monotonic() - began
                raise OSError(
                    f"{name}, {part}, cannot be read: {reason_of(exn)}; tried {TRIES} times in {seconds:.1f} seconds. "
                    f"Check that the server can be reached and is not overloaded, then go on from the last state"
                ) from exn
            pause(number, exn)
    raise AssertionError("unreachable")


def _final(exn: Exception, name: str) -> Exception:
    """The error to raise for one that would come again."""
    if isinstance(exn, Refused):
        return exn
    status, reason = status_of(exn), reason_of(exn)
    if isinstance(exn, FileNotFoundError) or status in MISSING_STATUS:
        return FileNotFoundError(errno.ENOENT, f"{name}: there is no such file ({reason})")
    if isinstance(exn, PermissionError) or status in FORBIDDEN_STATUS or "NoCredentials" in type(exn).__name__:
        cure = "check the credentials, which fsspec takes from the environment and its configuration"
        return PermissionError(errno.EACCES, f"{name}: access is refused ({reason}); {cure}")
    return OSError(f"{name}, cannot be read: {reason}")
