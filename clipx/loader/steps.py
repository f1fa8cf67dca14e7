"""The steps of an epoch, one behind the other: interleave, shuffle, batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from clipx.datasets.addresses import Address
from clipx.datasets.dataset import SampleReader
from clipx.datasets.fields import Sample
from clipx.datasets.ledger import Ledger
from clipx.loader.batches import Batches, BatchRules
from clipx.loader.config import LoaderConfig
from clipx.loader.counters import Counters
from clipx.loader.extract import Extractor
from clipx.loader.handover import EpochStopped, Handover
from clipx.loader.interleave import Interleave
from clipx.loader.interleave_state import BEGINNING, InterleaveState
from clipx.loader.open_samples import Extracted, OpenSample
from clipx.loader.probe import Pools
from clipx.loader.progress import Change, EpochState, Reading
from clipx.loader.restore import rebuild
from clipx.loader.shuffle import Shuffle
from clipx.plan.draws import stream_random
from clipx.wds.layout import BatchLayout, Ragged

__all__ = ["EpochSetup", "Steps"]

logger = logging.getLogger("clipx")


@dataclass(frozen=True)
class EpochSetup:
    """The things that an epoch is made from.

    Attributes:
        config: of the loader.
        reader: of the dataset's samples.
        reading: the parts that this process reads, in their order.
        workers: of a DataLoader, that share the loader's bytes.
        handler: called with the error of a broken shard or sample, which it notes in `ledger`.
        ledger: what is wrong with samples.
        counters: of the epoch.
    """

    config: LoaderConfig
    reader: SampleReader
    reading: Reading
    workers: int
    handler: Callable[[Exception], bool]
    ledger: Ledger
    counters: Counters

    def find(self, addresses: Iterable[Address]) -> Iterator[tuple[Address, Sample]]:
        """The samples at addresses, counted."""
        return self.counters.read(self.reader.find(addresses))

    def samples(self, state: InterleaveState) -> Iterator[tuple[Address, Sample]]:
        """The samples that come next, counted: those that are left of others, and then those of the share."""
        return self.counters.read(self._following(state))

    def _following(self, state: InterleaveState) -> Iterator[tuple[Address, Sample]]:
        if state.ended:
            return
        if state.left:
            yield from self.reader.find([each.address for each in state.left])
        yield from self.reader.samples(self.reading.first, state.read)

    def repeated(self) -> Iterator[tuple[Address, Sample]]:
        """The samples of the whole share once more, counted."""
        return self.counters.read(self.reader.samples(self.reading.whole))

    def extractor(self, epoch: int) -> Extractor:
        """Extracts clips before it is known what they are like."""
        return Extractor(self.config, epoch, self.reader.limits, ledger=self.ledger, counters=self.counters)

    def no_clips(self) -> ValueError:
        """The error of a share that cannot fill its batches."""
        return ValueError(
            f"equal_batches is True, but the {len(self.reading.whole.shards)} {self.config.dataset.noun}s of this "
            f"process give no clip to fill up its batches with"
        )


@dataclass(frozen=True)
class _BatchMemory:
    """Gives memory for the arrays of batches: slots for clips as they were probed, and of its own for all else."""

    pools: Pools
    handover: Handover
    ragged: Ragged

    def __call__(self, layout: BatchLayout, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        # There are as many slots as fields that were probed, whatever `map` has made of these.
        is_clip = name in layout.clips[: len(self.pools.probed.fields)] and not dtype.hasobject
        slot_bytes = self.pools.batches.slot_bytes
        if not is_clip or int(np.prod(shape)) * dtype.itemsize > slot_bytes:
            return np.empty(shape, dtype)
        if self.ragged in ("list", "pad"):
            shape, dtype = (slot_bytes,), np.dtype(np.uint8)  # the clips that come may be longer
        return self.handover.memory(shape, dtype)


class Steps:
    """The batches of an epoch from a state on. Run by one thread; stopped by any.

    Args:
        setup: what the epoch is made from.
        state: where it begins; it is not changed.
        pools: memory for its clips.
        handover: gives memory for batches.
    """

    def __init__(self, setup: EpochSetup, state: EpochState, pools: Pools, handover: Handover) -> None:
        config = setup.config
        self._setup, self._state, self._pools, self._handover = setup, state, pools, handover
        self._passes = state.passes
        batch = state.batch
        if batch.layout is None and config.map is None:  # which makes other fields of those that were probed
            batch = replace(batch, layout=pools.probed.layout)
        self._interleave: Interleave | None = None
        self._shuffle: Shuffle | None = None
        self._rebuilding = 0.0
        budget = pools.budget
        rules = BatchRules(
            config.batch_size,
            pools.probed.fields,
            config.drop_last,
            config.ragged,
            state.target,
            budget.bucketed,
            budget.bucketed_beside,
        )
        make = _BatchMemory(pools, handover, config.ragged)
        self._batches = Batches(rules, make, handler=setup.handler, ledger=setup.ledger, state=batch)

    def batches(self, samples: Iterator[tuple[Address, Sample]]) -> Iterator[dict[Any, Any]]:
        """The batches of samples, which come after those that the state has read."""
        return self._batches.batches(self._clips(samples))

    def change(self) -> Change:
        """The change since this was called last, up to the batch that came last."""
        moves = [] if self._shuffle is None else self._shuffle.take_moves()
        interleave = self._state.interleave if self._interleave is None else self._interleave.state()
        return Change(self._passes, self._pools.probed, interleave, moves, self._batches.state())

    @property
    def given(self) -> int:
        """Number of clips that are in batches."""
        return self._batches.given

    @property
    def waited(self) -> float:
        """Seconds that the thread that runs this has waited, for clips and for the consumer."""
        starved = 0.0 if self._interleave is None else self._interleave.starved
        return self._rebuilding + starved + self._handover.stalled

    @property
    def shuffled(self) -> int:
        """Number of clips that the shuffle holds."""
        shuffle = self._shuffle
        return 0 if shuffle is None else len(shuffle)

    @property
    def held_bytes(self) -> int:
        """Bytes of the samples that have been read and not yet given up, and of open decoders."""
        interleave = self._interleave
        return 0 if interleave is None else interleave.held_bytes + interleave.decoder_bytes

    def stop(self, seconds: float = 0) -> None:
        """End all threads, at any time, and wait so long for it."""
        interleave = self._interleave
        if interleave is not None:
            interleave.stop(seconds)

    def close(self) -> None:
        """End all threads, and give up the clips that are held. Called by the thread that runs this."""
        self.stop()
        self._shuffle = None

    def _clips(self, samples: Iterator[tuple[Address, Sample]]) -> Iterator[Extracted]:
        """The clips of the epoch, in the order of its batches; first those that the state holds in buckets.

        Where it has a target, the share is read again, in its own order, until as many have been given.
        """
        setup, state = self._setup, self._state
        config, interleave_state = setup.config, state.interleave
        began = time.perf_counter()
        held, opened = self._rebuild()
        self._rebuilding = time.perf_counter() - began
        bucketed = held[len(state.shuffle.held) :]
        del held[len(state.shuffle.held) :]
        while bucketed:
            yield bucketed.pop(0)
        is_part = setup.reading.is_part
        while True:
            given = self._batches.given
            clips = self._interleaved(samples, interleave_state, opened)
            if self._passes == 0 and config.shuffle:
                budget, rng = self._pools.budget, stream_random(config.seed, state.epoch, "clips")
                shuffle = Shuffle(rng, budget.shuffled, budget.shuffled_beside, held, state.shuffle.drawn)
                held.clear()
                self._shuffle = shuffle
                yield from shuffle.clips(clips)
            else:
                yield from clips
            if state.target is None:
                return
            if given == self._batches.given and not is_part:
                raise setup.no_clips()
            is_part = False
            # With drop_last, a rank has at least as many clips as were counted for all, but for damage.
            logger.log(
                logging.WARNING if config.drop_last else logging.INFO,
                "Loader: the dataset gives %d clips, but all ranks have %d an epoch: the others are given again",
                self._batches.given,
                state.target,
            )
            self.stop()
            self._passes += 1
            samples, interleave_state, opened = setup.repeated(), BEGINNING, []

    def _extractor(self) -> Extractor:
        pools, extractor = self._pools, self._setup.extractor(self._state.epoch)
        return replace(extractor, pool=pools.clips, budget=pools.budget, maps=True, repeated=self._passes > 0)

    def _rebuild(self) -> tuple[list[Extracted], list[OpenSample]]:
        """The clips that the state holds in the shuffle and then in buckets, and the samples that were active."""
        state, budget, handover, extractor = self._state, self._pools.budget, self._handover, self._extractor()
        rebuilt = rebuild(
            [*state.shuffle.held, *state.batch.held],
            state.interleave.active,
            self._setup.find,
            extractor.weigh,
            extractor.extract,
            threads=min(self._setup.config.threads, budget.sources),
            most_encoded_bytes=budget.encoded_bytes + budget.decoders_bytes,
            is_stopped=lambda: handover.stopped,
        )
        handover.check()
        return rebuilt

    def _interleaved(
        self, samples: Iterator[tuple[Address, Sample]], state: InterleaveState, opened: list[OpenSample]
    ) -> Iterator[Extracted]:
        """The clips of samples from a state on; `opened` is emptied."""
        setup, extractor, budget = self._setup, self._extractor(), self._pools.budget
        cache = setup.reader.limits.cache
        if cache is not None:
            budget = replace(budget, encoded_bytes=max(budget.encoded_bytes - cache.nbytes, 1))
        interleave = Interleave(
            samples,
            extractor.weigh,
            extractor.extract,
            budget,
            threads=setup.config.threads,
            handler=setup.handler,
            advance=setup.reading.whole.advance,
            state=state,
            opened=opened,
        )
        opened.clear()
        setup.reader.limits.wait = partial(setup.counters.wait, interleave.wait_for_room)
        if self._interleave is not None:
            interleave.starved = self._interleave.starved
        self._interleave = interleave
        # `stop` may have come before there was anything to be stopped.
        if self._handover.stopped:
            raise EpochStopped
        interleave.start()
        return interleave.clips()
