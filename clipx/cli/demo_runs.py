"""The four pipelines that `clipx demo` compares: views (webdataset's issue 354), `.copy()`, clipx and its Loader."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
import webdataset

from clipx import _torchless, memory, wds
from clipx.format import ClipFormat
from clipx.loader.loader import Loader
from clipx.media.opening import failures, open_media
from clipx.plan import WindowSpec
from clipx.pool import ClipPool, live_pools
from clipx.video.options import VideoOptions
from clipx.video.writer import PictureWriter

__all__ = ["KINDS", "Dataset", "Result", "make_dataset", "run"]

WINDOW = WindowSpec(length=16, stride=32)
VIDEOS, FRAMES, HEIGHT, WIDTH = 10, 600, 192, 256
MOST_DECODED = 2 * 10**9
"""Bytes of all videos decoded, which the views keep alive together."""

SHUFFLED = 60
SPARE_SLOTS = 4
"""Slots for clips that are being written or handed on, beside those in the shuffle buffer."""

KINDS = ("views", ".copy()", "clipx pool", "clipx Loader")
BATCH = 4
LOADER_BYTES = 100_000_000
"""Bytes for what the Loader holds beside a buffer: batches, encoded videos, decoders."""

Report = Callable[[int], None]
"""Called with the number of videos or clips that are done."""


@dataclass(frozen=True)
class Dataset:
    """A shard of videos of one size and length, and the clips that it gives."""

    shard: Path
    videos: int
    frames: int
    shape: tuple[int, int, int]

    @property
    def clips(self) -> int:
        """Number of clips of all videos."""
        return self.videos * WINDOW.count(self.frames)

    @property
    def shuffled(self) -> int:
        """Number of clips in a full shuffle buffer."""
        return max(min(SHUFFLED, self.clips // 2), 1)

    @property
    def clip_bytes(self) -> int:
        """Bytes of one clip."""
        return WINDOW.length * int(np.prod(self.shape))

    @property
    def nominal(self) -> int:
        """Bytes of the clips in a full shuffle buffer."""
        return self.shuffled * self.clip_bytes


@dataclass(frozen=True)
class Result:
    """One run of a pipeline.

    Attributes:
        curve: resident memory over time, as (seconds, bytes above the start).
        shown: most bytes of clips that were alive at one time.
        retained: most bytes that these kept alive.
        checksums: CRC-32 of each clip, by its key.
    """

    kind: str
    clips_per_second: float
    curve: list[tuple[float, int]]
    shown: int
    retained: int
    checksums: dict[str, int]

    @property
    def peak(self) -> int:
        """Largest memory of the curve, in bytes above the start."""
        return max(amount for _, amount in self.curve)


def _render(number: int) -> Iterator[np.ndarray]:
    """Frames (height, width, 3) of a picture that pans, with a square that moves over it."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[0 : 2 * HEIGHT, 0 : 2 * WIDTH]
    waves = [np.sin(x / a + y / b) for a, b in rng.uniform(8, 40, (3, 2))]
    picture = np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)
    for k in range(FRAMES):
        top, left = int(HEIGHT * (1 + np.sin(k / 50)) / 2), int(WIDTH * (1 + np.cos(k / 70)) / 2)
        frame = np.ascontiguousarray(picture[top : top + HEIGHT, left : left + WIDTH])
        row, column = (k * 3) % (HEIGHT - 24), (k * 5) % (WIDTH - 24)
        frame[row : row + 24, column : column + 24] = rng.integers(0, 256, 3)
        yield frame


def _encode(frames: Iterator[np.ndarray]) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def make_dataset(out: Path, video: Path | None = None, report: Report = lambda done: None) -> Dataset:
    """Write `out/videos.tar`: rendered H.264 videos, or copies of the user's file.

    Raises MediaError for a file that cannot be read, ValueError for one that is too short or too long for the demo.
    """
    out.mkdir(parents=True, exist_ok=True)
    shard = out / "videos.tar"
    if video is None:
        dataset = Dataset(shard, VIDEOS, FRAMES, (HEIGHT, WIDTH, 3))
    else:
        with open_media(video, repr(str(video))) as container, failures(repr(str(video)), "decoded"):
            size, frames = (0, 0), 0
            for frame in container.decode(video=0):
                size, frames = (frame.height, frame.width), frames + 1
        decoded = frames * size[0] * size[1] * 3
        if frames < WINDOW.span or 2 * decoded > MOST_DECODED:
            raise ValueError(
                f"{video} has {frames} frames, {decoded} bytes decoded; the demo takes a video of at least "
                f"{WINDOW.span} frames and, as the views keep every decoded video, at most {MOST_DECODED // 2} bytes"
            )
        dataset = Dataset(shard, min(VIDEOS, MOST_DECODED // decoded), frames, (*size, 3))
    with webdataset.TarWriter(str(shard)) as tar:
        for number in range(dataset.videos):
            data = _encode(_render(number)) if video is None else video.read_bytes()
            tar.write({"__key__": f"video{number:02d}", "mp4": data})
            report(number + 1)
    return dataset


def _whole_video(sample: dict[str, Any]) -> np.ndarray:
    # Colors are converted as clipx converts them, so that all runs give the same bytes.
    writer = PictureWriter(ClipFormat(), VideoOptions(), sample["__key__"])
    with av.open(io.BytesIO(sample["mp4"]), "r") as container:
        return np.concatenate([writer.clip_of(frame) for frame in container.decode(video=0)])


def _slices(copies: bool) -> Callable[[Iterable[dict[str, Any]]], Iterator[dict[str, Any]]]:
    """The usual slicing loop."""

    def stage(samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for sample in samples:
            x = _whole_video(sample)
            for index, start in enumerate(range(0, len(x) - WINDOW.length + 1, WINDOW.stride or 1)):
                clip = x[start : start + WINDOW.length]
                yield {"__key__": f"{sample['__key__']}_{index:06d}", "mp4": clip.copy() if copies else clip}

    return stage


def _run_loader(dataset: Dataset, report: Report) -> Result:
    loader = Loader(
        str(dataset.shard),
        WINDOW,
        batch_size=BATCH,
        memory=dataset.nominal + LOADER_BYTES,
        drop_last=False,
    )
    checksums: dict[str, int] = {}
    leased = 0
    with memory.Meter(interval=0.02) as meter, loader:
        began = time.perf_counter()
        for batch in loader:
            for key, clip in zip(batch["__key__"], batch["mp4"]):
                checksums[key] = zlib.crc32(clip)
            leased = max(leased, sum(each.leased * each.slot_bytes for each in map(ClipPool.stats, live_pools())))
            report(len(checksums))
        seconds = time.perf_counter() - began
    curve = [(each.seconds, each.rss - meter.start) for each in meter.samples]
    return Result("clipx Loader", len(checksums) / seconds, curve, leased, leased, checksums)


def _run(kind: str, dataset: Dataset, report: Report) -> Result:
    if kind == "clipx Loader":
        return _run_loader(dataset, report)
    extract: Callable[[Iterable[dict[str, Any]]], Iterator[dict[str, Any]]]
    if kind == "clipx pool":
        extract = wds.clips(WINDOW, pool=ClipPool(dataset.shuffled + SPARE_SLOTS, (WINDOW.length, *dataset.shape)))
    else:
        extract = _slices(copies=kind == ".copy()")
    made: list[weakref.ref] = []

    def remember(samples: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for sample in samples:
            made.append(weakref.ref(sample["mp4"]))
            yield sample
            del sample

    pipeline = webdataset.DataPipeline(
        webdataset.SimpleShardList(str(dataset.shard)),
        webdataset.tarfile_to_samples(),
        extract,
        remember,
        webdataset.shuffle(dataset.shuffled, initial=dataset.shuffled, seed=0),
    )
    checksums: dict[str, int] = {}
    shown = retained = 0
    aside = 0.0  # seconds that only the demo's own checks take
    with memory.Meter(interval=0.02) as meter:
        began = time.perf_counter()
        for sample in pipeline:
            paused = time.perf_counter()
            checksums[sample["__key__"]] = zlib.crc32(sample["mp4"])
            if len(checksums) % 10 == 1:
                del sample
                live = [clip for clip in (ref() for ref in made) if clip is not None]
                shown = max(shown, memory.payload_bytes(live))
                retained = max(retained, memory.retained_bytes(live))
                del live
            report(len(checksums))
            aside += time.perf_counter() - paused
        seconds = time.perf_counter() - began - aside
    curve = [(each.seconds, each.rss - meter.start) for each in meter.samples]
    return Result(kind, len(checksums) / seconds, curve, shown, retained, checksums)


def _child(kind: str, dataset: Dataset, to_parent: Connection) -> None:
    result: Result | Exception
    try:
        result = _run(kind, dataset, to_parent.send)
    except Exception as exn:
        result = exn
    to_parent.send(result)


def run(kind: str, dataset: Dataset, report: Report = lambda done: None) -> Result:
    """Run one of KINDS in a process of its own. Raises its error, or RuntimeError where the process dies."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_torchless.call, args=(pickle.dumps((_child, kind, dataset)), theirs))
    process.start()
    theirs.close()
    try:
        while True:
            message = mine.recv()
            if isinstance(message, int):
                report(message)
            elif isinstance(message, Result):
                return message
            else:
                raise message
    except EOFError:
        process.join()
        raise RuntimeError(
            f"the run with {kind} ended with exit status {process.exitcode}; was it out of memory?"
        ) from None
    finally:
        process.terminate()
        process.join()
