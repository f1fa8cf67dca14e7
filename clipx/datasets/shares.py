"""The share of a dataset that a process reads, by its rank and its DataLoader worker, and runs of several shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clipx.datasets.addresses import Address
from clipx.datasets.world import World

__all__ = ["JoinedShare", "PartShare", "Run", "Share", "share"]


class PartShare(NamedTuple):
    """The samples of a part of a dataset that a process reads: every `step`-th one.

    Attributes:
        part: its number.
        step, offset: samples are read whose number in the part, divided by `step`, leaves `offset`.
        after: a sample of the part, behind which reading begins; None for all.
    """

    part: int
    step: int = 1
    offset: int = 0
    after: Address | None = None

    def takes(self, sample: int) -> bool:
        """True for samples that are read, by their numbers in the part; `after` plays no part."""
        return sample % self.step == self.offset


class Run(NamedTuple):
    """Some of the parts in a process's share, one behind the other, and of each part one of `split` samples.

    Attributes:
        world: the process that the share is, or was, of.
        start, stop: which parts of the share.
        split, number: of the samples that the share takes of a part, every `split`-th is read, from `number` on.
        after: a sample of the first part, behind which reading begins; None for all.
    """

    world: World
    start: int
    stop: int
    split: int = 1
    number: int = 0
    after: Address | None = None


@dataclass(frozen=True)
class Share:
    """The parts of a dataset that a process reads, such as shards, and the samples of each: every `step`-th one.

    The shares of all processes of a world hold every sample once.
    """

    shards: Sequence[int]
    step: int = 1
    offset: int = 0

    def from_(self, after: Address | None = None) -> Iterator[PartShare]:
        """What is read of each part: of all, or from an address on, which is then that of `after` in the first.

        Raises ValueError where the address is not in the share.
        """
        first = 0 if after is None else self.shards.index(after.shard)
        for index in range(first, len(self.shards)):
            part = _dealt(self, index)
            yield part if after is None or index > first else part._replace(after=after)


@dataclass(frozen=True)
class JoinedShare(Share):
    """Runs of parts, read one after the other; each with the share that it is of.

    Raises ValueError for a run that is not of its share.
    """

    runs: Sequence[tuple[Run, Share]] = ()

    @classmethod
    def of(cls, runs: Sequence[Run], share_of: Callable[[World], Share]) -> JoinedShare:
        """Runs of shares; `share_of` gives the share of a process."""
        shares: dict[World, Share] = {}
        found, parts = [], list[int]()
        for run in runs:
            share = shares[run.world] = shares.get(run.world) or share_of(run.world)
            if not 0 <= run.start <= run.stop <= len(share.shards) or not 0 <= run.number < run.split:
                raise ValueError(f"{run} is not of a share of {len(share.shards)} parts")
            if run.after is not None and run.after.shard not in share.shards[run.start : run.start + 1]:
                raise ValueError(f"{run} does not begin in its first part")
            found.append((run, share))
            parts += share.shards[run.start : run.stop]
        return cls(parts, max((run.split * share.step for run, share in found), default=1), runs=found)

    def from_(self, after: Address | None = None) -> Iterator[PartShare]:
        """What is read of each part; see `Share`."""
        first, start = (0, 0) if after is None else self._find(after)
        for number in range(first, len(self.runs)):
            run, share = self.runs[number]
            for index in range(start if number == first and after is not None else run.start, run.stop):
                part = _part(run, share, index)
                yield part if after is None else part._replace(after=after)
                after = None

    def rest(self, after: Address | None) -> list[Run]:
        """The runs that are read after a sample of this share; all of them where it is None."""
        if after is None:
            return [run for run, _ in self.runs]
        first, index = self._find(after)
        rest = [run for run, _ in self.runs[first:]]
        return [rest[0]._replace(start=index, after=after), *rest[1:]]

    def _find(self, address: Address) -> tuple[int, int]:
        """The run of a sample, and the index of its part in that run's share."""
        for number, (run, share) in enumerate(self.runs):
            index = run.start - 1
            while True:
                try:
                    index = share.shards.index(address.shard, index + 1, run.stop)
                except ValueError:
                    break
                if _is_in(address, _part(run, share, index)):
                    return number, index
        raise ValueError(f"{address} is not in the share that is read")


def _dealt(share: Share, index: int) -> PartShare:
    """What a share has of a part.

    The first sample read differs from part to part, so that small parts go to all processes.
    """
    return PartShare(share.shards[index], share.step, (share.offset - index) % share.step)


def _part(run: Run, share: Share, index: int) -> PartShare:
    """What a run takes of a part of its share."""
    part = _dealt(share, index)
    after = run.after if index == run.start else None
    return PartShare(part.part, part.step * run.split, part.offset + part.step * run.number, after)


def _is_in(address: Address, part: PartShare) -> bool:
    """Whether a part's samples that are read include one, or begin behind it."""
    if address == part.after:
        return True
    behind = part.after is None or address.sample > part.after.sample
    return address.shard == part.part and behind and part.takes(address.sample)


def share(shards: Sequence[int], world: World) -> Share:
    """The share of a process: parts are dealt out to ranks, then to workers; where there are too few, samples are."""
    found = Share(list(shards))
    for number, count in ((world.rank, world.ranks), (world.worker, world.workers)):
        if found.step == 1 and len(found.shards) >= count:
            found = Share(found.shards[number::count])
        else:
            found = Share(found.shards, found.step * count, found.offset + found.step * number)
    return found
