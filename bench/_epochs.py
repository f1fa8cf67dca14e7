"""Epochs of a Loader that are stopped: their shards, and the Loader itself."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import webdataset
from _bench import Run
from _videos import Video, read_once, texture, write_shard

import clipx
from clipx.loader.budget import divide

LENGTH, BATCH, SEED, THREADS = 16, 8, 1, 2
VIDEOS = ("360p 32 s", "360p 38 s", "360p 42 s", "360p 48 s")
COPIES, CROP = 2, 224  # of each video in a shard
ARRAYS, ARRAY_SHAPE = 10, (800, 112, 112, 3)  # arrays in a shard
FRAMES = {"mp4": (800, 960, 1040, 1200) * COPIES, "npy": ARRAY_SHAPE[:1] * ARRAYS}  # of the samples of a shard
SHAPES = {"mp4": (LENGTH, CROP, CROP, 3), "npy": (LENGTH, *ARRAY_SHAPE[1:])}


class Case(NamedTuple):
    """An epoch of a Loader that is stopped at some points.

    Attributes:
        field: of the samples, "mp4" or "npy".
        shards: number of shards.
        stride: of the clips.
        shuffled: clips that the shuffle holds.
        points: parts of the epoch after which it is stopped.
        gzipped: whether the shards are compressed.
        rivals: names of the contestants beside clipx.
    """

    field: str
    shards: int
    stride: int
    shuffled: int
    points: tuple[float, ...] = (0.1, 0.5, 0.9)
    gzipped: bool = False
    rivals: tuple[str, ...] = ()

    @property
    def window(self) -> clipx.WindowSpec:
        return clipx.WindowSpec(LENGTH, self.stride)

    @property
    def clips(self) -> int:
        """Clips of an epoch."""
        return self.shards * sum(self.window.count(frames) for frames in FRAMES[self.field])

    @property
    def title(self) -> str:
        kind = {"mp4": "H.264", "npy": ".npy"}[self.field] + (", gzip'd" if self.gzipped else "")
        stride = "every frame" if self.stride == LENGTH else f"{LENGTH} frames of {self.stride}"
        return f"{kind}, {stride}, {self.clips:,} clips, shuffle of {self.shuffled:,}"

    @property
    def part(self) -> float:
        """Clips of the shuffle over those of the epoch."""
        return self.shuffled / self.clips

    @property
    def memory(self) -> int:
        """The least memory, in steps of a clip, that gives the Loader a shuffle of so many clips."""
        clip_bytes = int(np.prod(SHAPES[self.field]))
        for memory in itertools.count(self.shuffled * clip_bytes, clip_bytes):
            try:
                budget = divide(
                    memory,
                    clip_bytes,
                    held=self.window.slots(),
                    fields=1,
                    batch_size=BATCH,
                    batches=3,
                    shuffle=True,
                )
            except ValueError:  # too little for anything
                continue
            if budget.shuffled >= self.shuffled:
                return memory
        raise AssertionError

    def batch_at(self, point: float) -> int:
        """Number of batches before a point."""
        return int(point * (self.clips // BATCH))

    def shortened(self) -> Case:
        """The same with half of the shards and of the shuffle, and the last point alone."""
        return self._replace(shards=self.shards // 2, shuffled=self.shuffled // 2, points=self.points[-1:])

    def without(self, left_out: Collection[str]) -> Case:
        return self._replace(rivals=tuple(name for name in self.rivals if name not in left_out))


# Shards


def write_arrays(path: Path, gzipped: bool) -> None:
    """Pictures that move over a larger one, each array from a position of its own."""
    frames, height, width, _ = ARRAY_SHAPE
    picture = np.stack([texture(4 * height, 4 * width, seed) for seed in (1, 2, 3)], axis=-1)
    part = path.with_suffix(".part")
    with gzip.open(part, "wb", 1) if gzipped else part.open("wb") as file, webdataset.TarWriter(file) as tar:
        for number in range(ARRAYS):
            x = np.empty(ARRAY_SHAPE, np.uint8)
            for k in range(frames):
                top, left = (number * 29 + k) % (3 * height), (number * 17 + 2 * k) % (3 * width)
                x[k] = picture[top : top + height, left : left + width]
            tar.write({"__key__": f"{path.name.partition('.')[0]}-{number:03d}", "npy": x, "cls": number})
    part.replace(path)


def find_shards(case: Case, videos: Sequence[Video], run: Run) -> list[str]:
    """The shards, made where the folder does not have them yet, and read once into the page cache."""
    paths = []
    for number in range(case.shards):
        path = run.folder / f"resume-{case.field}-{number:03d}.tar{'.gz' if case.gzipped else ''}"
        if not path.is_file():
            run.describe(f"writing {path.name}")
            if case.field == "mp4":
                write_shard(path, list(videos) * COPIES)
            else:
                write_arrays(path, case.gzipped)
        run.describe(f"reading {path.name}")
        read_once(path)
        paths.append(str(path))
    return paths


# The Loader


def make_loader(case: Case, shards: list[str]) -> clipx.Loader:
    format = clipx.ClipFormat(crop=CROP) if case.field == "mp4" else None
    return clipx.Loader(shards, case.window, format, batch_size=BATCH, memory=case.memory, threads=THREADS, seed=SEED)
