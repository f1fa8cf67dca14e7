"""Samples of shards, each with its place, from any place on."""

from __future__ import annotations

import io
import mmap
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import webdataset
from webdataset.tariterators import base_plus_ext

from clipx.mapped import members
from clipx.world import Share

__all__ = ["META", "Place", "Shards", "local_path"]

META = re.compile(r"__[^/]*__($|/)")  # members that webdataset passes over

SEEN_BYTES = 1024  # of each end of a field that its checksum is of


def local_path(url: str) -> str | None:
    """The path of a shard that is a local file; None for all others."""
    path = url.removeprefix("file:")
    return None if path.startswith("pipe:") or "://" in path or path == "-" else path


class Place(NamedTuple):
    """Where a sample stands: its shard's number among the urls, its own number in the shard, and its checksum."""

    shard: int
    sample: int
    check: int


def _checksum(sample: Mapping[str, Any]) -> int:
    """CRC-32 of a sample's key, the names and sizes of its fields, and both ends of each."""
    check = zlib.crc32(repr(sample.get("__key__")).encode())
    for name, value in sample.items():
        if not name.startswith("__") and isinstance(value, bytes):
            check = zlib.crc32(f"{name} {len(value)}".encode(), check)
            check = zlib.crc32(value[-SEEN_BYTES:], zlib.crc32(value[:SEEN_BYTES], check))
    return check


class _Bytes(NamedTuple):
    """Where the members of a sample start in a shard, and where those of the next do; None where nothing follows."""

    start: int
    end: int | None


def _find_bytes(url: str, wanted: Iterable[int]) -> dict[int, _Bytes]:
    """Where samples of a local, uncompressed shard are, as far as its headers tell."""
    path, left, found = local_path(url), set(wanted), dict[int, _Bytes]()
    key, number = None, -1
    if path is not None:
        with suppress(OSError, ValueError), closing(members(path)) as headers:
            for member in headers:
                here = None if META.match(member.name) else base_plus_ext(member.name)[0]
                if here is None or here == key:
                    continue
                if number in found:
                    found[number] = _Bytes(found[number].start, member.header)
                    if not left:
                        break
                key, number = here, number + 1
                if number in left:
                    found[number] = _Bytes(member.header, None)
                    left.discard(number)
    return found


def _read_at(url: str, start: int, end: int | None, handler: Callable[[Exception], bool]) -> Generator[dict[str, Any]]:
    """The samples of a local shard from this byte on, where one starts, up to another, or its end."""
    with Path(local_path(url) or url).open("rb") as file:
        file.seek(start)
        stream = file if end is None else io.BytesIO(file.read(end - start))
        files = webdataset.tariterators.tar_file_expander([{"url": url, "stream": stream}], handler=handler)
        yield from webdataset.tariterators.group_by_keys(files, handler=handler)


def _mapped(path: str) -> Iterator[dict[str, Any]]:
    """The files of a local, uncompressed shard, as webdataset gives them, up to where it is damaged.

    Raises OSError and ValueError where its first header cannot be read.
    """
    headers = members(path)
    first = next(headers, None)
    with Path(path).open("rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def files() -> Iterator[dict[str, Any]]:
        with suppress(OSError, ValueError):
            for member in chain([] if first is None else [first], headers):
                if not META.match(member.name) and not member.sparse:
                    data = view[member.offset : member.offset + member.size]
                    yield {"fname": member.name, "data": data, "__url__": path}

    return files()


class _Teller:
    """A handler of errors that remembers whether it has asked to stop; quiet, it goes on and remembers the error."""

    def __init__(self, handler: Callable[[Exception], bool], quiet: bool = False) -> None:
        self._handler, self.quiet = handler, quiet
        self.stopped = False
        self.error: Exception | None = None

    def __call__(self, exn: Exception) -> bool:
        if self.quiet:
            self.error = exn
            return True
        goes_on = bool(self._handler(exn))
        self.stopped = self.stopped or not goes_on
        return goes_on


class Shards:
    """Shards as webdataset reads them.

    Args:
        urls: of the shards.
        handler: called with the error of a broken shard, as webdataset's are.
    """

    def __init__(self, urls: Sequence[str], handler: Callable[[Exception], bool]) -> None:
        self.urls, self._handler = list(urls), handler

    def samples(self, share: Share, after: Place | None = None) -> Iterator[tuple[Place, dict[str, Any]]]:
        """The samples of a share in order, with their places; those that come after a place.

        What comes before that is not read of local, uncompressed shards. Raises ValueError where the sample at that
        place is another.
        """
        first = 0 if after is None else share.shards.index(after.shard)
        for at in range(first, len(share.shards)):
            shard, teller = share.shards[at], _Teller(self._handler)
            begins = after if at == first else None
            for number, sample in self._read(shard, teller) if begins is None else self._enter(begins, teller):
                if share.takes(at, number) and (begins is None or number > begins.sample):
                    place = Place(shard, number, _checksum(sample))
                    yield place, sample
                del sample
            if teller.stopped:
                return

    def _read(self, shard: int, teller: _Teller) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from enumerate(webdataset.tariterators.tarfile_samples([{"url": self.urls[shard]}], handler=teller))

    def _enter(self, place: Place, teller: _Teller) -> Iterator[tuple[int, dict[str, Any]]]:
        """The samples of a shard, with their numbers, from this place on."""
        url = self.urls[place.shard]
        for number, found in _find_bytes(url, [place.sample]).items():
            samples = _read_at(url, found.start, None, teller)
            sample = next(samples, None)
            if sample is not None and _checksum(sample) == place.check:
                yield number, sample
                del sample
                yield from enumerate(samples, number + 1)
                return
        # What is wrong before that place has been told once.
        teller.quiet, same = True, False
        for number, sample in self._read(place.shard, teller):
            if number == place.sample:
                same = _checksum(sample) == place.check
                teller.quiet = False
            if number >= place.sample:
                if not same:
                    break
                yield number, sample
            del sample
        teller.quiet = False
        if not same:
            raise self._changed(place) from teller.error

    def find(self, places: Iterable[Place]) -> Iterator[tuple[Place, dict[str, Any]]]:
        """The samples at these places, shard by shard. Raises ValueError where there is another."""
        for shard, group in groupby(sorted(set(places)), lambda place: place.shard):
            url, left = self.urls[shard], {place.sample: place for place in group}
            teller = _Teller(self._handler, quiet=True)
            for number, found in _find_bytes(url, left).items():
                with closing(_read_at(url, *found, teller)) as samples:
                    sample = next(samples, None)
                if sample is not None and _checksum(sample) == left[number].check:
                    yield left.pop(number), sample
                del sample
            if not left:
                continue
            for number, sample in self._read(shard, teller):
                place = left.pop(number, None)
                if place is not None:
                    if _checksum(sample) != place.check:
                        raise self._changed(place) from teller.error
                    yield place, sample
                    if not left:
                        break
                del sample
            for place in left.values():
                raise self._changed(place) from teller.error

    def seen(self, shard: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The samples of a shard, with their numbers, their fields memoryviews of the file where it can be mapped.

        What is wrong with the shard is not told here, and ends it.
        """
        path, teller = local_path(self.urls[shard]), _Teller(self._handler, quiet=True)
        with suppress(OSError, ValueError):
            if path is not None:
                yield from enumerate(webdataset.tariterators.group_by_keys(_mapped(path), handler=teller))
                return
        yield from self._read(shard, teller)

    def _changed(self, place: Place) -> ValueError:
        return ValueError(
            f"shard {place.shard}, {self.urls[place.shard]!r}, has changed: its sample {place.sample} is not the one "
            f"that was read when the state was saved"
        )
