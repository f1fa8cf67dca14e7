"""Videos to clips: frames are decoded one by one, and each is written into every clip that holds it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial
from typing import IO, NamedTuple, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from clipx import _kernel
from clipx._checks import check_total
from clipx.errors import MediaError
from clipx.media import Source, describe, failures, open_media
from clipx.plan import Rng, WindowSpec, fill_bytes
from clipx.pool import ClipPool
from clipx.streams import Clip, Cutter, Tail

__all__ = ["Clip", "VideoClips", "clips"]

DTYPE = np.dtype("uint8")


class _Frame(NamedTuple):
    """A decoded frame's RGB image, rows padded as av pads them, and when it is shown, in seconds."""

    rgb: np.ndarray
    pts: float
    duration: float


class _Reader:
    """The frames of a video's first video stream, from the first to the last."""

    def __init__(self, src: Source, name: str) -> None:
        self._src, self.name = src, name
        self._container = open_media(src, name)
        if not self._container.streams.video:
            raise MediaError(f"{name} has no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.thread_count = 1
        # One converter for all frames: a new one costs more than the conversion.
        self._reformatter = VideoReformatter()
        self._shape: tuple[int, int] | None = None

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        size = frame.height, frame.width
        if self._shape is None:
            self._shape = size
        elif size != self._shape:
            raise MediaError(f"{self.name} changes its size midway from {self._shape} to {size} (height, width)")
        plane = self._reformatter.reformat(frame, format="rgb24", threads=1).planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: size[0], : size[1] * 3].reshape(*size, 3)

    def __iter__(self) -> Iterator[_Frame]:
        with failures(self.name, "decoded"):
            for frame in self._container.decode(self._stream):
                base = float(frame.time_base) if frame.time_base else float("nan")
                pts = float("nan") if frame.pts is None else frame.pts * base
                yield _Frame(self._rgb(frame), pts, frame.duration * base)

    def count(self) -> int:
        """Number of frames, by decoding them all; the reader is used up."""
        with failures(self.name, "decoded"):
            return sum(1 for _ in self._container.decode(self._stream))

    def again(self) -> _Reader:
        """A reader at the first frame. Raises ValueError where the source cannot go back."""
        self._container.close()
        if hasattr(self._src, "read"):
            if not (hasattr(self._src, "seekable") and self._src.seekable()):
                raise ValueError(
                    f"{self.name} cannot seek, but this policy or num_clips reads it twice; read it to bytes"
                )
            cast(IO[bytes], self._src).seek(0)
        return _Reader(self._src, self.name)

    def close(self) -> None:
        self._container.close()


class _Cutting:
    """One run over a video. It never refers to the iterator that drives it, so that dropping that frees the slots."""

    def __init__(self, reader: _Reader, window: WindowSpec, pool: ClipPool | None, rng: Rng, in_step: int) -> None:
        self.num_frames: int | None = None
        self.reader, self._window, self._pool = reader, window, pool
        self._fill = fill_bytes(window, DTYPE)
        self._footprint = 0
        self._in_step = in_step
        if pool is not None:
            pool.require(window.slots() * in_step)
        self._starts: np.ndarray | None = None
        if window.num_clips is not None:
            self._starts = window.starts(self.reader.count(), rng)
            self.reader = self.reader.again()

    def _cutter(self, frame_shape: tuple[int, ...]) -> Cutter:
        shape = (self._window.length, *frame_shape)
        if self._pool is None:
            check_total("a clip", shape, 1)
            return Cutter(self._window, partial(np.empty, shape, DTYPE), self._starts)
        self._pool.require(self._window.slots(self._starts) * self._in_step, shape, DTYPE)
        self._footprint = self._pool.nbytes
        return Cutter(self._window, partial(self._pool.acquire, shape, DTYPE), self._starts)

    def _write(self, rgb: np.ndarray, targets: list[np.ndarray]) -> None:
        if targets:
            _kernel.scatter(rgb[None], targets, self._footprint)

    def clips(self) -> Generator[Clip]:
        cutter, last, n = None, None, 0
        for frame in self.reader:
            if cutter is None:
                cutter = self._cutter(frame.rgb.shape)
            self._write(frame.rgb, cutter.place(n, frame.pts, frame.duration))
            last, n = frame, n + 1
            yield from cutter.finished()
        if cutter is None or last is None:
            raise MediaError(f"{self.reader.name} has a video stream without frames")
        self.num_frames = n
        tail = cutter.end(n)
        for target in tail.fills():
            _kernel.gather(target, target, np.full(1, -1), self._fill)
        self._write(last.rgb, tail.place(n - 1, last.pts, last.duration))
        del last, frame
        if tail.needs:
            self._finish(tail)
        self.reader.close()
        while tail.clips:
            yield tail.clips.pop(0)

    def _finish(self, tail: Tail) -> None:
        """Decode again for the frames that have gone by."""
        self.reader = self.reader.again()
        for k, frame in enumerate(self.reader):
            self._write(frame.rgb, tail.place(k, frame.pts, frame.duration))
            if not tail.needs:
                return
        raise MediaError(f"{self.reader.name} gave fewer frames when it was read again")


class VideoClips(Iterator[Clip]):
    """Iterator of the clips of a video; see `clips`."""

    def __init__(
        self, src: Source, window: WindowSpec, *, pool: ClipPool | None, rng: Rng, name: str, in_step: int = 1
    ) -> None:
        self._cutting = _Cutting(_Reader(src, name), window, pool, rng, in_step)
        self._clips = self._cutting.clips()

    @property
    def num_frames(self) -> int | None:
        """Frames that the stream has; None until they have all been seen."""
        return self._cutting.num_frames

    def __next__(self) -> Clip:
        return next(self._clips)

    def close(self) -> None:
        """Close the file and give up the clips that are not complete."""
        self._clips.close()
        self._cutting.reader.close()


def clips(
    src: Source, window: WindowSpec, *, pool: ClipPool | None = None, rng: Rng = None, name: str | None = None
) -> VideoClips:
    """The clips of a video, as RGB, in order of their starts.

    Args:
        src: path, bytes, or file object of anything that FFmpeg reads; its first video stream is cut.
        window: which frames.
        pool: clips are slots of it; None gives each clip memory of its own.
        rng: Generator or seed for sampling "random".
        name: what messages call the source; default its path.

    No array ever holds the video: each frame is decoded once, written into every open clip and forgotten. Only the last
    clip of policies "wrap", "reflect" and "backpad", and `num_clips`, decode the file a second time.

    Returns an iterator of Clip, `data` uint8 (length, height, width, 3).

    Raises FileNotFoundError, MediaError for what cannot be read (clips before the damage have been given by then),
    PoolExhausted, and ValueError for a pool that is too small.
    """
    if not isinstance(window, WindowSpec):
        raise TypeError(f"window is {window!r}, but must be a WindowSpec")
    return VideoClips(src, window, pool=pool, rng=rng, name=name or describe(src))
