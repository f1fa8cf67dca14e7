"""The Loader: samples to batches of clips, on threads, inside one number of bytes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from operator import length_hint
from typing import Any

import webdataset

from clipx._checks import byte_count, check_kind, integer, patience
from clipx._reprs import byte_text
from clipx.audio.format import AudioFormat
from clipx.datasets.addresses import START
from clipx.datasets.dataset import Dataset
from clipx.datasets.fields import Sample
from clipx.datasets.index import Index
from clipx.datasets.iterable import DictDataset
from clipx.datasets.keys import Keys
from clipx.datasets.ledger import Ledger, Recorder
from clipx.datasets.passes import Passes
from clipx.datasets.segments import Seconds, Segments, parse_segments
from clipx.datasets.world import World, find_ranks, find_world, in_worker
from clipx.format import ClipFormat
from clipx.loader.beside import check_map
from clipx.loader.callers import data_loader_over, refuse_second_batching, refuse_second_sharing
from clipx.loader.config import LoaderConfig
from clipx.loader.counts import Targets
from clipx.loader.epoch import BatchIterator, Kept, Running
from clipx.loader.indexed import bind
from clipx.loader.loader_html import loader_html
from clipx.loader.probe import Pools
from clipx.loader.progress import EpochState, Reading
from clipx.loader.progress_line import ProgressLine
from clipx.loader.resuming import Resuming
from clipx.loader.state import join_states, make_state
from clipx.loader.stats import LoaderStats
from clipx.loader.steps import EpochSetup
from clipx.plan import FrameSpec, check_bounded
from clipx.plan.draws import Epoch, check_epoch, count_epoch
from clipx.video.options import VideoOptions
from clipx.wds.layout import Ragged, check_ragged
from clipx.wds.sample_clips import SampleClips

__all__ = ["Loader"]

logger = logging.getLogger("clipx")

WORKER_SECONDS = 60.0
"""Seconds that batches are waited for in the worker of a DataLoader, which may hold them until they are sent."""


class Loader(DictDataset):  # type: ignore[misc]
    """Batches of clips from shards or files of videos, arrays or sound, extracted on threads within a number of bytes.

    >>> loader = clipx.Loader("videos-{000..099}.tar", spec, format, batch_size=16, memory="4GB")
    >>> for batch in loader:
    ...     clips = torch.as_tensor(batch["mp4"])

    Args:
        dataset: a `clipx.Files`, a `clipx.Index`, a `clipx.Mix` of several datasets, or shards as webdataset takes
            them: a text with braces, or a list; files, `pipe:` commands, remote addresses; plain or compressed tars.
            Ranks share files and shards, and a rank's DataLoader workers; samples, where shards are too few; of an
            index, clips, to within one.
        spec, format, options, audio, keys: which frames, how they are written and read, and of which fields; see
            `clipx.wds.clips`. A FrameList of a field needs `max_frames`.
        segments, min_seconds, max_seconds, trim_seconds: the segments that sources are divided into; see
            `clipx.wds.clips`. A function of a sample gets its other fields decoded, and must give the same each time.
        batch_size: clips of a batch.
        memory: bytes that the slots, the batches and the encoded samples take together, such as "2GB"; divided by
            `clipx.loader.budget.divide`, and by the number of DataLoader workers. Decoders count with what the headers
            of their videos say, and at least with `clipx.loader.budget.DECODER_BYTES`.
        threads: number of threads that decode; default the number of processors. No more are used than there are
            sources.
        map: called with the sample of each clip, on those threads; what it returns is batched, so that it can add, drop
            and rename fields. The memory that it takes is not counted.
        shuffle: whether shards and clips are shuffled; else clips come in the shards' order.
        seed, epoch: what is random is drawn from both and each sample's `__key__`. epoch is a number, a function that
            gives one, or None to count the iterations, also those of a DataLoader with workers; `set_epoch` sets the
            next.
        drop_last: whether a last batch of fewer clips, or the last of each bucket, is left out.
        equal_batches: whether all ranks get the same number of batches: with `drop_last` as many as the rank with the
            fewest clips can fill; without, all get as many clips as the one with the most, and what a rank lacks are
            clips of its own once more, with "repeated" in `clip.json`. The clips of all shards are counted once, before
            the first epoch (before every one where the spec draws how many clips there are), by headers and packets,
            mostly without decoding; `len` is then the number of batches.
        ragged: what becomes of clips of different lengths. "error": ValueError. "list": every array field is a list of
            arrays. "pad": they are padded with zeros along time to the longest of the batch, which has "lengths", int64
            (batch,), and "audio.lengths" where there is sound beside videos. "bucket": clips wait in buckets, one for
            each shape. A bucket gives a batch when it is full; where all hold more clips than a batch and half of what
            else were the shuffle's, the fullest (of equals the oldest) gives a short one. `errors` counts the clips
            that `drop_last` leaves out of buckets. Not with equal_batches.
        handler: called with the error of a broken shard or sample, as webdataset's are; a broken sample loses no other.
        batches: number of batches that there can be at a time: the consumer's, the next, and the one that is being
            filled. Raise it for a consumer that holds several.
        timeout: seconds that the consumer waits where it holds all batches; None waits for ever. In the worker of a
            DataLoader, 0 means a minute: it lets go of batches when they are sent.
        progress: whether standard error shows how an epoch goes on: a line that is kept up to date on a terminal, else
            one every 30 seconds. Rank 0 alone has it, and DataLoader workers have none.

    A batch has every field that any of its samples has: clips in all of them, of one size, or as `ragged` says (else an
    error names both samples); other fields as lists with None where a sample lacks one.

    Iterates over dicts: clips as arrays (batch, ...) that `torch.from_numpy` sees without a copy, `__key__` and
    `clip.json` as lists, and other fields decoded and collated as webdataset does, except that pickles, and kinds that
    docs/untrusted.md does not list, stay bytes. A sample that takes more than docs/memory.md leaves it goes to
    `handler`. Every batch is memory of a pool, which is used again when nothing sees it any more. Iterating
    again is the next epoch, and ends an iteration that is still running. Batches are the same for the same seed, epoch,
    memory and data, whatever the number of threads.

    `errors` is a `clipx.datasets.ledger.Ledger`: which samples of which shards were broken, damaged or gave no
    clips, in this process and in its DataLoader workers.

    Also the dataset of a `torch.utils.data.DataLoader(loader, batch_size=None, num_workers=N)`. `state_dict` and
    `load_state_dict` go on where an iteration was, there through torchdata's `StatefulDataLoader`.

    Raises TypeError and ValueError that name the argument; ValueError where memory is too little, with the least that
    works; while iterating ValueError for a rank outside the world, PoolExhausted where the consumer keeps every batch,
    and what `handler` does not take.

    Stability: stable.
    """

    def __init__(
        self,
        dataset: str | Iterable[str | os.PathLike[str]] | Dataset | Index,
        spec: FrameSpec,
        format: ClipFormat | None = None,
        *,
        batch_size: int,
        memory: int | str = "2GB",
        threads: int | None = None,
        options: VideoOptions | None = None,
        audio: AudioFormat | None = None,
        segments: Segments = None,
        min_seconds: Seconds = None,
        max_seconds: Seconds = None,
        trim_seconds: Seconds = None,
        map: Callable[[Sample], Sample] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        epoch: Epoch = None,
        keys: Keys = None,
        drop_last: bool = True,
        equal_batches: bool = False,
        ragged: Ragged = "error",
        handler: Callable[[Exception], bool] = webdataset.reraise_exception,
        batches: int = 3,
        timeout: float | None = 0,
        progress: bool = False,
    ) -> None:
        super().__init__()
        found = parse_segments(segments, min_seconds=min_seconds, max_seconds=max_seconds, trim_seconds=trim_seconds)
        sample_clips = SampleClips(spec, format, options=options, audio=audio, keys=keys, seed=seed, segments=found)
        samples = bind(dataset, sample_clips)
        check_bounded(spec)
        if not callable(handler):
            raise TypeError(f"handler is {handler!r}, but must be a function of an exception")
        check_kind("shuffle", shuffle, bool)
        check_kind("drop_last", drop_last, bool)
        check_kind("equal_batches", equal_batches, bool)
        check_kind("progress", progress, bool)
        if equal_batches and ragged == "bucket":
            raise ValueError(
                "equal_batches is True, but ragged is 'bucket', whose batches cannot be counted: use 'pad'"
            )
        self._config = LoaderConfig(
            samples,
            sample_clips,
            batch_size=integer("batch_size", batch_size, 1),
            memory=byte_count("memory", memory),
            threads=integer("threads", (os.cpu_count() or 1) if threads is None else threads, 1),
            map=check_map(map),
            shuffle=shuffle,
            drop_last=drop_last,
            equal_batches=equal_batches,
            ragged=check_ragged(ragged),
            handler=handler,
            batches=integer("batches", batches, 2),
            timeout=patience("timeout", timeout),
            progress=progress,
        )
        self._epoch = check_epoch(epoch)
        self.errors = Ledger()
        self._passes = Passes()
        self._running: Running | None = None
        self._kept = Kept()
        self._resuming = Resuming(self._config, self._passes)
        self._ranks: tuple[int, int] | None = None
        self._targets = Targets(self._config)
        known = self._config.known_clip()
        if known is not None:
            self._config.divide(*known)

    @property
    def _pools(self) -> Pools | None:
        return self._kept.pools

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the next iteration; those after it count on. In the main process of a DataLoader, this
        reaches its workers, too.

        A state of that epoch which has been loaded stays: the next iteration goes on in it.
        """
        refuse_second_sharing()
        self._resuming.set_epoch(integer("epoch", epoch, 0), self._running is not None and self._running.alive)
        self._epoch = None

    def __len__(self) -> int:
        """Batches of an epoch of this process: the one that runs, or the next; of a resharded one, from there on.

        With `equal_batches` they are counted, and an index says them; of a DataLoader, those of all its workers, in the
        next epoch, or in that of a state that has been loaded. Raises TypeError otherwise before the end of the first
        epoch, with workers, or with buckets: only then are they known.
        """
        data, world = data_loader_over(self), find_world(self._ranks)
        if data is not None and data.num_workers and not in_worker():
            worlds = [world._replace(worker=worker, workers=data.num_workers) for worker in range(data.num_workers)]
            states = self._resuming.of_workers(worlds, self._next_epoch(), getattr(data, "next_iter_state", None))
        else:
            progress, worlds = self._resuming.progress, [world]
            runs = progress is not None and not progress.finished
            states = [progress.state() if progress is not None and runs else EpochState(self._next_epoch())]
        lengths = [self._targets.batches(state, own) for state, own in zip(states, worlds)]
        known = [length for length in lengths if length is not None]
        if len(known) == len(lengths):
            return sum(known)
        if self._kept.length is None:
            raise TypeError("the number of batches is not known before the end of the first epoch")
        return self._kept.length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        refuse_second_batching()
        refuse_second_sharing()
        self.close()
        config, world = self._config, find_world(self._ranks)
        progress = self._resuming.begin(world, self._epoch, self._beginning(world, 0))
        if progress.target is None and config.equal_batches:
            progress.target = self._targets.of(progress.epoch, world, progress.peers)
        whole = config.whole(progress.epoch, world)
        progress.reading = reading = Reading.of(
            progress.state(), whole, partial(config.joined, progress.epoch, own=whole.own)
        )
        config.log_few_parts(whole, world)
        handler = Recorder(self.errors, config.handler)
        reader = config.dataset.reader(handler)
        reader.limits = config.limits(world)
        counters = self._kept.begin(progress.epoch, reader.limits.cache)
        setup = EpochSetup(config, reader, reading, world.workers, handler, self.errors, counters)
        # The worker of a DataLoader lets go of a batch when a thread of its own has sent it.
        timeout = WORKER_SECONDS if in_worker() and config.timeout == 0 else config.timeout
        line = None
        if config.progress and world.rank == 0 and not in_worker():
            line = ProgressLine(partial(self._kept.stats, config, self.errors), progress, length_hint(self))
        batches = BatchIterator(setup, progress, self._kept, timeout, line)
        self._running = batches.running
        # Where this is interrupted, the threads know of it, and `close` knows of them.
        batches.start()
        return batches

    def _next_epoch(self) -> int:
        return count_epoch(None if in_worker() and self._passes.epoch_was_set else self._epoch, self._passes.following)

    def _beginning(self, world: World, epoch: int) -> EpochState:
        """The beginning of an epoch."""
        # A forked DataLoader worker has its parent's, whose bytes are divided by fewer.
        probed = self._kept.probed
        return EpochState(epoch, probed=probed if probed is not None and probed.workers == world.workers else None)

    def state_dict(self) -> dict[str, Any]:
        """The state of the loader behind the batch that was handed out last, for `load_state_dict`.

        A dict of numbers and strings that JSON takes: the epoch, how far each video has been read, and which clips the
        shuffle holds, not their pixels. Any thread may call this at any time; a DataLoader's worker has its own state.

        Raises ValueError for a rank outside the world, TypeError where `map` gives fields whose names are not strings.
        """
        world, progress = find_world(self._ranks), self._resuming.progress
        if self._resuming.waits_for_workers:
            return join_states([self._state_of(each.world or world, each) for each in self._resuming.dealt])
        state = self._beginning(world, self._next_epoch()) if progress is None else progress.state()
        return self._state_of(world, state)

    def _state_of(self, world: World, state: EpochState) -> dict[str, Any]:
        if state.runs is None:
            state.runs = self._config.whole(state.epoch, world).rest(START)
        return make_state(self._config.settings(), self._config.dataset.facts(), world, state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a loader was: the next iteration begins with the batch that would have come next there.

        The clips that were in the shuffle are extracted again, and nothing else that had been, as far as a file's kind
        allows (docs/resume.md). threads, handler, timeout and the decoder's num_threads may differ; `map`
        must make the same of the same sample. A state of a finished epoch is the beginning of the next one.

        Raises TypeError for what is not a state. Raises ValueError for a state that was edited or truncated, or is of
        another version of clipx; for another spec, format, seed or other argument than it was saved with, which the
        message names; for shards that are missing, or have another name or size; and for another rank, world size or
        number of workers. While iterating, ValueError for a sample that is not the one that was read.
        """
        epoch = None if in_worker() and self._passes.epoch_was_set else self._epoch
        saved = self._resuming.load(state, find_world(self._ranks), epoch)
        self.close()
        self._kept.probed, self._kept.pools = saved.probed, None

    def stats(self) -> LoaderStats:
        """What the epoch that runs has taken so far, or the last one in all. Any thread may call this at any time."""
        counters = self._kept.counters
        # In this order: an iteration that begins has its counters first, then runs, and then begins to count.
        has_begun, running = counters.began is not None, self._running
        if has_begun and (running is None or not running.alive):
            counters.drop()
        return self._kept.stats(self._config, self.errors)

    def close(self) -> None:
        """End the iteration that is running, if any: its threads are gone when this returns."""
        if self._running is not None:
            self._running.close()

    def __repr__(self) -> str:
        config, count = self._config, len(self._config.dataset)
        shards = f"{count} {config.dataset.noun}{'s' * (count != 1)}"
        spec, memory = config.sample_clips.spec, byte_text(config.memory)
        return f"<Loader: {shards}, {spec!r}, batches of {config.batch_size}, {memory}>"

    _repr_html_ = loader_html

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        kept = Kept(self._kept.probed, None, self._kept.length)
        # A process that is started has no torch.distributed of its own.
        return {**self.__dict__, "_running": None, "_kept": kept, "_ranks": find_ranks() or self._ranks}
