"""`clipx bench`: the rate at which this machine gives clips of a dataset, and the part that bounds it."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any

import webdataset

from clipx import memory
from clipx.format import ClipFormat
from clipx.loader.loader import Loader
from clipx.loader.stats import LoaderStats
from clipx.plan import FrameSpec, RateSpec
from clipx.video.options import VideoOptions

__all__ = ["Measured", "measure"]

SUMMED = {
    each.name
    for each in fields(LoaderStats)
    if each.name.endswith("seconds") or each.name in ("batches", "clips", "samples", "bytes_read")
}
"""Attributes of stats that are summed over epochs."""

ADVICE = {
    "consumer": "the loader gives clips faster than this loop takes them: nothing here bounds training",
    "reading": "one thread reads samples, and takes all of the time: a faster disk or network, or a DataLoader with "
    "workers, each of which reads by itself",
    "opening": "headers and packets are read anew in each epoch: an index (`clipx index`) saves that, and so do more "
    "clips of each video",
    "decoding": "only more processors, smaller videos, nearer key frames or fewer frames to decode help",
    "converting": "a smaller resize, `interpolation='bilinear'` or bytes instead of floats take less",
    "mapping": "`map` takes most of the time",
    "batching": "one thread shuffles clips and fills batches: a DataLoader with workers has one in each",
    "sources": "the threads wait for sources to be opened: more memory opens more of them side by side",
    "few": "too few samples are open side by side to keep all threads busy, or clips are so small that Python is what "
    "takes the time",
    "threads": "there are more processors than threads: raise threads",
}
"""A sentence for each part that can bound a loader."""


@dataclass(frozen=True)
class Measured:
    """A run of a Loader.

    Attributes:
        stats: summed over the run, but for the numbers of slots and bytes held, which are those at its end.
        frames: of all clips that were handed out.
        epochs: that came to their end.
        peak_bytes: largest memory of the process during the run, above that before it.
        available: number of threads that could have extracted clips.
        first_error: the first entry of the Loader's `errors`, as a text; None where there is none.
    """

    stats: LoaderStats
    frames: int
    epochs: int
    peak_bytes: int
    available: int
    first_error: str | None = None

    @property
    def advice(self) -> str:
        """One sentence on the part that bounds the run."""
        bound, stats = self.stats.bound, self.stats
        if bound is None:
            return "no clips came"
        if bound == "sources" and stats.threads < self.available:
            return ADVICE["sources"]
        if bound == "sources":
            return ADVICE["few"]
        if bound in stats.work_seconds and stats.threads < min(self.available, os.cpu_count() or 1):
            return ADVICE["sources"]
        if bound in stats.work_seconds and self.available < (os.cpu_count() or 1):
            return ADVICE["threads"]
        return ADVICE[bound]

    def as_json(self) -> dict[str, Any]:
        """The numbers, as JSON takes them."""
        rates = {"frames": self.frames, "epochs": self.epochs, "peak_bytes": self.peak_bytes}
        return {**self.stats.as_json(), **rates, "first_error": self.first_error, "advice": self.advice}


def measure(
    dataset: Any,
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    options: VideoOptions | None = None,
    batch_size: int = 8,
    memory_bytes: int | str = "2GB",
    threads: int | None = None,
    shuffle: bool = True,
    seconds: float = 10.0,
) -> Measured:
    """Run a Loader for so many seconds behind its first batch; where epochs are shorter, whole epochs.

    Batches are let go of at once; broken samples are counted. Raises as the Loader, and ValueError where there are no
    clips.
    """
    loader = Loader(
        dataset,
        spec,
        format,
        options=options,
        batch_size=batch_size,
        memory=memory_bytes,
        threads=threads,
        shuffle=shuffle,
        drop_last=False,
        ragged="bucket" if isinstance(spec, RateSpec) else "error",
        handler=webdataset.ignore_and_continue,
    )
    total, frames, epochs = LoaderStats(), 0, 0
    with memory.Meter() as meter, loader:
        while total.seconds < seconds:
            first: LoaderStats | None = None
            frames_of_first = 0
            for batch in loader:
                length = sum(facts["length"] for facts in batch["clip.json"])
                del batch
                frames += length
                stats = loader.stats()
                if first is None:  # the shuffle has been filled by then
                    first, frames_of_first = stats, length
                elif epochs == 0 and stats.seconds - first.seconds >= seconds:
                    total, frames = _joined(stats, first, -1), frames - frames_of_first
                    break
            else:
                epochs += 1
                total = _joined(loader.stats(), total, 1)
                if not total.clips:
                    found = "".join(f": {entry}" for entry in loader.errors[:1])
                    raise ValueError(f"the dataset gives no clips{found}")
    rate = total.clips / total.seconds
    total = replace(total, clips_per_second=rate, recent_clips_per_second=rate)
    first_error = next(map(str, loader.errors), None)
    return Measured(total, frames, epochs, meter.peak - meter.start, threads or os.cpu_count() or 1, first_error)


def _joined(stats: LoaderStats, other: LoaderStats, sign: int) -> LoaderStats:
    """Stats with what is summed of `other` added or taken away."""
    return replace(stats, **{name: getattr(stats, name) + sign * getattr(other, name) for name in SUMMED})
