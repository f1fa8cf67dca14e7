"""The arguments of a Loader, checked, and what follows from them alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from clipx._blocks import slot_size
from clipx._lazy import lazy
from clipx._reprs import json_value
from clipx.datasets.dataset import Dataset
from clipx.datasets.fields import Sample
from clipx.datasets.mix import Mix
from clipx.datasets.mix_share import MixShare
from clipx.datasets.remote import RangeCache
from clipx.datasets.shares import JoinedShare, Run, Share
from clipx.datasets.streamed_tars import ReadLimits
from clipx.datasets.world import World
from clipx.format import ClipFormat
from clipx.loader.budget import Budget, cache_bytes, divide, most_held, most_read
from clipx.video.options import VideoOptions
from clipx.wds.layout import Ragged
from clipx.wds.sample_clips import SampleClips

__all__ = ["LoaderConfig", "Settings"]

logger = logging.getLogger("clipx")

Settings = dict[str, Any]
"""The arguments that fix the order and the bytes of a loader's batches, as JSON takes them."""


@dataclass(frozen=True)
class LoaderConfig:
    """The arguments of a Loader that stay the same in all epochs; see Loader.

    Attributes:
        dataset: where samples come from.
        sample_clips: spec, format, options, audio, keys and seed.
    """

    dataset: Dataset
    sample_clips: SampleClips
    batch_size: int
    memory: int
    threads: int
    map: Callable[[Sample], Sample] | None
    shuffle: bool
    drop_last: bool
    equal_batches: bool
    ragged: Ragged
    handler: Callable[[Exception], bool]
    batches: int
    timeout: float | None
    progress: bool = False

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.sample_clips.seed

    @lazy
    def decoder_threads(self) -> int:
        """Threads of each video's decoder."""
        return (self.sample_clips.options or VideoOptions()).num_threads

    def known_clip(self) -> tuple[int, int] | None:
        """Bytes of a video's clip, and the number of fields, where the arguments alone give them."""
        clips = self.sample_clips
        format, options = clips.format or ClipFormat(), clips.options or VideoOptions()
        size = format.fixed_view_size or (1, format.most_pixels or 0)
        if not size[1]:
            return None
        shape = format.clip_shape(clips.spec.max_length or 0, *size, 1 if options.color == "gray" else 3)
        itemsize = format.written_dtype(np.dtype(np.uint8)).itemsize
        return math.prod(shape) * itemsize, len(clips.keys or [""])

    def most_bytes(self, clip: np.ndarray, length: int) -> int:
        """Bytes of the largest clip, by the first, of so many positions: others may be longer, or of more pixels."""
        clips = self.sample_clips
        size = clip.nbytes // length * (clips.spec.max_length or 0)
        most = None if clips.format is None or clip.ndim < 3 else clips.format.most_pixels
        if clips.format is None or most is None:
            return size
        pixels = clips.format.num_pixels(clip)
        return size // pixels * max(most, pixels)

    def divide(self, slot_bytes: int, fields: int, beside: int = 0, workers: int = 1, decoder: int = 0) -> Budget:
        """The loader's bytes divided for clips of so many bytes in so many fields, and so many bytes beside them.

        Args:
            workers: of a DataLoader, that share the bytes.
            decoder: bytes that the first source's decoder takes beyond what every one is granted.

        Raises ValueError where the bytes are too few.
        """
        held = self.sample_clips.spec.max_slots
        if self.sample_clips.segments is not None:
            clip = fields * slot_size(slot_bytes) + beside
            held = most_held(held, self.memory, clip, decoder, workers)
        return divide(
            self.memory,
            slot_size(slot_bytes),
            beside=beside,
            decoder=decoder,
            held=held,
            fields=fields,
            batch_size=self.batch_size,
            batches=self.batches,
            shuffle=self.shuffle,
            buckets=self.ragged == "bucket",
            workers=workers,
        )

    def share(self, epoch: int, world: World) -> Share:
        """The part of the dataset that a process reads in an epoch, in its order."""
        return self.dataset.share(self.seed, epoch, self.shuffle, world)

    def joined(self, epoch: int, runs: Sequence[Run], own: Share | None = None) -> JoinedShare:
        """Runs of the shares of processes in an epoch, read one after the other, by the process whose share is `own`.

        Raises ValueError for other runs.
        """
        return JoinedShare.of(runs, partial(self.share, epoch), own)

    def whole(self, epoch: int, world: World) -> JoinedShare:
        """The part of the dataset that a process reads, as one run."""
        share = self.share(epoch, world)
        return JoinedShare.of([Run(world, 0, len(share.shards))], lambda _: share, share)

    def log_few_parts(self, share: Share, world: World) -> None:
        """Log that a process takes one of several samples, where the dataset's parts are too few to be shared."""
        share = share.own or share if isinstance(share, JoinedShare) else share
        each: list[tuple[str, Dataset, Share]] = [("", self.dataset, share)]
        if isinstance(self.dataset, Mix) and isinstance(share, MixShare):
            own = zip(self.dataset.datasets.items(), share.shares)
            each = [(f" of dataset {name!r}", dataset, found) for (name, dataset), found in own]
        for of_dataset, dataset, found in each:
            if found.step > 1:
                logger.warning(
                    "Loader: %d %ss%s are too few for %d ranks of %d workers: %s takes one of %d samples of %d %ss",
                    len(dataset),
                    dataset.noun,
                    of_dataset,
                    world.ranks,
                    world.workers,
                    world,
                    found.step,
                    len(found.shards),
                    dataset.noun,
                )

    def limits(self, world: World) -> ReadLimits:
        """Limits to what is read of a sample before the budget is known."""
        limits = ReadLimits(most_read(self.memory // world.workers))
        if self.dataset.is_remote:
            limits.cache = RangeCache(cache_bytes(self.memory // world.workers))
        return limits

    def settings(self) -> Settings:
        """The arguments that a loader must share with a state to go on from it."""
        clips = self.sample_clips
        options = json_value(clips.options or VideoOptions())
        del options["num_threads"]  # changes nothing in the clips
        return {
            "spec": json_value(clips.spec),
            "format": json_value(clips.format or ClipFormat()),
            "options": options,
            "audio": json_value(clips.audio),
            "keys": json_value(clips.keys),
            "segments": None if clips.segments is None else clips.segments.settings(),
            "batch_size": self.batch_size,
            "batches": self.batches,
            "memory": self.memory,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "drop_last": self.drop_last,
            "equal_batches": self.equal_batches,
            "ragged": self.ragged,
        }
