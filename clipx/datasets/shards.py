"""Samples of a dataset of shards: in order from any position on, at given addresses, or as views of mapped files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import IO, Any, cast

import webdataset

from clipx.datasets.addresses import START, Address, Position, checksum_of
from clipx.datasets.fields import Sample
from clipx.datasets.local_tars import LocalSample, find_samples, view_members
from clipx.datasets.origins import locate
from clipx.datasets.remote import RangeCache, can_open, open_range, open_stream
from clipx.datasets.shares import Share
from clipx.datasets.streamed_tars import ReadLimits, read_samples
from clipx.datasets.urls import local_path

__all__ = ["Shards"]

HEADER_BYTES = 2048
"""Bytes that are read of a remote shard for a header: with small members, often those of the next one, too."""


class _ShardHandler:
    """A handler that adds the shard to each error, and remembers whether it has asked to stop."""

    def __init__(self, handler: Callable[[Exception], bool], shard: str) -> None:
        self._handler, self._shard = handler, shard
        self.stopped = False

    def __call__(self, exn: Exception) -> bool:
        while len(exn.args) > 1 and self._is_added(exn.args[-1]):
            exn.args = exn.args[:-1]
        locate(exn, shard=self._shard)
        goes_on = bool(self._handler(exn))
        self.stopped = self.stopped or not goes_on
        return goes_on

    def _is_added(self, arg: Any) -> bool:
        """True for what WebDataset adds to the arguments of an error: None, a stream, or the address of the shard."""
        return arg is None or hasattr(arg, "read") or (isinstance(arg, str) and arg == self._shard)


class _LastError:
    """A handler that goes on after every error, and keeps the last one."""

    error: Exception | None = None

    def __call__(self, exn: Exception) -> bool:
        self.error = exn
        return True


class Shards:
    """A dataset of shards, with the samples that WebDataset gives of them.

    Args:
        urls: addresses of the shards.
        handler: called with the error of a broken shard or member, as WebDataset's handlers are.

    Attributes:
        limits: how much of a sample is read, and when.
    """

    def __init__(self, urls: Sequence[str], handler: Callable[[Exception], bool]) -> None:
        self.urls, self._handler, self.limits = list(urls), handler, ReadLimits()
        self._own_cache = RangeCache()

    def samples(self, share: Share, after: Position = START) -> Iterator[tuple[Address, Sample]]:
        """The samples of a share in order, with their addresses: all, or those that come after a position.

        Shards that are not compressed are read from there on, others and those of a pipe from their beginning. Raises
        ValueError where there is another sample than the one that was read last.
        """
        for part in share.from_(after):
            shard, begin = part.part, part.after
            handler = _ShardHandler(self._handler, self.urls[shard])
            for number, sample in self._numbered(shard, handler) if begin is None else self._behind(begin, handler):
                if part.takes(number):
                    # It holds none while it waits to go on: of several datasets, each waits at a sample of its own.
                    address, taken = Address(shard, number, checksum_of(sample)), [type(sample)(sample)]
                    sample.clear()
                    del sample
                    yield address, taken.pop()
                else:
                    del sample
            if handler.stopped:
                return

    @property
    def _cache(self) -> RangeCache:
        return self.limits.cache or self._own_cache

    def _numbered(self, shard: int, handler: Callable[[Exception], bool]) -> Iterator[tuple[int, Sample]]:
        yield from enumerate(self._streamed(shard, 0, handler))

    def _streamed(self, shard: int, start: int, handler: Callable[[Exception], bool]) -> Iterator[Sample]:
        """The samples of a shard from byte `start` on, where one begins."""
        url = self.urls[shard]
        try:
            stream: IO[bytes]
            if self._reads_ranges(url):
                stream = open_stream(url, start, cache=self._cache)
            else:
                stream = webdataset.tariterators.gopen.gopen(url)
                if start:
                    stream.seek(start)
        except Exception as exn:
            exn.args = (*exn.args, url)
            handler(exn)
            return
        samples = read_samples(stream, url, handler, self.limits)
        del stream
        yield from samples

    def _found(self, shard: int, numbers: Iterable[int]) -> dict[int, LocalSample]:
        """The samples of these numbers, where the shard is uncompressed, and local or read by ranges."""
        url = self.urls[shard]
        path = local_path(url)
        if path is not None:
            return find_samples(path, numbers)
        return find_samples(url, numbers, partial(self._open_part, url)) if self._reads_ranges(url) else {}

    def _open_part(self, url: str, offset: int, size: int | None) -> IO[bytes]:
        return cast(IO[bytes], open_range(url, offset, size, cache=self._cache, block=HEADER_BYTES))

    def _reads_ranges(self, url: str) -> bool:
        """True for an address that fsspec opens, unless WebDataset has been told another way to open it."""
        if local_path(url) is not None or not can_open(url):
            return False
        known = webdataset.tariterators.gopen.gopen_schemes.get(url.partition(":")[0])
        return known is None or known.__module__ == "webdataset.gopen"

    def _behind(self, after: Address, handler: _ShardHandler) -> Iterator[tuple[int, Sample]]:
        """The samples of a shard that come after an address, with their numbers."""
        shard, last = after.shard, after.sample
        found = self._found(shard, [last]).get(last)
        if found is not None and found.checksum() == after.checksum:
            if found.end is not None:
                yield from enumerate(self._streamed(shard, found.end, handler), last + 1)
            return
        # Errors before that address are reported once more, for the handler may end all that follows.
        same = False
        for number, sample in self._numbered(shard, handler):
            if number == last:
                same = checksum_of(sample) == after.checksum
            if number >= last and not same:
                break
            if number > last:
                yield number, sample
            del sample
        if not same:
            raise self._changed(after)

    def find(self, addresses: Iterable[Address]) -> Iterator[tuple[Address, Sample]]:
        """The samples at these addresses, shard by shard. Raises ValueError where there is another sample, or none."""
        for shard, group in groupby(sorted(set(addresses)), lambda address: address.shard):
            url, left = self.urls[shard], {address.sample: address for address in group}
            for number, found in self._found(shard, left).items():
                sample = found.read(url, self.limits.sample_bytes)
                if sample is not None and checksum_of(sample) == left[number].checksum:
                    yield left.pop(number), sample
                del sample
            if not left:
                continue
            handler = _LastError()
            for number, sample in self._numbered(shard, handler):
                address = left.pop(number, None)
                if address is not None:
                    if checksum_of(sample) != address.checksum:
                        raise self._changed(address) from handler.error
                    yield address, sample
                    if not left:
                        break
                del sample
            for address in left.values():
                raise self._changed(address) from handler.error

    def _changed(self, address: Address) -> ValueError:
        return ValueError(
            f"shard {address.shard}, {self.urls[address.shard]!r}, has changed: its sample {address.sample} is not the "
            f"one that was read when the state was saved"
        )

    def views(self, shard: int) -> Iterator[tuple[int, Sample]]:
        """The samples of a shard with their numbers; of a local, uncompressed one, fields are views of the mapped file.

        Ends at damage, without an error.
        """
        path, files = local_path(self.urls[shard]), None
        if path is not None:
            with suppress(OSError, ValueError):
                files = view_members(path)
        if files is None:
            yield from self._numbered(shard, _LastError())
        else:
            yield from enumerate(webdataset.tariterators.group_by_keys(files, handler=_LastError()))
