"""Datasets as a Loader reads them: samples in parts, which ranks and workers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from clipx.datasets.addresses import START, Address, Position
from clipx.datasets.fields import Sample
from clipx.datasets.shares import Share, share
from clipx.datasets.streamed_tars import ReadLimits
from clipx.datasets.world import World
from clipx.plan.draws import stream_random

__all__ = ["Dataset", "Handler", "SampleReader", "refuse", "share_parts", "shuffled"]

Handler = Callable[[Exception], bool]
"""Called with an error, as WebDataset's handlers are: true goes on, false ends, and it may raise."""


class SampleReader(Protocol):
    """Reads the samples of a dataset: in order from any position on, or at given addresses."""

    @property
    def limits(self) -> ReadLimits:
        """How much of a sample is read, and when."""

    @limits.setter
    def limits(self, limits: ReadLimits) -> None: ...

    def samples(self, share: Share, after: Position = START) -> Iterator[tuple[Address, Sample]]:
        """The samples of a share in order, with their addresses: all, or those that come after a position.

        `share.from_(after)` says what is read of each part, and from which sample on.

        Raises ValueError where there is another sample than the one that was read last.
        """

    def find(self, addresses: Iterable[Address]) -> Iterator[tuple[Address, Sample]]:
        """The samples at these addresses. Raises ValueError where there is another sample, or none."""

    def views(self, part: int) -> Iterator[tuple[int, Sample]]:
        """The samples of a part with their numbers in it, as cheap as they can be had. Ends at damage, silently."""


@runtime_checkable
class Dataset(Protocol):
    """Samples in parts: a part goes to one process as a whole, unless there are fewer parts than processes.

    Attributes:
        noun: the word for a part, in messages.
    """

    noun: str

    def __len__(self) -> int:
        """Number of parts."""

    @property
    def is_remote(self) -> bool:
        """Whether some of it is read through fsspec."""

    def reader(self, handler: Handler) -> SampleReader:
        """A reader of the samples; `handler` is called with the error of a broken part or sample."""

    def share(self, seed: int, epoch: int, shuffle: bool, world: World) -> Share:
        """The parts that a process reads in an epoch, in its order."""

    def facts(self) -> dict[str, Any]:
        """Facts by which a saved state knows the dataset again, as JSON takes them."""

    def check(self, saved: Any) -> None:
        """Raise ValueError that names the difference where `saved` are not the facts of this dataset."""


@lru_cache(maxsize=2)  # where states are resharded, the shares of many processes are asked for
def shuffled(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    """The numbers below `count` in the order of an epoch."""
    order = list(range(count))
    stream_random(seed, epoch, "shards").shuffle(order)
    return tuple(order)


def share_parts(parts: int, seed: int, epoch: int, shuffle: bool, world: World) -> Share:
    """The share of a process, of a dataset whose parts are dealt out one by one, shuffled or in their order."""
    return share(shuffled(parts, seed, epoch) if shuffle else range(parts), world)


def refuse(name: str, value: Any, rule: str) -> ValueError:
    """The error of an entry of a state that breaks a rule."""
    text = repr(value)
    return ValueError(
        f"state is not as state_dict gave it: {name} is {text if len(text) < 100 else text[:100] + '...'}, but {rule}"
    )
