"""Reading datasets of which each part is one sample: it is looked up, and its files are opened where they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace

from clipx.datasets.addresses import START, Address, Position, checksum_of
from clipx.datasets.dataset import Handler
from clipx.datasets.fields import Sample
from clipx.datasets.shares import Share
from clipx.datasets.stored import StoredFile
from clipx.datasets.streamed_tars import ReadLimits

__all__ = ["SingleSamples"]


class SingleSamples(ABC):
    """A `clipx.datasets.dataset.SampleReader` of parts that are samples; `look_up` finds them.

    Args:
        handler: called with the error of a sample that cannot be looked up.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler, self.limits = handler, ReadLimits()

    @abstractmethod
    def look_up(self, part: int, number: int) -> Sample:
        """The sample of a part, under a number there. Raises ValueError and OSError, with their origin."""

    def _read(self, part: int, number: int) -> tuple[Address, Sample]:
        sample, cache = self.look_up(part, number), self.limits.cache
        for name, value in sample.items():
            if isinstance(value, StoredFile) and value.path is None:
                sample[name] = replace(value, cache=cache)
        return Address(part, number, checksum_of(sample)), sample

    def samples(self, share: Share, after: Position = START) -> Iterator[tuple[Address, Sample]]:
        """The samples of a share in order: all, or those after a position. Raises ValueError where another was read."""
        for part in share.from_(after):
            number = part.only or 0
            if part.after is not None:
                self._check(part.after)
                if part.after.sample == number:
                    continue
            if not part.takes(number):
                continue
            try:
                found = self._read(part.part, number)
            except (ValueError, OSError) as exn:
                if not self._handler(exn):
                    return
                continue
            yield found
            del found

    def find(self, addresses: Iterable[Address]) -> Iterator[tuple[Address, Sample]]:
        """The samples at addresses. Raises ValueError where there is another."""
        for address in sorted(set(addresses)):
            yield address, self._check(address)

    def _check(self, address: Address) -> Sample:
        found, sample = self._read(address.shard, address.sample)
        if found != address:
            raise ValueError(
                f"sample {sample['__key__']!r} of {sample['__url__']!r} has changed: it is not the one that was read "
                f"when the state was saved"
            )
        return sample

    def views(self, part: int) -> Iterator[tuple[int, Sample]]:
        """The sample of a part; none where it is broken."""
        try:
            found = self._read(part, 0)[1]
        except (ValueError, OSError):
            return
        yield 0, found
