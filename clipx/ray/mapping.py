"""`extract_map`: a function for `map_batches` of Ray Data that turns rows of media into rows of clips."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import webdataset

from clipx._checks import byte_count, check_kind, integer
from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Sample
from clipx.datasets.keys import Key, Keys, parse_keys
from clipx.datasets.origins import describe_error, origin_of
from clipx.datasets.segments import BadSegment, Seconds, Segments, parse_segments
from clipx.datasets.source_names import kind_of_name
from clipx.datasets.sources import BYTES
from clipx.datasets.stored import StoredFile
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.format import ClipFormat
from clipx.plan import FrameSpec
from clipx.ray.blocks import Block, fact_columns
from clipx.ray.modules import ray_module
from clipx.ray.rows import Rows
from clipx.video.options import VideoOptions
from clipx.wds.in_step import sound_of
from clipx.wds.sample_clips import SampleClips

__all__ = ["ExtractMap", "extract_map"]

Handler = Callable[[Exception], bool]


class ExtractMap:
    """The function that `extract_map` makes: a batch of rows to tables of clips."""

    def __init__(
        self, samples: SampleClips, epoch: int, key: str | None, handler: Handler, error: str | None, block_bytes: int
    ) -> None:
        self._samples, self._epoch, self._key = samples, epoch, key
        self._handler, self._error, self._block_bytes = handler, error, block_bytes
        assert samples.keys is not None
        self._keys: list[Key] = samples.keys
        self._empty = self._expected()

    def __repr__(self) -> str:
        return f"clipx.ray.extract_map({self._samples.spec!r})"

    def _expected(self) -> dict[str, np.ndarray]:
        """Arrays without elements, of the columns that clips of videos, or of sounds by their names, have."""
        format, sound = self._samples.format or ClipFormat(), self._samples.audio
        video_ndim = (4 if format.time_axis is not None else 3) + (format.num_views > 1)
        names = [key.name for key in self._keys]
        audible = np.empty((0, 0), "float32" if sound is None else sound.dtype)
        found = {}
        for key in self._keys:
            is_sound = any(kind_of_name(field) == "sound" for field in key.fields)
            found[str(key.name)] = audible if is_sound else np.empty((0,) * video_ndim, format.dtype or np.uint8)
            if sound is not None and not is_sound:
                found[sound_of(key.name, names)] = audible
        return found

    def __call__(self, batch: Any) -> Iterator[Any]:
        """Tables of the clips of a batch of rows, each of about so many bytes."""
        holders = {holder for key in self._keys for field in key.fields for holder in (str(field), field.holder)}
        rows = Rows(batch, holders)
        block = Block(rows, self._error, self._empty)
        for row in range(len(rows)):
            for arrays, facts, error in self._clips(rows, row):
                block.add(row, arrays, facts, error)
                del arrays, facts
                if block.nbytes >= self._block_bytes:
                    yield block.table()
                    block = Block(rows, self._error, self._empty)
        if len(block):
            yield block.table()

    def _clips(self, rows: Rows, row: int) -> Iterator[tuple[dict[str, np.ndarray], Sample, str | None]]:
        """The arrays and facts of the clips of a row; of what fails, no arrays, some facts and the error."""
        sample = rows.sample(row, self._samples.segments is not None or not self._samples.has_fixed_spec)
        origin = {"__key__": self._key_of(rows, row, sample), "__url__": self._url_of(rows, row, sample)}
        sample = {**sample, **{name: value for name, value in origin.items() if value is not None}}
        try:
            fields = self._samples.fields(sample)
            for clip in self._samples.clips(sample, self._epoch):
                if isinstance(clip, BadSegment):
                    yield from self._failed(clip.error, origin)
                    continue
                made = clip.sample
                arrays = {str(name): name.get(made) for name in fields}
                arrays |= {name: made[name] for name in (sound_of(each, fields) for each in fields) if name in made}
                yield arrays, {**made["clip.json"], "__key__": made["__key__"]}, None
                del clip, made, arrays
        except NOT_A_SAMPLES_FAULT:
            raise
        except Exception as exn:
            yield from self._failed(exn, origin)

    def _failed(self, exn: Exception, origin: Sample) -> Iterator[tuple[dict[str, np.ndarray], Sample, str | None]]:
        """The row of an error where there is a column for it. Raises it where the handler does not go on."""
        if self._error is not None:
            segment = origin_of(exn).segment
            facts = {"__key__": origin["__key__"], "key": origin["__key__"], "url": origin["__url__"]}
            if segment is not None:
                facts["segment"] = {"number": segment, "facts": None}
            yield {}, facts, describe_error(exn)
        elif not self._handler(exn):
            raise exn

    def _key_of(self, rows: Rows, row: int, sample: Sample) -> str:
        """The key of a row: what a column says, its first path without the extension, or a digest of its bytes."""
        cell = rows.cell(row, self._key or "__key__")
        if cell is not None:
            return str(cell)
        for value in sample.values():
            if isinstance(value, StoredFile):
                folder, slash, name = value.url.rpartition("/")
                return f"{folder}{slash}{name.rpartition('.')[0] or name}"
        value = next(iter(sample.values()), b"")
        data = value if isinstance(value, BYTES) else np.ascontiguousarray(value).tobytes()
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    def _url_of(self, rows: Rows, row: int, sample: Sample) -> str | None:
        cell = rows.cell(row, "__url__")
        return next((value.url for value in sample.values() if isinstance(value, StoredFile)), cell)


def extract_map(
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    options: VideoOptions | None = None,
    audio: AudioFormat | None = None,
    segments: Segments = None,
    min_seconds: Seconds = None,
    max_seconds: Seconds = None,
    trim_seconds: Seconds = None,
    keys: Keys = None,
    key: str | None = None,
    seed: int = 0,
    epoch: int = 0,
    handler: Handler = webdataset.reraise_exception,
    error_column: str | None = None,
    block_size: int | str = "64MB",
) -> ExtractMap:
    """A function for `map_batches` of Ray Data: of rows of videos, sounds or arrays, a row for each clip.

    >>> videos = ray.data.read_parquet("videos.parquet")  # a column "path"
    >>> clips = videos.map_batches(clipx.ray.extract_map(spec, format), batch_format="pyarrow", batch_size=1)

    Batches may be of the formats "pyarrow", which copies no bytes, "numpy" and "pandas". Clips come as tables of about
    `block_size`, so that a long video does not make one block of all its clips, and are as those of `clipx.wds.clips`.

    A row of a clip has the clip in a tensor column, of a fixed shape where clips have one; the sound of a video in
    column "audio", with `audio=`; the facts of "clip.json" in columns of the same names and types, whatever the clip,
    and null where it has none: those that may have several values are lists, "segment" is a struct whose facts are a
    text of JSON; `__key__`, the clip's own key; and the other columns of its source's row as they are. Of these, one
    whose name another has now, such as "start", becomes "source.start". Columns of paths stay.

    Args:
        spec, format, options, audio, seed: as `clipx.wds.clips` takes them. Arrow has no bfloat16.
        segments, min_seconds, max_seconds, trim_seconds: likewise; the fields that they name are columns. A function
            gets a row as a dict.
        keys: the columns to take clips of, as `clipx.wds.clips` names fields: such as "mp4" of
            `ray.data.read_webdataset`, or ["front", "rear"]. A column of texts holds paths of files, or addresses that
            fsspec opens, and files are read as far as clips need them; others hold files' bytes, or arrays. Default
            {"clip": "bytes;path"}: column "bytes" where it has a value, else "path"; clips are column "clip".
        key: the column of keys, which what is random is drawn from. Default: "__key__", else the path without its
            extension, else a digest of the bytes.
        epoch: number that what is random is drawn from, with seed and key.
        handler: called with the error of a row, or of a segment, in the process that runs it; True goes on with the
            next. Default: the error is raised, and ends the Dataset's run.
        error_column: name of a column of errors, in place of a handler: null for a clip; what fails is a row of its
            own, whose clip is an array without elements. Blocks with such rows have tensors of variable shape.
        block_size: bytes of clips of a table, or such as "64MB".

    Raises ImportError where Ray Data is missing, TypeError and ValueError that name the argument.

    Stability: provisional.
    """
    ray_module("ray.data")
    found = parse_segments(segments, min_seconds=min_seconds, max_seconds=max_seconds, trim_seconds=trim_seconds)
    named: Keys = {"clip": "bytes;path"} if keys is None else keys
    samples = SampleClips(spec, format, options=options, audio=audio, keys=named, seed=seed, segments=found)
    if format is not None and format.dtype == "bfloat16":
        raise ValueError("dtype of format is 'bfloat16', which Arrow has not: take 'float16' or 'float32'")
    check_kind("key", key, str, None)
    check_kind("error_column", error_column, str, None)
    if not callable(handler):
        raise TypeError(f"handler is {handler!r}, but must be a function of an exception")
    if error_column is not None:
        if handler is not webdataset.reraise_exception:
            raise ValueError(f"error_column is {error_column!r}, but handler is given, too: give one of them")
        taken = [*fact_columns().names, *(each.name for each in parse_keys(named) or ())]
        if error_column in taken:
            raise ValueError(f"error_column is {error_column!r}, the name of a column of clips: take another")
    size = byte_count("block_size", block_size)
    return ExtractMap(samples, integer("epoch", epoch, 0), key, handler, error_column, size)
