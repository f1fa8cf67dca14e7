"""The share of a mixture: those of its datasets, one behind the other, and the draws among them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from clipx._lazy import lazy
from clipx.datasets.addresses import START, Address, Position
from clipx.datasets.mixing import Stop, Stream, mixed
from clipx.datasets.shares import JoinedShare, PartShare, Run, Share
from clipx.plan.draws import stream_random

__all__ = ["Borders", "Draws", "MixShare"]


class Borders:
    """Numbers of the parts of several datasets, one dataset behind the other; those of later passes follow.

    Args:
        counts: number of parts of each dataset.
    """

    def __init__(self, counts: Sequence[int]) -> None:
        self.starts = [sum(counts[:at]) for at in range(len(counts))]
        self.total = sum(counts)

    def split(self, part: int) -> tuple[int, int, int]:
        """The dataset of a part, the pass over the dataset, and the part's number in the dataset."""
        number, part = divmod(part, self.total)
        dataset = bisect_right(self.starts, part) - 1
        return dataset, number, part - self.starts[dataset]

    def join(self, dataset: int, number: int, address: Address) -> Address:
        """An address in a dataset, in a pass, as the mixture has it."""
        return address._replace(shard=number * self.total + self.starts[dataset] + address.shard)

    def own(self, address: Address) -> Address:
        """An address as its dataset has it."""
        return address._replace(shard=self.split(address.shard)[2])

    def divide(self, share: Share, after: Position = START) -> list[Share]:
        """What is left of a mixture's share behind a position in the first pass, as a share of each dataset."""
        runs: list[list[tuple[Run, Share]]] = [[] for _ in self.starts]
        for run, of in share.pieces(after):
            runs[of.dataset_of(of.shards[run.start])].append((run, of))
        return [_OneShare([], runs=each, start=start) for each, start in zip(runs, self.starts)]


@dataclass(frozen=True)
class Draws:
    """The choices among datasets: which of them gives the next sample.

    Attributes:
        weights: of the datasets.
        seed, epoch, name: what the choices are drawn from.
    """

    weights: tuple[float, ...]
    seed: int
    epoch: int
    name: str

    def order(self, number: int) -> list[int]:
        """The datasets in the order in which a draw wants them: the first that has a sample gives it.

        Each comes first by its weight; and of those that are not exhausted, too, each comes first by its weight. So a
        draw depends on its number alone, not on which datasets have been found to be exhausted.
        """
        rng = stream_random(self.seed, self.epoch, f"{self.name} {number}")
        waits = [rng.expovariate(weight) for weight in self.weights]
        return sorted(range(len(waits)), key=waits.__getitem__)


@dataclass(frozen=True, kw_only=True)
class MixShare(Share):
    """The share of a mixture.

    Attributes:
        borders: of the datasets' parts, by which `shards` are numbered.
        shares: those of the datasets, by their own numbers of parts.
        draws: the choices among the datasets.
        shuffle: whether passes after the first have orders of their own.
        stop: when the samples end; see Mix.
        samples: number of samples after which they end; None for no such number.
    """

    borders: Borders
    shares: Sequence[Share]
    draws: Draws
    shuffle: bool
    stop: Stop
    samples: int | None

    @lazy
    def _ends(self) -> list[int]:
        """The index in `shards` behind the parts of each dataset."""
        lengths = [len(share.shards) for share in self.shares]
        return [sum(lengths[: at + 1]) for at in range(len(lengths))]

    def part(self, index: int) -> PartShare:
        """What is read of the part `shards[index]`."""
        dataset = bisect_right(self._ends, index)
        share = self.shares[dataset]
        return share.part(index - self._ends[dataset] + len(share.shards))._replace(part=self.shards[index])

    @property
    def begins_anew(self) -> bool:
        """Whether all of it may be read again in the same epoch."""
        return self.stop == "never"

    def dataset_of(self, part: int) -> int:
        """The number of the dataset that a part is of."""
        return self.borders.split(part)[0]

    def spans(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The parts from `start` to `stop`, as such pairs, each of one dataset."""
        for end in self._ends:
            if start < min(end, stop):
                yield start, min(end, stop)
                start = end

    def advance(self, position: Position, address: Address) -> Position:
        """The position behind one more sample."""
        last = {self.dataset_of(each.shard): each for each in (*position.last, address)}
        return Position(tuple(last[dataset] for dataset in sorted(last)), position.samples + 1)

    def in_pass(self, dataset: int, number: int) -> Share:
        """The share of a dataset in a pass: the same samples in each."""
        share = self.shares[dataset]
        if number == 0 or not self.shuffle:
            return share
        order, draws = list(range(len(share.shards))), self.draws
        stream_random(draws.seed, draws.epoch, f"{draws.name} {dataset} pass {number}").shuffle(order)
        return _Reordered([share.shards[index] for index in order], share=share, order=order)

    def total(self, each: Callable[[int, Share], Iterator[int]]) -> int:
        """The sum of a number over the samples that are drawn.

        each: gives the numbers of the samples in a share of a dataset, in their order.
        """
        if self.stop == "all":
            return sum(sum(each(dataset, share)) for dataset, share in enumerate(self.shares))

        def begin(dataset: int, number: int) -> Iterator[int]:
            return each(dataset, self.in_pass(dataset, number))

        streams = [Stream(partial(begin, at), lambda: self.stop == "never") for at in range(len(self.shares))]
        return sum(found for _, _, found in mixed(streams, self.draws.order, self.stop, 0, self.samples))


@dataclass(frozen=True, kw_only=True)
class _Reordered(Share):
    """The parts of a share in the order of these indices."""

    share: Share
    order: Sequence[int]

    def part(self, index: int) -> PartShare:
        """What is read of the part `shards[index]`."""
        return self.share.part(self.order[index])


@dataclass(frozen=True, kw_only=True)
class _OneShare(Share):
    """What is left of the share of one dataset of a mixture, as runs of the mixture's share.

    Attributes:
        runs: each with the share that it is of.
        start: number of the dataset's first part in the mixture.
    """

    runs: Sequence[tuple[Run, Share]]
    start: int

    def from_(self, after: Position = START) -> Iterator[PartShare]:
        """What is read of each part, by its number in the dataset; the runs say behind which sample."""
        for part in JoinedShare(self.shards, runs=self.runs).from_(after):
            begin = part.after
            yield part._replace(
                part=part.part - self.start,
                after=None if begin is None else begin._replace(shard=begin.shard - self.start),
            )
