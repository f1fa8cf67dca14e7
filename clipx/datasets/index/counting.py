"""Numbers of clips of all samples of an index: of most by columns as a whole, of others one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from clipx._threads import call, task_executor
from clipx.datasets.fields import VIDEO_EXTENSIONS, Sample, extension_of
from clipx.datasets.index.arrow import are
from clipx.datasets.index.table import IndexTable
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.plan import FrameSpec
from clipx.video.options import BEST, VideoOptions, at_rate

__all__ = ["count_all"]

CHUNK = 64
"""Samples that a thread counts at a time."""


def count_all(table: IndexTable, keys: Any, read: Callable[[int], Sample], sample_clips: Any, epoch: int) -> np.ndarray:
    """Number of clips of each sample in an epoch, int64 (samples,); 0 of those that cannot be read.

    Args:
        keys: of the samples.
        read: gives a sample by its number.
        sample_clips: which clips are made, a `SampleClips`.
    """
    count = len(table.first) - 1
    frames = _frames_of_samples(table, sample_clips) if _counts_frames(sample_clips) else np.full(count, -1)
    found = np.zeros(count, np.int64)
    known = frames >= 0
    spec: FrameSpec = sample_clips.spec
    if spec.count_is_random:
        for number in np.flatnonzero(known).tolist():
            drawn = spec.drawn(sample_clips.rng_of({"__key__": keys[number]}, epoch))
            found[number] = _count(drawn, int(frames[number]))
    elif known.any():
        lengths, places = np.unique(frames[known], return_inverse=True)
        found[known] = np.array([_count(spec, n) for n in lengths.tolist()], np.int64)[places]
    left = np.flatnonzero(~known).tolist()
    if left:
        found[left] = _count_one_by_one(left, lambda number: sample_clips.count(read(number), epoch))
    return found


def _count(spec: FrameSpec, frames: int) -> int:
    try:
        return spec.count_until_error(frames)
    except ValueError:
        return 0  # it is raised where its clips are asked for


def _counts_frames(sample_clips: Any) -> bool:
    """True if the number of clips of a video depends on nothing but its number of frames."""
    spec, options = sample_clips.spec, sample_clips.options or VideoOptions()
    if sample_clips.segments is not None or spec.needs_times or not sample_clips.has_fixed_spec:
        return False
    try:
        options = at_rate(spec, options)
    except ValueError:
        return False
    return options.fps is None and options.start_seconds is None and options.end_seconds is None


def _frames_of_samples(table: IndexTable, sample_clips: Any) -> np.ndarray:
    """The fewest frames of the videos or the numbered pictures of each sample, int64 (samples,); -1 where columns do
    not say all of them.
    """
    options: VideoOptions = sample_clips.options or VideoOptions()
    names = ["is_best", "listed", "exact", "frames", "width", "height", "stream_of_kind"]
    columns = table.read_columns(names)

    def numbers(name: str, missing: int) -> np.ndarray:
        return columns.column(name).fill_null(missing).to_numpy()

    samples, kind = table.numbers("sample"), table.column("kind")
    is_video, is_group = (are(kind, each) & (samples >= 0) for each in ("video", "pictures"))
    if options.stream == BEST:
        chosen = columns.column("is_best").fill_null(False).to_numpy()
    else:
        chosen = numbers("stream_of_kind", -1) == options.stream
    listed, frames = numbers("listed", -1), numbers("frames", -1)
    exact = columns.column("exact").fill_null(False).to_numpy()
    n = np.where(listed >= 0, listed, np.where(exact | is_group, frames, -1))
    n[numbers("width", 0).astype(np.int64) * numbers("height", 0) > options.max_pixels] = -1
    n[~are(table.column("status"), "ok")] = -1
    field = table.column("field")
    fields = field.dictionary.to_pylist()
    wanted = [_is_taken(name, sample_clips.keys) for name in fields]
    codes = field.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    taken = np.append(np.array(wanted, bool), False)[codes]
    count = len(table.first) - 1
    if sample_clips.keys is None:
        taken |= is_group & _has_only_groups(table, samples, is_group, frames)[samples]
    rows = np.flatnonzero(taken & ((is_video & chosen) | is_group))
    least, has = np.full(count, np.iinfo(np.int64).max), np.zeros(count, np.int64)
    np.minimum.at(least, samples[rows], n[rows])
    np.add.at(has, samples[rows], 1)
    # All fields that clips are taken from must be there, each once.
    if sample_clips.keys is None:
        of_sample = np.flatnonzero((samples >= 0) & taken)
        complete = np.zeros(count, np.int64)
        pairs = np.unique(np.stack([samples[of_sample], codes[of_sample]]), axis=1)
        np.add.at(complete, pairs[0], 1)
    else:
        complete = np.full(count, len(sample_clips.keys))
    return np.where((has > 0) & (has == complete), least, -1)


def _has_only_groups(table: IndexTable, samples: np.ndarray, is_group: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Whether all sources of a sample are groups of at least two pictures, bool (samples,)."""
    kind = table.column("kind")
    others = are(kind, "video") | are(kind, "sound") | are(kind, "array") | (is_group & (frames < 2))
    found = np.ones(len(table.first) - 1, bool)
    found[samples[others & (samples >= 0)]] = False
    return found


def _is_taken(field: str, keys: Any) -> bool:
    """True for a field that clips are taken from."""
    if keys is None:
        return extension_of(field) in VIDEO_EXTENSIONS
    return any(key.fields == (field,) for key in keys)


def _count_one_by_one(numbers: list[int], count: Callable[[int], int]) -> np.ndarray:
    def of_chunk(chunk: list[int]) -> list[int]:
        found = []
        for number in chunk:
            found.append(0)
            try:
                found[-1] = count(number)
            except NOT_A_SAMPLES_FAULT:
                raise
            except Exception:  # it comes again where clips are extracted
                continue
        return found

    def count_all(is_stopped: Callable[[], bool]) -> list[list[int]]:
        chunks = [numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK)]
        with task_executor(min(os.cpu_count() or 1, len(chunks)), "clipx-count") as pool:
            return list(pool.map(lambda chunk: [0] * len(chunk) if is_stopped() else of_chunk(chunk), chunks))

    return np.array([each for chunk in call(count_all, "clipx-counts") for each in chunk], np.int64)
