"""Rivals that give the frames of lists of numbers: of each list one array (length, height, width, 3), by one request.

A source is the path of a file or its bytes. It is opened once for all lists, with one decoder thread; a rival is left
to find its own way to the frames of a list, which ascend.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import av
import numpy as np
from _videos import MOST_DIFFERENCE, load
from av.video.reformatter import VideoReformatter

Source = str | bytes
Lists = Sequence[Sequence[int]]
Fetch = Callable[[Source, Lists], Iterator[Any]]

PYAV = "PyAV seek, one reformatter"
TORCHCODEC, APPROXIMATE, DECORD, SPDL = "torchcodec", "torchcodec, approximate", "decord", "SPDL"
OPENCV = "OpenCV seek"
MODULES = {
    "torchcodec": ("torch", "torchcodec.decoders"),
    "decord": ("decord",),
    "SPDL": ("spdl.io",),
    "OpenCV": ("cv2",),
}


def as_file(source: Source) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def pyav(source: Source, lists: Lists) -> Iterator[np.ndarray]:
    """Seeks where a key frame lies between the frame that was decoded last and the next one of a list."""
    reformatter = VideoReformatter()
    with av.open(as_file(source)) as container:
        stream = container.streams.video[0]
        stream.thread_count, stream.thread_type = 1, "SLICE"
        ticks, begin = int(1 / (stream.average_rate * stream.time_base)), stream.start_time or 0
        keys = np.flatnonzero([entry.is_keyframe for entry in stream.index_entries])
        frames, at = container.decode(stream), -1
        for numbers in lists:
            clip: list[np.ndarray] = []
            for number in numbers:
                key = int(keys[np.searchsorted(keys, number, side="right") - 1])
                if not at < number or key > at + 1:
                    container.seek(begin + key * ticks, stream=stream)
                    frames = container.decode(stream)
                for frame in frames:
                    at = (frame.pts - begin) // ticks
                    if at >= number:
                        break
                clip.append(reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray())
            yield np.stack(clip)


def torchcodec(source: Source, lists: Lists, seek_mode: str = "exact") -> Iterator[Any]:
    load("torch").set_num_threads(1)
    decoder = load("torchcodec.decoders").VideoDecoder
    opened = decoder(source, num_ffmpeg_threads=1, dimension_order="NHWC", seek_mode=seek_mode)
    for numbers in lists:
        yield opened.get_frames_at(list(numbers)).data


def decord(source: Source, lists: Lists) -> Iterator[np.ndarray]:
    reader = load("decord").VideoReader(as_file(source), num_threads=1)
    for numbers in lists:
        yield reader.get_batch(list(numbers)).asnumpy()


def spdl(source: Source, lists: Lists) -> Iterator[np.ndarray]:
    module = load("spdl.io")
    packets = module.demux_video(source)
    for numbers in lists:
        frames = module.sample_decode_video(packets, list(numbers))
        yield module.to_numpy(module.convert_frames(frames))


def opencv(source: Source, lists: Lists) -> Iterator[np.ndarray]:
    """Seeks to the first frame of a list, and grabs those between its frames. Takes paths alone."""
    cv2 = load("cv2")
    capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    for numbers in lists:
        if numbers[0]:
            capture.set(cv2.CAP_PROP_POS_FRAMES, numbers[0])
        clip = []
        for number, after in itertools.zip_longest(numbers, numbers[1:]):
            clip.append(cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
            for _ in range(number + 1, after or 0):
                capture.grab()
        yield np.stack(clip)
    capture.release()


FETCHES: dict[str, Fetch] = {
    PYAV: pyav,
    TORCHCODEC: torchcodec,
    APPROXIMATE: partial(torchcodec, seek_mode="approximate"),
    DECORD: decord,
    SPDL: spdl,
    OPENCV: opencv,
}


def without(names: Iterable[str], missing: Mapping[str, str]) -> list[str]:
    """Names of contestants whose modules are there."""
    return [name for name in names if name.replace(",", " ").split()[0] not in missing]


def check_arrays(name: str, arrays: Iterable[Any], lists: Lists, frames: np.ndarray, step: int = 1) -> float:
    """Raise unless there is an array of each list, with its frames; returns the largest mean difference, of 255.

    frames: those of the video as to_ndarray gives them, at every `step` rows and columns; frame `i % len(frames)` is
    frame i of a file that repeats them.
    """
    worst = 0.0
    for numbers, each in zip(lists, arrays, strict=True):
        array = np.asarray(each)[:, ::step, ::step].astype(np.int16)
        worst = max(worst, float(np.abs(array - frames[np.asarray(numbers) % len(frames)]).mean()))
    if worst > MOST_DIFFERENCE:
        raise AssertionError(f"{name} gives other pixels: {worst:.1f} apart on average")
    return worst
