"""The ClipSampler: the order in which a DataLoader asks a ClipDataset for clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from clipx._checks import check_kind, integer, one_of
from clipx.datasets.world import find_world
from clipx.loader.clip_dataset import ClipDataset
from clipx.loader.clip_order import ClipOrder, InOrder, ShuffledClips, ShuffledSources

if TYPE_CHECKING:
    Base = object
else:
    try:
        # Lightning replaces all samplers but those of this class by its own.
        from torch.utils.data import DistributedSampler as Base
    except ImportError:
        Base = object

__all__ = ["ClipSampler"]

MOST_EPOCH = 2**63 - 2
"""Epochs are numbers of 64 bits, and so is the one behind the last."""

AT_ONCE = 4096
"""Entries of an order that are computed at a time."""

Shuffle = Literal["clips", "sources"] | int
Uneven = Literal["keep", "drop", "repeat"]


class ClipSampler(Base):
    """An order of the clips of a ClipDataset, for `sampler=` of a DataLoader, shared among ranks.

    >>> sampler = clipx.ClipSampler(dataset, shuffle=4096)
    >>> loader = DataLoader(dataset, 16, sampler=sampler, num_workers=4, collate_fn=clipx.ClipDataset.collate)

    Args:
        dataset: whose clips they are.
        shuffle: "clips": all clips in a random order, without a buffer, but each batch opens as many sources as it has
            clips. "sources": sources in a random order, the clips of each in their own, so that a batch opens few and
            decodes what clips share once. A number: as "sources", then shuffled within windows of so many clips. False:
            as the dataset has them.
        seed: of the shuffle, with the epoch.
        rank, ranks: of this process, and their number; default those of torch.distributed where it is initialised, else
            those of RANK and WORLD_SIZE. Each rank has a run of the order of its own. Give `rank=0, ranks=1` where
            something else shares batches out, as accelerate does.
        uneven: what becomes of clips that do not divide by the ranks. "keep": every clip comes once, and some ranks
            have one more than others. "drop": up to `ranks - 1` clips are left out. "repeat": some come twice.

    Iterating gives numbers of clips, and sets the dataset's epoch, in DataLoader workers, too: the one that `set_epoch`
    has set, else the one after the last that was iterated to its end. The same seed, epoch and number of ranks give the
    same order. An order takes a few numbers a source, and the window; none grows with the number of clips.

    `state_dict` and `load_state_dict` go on behind any clip, in spite of what workers fetch ahead: torchdata's
    StatefulDataLoader calls them.

    Raises TypeError and ValueError that name the argument.

    Stability: provisional.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        shuffle: Shuffle = "clips",
        *,
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
        uneven: Uneven = "keep",
    ) -> None:
        check_kind("dataset", dataset, ClipDataset)
        if isinstance(shuffle, str):
            one_of("shuffle", shuffle, ("clips", "sources"))
        elif not isinstance(shuffle, bool):
            shuffle = integer("shuffle", shuffle, 1)
        one_of("uneven", uneven, ("keep", "drop", "repeat"))
        if (rank is None) != (ranks is None):
            raise ValueError(f"rank is {rank} and ranks is {ranks}, but give both or neither")
        if ranks is not None and rank is not None:
            ranks = integer("ranks", ranks, 1)
            rank = integer("rank", rank, 0, ranks - 1)
        self.dataset, self.seed, self._uneven = dataset, integer("seed", seed, 0), uneven
        self._shuffle: Shuffle = ("clips" if shuffle else False) if isinstance(shuffle, bool) else shuffle
        self._ranks = None if rank is None or ranks is None else (rank, ranks)
        self._epoch, self._given = dataset.epoch, 0
        # Whether a state waits to be gone on with, and whether the last iteration has come to its end.
        self._waits = self._done = False

    @property
    def epoch(self) -> int:
        """The epoch of the iteration that runs, or of the next one."""
        return self._epoch + self._done

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next iteration. A state of that epoch which has been loaded stays."""
        epoch = integer("epoch", epoch, 0, MOST_EPOCH)
        if epoch != self._epoch or self._done:
            self._epoch, self._given = epoch, 0
            self._waits = self._done = False
        self.dataset.set_epoch(epoch)

    def _world(self) -> tuple[int, int]:
        return self._ranks or find_world()[:2]

    def _share(self, n: int) -> range:
        """This rank's part of an order of n clips; a position past the end stands for one from the start."""
        rank, ranks = self._world()
        if self._uneven == "keep":
            return range(n * rank // ranks, n * (rank + 1) // ranks)
        each = n // ranks if self._uneven == "drop" else -(-n // ranks)
        return range(each * rank, each * (rank + 1))

    def __len__(self) -> int:
        """Clips that this rank has in an epoch."""
        return len(self._share(len(self.dataset.entries(self.epoch))))

    def _order(self, epoch: int) -> ClipOrder:
        entries = self.dataset.entries(epoch)
        if self._shuffle is False:
            return InOrder()
        if self._shuffle == "clips":
            return ShuffledClips(len(entries), self.seed, epoch)
        window = 1 if self._shuffle == "sources" else int(self._shuffle)
        return ShuffledSources(entries.counts, window, self.seed, epoch)

    def __iter__(self) -> ClipNumbers:
        return ClipNumbers(self)

    def _begin(self) -> tuple[ClipOrder, range]:
        """Begin an iteration; returns its order, and the part of it that is left."""
        if not self._waits:
            self._epoch, self._given = self.epoch, 0
        self._waits = self._done = False
        self.dataset.set_epoch(self._epoch)
        return self._order(self._epoch), self._share(len(self.dataset.entries(self._epoch)))[self._given :]

    def state_dict(self) -> dict[str, Any]:
        """The state behind the clip that was given last, as JSON takes it."""
        return {**self._settings(self._epoch), "epoch": self._epoch, "given": self._given}

    def _settings(self, epoch: int) -> dict[str, Any]:
        rank, ranks = self._world()
        entries = self.dataset.entries(epoch)
        return {
            "shuffle": self._shuffle,
            "seed": self.seed,
            "uneven": self._uneven,
            "rank": rank,
            "ranks": ranks,
            "clips": len(entries),
            "digest": entries.digest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the clip after which a state was saved: the next iteration gives the clips that come then.

        A state of an epoch at its end is the beginning of the next one.

        Raises TypeError for what is not a state, and ValueError for one of other settings or clips, which it names.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"state is a {type(state).__name__}, but must be what state_dict gave")
        missing = {"epoch", "given", *_NAMES} - state.keys()
        if missing:
            raise ValueError(f"state is not one of a ClipSampler: it lacks {', '.join(sorted(missing))}")
        epoch, given = (
            integer("epoch of the state", state["epoch"], 0, MOST_EPOCH),
            integer("given of the state", state["given"], 0),
        )
        now = self._settings(epoch)
        for name in _NAMES:
            if state[name] != now[name]:
                raise ValueError(f"state has {name} {state[name]!r}, but the sampler has {now[name]!r}")
        share = len(self._share(now["clips"]))
        if given > share:
            raise ValueError(f"state says that {given} clips were given, but rank {now['rank']} has {share}")
        self._epoch, self._given = (epoch + 1, 0) if given == share else (epoch, given)
        self._waits, self._done = given < share, False


_NAMES = ("shuffle", "seed", "uneven", "rank", "ranks", "clips", "digest")
"""Settings that a state must share with a sampler."""


class ClipNumbers(Iterator[int]):
    """An iteration of a ClipSampler. It begins when its first number is asked for: DataLoaders make some in vain."""

    def __init__(self, sampler: ClipSampler) -> None:
        self._sampler = sampler
        self._numbers: Iterator[int] | None = None

    def __next__(self) -> int:
        if self._numbers is None:
            self._numbers = self._begun(*self._sampler._begin())
        return next(self._numbers)

    def _begun(self, order: ClipOrder, left: range) -> Iterator[int]:
        sampler, n = self._sampler, len(self._sampler.dataset)
        for start in range(left.start, left.stop, AT_ONCE):
            stop = min(start + AT_ONCE, left.stop)
            # Past the end, clips come twice.
            parts = (order.entries(begin % n, (end - 1) % n + 1) for begin, end in _within(start, stop, n))
            for part in parts:
                for number in part.tolist():
                    sampler._given += 1
                    yield number
        sampler._done = True

    def state_dict(self) -> dict[str, Any]:
        """The state of the sampler."""
        return self._sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the sampler does; but of an epoch at its end, nothing is left to give."""
        self._sampler.load_state_dict(state)
        self._numbers = None if self._sampler._waits else iter(())


def _within(start: int, stop: int, n: int) -> Iterator[tuple[int, int]]:
    """Parts of a stretch that lie between multiples of n."""
    while start < stop:
        end = min(stop, (start // n + 1) * n)
        yield start, end
        start = end
