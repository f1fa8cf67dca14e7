"""What does it cost to make the tensor that a model takes?

Clips of 16 frames, a new one every 8 frames, the centre 224x224 of each frame; floats have ImageNet's mean and std.

- arrays: clips of uint8 (n, 256, 340, 3), all written into one array that was set aside and touched before. torch and
  OpenCV return clips in memory of their own, and give it back within the timing. A chain's order matters: "planes
  last" computes on the pixels as they are stored and brings them into the model's order at the end, which is how the
  chain is mostly written; "planes first" brings the bytes into order and computes on these. The limit is the faster
  write of as many bytes that reads nothing.
- views: the left, middle and right 224x224 of each frame instead, (views, ...), of arrays and of a file. clipx writes
  them in one pass over the frames; "a pass for each view" are three, and torch's chain is run on each view of a clip.
- files: from a path to such clips; opening and closing the file are timed, too. "decoder alone" is PyAV's decode loop,
  which makes no clips. Chains are those with planes first, each after its library's fastest way to the crop.

All run on one core with one decoder thread. "clipx, baseline" and others of its kind are clipx with another
implementation of its rows, each in a process of its own that is timed among the others on the same core. Every
contestant's clips are compared once, with the formula in float64 or, where a decoder's converter comes first, with
those of PyAV's to_ndarray, on average at most 2 of 255 apart. What is not installed is left out. How the figures are
measured: see `_measure.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import av
import numpy as np
from _bench import Records, Run, command, find_missing
from _implementations import Implementation, contestants_of, facts_of, other_implementations
from _measure import FLAT_WRITES, consume, flat_writes, timed, times_as_fast
from _results import CLIPS, CLIPX_IS, GIGABYTES, MS, OF_LIMIT, SPREAD, Result, results_table
from _tensors import (
    BYTES,
    CROP,
    FLOAT,
    MEAN,
    STD,
    Chain,
    Layout,
    blob_chain,
    centre,
    numpy_first,
    numpy_last,
    torch_chain,
)
from _videos import (
    DECODER,
    LENGTH,
    MOST_DIFFERENCE,
    STRIDE,
    VERSIONS,
    Contestant,
    Job,
    Video,
    check_clips,
    clipx_clips,
    decode,
    find_files,
    load,
    load_spdl,
    missing_rivals,
    open_pyav,
    open_torchcodec,
    opencv_frames,
    reformatted,
    run_job,
    stacked,
)

import clipx
from clipx.format import PRESETS

FRAMES, HEIGHT, WIDTH = 128, 256, 340
LAYOUTS = (FLOAT, Layout("float16", "CTHW"), BYTES, Layout("float32", "THWC"))
CALLS = 3  # of a sample on arrays
MOST_APART = {"uint8": 0, "float16": 1.1e-3, "float32": 1e-4}  # of float16: half the distance of numbers from 2 to 4
ASKED_OF_FILES = {272: 2.8, 720: 2.2}  # by height

EXTRACT, ITERATE = "clipx extract(out=)", "clipx iterate(pool=)"
FLOAT32 = "clipx extract, float32"  # beside float16
CLIPX = "clipx"
PASSES = "clipx, a pass for each view"
THREE = ("three", CROP)


# Arrays


def make_source() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)


def starts() -> range:
    return range(0, FRAMES - LENGTH + 1, STRIDE)


def expected(x: np.ndarray, layout: Layout, crop: Callable[[Any], Any] = centre) -> np.ndarray:
    """All clips by the formula."""
    exact = crop(x).astype(np.float64)
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
    last = ", planes last" if both else ""
    contestants: dict[str, Callable[[], Any]] = {f"NumPy{last}": partial(by_numpy, numpy_last(layout))}
    if both:
        contestants["NumPy, planes first"] = partial(by_numpy, numpy_first(layout))
    if "torch" not in missing:
        load("torch").set_num_threads(1)
        contestants[f"torch{last}"] = partial(by_torch, torch_chain(layout, first=False))
        if both:
            contestants["torch, planes first"] = partial(by_torch, torch_chain(layout, first=True))
    if "OpenCV" not in missing and layout.order != "THWC":
        contestants["OpenCV blobFromImages"] = partial(by_blob, blob_chain(layout))
    return contestants


def make_extract(layout: Layout) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    x = make_source()
    out = np.empty((len(starts()), *layout.clip_shape), layout.dtype)
    check(EXTRACT, extract(x, layout, out), expected(x, layout), layout)
    return partial(extract, x, layout, out)


def run_arrays(
    x: np.ndarray, layout: Layout, missing: Iterable[str], others: Mapping[str, Implementation], run: Run
) -> Result:
    run.describe(f"arrays, {layout.name}")
    count = len(starts())
    out = np.empty((count, *layout.clip_shape), layout.dtype)
    pool, exact = make_pool(layout), expected(x, layout)
    rivals = array_contestants(x, layout, out, missing)
    for name, contestant in {EXTRACT: partial(extract, x, layout, out), **rivals}.items():
        out.fill(1)
        check(name, contestant(), exact, layout)
    check(ITERATE, iterate(x, layout, pool), exact, layout)
    del exact
    contestants: dict[str, Callable[[], Any]] = {
        EXTRACT: partial(extract, x, layout, out),
        ITERATE: lambda: consume(iterate(x, layout, pool)),
        **rivals,
        **flat_writes(out),
    }
    if layout.dtype == "float16":
        contestants[FLOAT32] = partial(extract, x, FLOAT, np.zeros((count, *FLOAT.clip_shape), np.float32))
    timings = {name: partial(timed, contestant, CALLS) for name, contestant in contestants.items()}
    samples = run.interleave({**timings, **contestants_of(others, CALLS, make_extract, layout)})
    notes = (layout.name, f"{count} clips of", f"{layout.clip_bytes / 1e6:.3g} MB")
    return Result(
        title=f"arrays, {layout.name}",
        samples=samples,
        ours=EXTRACT,
        clips=count,
        clip_bytes=layout.clip_bytes,
        limits=FLAT_WRITES,
        notes=notes,
        facts={"layout": layout, **facts_of(EXTRACT, others)},
    )


def run_all_arrays(missing: Iterable[str], others: Mapping[str, Implementation], run: Run) -> list[Result]:
    x = make_source()
    return [run_arrays(x, layout, missing, others, run) for layout in LAYOUTS]


# Views


def view_corners(height: int, width: int) -> list[tuple[int, int]]:
    """Where the three views of a picture begin."""
    return [(view.y, view.x) for view in FLOAT.make_format(THREE).views(height, width)]


def format_of(corner: tuple[int, int]) -> clipx.ClipFormat:
    return FLOAT.make_format((*corner, CROP, CROP))


def cropped_at(frames: Any, corner: tuple[int, int]) -> Any:
    y, x = corner
    return frames[..., y : y + CROP, x : x + CROP, :]


def torch_views(clips: Iterable[Any], corners: list[tuple[int, int]]) -> Iterator[Any]:
    """The views of clips, which are tensors in the order THWC, side by side."""
    torch, chain = load("torch"), torch_chain(FLOAT, first=True)
    for clip in clips:
        yield torch.stack([chain(cropped_at(clip, corner)) for corner in corners])


def same_views(name: str, found: Iterable[Any], exact: Iterable[np.ndarray], most: float) -> None:
    """Raise unless the views of all clips are these, on average at most so far apart."""
    for clip, right in itertools.zip_longest(map(np.asarray, found), exact):
        if clip is None or right is None or clip.shape != right.shape or clip.dtype != right.dtype:
            raise AssertionError(f"{name} gives other clips")
        if float(np.abs(clip - right).mean()) > most:
            raise AssertionError(f"{name} gives other numbers")


def run_array_views(x: np.ndarray, missing: Iterable[str], run: Run) -> Result:
    title = f"arrays, 3 views, {FLOAT.name}"
    run.describe(title)
    corners, format = view_corners(HEIGHT, WIDTH), FLOAT.make_format(THREE)
    out = np.ones((len(starts()), 3, *FLOAT.clip_shape), np.float32)
    parts = [np.ones((len(starts()), *FLOAT.clip_shape), np.float32) for _ in corners]

    def one_pass() -> Any:
        return clipx.windows.extract(x, LENGTH, STRIDE, format=format, out=out)

    def three_passes() -> list[np.ndarray]:
        for part, corner in zip(parts, corners):
            clipx.windows.extract(x, LENGTH, STRIDE, format=format_of(corner), out=part)
        return parts

    def by_torch() -> list[Any]:
        frames = load("torch").from_numpy(x)
        return list(torch_views((frames[start : start + LENGTH] for start in starts()), corners))

    contestants: dict[str, Callable[[], Any]] = {CLIPX: one_pass, PASSES: three_passes}
    if "torch" not in missing:
        contestants["torch, planes first"] = by_torch
    exact = list(np.stack([expected(x, FLOAT, partial(cropped_at, corner=each)) for each in corners], axis=1))
    for name, contestant in contestants.items():
        same_views(
            name, np.stack(contestant(), axis=1) if name == PASSES else contestant(), exact, MOST_APART["float32"]
        )
    del exact
    timings = {name: partial(timed, each, 1) for name, each in (contestants | flat_writes(out)).items()}
    return Result(
        title=title,
        samples=run.interleave(timings),
        clips=len(out),
        clip_bytes=3 * FLOAT.clip_bytes,
        limits=FLAT_WRITES,
        notes=("3 views,", FLOAT.name, f"{len(out)} clips of", f"{3 * FLOAT.clip_bytes / 1e6:.3g} MB"),
    )


def run_file_views(video: Video, missing: Iterable[str], run: Run) -> Result:
    size = f"{video.name} {video.width}x{video.height}"
    title = f"files, {size}, 3 views, {FLOAT.name}"
    run.describe(title)
    job, corners, format = Job(video), view_corners(video.height, video.width), FLOAT.make_format(THREE)
    pool = clipx.ClipPool(job.slots, (3, *FLOAT.clip_shape), FLOAT.dtype)
    view_pool = make_pool(FLOAT)

    def three_passes(job: Job, pool: Any) -> Iterator[Any]:
        for corner in corners:
            yield from clipx_clips(job, view_pool, format_of(corner))

    def by_torch(job: Job, pool: Any) -> Iterator[Any]:
        torch = load("torch")
        return torch_views(map(torch.from_numpy, stacked(reformatted(job), job)), corners)

    contestants: dict[str, Contestant] = {
        DECODER: decode,
        CLIPX: lambda job, pool: clipx_clips(job, pool, format),
        PASSES: three_passes,
    }
    if "torch" not in missing:
        contestants["PyAV, one reformatter + torch"] = by_torch
    for name, contestant in list(contestants.items())[1:]:
        if name != PASSES:
            in_step = (clipx_clips(job, make_pool(FLOAT), format_of(corner)) for corner in corners)
            most = MOST_APART["float32"] if name == CLIPX else float(MOST_DIFFERENCE / 255 / STD.min())
            same_views(name, contestant(job, pool), map(np.stack, zip(*in_step)), most)
    samples = run.interleave(
        {name: partial(timed, partial(run_job, each, job, pool)) for name, each in contestants.items()}
    )
    return Result(
        title=title,
        samples=samples,
        clips=len(job.starts),
        clip_bytes=3 * FLOAT.clip_bytes,
        limits=(DECODER,),
        notes=(size, f"3 views, {FLOAT.name}", f"{len(job.starts)} clips, {video.frames} frames"),
    )


# Files


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


def cropped(frames: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
    return ((k, centre(pixels)) for k, pixels in frames)


def pyav_numpy(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    yield from map(numpy_first(layout), stacked(cropped(reformatted(job)), job))


def pyav_torch(layout: Layout, job: Job, pool: Any, frames: Callable[[Job], Any] | None = None) -> Iterator[Any]:
    chain = torch_chain(layout, first=True)
    for clip in stacked(frames(job) if frames else cropped(reformatted(job)), job):
        yield chain(load("torch").from_numpy(clip))


def by_clipx(layout: Layout, job: Job, pool: clipx.ClipPool) -> Iterator[Any]:
    return clipx_clips(job, pool, layout.make_format())


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


def spdl_torch(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    frames = load_spdl(job.video.path, job.threads, crop_width=CROP, crop_height=CROP)
    yield from torch_slices(layout, load("torch").from_numpy(frames), job, "THWC")


def opencv_blob(layout: Layout, job: Job, pool: Any) -> Iterator[Any]:
    yield from map(blob_chain(layout, bgr=True), stacked(cropped(opencv_frames(job)), job))


FILES: dict[str, tuple[Callable[..., Iterator[Any]], tuple[str, ...]]] = {
    # name: contestant, and the modules that it needs
    CLIPX: (by_clipx, ()),
    "PyAV, one reformatter + NumPy": (pyav_numpy, ()),
    "PyAV, one reformatter + torch": (pyav_torch, ("torchcodec",)),
    "PyAV, crop filter + torch": (partial(pyav_torch, frames=filtered_frames), ("torchcodec",)),
    "torchcodec range + torch": (torchcodec_torch, ("torchcodec",)),
    "torchcodec CenterCrop + torch": (torchcodec_crop, ("torchcodec", "torchcodec.transforms")),
    "OpenCV + blobFromImages": (opencv_blob, ("OpenCV",)),
    "decord + torch": (decord_torch, ("decord", "torchcodec")),
    "SPDL crop filter + torch": (spdl_torch, ("SPDL", "torchcodec")),
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


def pixels_of(layout: Layout, clip: np.ndarray) -> np.ndarray:
    """The pixels that a tensor was made of, (length, height, width, channels)."""
    numbers = clip.transpose(np.argsort(layout.axes())).astype(np.float32)
    return (numbers * STD + MEAN) * 255 if layout.computes else numbers


def make_file(video: Video, layout: Layout) -> Callable[[], object]:
    """clipx's contestant for another implementation."""
    job = Job(video)
    return partial(run_job, partial(by_clipx, layout), job, clipx.ClipPool(job.slots, layout.clip_shape, layout.dtype))


def run_file(
    video: Video,
    layout: Layout,
    frames: np.ndarray,
    missing: Iterable[str],
    others: Mapping[str, Implementation],
    run: Run,
) -> Result:
    size = f"{video.name} {video.width}x{video.height}"
    title = f"files, {size}, {layout.name}"
    run.describe(title)
    job = Job(video)
    pool = clipx.ClipPool(job.slots, layout.clip_shape, layout.dtype)
    contestants = file_contestants(layout, missing)
    like = layout.clip_shape, np.dtype(layout.dtype)
    differences = {
        name: check_clips(name, contestant(job, pool), job, frames, like, partial(pixels_of, layout))
        for name, contestant in contestants.items()
        if name != DECODER
    }
    timings = {name: partial(timed, partial(run_job, each, job, pool)) for name, each in contestants.items()}
    samples = run.interleave({**timings, **contestants_of(others, 1, make_file, video, layout)})
    return Result(
        title=title,
        samples=samples,
        clips=len(job.starts),
        clip_bytes=layout.clip_bytes,
        limits=(DECODER,),
        notes=(size, layout.name, f"{len(job.starts)} clips, {video.frames} frames"),
        figures={name: {"mean_difference": each} for name, each in differences.items()},
        facts={"layout": layout, "height": video.height, **facts_of(CLIPX, others)},
    )


def run_all_files(
    videos: Iterable[Video], missing: Iterable[str], others: Mapping[str, Implementation], run: Run
) -> list[Result]:
    results = []
    for video in videos:
        run.describe(f"reading {video.name}")
        frames = decoded_centres(video)
        results += [run_file(video, layout, frames, missing, others, run) for layout in (BYTES, FLOAT)]
    return results


# Both


def measure(run: Run) -> Records:
    missing = missing_rivals() | find_missing({"torch": ["torch"], "torchcodec.transforms": ["torchcodec.transforms"]})
    found = find_files(run.folder, ("bikes", "720p") if run.quick else ("bikes", "bigbuckbunny", "720p"), run.describe)
    run.leave_out({**missing, **found.missing})
    with other_implementations() as others:
        arrays = run_all_arrays(missing, others, run)
        files = run_all_files(found.videos.values(), missing, others, run)
    views = [run_array_views(make_source(), missing, run)]
    views += [run_file_views(video, missing, run) for name, video in found.videos.items() if name == "720p"]
    title = f"Arrays ({FRAMES}, {HEIGHT}, {WIDTH}, 3) to clips"
    run.show(results_table(title, arrays, (GIGABYTES, MS, SPREAD, OF_LIMIT, CLIPX_IS)))
    run.show(results_table(f"Files to clips, the centre {CROP}x{CROP}", files, (MS, SPREAD, CLIPS, OF_LIMIT, CLIPX_IS)))
    run.show(results_table("The left, middle and right of each frame", views, (MS, SPREAD, CLIPS, OF_LIMIT, CLIPX_IS)))
    check_floors(run, arrays, files)
    check_views(run, views)
    run.settings |= {"length": LENGTH, "stride": STRIDE, "crop": CROP, "threads": 1}
    return {
        "arrays": [each.record() for each in arrays],
        "files": [each.record() for each in files],
        "views": [each.record() for each in views],
    }


def check_floors(run: Run, arrays: Iterable[Result], files: Iterable[Result]) -> None:
    floors = run.floors
    for result in arrays:
        layout, rival = result.facts["layout"], result.fastest_rival
        assert rival is not None
        if layout == FLOAT:
            floors.fastest_rival(result, 12)
            limit = f"bytes written, against {result.limit} (limit)"
            floors.at_least(f"{result.title}: {limit}", 0.6, result.of_limit(EXTRACT))
            implementations = result.facts["implementations"]
            baseline = times_as_fast(result.samples[implementations["baseline"]], result.samples[rival])
            floors.at_least(f"{result.title}: baseline against the fastest rival, {rival}", 3, baseline)
            if "avx2" in implementations:
                floors.at_least(f"{result.title}: avx2, {limit}", 0.55, result.of_limit(implementations["avx2"]))
        if layout.dtype == "float16":
            floors.at_least(f"{result.title}: clips/s, against float32", 1.3, result.ratio(FLOAT32))
    for result in files:
        floors.fastest_rival(result, ASKED_OF_FILES[result.facts["height"]])
        if result.facts["height"] == 720:
            floors.at_least(f"{result.title}: against the decoder alone", 0.8, result.of_limit(CLIPX))


def check_views(run: Run, views: Iterable[Result]) -> None:
    """One pass over an array is not slower than three; of a file, it does not cost much more than a single view."""
    for result in views:
        asked = 2 if DECODER in result.samples else 0.97
        run.floors.at_least(f"{result.title}: one pass against three", asked, result.ratio(PASSES))


main = command("format", measure, VERSIONS, quick="few repetitions and fewer files", pinned=True)
if __name__ == "__main__":
    main()
