"""The share of a dataset that a process reads, by its rank and its DataLoader worker, and runs of several shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clipx.datasets.addresses import START, Address, Position
from clipx.datasets.world import World

__all__ = ["JoinedShare", "PartShare", "Run", "Share", "share"]


class PartShare(NamedTuple):
    """The samples of a part of a dataset that a process reads: every `step`-th one.

    Attributes:
        part: its number.
        step, offset: samples are read whose number in the part, divided by `step`, leaves `offset`.
        after: a sample of the part, behind which reading begins; None for all.
        only: the number of the only sample that is read; None for all.
    """

    part: int
    step: int = 1
    offset: int = 0
    after: Address | None = None
    only: int | None = None

    def takes(self, sample: int) -> bool:
        """True for samples that are read, by their numbers in the part; `after` plays no part."""
        return self.only in (None, sample) and sample % self.step == self.offset

    def numbers(self, count: int) -> range:
        """The numbers of the samples that are read, of a part that has so many."""
        first = 0 if self.after is None else self.after.sample + 1
        if self.only is not None:
            is_read = first <= self.only < count and self.takes(self.only)
            return range(self.only, self.only + is_read)
        return range(first + (self.offset - first) % self.step, count, self.step)


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

    def part(self, index: int) -> PartShare:
        """What is read of the part `shards[index]`.

        The first sample read differs from part to part, so that small parts go to all processes.
        """
        return PartShare(self.shards[index], self.step, (self.offset - index) % self.step)

    @property
    def begins_anew(self) -> bool:
        """Whether all of it may be read again in the same epoch."""
        return False

    def dataset_of(self, part: int) -> int:
        """The number of the dataset that a part is of: 0, unless this is of a mixture."""
        return 0

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The parts from `start` to `stop`, an index beyond the last, as such pairs, each of one dataset."""
        if start < stop:
            yield start, stop

    def advance(self, position: Position, address: Address) -> Position:
        """The position behind one more sample."""
        return position.advance(address)

    def pieces(self, after: Position = START) -> Iterator[tuple[Run, Share]]:
        """What is read behind a position, as runs of shares, each of one dataset.

        Raises ValueError where what was read last is not in this share.
        """
        return _behind(after, [(Run(WHOLE, 0, len(self.shards)), self)])

    def from_(self, after: Position = START) -> Iterator[PartShare]:
        """What is read of each part: of all, or behind a position, where the first part begins after a sample.

        Raises ValueError where what was read last is not in this share.
        """
        return (_part(run, share, index) for run, share in self.pieces(after) for index in range(run.start, run.stop))


@dataclass(frozen=True)
class JoinedShare(Share):
    """Runs of parts, read one after the other; each with the share that it is of.

    Attributes:
        runs: of a mixture, those of each dataset are read one after the other.
        own: the share of the process that reads them, from the beginning of the epoch.

    Raises ValueError for a run that is not of its share.
    """

    runs: Sequence[tuple[Run, Share]] = ()
    own: Share | None = None

    @classmethod
    def of(cls, runs: Sequence[Run], share_of: Callable[[World], Share], own: Share | None = None) -> JoinedShare:
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
        return cls(parts, max((run.split * share.step for run, share in found), default=1), runs=found, own=own)

    def advance(self, position: Position, address: Address) -> Position:
        """The position behind one more sample."""
        return (self.own or self.runs[0][1]).advance(position, address)

    def pieces(self, after: Position = START) -> Iterator[tuple[Run, Share]]:
        """What is read behind a position; see `Share`."""
        return _behind(after, self.runs)

    def rest(self, after: Position) -> list[Run]:
        """The runs that are read behind a position of this share, each of one dataset.

        Of shares that begin anew, all: only the position says how far they have been read.
        """
        if any(share.begins_anew for _, share in self.runs):
            after = START
        return [run for run, _ in self.pieces(after)]


WHOLE = World(0, 1, 0, 1)


def _behind(after: Position, runs: Iterable[tuple[Run, Share]]) -> Iterator[tuple[Run, Share]]:
    """What runs have behind a position, each run of one dataset."""
    wanted: dict[int, Address] | None = None
    for run, share in runs:
        if wanted is None:
            wanted = {share.dataset_of(address.shard): address for address in after.last}
        for start, stop in share.spans(run.start, run.stop):
            dataset = share.dataset_of(share.shards[start])
            if dataset not in wanted:
                yield run._replace(start=start, stop=stop, after=run.after if start == run.start else None), share
            elif (index := _find(wanted[dataset], run, share, start, stop)) is not None:
                yield run._replace(start=index, stop=stop, after=wanted.pop(dataset)), share
    for address in after.last if wanted is None else wanted.values():
        raise ValueError(f"{address} is not in the share that is read")


def _find(address: Address, run: Run, share: Share, start: int, stop: int) -> int | None:
    """The index of the part of a run, from `start` to `stop`, that an address is in; None where it is in none."""
    index = start - 1
    while True:
        try:
            index = share.shards.index(address.shard, index + 1, stop)
        except ValueError:
            return None
        if _is_in(address, _part(run, share, index)):
            return index


def _part(run: Run, share: Share, index: int) -> PartShare:
    """What a run takes of a part of its share."""
    part = share.part(index)
    after = run.after if index == run.start else None
    return part._replace(step=part.step * run.split, offset=part.offset + part.step * run.number, after=after)


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
