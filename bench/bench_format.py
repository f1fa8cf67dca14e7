"""What does it cost to make the tensor that a model takes?

Clips of 16 frames, a new one every 8 frames, the centre 224x224 of each frame; floats have ImageNet's mean and std.

- arrays: clips of uint8 (n, 256, 340, 3), all written into one array that was set aside and touched before. torch and
  OpenCV return clips in memory of their own, and give it back within the timing. A chain's order matters: "planes
  last" computes on the pixels as they lie and brings them into the model's order at the end, which is how the chain is
  mostly written; "planes first" brings the bytes into order and computes on these. The limit is the faster write of as
  many bytes that reads nothing.
- files: from a path to such clips; opening and closing the file are timed, too. "decoder alone" is PyAV's decode loop,
  which makes no clips. Chains are those with planes first, and fed with what each library cuts best.
- small clips: what a clip costs above the writing of it, at 16x16 frames, where nothing else is left.

All run on one core with one decoder thread. Baseline is clipx with its portable rows, in a process of its own that
takes its turn on the same core. Every contestant's clips are compared once, with the formula in float64 or, where a
decoder's converter comes first, with those of PyAV's to_ndarray, MOST_DIFFERENCE of 255 apart on average at most.

What is not installed is left out. Run `python bench/bench_format.py`, with `--quick` for a first look. How the figures
are taken: see `_measure.py`.
"""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, NamedTuple

import av
import click
import numpy as np
from _measure import (
    FLAT_WRITES,
    RESULTS,
    Bar,
    Floor,
    Sample,
    flat_writes,
    interleave,
    machine,
    make_console,
    make_progress,
    make_table,
    pin,
    print_floors,
    print_header,
    show_ratio,
    spread,
    timed,
    times_as_fast,
    write_json,
)
from _videos import (
    DECODER,
    LENGTH,
    MODULES,
    STRIDE,
    Contestant,
    Job,
    Video,
    consume,
    decode,
    find_files,
    find_missing,
    kept_files,
    load,
    open_opencv,
    open_pyav,
    open_torchcodec,
    stacked,
)
from av.video.reformatter import VideoReformatter
from rich.console import Console

import clipx
from clipx.format import PRESETS

FRAMES, HEIGHT, WIDTH, CROP = 128, 256, 340, 224
MEAN, STD = (np.array(each, np.float32) for each in PRESETS["imagenet"])
CALLS = 3  # of a turn on arrays
MOST_APART = {"uint8": 0, "float16": 1.1e-3, "float32": 1e-4}  # of float16: half the distance of numbers from 2 to 4
MOST_DIFFERENCE = 2.0
SMALL_FRAMES, SMALL_SIZE = 512, 16
SMALL_PASSES, SMALL_CALLS = 20, 9  # over the array in a call, and calls in a turn

EXTRACT, ITERATE, BASELINE = "clipx extract(out=)", "clipx iterate(pool=)", "clipx extract, baseline"
NUMPY_LAST, NUMPY_FIRST = "NumPy, planes last", "NumPy, planes first"
TORCH_LAST, TORCH_FIRST = "torch, planes last", "torch, planes first"
BLOB = "OpenCV blobFromImages"
FLOAT32 = "clipx extract, float32"  # stands beside float16
CLIPX = "clipx"
COPY, LOOP, STAGE = "the writing itself", "windows.iterate(pool=)", "wds.clips(pool=)"


class Layout(NamedTuple):
    """The tensor that a model takes."""

    dtype: str
    order: str

    @property
    def name(self) -> str:
        return f"{self.dtype} {self.order}"

    @property
    def computes(self) -> bool:
        return self.dtype != "uint8"

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return tuple({"T": LENGTH, "H": CROP, "W": CROP, "C": 3}[each] for each in self.order)

    @property
    def clip_bytes(self) -> int:
        return LENGTH * CROP * CROP * 3 * np.dtype(self.dtype).itemsize

    def make_format(self, crop: int | None = CROP) -> clipx.ClipFormat:
        mean = "imagenet" if self.computes else None
        return clipx.ClipFormat(crop=crop, mean=mean, dtype=self.dtype, order=self.order)

    def axes(self, source: str = "THWC") -> tuple[int, ...]:
        """For transposing from the order `source` to this one."""
        return tuple(source.index(each) for each in self.order)

    def per_channel(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of channels, to be broadcast over a clip."""
        return numbers.reshape([3 if each == "C" else 1 for each in self.order])


FLOAT = Layout("float32", "CTHW")
LAYOUTS = (FLOAT, Layout("float16", "CTHW"), Layout("uint8", "TCHW"), Layout("float32", "THWC"))
FILE_LAYOUTS = (Layout("uint8", "TCHW"), FLOAT)


def centre(frames: Any) -> Any:
    """The crop of frames (..., height, width, channels)."""
    y, x = (frames.shape[-3] - CROP) // 2, (frames.shape[-2] - CROP) // 2
    return frames[..., y : y + CROP, x : x + CROP, :]


# Chains: from a clip's bytes, cropped, to the tensor


Chain = Callable[..., Any]


def numpy_last(layout: Layout) -> Chain:
    """In one array that is used again and again, and from there to where the clip goes."""
    buffer = np.empty((LENGTH, CROP, CROP, 3), np.float32)

    def chain(clip: np.ndarray, target: np.ndarray) -> np.ndarray:
        if not layout.computes:
            np.copyto(target, clip.transpose(layout.axes()))
            return target
        numbers = target if layout.name == "float32 THWC" else buffer
        np.copyto(numbers, clip)
        numbers *= np.float32(1 / 255)
        numbers -= MEAN
        numbers /= STD
        if numbers is not target:
            np.copyto(target, numbers.transpose(layout.axes()), casting="same_kind")
        return target

    return chain


def numpy_first(layout: Layout) -> Chain:
    """Where the clip goes, or in one float32 array that is used again and again."""
    buffer = np.empty(layout.clip_shape, np.float32)
    mean, std = layout.per_channel(MEAN), layout.per_channel(STD)

    def chain(clip: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
        target = np.empty(layout.clip_shape, layout.dtype) if target is None else target
        numbers = buffer if layout.dtype == "float16" else target
        np.copyto(numbers, clip.transpose(layout.axes()))
        if layout.computes:
            numbers *= np.float32(1 / 255)
            numbers -= mean
            numbers /= std
        if numbers is not target:
            np.copyto(target, numbers, casting="same_kind")
        return target

    return chain


def torch_chain(layout: Layout, first: bool, source: str = "THWC") -> Chain:
    """Computes in place; takes tensors in the order `source`."""
    torch = load("torch")
    mean, std = (torch.from_numpy(layout.per_channel(each)) for each in (MEAN, STD))
    axes, dtype = layout.axes(source), getattr(torch, layout.dtype)

    def chain(clip: Any) -> Any:
        numbers = clip.permute(axes)
        if not layout.computes:
            return numbers.clone(memory_format=torch.contiguous_format)
        if first:
            numbers = numbers.contiguous()
        return numbers.to(torch.float32).div_(255).sub_(mean).div_(std).to(dtype).contiguous()

    return chain


def blob_chain(layout: Layout, bgr: bool = False) -> Chain:
    """blobFromImages makes TCHW; the division by std is the pass that brings it into another order."""
    cv2 = load("cv2")
    cv2.setNumThreads(1)
    std, mean = layout.per_channel(STD), tuple(map(float, MEAN * 255))

    def chain(clip: np.ndarray) -> np.ndarray:
        if not layout.computes:
            return cv2.dnn.blobFromImages(list(clip), swapRB=bgr, ddepth=cv2.CV_8U)
        blob = cv2.dnn.blobFromImages(list(clip), 1 / 255, mean=mean, swapRB=bgr).transpose(layout.axes("TCHW"))
        return np.divide(blob, std, out=np.empty(layout.clip_shape, layout.dtype), casting="same_kind")

    return chain


# Arrays


def make_source() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)


def starts() -> range:
    return range(0, FRAMES - LENGTH + 1, STRIDE)


def expected(x: np.ndarray, layout: Layout) -> np.ndarray:
    """All clips by the formula."""
    exact = centre(x).astype(np.float64)
    if layout.computes:
        exact = (exact / 255 - np.float64(PRESETS["imagenet"][0])) / np.float64(PRESETS["imagenet"][1])
    exact = exact.astype("uint8" if layout.dtype == "uint8" else "float32")
    return np.stack([exact[start : start + LENGTH].transpose(layout.axes()) for start in starts()])


def check(what: str, clips: Iterable[Any], exact: np.ndarray, layout: Layout) -> None:
    """Raise unless these are the clips, each in one piece and in the layout's dtype."""
    count = 0
    for clip, right in zip(map(np.asarray, clips), exact):
        if clip.dtype != layout.dtype or clip.shape != layout.clip_shape or not clip.flags.c_contiguous:
            raise AssertionError(f"{what} gives {clip.dtype} {clip.shape}, strides {clip.strides} for {layout.name}")
        apart = float(np.abs(clip.astype(np.float32) - right).max())
        if apart > MOST_APART[layout.dtype]:
            raise AssertionError(f"{what} gives other numbers for clip {count} of {layout.name}: {apart:g} apart")
        count += 1
    if count != len(exact):
        raise AssertionError(f"{what} gives {count} clips of {layout.name}, not {len(exact)}")


def make_pool(layout: Layout) -> clipx.ClipPool:
    return clipx.ClipPool(-(-LENGTH // STRIDE) + 2, layout.clip_shape, layout.dtype)


def extract(x: np.ndarray, layout: Layout, out: np.ndarray) -> np.ndarray:
    return clipx.windows.extract(x, LENGTH, STRIDE, format=layout.make_format(), out=out)


def iterate(x: np.ndarray, layout: Layout, pool: clipx.ClipPool) -> Iterator[np.ndarray]:
    return clipx.windows.iterate(x, LENGTH, STRIDE, format=layout.make_format(), pool=pool)


def drop(clips: Iterator[Any]) -> None:
    for clip in clips:
        del clip


def array_contestants(
    x: np.ndarray, layout: Layout, out: np.ndarray, missing: Iterable[str]
) -> dict[str, Callable[[], Any]]:
    """The rivals; each returns all clips."""

    def by_numpy(chain: Chain) -> np.ndarray:
        for target, start in zip(out, starts()):
            chain(centre(x[start : start + LENGTH]), target)
        return out

    def by_torch(chain: Chain) -> list[Any]:
        frames = load("torch").from_numpy(x)
        return [chain(centre(frames[start : start + LENGTH])) for start in starts()]

    def by_blob(chain: Chain) -> list[np.ndarray]:
        return [chain(centre(x[start : start + LENGTH])) for start in starts()]

    # Where there is nothing to compute, or nothing to bring into order, first and last are one.
    both = layout.computes and layout.order != "THWC"
    names = (NUMPY_LAST, TORCH_LAST) if both else ("NumPy", "torch")
    contestants: dict[str, Callable[[], Any]] = {names[0]: partial(by_numpy, numpy_last(layout))}
    if both:
        contestants[NUMPY_FIRST] = partial(by_numpy, numpy_first(layout))
    if "torchcodec" not in missing:
        load("torch").set_num_threads(1)
        contestants[names[1]] = partial(by_torch, torch_chain(layout, first=False))
        if both:
            contestants[TORCH_FIRST] = partial(by_torch, torch_chain(layout, first=True))
    if "OpenCV" not in missing and layout.order != "THWC":
        contestants[BLOB] = partial(by_blob, blob_chain(layout))
    return contestants


def serve_baseline(pipe: Any) -> None:
    """In a process of its own: a layout is prepared and checked, True is a turn, None the end."""
    pin()
    x, layout, out = make_source(), None, None
    pipe.send(clipx.simd)
    while (what := pipe.recv()) is not None:
        if what is True:
            pipe.send(timed(partial(extract, x, layout, out), CALLS))
        else:
            layout = what
            out = np.empty((len(starts()), *layout.clip_shape), layout.dtype)
            check(BASELINE, extract(x, layout, out), expected(x, layout), layout)
            pipe.send(True)


@contextmanager
def baseline_process() -> Iterator[Callable[[Any], Any]]:
    """What asks it and waits for the answer. clipx chooses its rows when it is imported, so they are set before."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=serve_baseline, args=(theirs,))
    before = os.environ.get("CLIPX_SIMD")
    os.environ["CLIPX_SIMD"] = "baseline"
    try:
        process.start()
    finally:
        os.environ.pop("CLIPX_SIMD")
        if before is not None:
            os.environ["CLIPX_SIMD"] = before
    theirs.close()

    def ask(what: Any) -> Any:
        mine.send(what)
        return mine.recv()

    if mine.recv() != "baseline":
        raise AssertionError("CLIPX_SIMD=baseline has no effect")
    try:
        yield ask
    finally:
        mine.send(None)
        process.join()


class Result(NamedTuple):
    """A case: its samples by contestant, and what a call makes."""

    title: str
    layout: Layout
    clips: int
    samples: dict[str, list[Sample]]
    ours: str
    frames: int = 0
    height: int = 0
    differences: Mapping[str, float] = {}

    @property
    def limits(self) -> list[str]:
        return [name for name in (*FLAT_WRITES, DECODER) if name in self.samples]

    @property
    def limit(self) -> str:
        return min(self.limits, key=self.seconds)

    @property
    def rivals(self) -> list[str]:
        return [name for name in self.samples if not name.startswith(CLIPX) and name not in self.limits]

    @property
    def fastest_rival(self) -> str | None:
        return min(self.rivals, key=self.seconds, default=None)

    def seconds(self, name: str) -> float:
        return spread(sample.seconds for sample in self.samples[name]).median

    def ratio(self, name: str) -> float:
        return times_as_fast(self.samples[self.ours], self.samples[name])

    def of_limit(self, name: str) -> float:
        return times_as_fast(self.samples[name], self.samples[self.limit])


def run_arrays(
    x: np.ndarray, layout: Layout, missing: Iterable[str], baseline: Callable[[Any], Any], repeats: int, bar: Bar
) -> Result:
    bar.tell(f"arrays, {layout.name}")
    count = len(starts())
    out = np.empty((count, *layout.clip_shape), layout.dtype)
    pool, exact = make_pool(layout), expected(x, layout)
    rivals = array_contestants(x, layout, out, missing)
    for name, run in {EXTRACT: partial(extract, x, layout, out), **rivals}.items():
        out.fill(1)
        check(name, run(), exact, layout)
    check(ITERATE, iterate(x, layout, pool), exact, layout)
    baseline(layout)
    del exact
    contestants: dict[str, Callable[[], Any]] = {
        EXTRACT: partial(extract, x, layout, out),
        ITERATE: lambda: drop(iterate(x, layout, pool)),
        **rivals,
        **flat_writes(out),
    }
    if layout.dtype == "float16":
        contestants[FLOAT32] = partial(extract, x, FLOAT, np.zeros((count, *FLOAT.clip_shape), np.float32))
    turns = {name: partial(timed, run, CALLS) for name, run in contestants.items()}
    turns[BASELINE] = partial(baseline, True)
    return Result(f"arrays, {layout.name}", layout, count, interleave(turns, repeats, bar.progress.refresh), EXTRACT)


# Files


def cut(layout: Layout, job: Job, pool: clipx.ClipPool) -> Iterator[Any]:
    options = clipx.VideoOptions(num_threads=job.threads)
    format = layout.make_format()
    with closing(clipx.video.clips(job.video.path, job.window, format, options=options, pool=pool)) as clips:
        for clip in clips:
            data = clip.data
            del clip
            yield data
            del data


def pyav_frames(job: Job) -> Iterator[tuple[int, np.ndarray]]:
    container, stream = open_pyav(job)
    needed, reformatter = job.needed, VideoReformatter()
    with container:
        for k, frame in enumerate(container.decode(stream)):
            if k in needed:
                pixels = reformatter.reformat(frame, format="rgb24", threads=job.threads).to_ndarray()
                yield k, centre(pixels)


def filtered_frames(job: Job) -> Iterator[tuple[int, np.ndarray]]:
    """FFmpeg's filter crops the planes, so that the converter sees no more than the crop."""
    container, stream = open_pyav(job)
    needed, graph = job.needed, av.filter.Graph()
    graph.threads = job.threads
    source, sink = graph.add_buffer(template=stream), graph.add("buffersink")
    crop = graph.add("crop", f"{CROP}:{CROP}")
    convert = graph.add("format", "rgb24")
    graph.link_nodes(source, crop, convert, sink).configure()
    with container:
        for k, frame in enumerate(container.decode(stream)):
            if k in needed:
                graph.push(frame)
                yield k, graph.pull().to_ndarray()


def pyav_numpy(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    yield from map(numpy_first(layout), stacked(pyav_frames(job), job))


def pyav_torch(layout: Layout, job: Job, pool: Any, frames: Callable[[Job], Any] = pyav_frames) -> Iterator[Any]:
    chain = torch_chain(layout, first=True)
    for clip in stacked(frames(job), job):
        yield chain(load("torch").from_numpy(clip))


def torch_slices(layout: Layout, frames: Any, job: Job, source: str) -> Iterator[Any]:
    chain = torch_chain(layout, True, source)
    for start in job.starts:
        yield chain(frames[start : start + LENGTH])


def torchcodec_torch(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    frames = open_torchcodec(job).get_frames_in_range(0, job.video.frames).data
    cropped = centre(frames.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    yield from torch_slices(layout, cropped, job, "TCHW")


def torchcodec_crop(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    crop = load("torchcodec.transforms").CenterCrop((CROP, CROP))
    frames = open_torchcodec(job, transforms=[crop]).get_frames_in_range(0, job.video.frames).data
    yield from torch_slices(layout, frames, job, "TCHW")


def decord_torch(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    reader = load("decord").VideoReader(job.video.path, num_threads=job.threads)
    frames = load("torch").from_numpy(reader.get_batch(range(job.video.frames)).asnumpy())
    yield from torch_slices(layout, centre(frames), job, "THWC")


def opencv_blob(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    _, capture = open_opencv(job)
    needed, chain = job.needed, blob_chain(layout, bgr=True)

    def frames() -> Iterator[tuple[int, Any]]:
        for k in range(max(needed) + 1):
            capture.grab()
            if k in needed:
                yield k, centre(capture.retrieve()[1])

    yield from map(chain, stacked(frames(), job))
    capture.release()


FILES: dict[str, tuple[Callable[..., Iterator[Any]], tuple[str, ...]]] = {
    # name: contestant, and what it cannot do without
    CLIPX: (cut, ()),
    "PyAV, one reformatter + NumPy": (pyav_numpy, ()),
    "PyAV, one reformatter + torch": (pyav_torch, ("torchcodec",)),
    "PyAV, crop filter + torch": (partial(pyav_torch, frames=filtered_frames), ("torchcodec",)),
    "torchcodec range + torch": (torchcodec_torch, ("torchcodec",)),
    "torchcodec CenterCrop + torch": (torchcodec_crop, ("torchcodec", "torchcodec.transforms")),
    "OpenCV + blobFromImages": (opencv_blob, ("OpenCV",)),
    "decord + torch": (decord_torch, ("decord", "torchcodec")),
}


def file_contestants(layout: Layout, missing: Iterable[str]) -> dict[str, Contestant]:
    found: dict[str, Contestant] = {DECODER: decode}
    for name, (run, needs) in FILES.items():
        if not set(needs) & set(missing):
            found[name] = partial(run, layout)
    return found


def decoded_centres(video: Video) -> np.ndarray:
    with av.open(video.path) as container:
        return np.stack([centre(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)])


def check_file(name: str, clips: Iterable[Any], job: Job, layout: Layout, frames: np.ndarray) -> float:
    """Raise unless these are the clips of the job. The largest mean difference of a clip from `frames`, of 255."""
    count, worst = 0, 0.0
    back = np.argsort(layout.axes())
    for clip, indices in zip(clips, [*job.indices, None]):
        numbers = np.asarray(clip)
        if indices is None or numbers.shape != layout.clip_shape or numbers.dtype != layout.dtype:
            raise AssertionError(f"{name} gives {numbers.dtype} {numbers.shape} as clip {count} of {job.video.name}")
        numbers = numbers.transpose(back).astype(np.float32)
        if layout.computes:
            numbers = (numbers * STD + MEAN) * 255
        worst = max(worst, float(np.abs(numbers - frames[indices.start : indices.stop]).mean()))
        count += 1
        del clip
    if count != len(job.starts):
        raise AssertionError(f"{name} gives {count} clips of {job.video.name}, not {len(job.starts)}")
    if worst > MOST_DIFFERENCE:
        raise AssertionError(f"{name} gives other pixels for {job.video.name}: {worst:.1f} apart on average")
    return worst


def run_file(
    video: Video, layout: Layout, frames: np.ndarray, missing: Iterable[str], repeats: int, bar: Bar
) -> Result:
    title = f"files, {video.name} {video.width}x{video.height}, {layout.name}"
    bar.tell(title)
    job = Job(video)
    pool = clipx.ClipPool(job.slots, layout.clip_shape, layout.dtype)
    contestants = file_contestants(layout, missing)
    differences = {
        name: check_file(name, run(job, pool), job, layout, frames)
        for name, run in contestants.items()
        if name != DECODER
    }
    turns = {name: partial(timed, partial(consume, run, job, pool)) for name, run in contestants.items()}
    samples = interleave(turns, repeats, bar.progress.refresh)
    return Result(title, layout, len(job.starts), samples, CLIPX, video.frames, video.height, differences)


# Small clips


class Small(NamedTuple):
    """Samples of the writing, of the loop and of the stage; frames as they are where there is no layout."""

    layout: Layout | None
    samples: dict[str, list[Sample]]

    @property
    def title(self) -> str:
        return f"small clips, {self.layout.name if self.layout else 'as they are'}"

    def microseconds(self, name: str) -> list[float]:
        """Of a clip."""
        clips = SMALL_PASSES * (SMALL_FRAMES // LENGTH)
        return [sample.seconds / clips * 1e6 for sample in self.samples[name]]

    def above(self, name: str) -> list[float]:
        """Microseconds of a clip above the writing itself."""
        return [whole - part for whole, part in zip(self.microseconds(name), self.microseconds(COPY))]


def run_small(layout: Layout | None, repeats: int, bar: Bar) -> Small:
    """Clips lie side by side, so that loop and `extract` read and write the same, and all of it fits the cache."""
    bar.tell("small clips")
    x = np.random.default_rng(0).integers(0, 256, (SMALL_FRAMES, SMALL_SIZE, SMALL_SIZE, 3), dtype=np.uint8)
    format = layout.make_format(crop=None) if layout else None
    window = clipx.WindowSpec(LENGTH, LENGTH)
    out = clipx.windows.extract(x, LENGTH, LENGTH, format=format)
    pool = clipx.ClipPool(4, out.shape[1:], out.dtype)
    stage = clipx.wds.clips(window, format, pool=pool)
    sample = {"__key__": "small", "npy": x}

    def copy() -> None:
        for _ in range(SMALL_PASSES):
            clipx.windows.extract(x, LENGTH, LENGTH, format=format, out=out)

    def loop() -> None:
        for _ in range(SMALL_PASSES):
            for clip in clipx.windows.iterate(x, LENGTH, LENGTH, format=format, pool=pool):
                del clip

    def run_stage() -> None:
        for made in stage(itertools.repeat(sample, SMALL_PASSES)):
            del made

    for name, clips in (
        (LOOP, clipx.windows.iterate(x, LENGTH, LENGTH, format=format, pool=pool)),
        (STAGE, (made["npy"] for made in stage([sample]))),
    ):
        if not all(np.array_equal(clip, right) for clip, right in itertools.zip_longest(clips, out)):
            raise AssertionError(f"{name} gives other clips than extract")
    turns = {name: partial(timed, run, SMALL_CALLS) for name, run in ((COPY, copy), (LOOP, loop), (STAGE, run_stage))}
    return Small(layout, interleave(turns, repeats, bar.progress.refresh))


# Showing


def print_arrays(console: Console, results: Sequence[Result]) -> None:
    caption = (
        "GB/s: 10^9 bytes written a second. of limit: speed as a part of the faster flat write.\n"
        "clipx is: so many times as fast. *: fastest rival"
    )
    table = make_table(
        f"Arrays ({FRAMES}, {HEIGHT}, {WIDTH}, 3) to clips",
        ("tensor", "how", "GB/s", "clips/s", "spread", "of limit", "clipx is"),
        caption,
    )
    for result in results:
        layout = result.layout
        notes = [layout.name, f"{result.clips} clips of", f"{layout.clip_bytes / 1e6:.3g} MB"]
        table.add_section()
        for name, note in itertools.zip_longest(result.samples, notes, fillvalue=""):
            speed = spread(result.clips / sample.seconds for sample in result.samples[name])
            size = FLOAT.clip_bytes if name == FLOAT32 else layout.clip_bytes
            table.add_row(
                note,
                f"{name} *" if name == result.fastest_rival else name,
                f"{speed.median * size / 1e9:.2f}",
                f"{speed.median:,.0f}",
                f"{speed.low:,.0f}..{speed.high:,.0f}",
                "" if name == FLOAT32 else f"{result.of_limit(name):.2f}",
                "" if name == result.ours else show_ratio(result.ratio(name)),
                style="bold" if name == result.ours else None,
            )
    console.print(table)


def print_files(console: Console, results: Sequence[Result]) -> None:
    if not results:
        return
    caption = "of decoder: speed as a part of the decoder alone. clipx is: so many times as fast. *: fastest rival"
    columns = ("case", "how", "ms", "spread", "clips/s", "of decoder", "clipx is")
    table = make_table(f"Files to clips, the centre {CROP}x{CROP}", columns, caption)
    for result in results:
        _, size, tensor = result.title.split(", ")
        notes = [size, tensor, f"{result.clips} clips, {result.frames} frames"]
        table.add_section()
        for name, note in itertools.zip_longest(result.samples, notes, fillvalue=""):
            seconds = spread(sample.seconds for sample in result.samples[name])
            table.add_row(
                note,
                f"{name} *" if name == result.fastest_rival else name,
                f"{seconds.median * 1e3:.4g}",
                f"{seconds.low * 1e3:.4g}..{seconds.high * 1e3:.4g}",
                "" if name == DECODER else f"{result.clips / seconds.median:,.0f}",
                f"{result.of_limit(name):.2f}",
                "" if name in (CLIPX, DECODER) else show_ratio(result.ratio(name)),
                style="bold" if name == CLIPX else None,
            )
    console.print(table)
    apart, name = max((apart, name) for result in results for name, apart in result.differences.items())
    console.print(f"mean difference of a clip's pixels from to_ndarray: at most {apart:.2f} of 255 ({name})")


def print_small(console: Console, results: Sequence[Small]) -> None:
    title = f"Small clips: {LENGTH} frames of {SMALL_SIZE}x{SMALL_SIZE}, {SMALL_FRAMES // LENGTH} clips an array"
    columns = ("tensor", "how", "µs a clip", "spread", "above the writing")
    table = make_table(title, columns, "An array's own cost, its checks and its plan, is shared by its clips.")
    for result in results:
        table.add_section()
        for name, note in itertools.zip_longest(result.samples, [result.title.split(", ")[1]], fillvalue=""):
            each = spread(result.microseconds(name))
            above = "" if name == COPY else f"{statistics.median(result.above(name)):.2f}"
            table.add_row(note, name, f"{each.median:.2f}", f"{each.low:.2f}..{each.high:.2f}", above)
    console.print(table)


def check_floors(arrays: Sequence[Result], files: Sequence[Result], small: Sequence[Small]) -> list[Floor]:
    floors = []

    def ask(what: str, asked: float, ratio: float, against: str = "x") -> None:
        floors.append(Floor(what, f">= {asked:.2f}{against}", f"{ratio:.2f}{against}", ratio >= asked))

    for result in arrays:
        if result.layout == FLOAT:
            for names in ((NUMPY_LAST, TORCH_LAST), (NUMPY_FIRST, TORCH_FIRST)):
                name = min((name for name in names if name in result.samples), key=result.seconds)
                ask(f"{result.title}: against the faster chain, {name}", 12, result.ratio(name))
            ask(f"{result.title}: bytes written, against {result.limit} (limit)", 0.6, result.of_limit(EXTRACT))
            for name in (NUMPY_LAST, NUMPY_FIRST):
                ratio = times_as_fast(result.samples[BASELINE], result.samples[name])
                ask(f"{result.title}: baseline against {name}", 3, ratio)
        if result.layout.dtype == "float16":
            ask(f"{result.title}: clips/s, against float32", 1.3, result.ratio(FLOAT32))
    for result in files:
        asked = {272: 2.8, 720: 2.2}[result.height]
        if result.fastest_rival is not None:
            name = result.fastest_rival
            ask(f"{result.title}: against the fastest rival, {name}", asked, result.ratio(name))
        if result.height == 720:
            ask(f"{result.title}: against the decoder alone", 0.8, result.of_limit(CLIPX))
    for each, (name, asked) in itertools.product(small, ((LOOP, 5), (STAGE, 15))):
        above = statistics.median(each.above(name))
        floors.append(
            Floor(f"{each.title}: {name}, above the writing", f"< {asked} µs", f"{above:.2f} µs", above < asked)
        )
    return floors


def as_record(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "ours": result.ours,
        "rivals": result.rivals,
        "limit": result.limit,
        "layout": result.layout._asdict(),
        "clips": result.clips,
        "clip_bytes": result.layout.clip_bytes,
        "fastest_rival": result.fastest_rival,
        "contestants": {
            name: {
                "clips_per_second": result.clips / result.seconds(name),
                "of_limit": result.of_limit(name),
                "clipx_times_as_fast": result.ratio(name),
                "mean_difference": result.differences.get(name),
                "seconds": [sample.seconds for sample in samples],
            }
            for name, samples in result.samples.items()
        },
    }


def as_small_record(result: Small) -> dict[str, Any]:
    return {
        "title": result.title,
        "ours": LOOP,
        "rivals": [],
        "limit": COPY,
        "contestants": {
            name: {
                "microseconds": statistics.median(result.microseconds(name)),
                "above_the_writing": statistics.median(result.above(name)),
                "seconds": [sample.seconds for sample in samples],
            }
            for name, samples in result.samples.items()
        },
    }


@click.command(help="Speed of writing the tensor that a model takes, from arrays and from files, beside its rivals.")
@click.option("--quick", is_flag=True, help="Few repetitions, and fewer files.")
@click.option("--repeats", type=click.IntRange(1), help="Repetitions of every case.  [default: 5, or 3 with --quick]")
@click.option(
    "--json", "path", type=click.Path(dir_okay=False), default=str(RESULTS / "format.json"), show_default=True
)
@click.option("--cache", "folder", type=click.Path(file_okay=False), help="Where generated files are kept.")
def main(quick: bool, repeats: int | None, path: str, folder: str | None) -> None:
    repeats = repeats or (3 if quick else 5)
    pin()
    console = make_console()
    missing = find_missing()
    modules = [module.partition(".")[0] for rival in MODULES if rival not in missing for module in MODULES[rival]]
    facts = machine("numpy", "av", *dict.fromkeys(modules))
    print_header(console, "What does it cost to make the tensor that a model takes?", facts)
    console.print(f"{repeats} repetitions, one core; clips of {LENGTH} RGB frames, stride {STRIDE}, crop {CROP}")
    gc.collect()
    gc.freeze()  # the collections between turns need not go through what was imported
    arrays, files, small = [], [], []
    with make_progress(console) as progress:
        bar = Bar(progress, progress.add_task("", total=None))
        names = ("bikes", "720p") if quick else ("bikes", "bigbuckbunny", "720p")
        found = find_files(kept_files(folder), names, bar.tell)
        try:
            load("torchcodec.transforms")
        except ImportError as error:
            missing["torchcodec.transforms"] = str(error)
        left_out = {**missing, **found.missing}
        for name, reason in left_out.items():
            console.print(f"{name} is left out: {reason}")
        small_layouts = (None, *FILE_LAYOUTS)
        progress.update(bar.task, total=len(LAYOUTS) + len(found.videos) * len(FILE_LAYOUTS) + len(small_layouts))
        with baseline_process() as baseline:
            x = make_source()
            for layout in LAYOUTS:
                arrays.append(run_arrays(x, layout, missing, baseline, repeats, bar))
                bar.tick()
        for video in found.videos.values():
            bar.tell(f"reading {video.name}")
            frames = decoded_centres(video)
            for layout in FILE_LAYOUTS:
                files.append(run_file(video, layout, frames, missing, repeats, bar))
                bar.tick()
        for layout in small_layouts:
            small.append(run_small(layout, repeats, bar))
            bar.tick()
    print_arrays(console, arrays)
    print_files(console, files)
    print_small(console, small)
    floors = check_floors(arrays, files, small)
    print_floors(console, floors)
    settings = {"quick": quick, "repeats": repeats, "length": LENGTH, "stride": STRIDE, "crop": CROP, "threads": 1}
    write_json(
        path,
        machine=facts,
        settings=settings,
        left_out=left_out,
        arrays=[as_record(each) for each in arrays],
        files=[as_record(each) for each in files],
        small=[as_small_record(each) for each in small],
        floors=floors,
    )
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
