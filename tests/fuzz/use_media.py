"""Clips of a mutated video or sound, alone, in step and in the stage."""

from __future__ import annotations

import io
from contextlib import suppress
from itertools import islice
from typing import Any

import clipx
from clipx import audio, video, wds
from clipx.video.clips import count_frames
from fuzz.structure import Random

MOST_CLIPS = 100
"""Clips that are taken of an input: a file may say that it has millions."""

WINDOWS = [
    clipx.WindowSpec(3),
    clipx.WindowSpec(4, 2, policy="repeat_last"),
    clipx.WindowSpec(2, 1, policy="backpad"),
    clipx.WindowSpec(3, dilation=3, policy="wrap"),
    clipx.WindowSpec(2, 5, policy="reflect"),
    clipx.WindowSpec(2, num_clips=3, policy="constant"),
    clipx.WindowSpec(2, num_clips=2, sampling="random", policy="wrap"),
    clipx.WindowSpec(1, 3),
]
FORMATS = [
    None,
    clipx.ClipFormat(crop=8, dtype="float32", mean=0.5),
    clipx.ClipFormat(resize=16, order="CTHW"),
    clipx.ClipFormat(crop=("ten", 8), dtype="float16", order="TCHW"),
    clipx.ClipFormat(crop=clipx.RandomResizedCrop((7, 9)), flip=0.5, mean="imagenet"),
    clipx.ClipFormat(resize=("fit", 20, 12, 255), interpolation="bicubic", crop=("random", 8)),
]


class Stream:
    """A file object that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def as_source(random: Random, data: bytes) -> Any:
    return random.choice((data, data, io.BytesIO(data), Stream(data), memoryview(data)))


def options_of(random: Random) -> clipx.VideoOptions:
    damage, fps = random.choice(("stop", "skip", "keep")), random.choice((None, None, 10, 60))
    return clipx.VideoOptions(
        damage=damage,
        fps=fps,
        color=random.choice(("rgb", "rgb", "gray")),
        num_threads=random.choice((1, 1, 1, 2)),
        start_seconds=random.choice((None, None, None, 0.1)),
        # At a rate of its own, a frame whose time is wrong can be shown for hours, and is, frame by frame.
        end_seconds=random.choice((None, None, None, 0.25)) or (60 if fps else None),
        max_pixels=1 << 20,
    )


def exhaust(clips: Any, most: int = MOST_CLIPS) -> int:
    total = 0
    try:
        for clip in islice(clips, most):
            total += int(clip.data.size) + clip.index * 0
    finally:
        clips.close()
    return total


def use_video(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    for _ in range(2):
        window, format, options = random.choice(WINDOWS), random.choice(FORMATS), options_of(random)
        sound_of_clip = random.choice((None, None, clipx.AudioFormat(sample_rate=8000, mono=True)))
        with suppress(documented):
            exhaust(video.clips(as_source(random, data), window, format, options=options, audio=sound_of_clip, rng=0))
    if random.random() < 0.2:
        with suppress(documented):
            count_frames(data, random.choice(WINDOWS), options_of(random), "input")
    if random.random() < 0.2:
        use_stage({"mp4": data}, random, documented)


def use_sound(data: bytes, random: Random, documented: tuple[type[Exception], ...]) -> None:
    windows = [
        clipx.WindowSpec(500),
        clipx.WindowSpec(400, 100, policy="repeat_last"),
        clipx.WindowSpec(300, num_clips=3),
        clipx.WindowSpec(800, 300, policy="backpad"),
        clipx.WindowSpec(64, 999, policy="wrap"),
    ]
    for _ in range(2):
        format = random.choice((None, None, clipx.AudioFormat(mono=True), clipx.AudioFormat(sample_rate=4000)))
        with suppress(documented):
            exhaust(audio.clips(as_source(random, data), random.choice(windows), format, rng=0))
    if random.random() < 0.2:
        use_stage({"wav": data}, random, documented, clipx.WindowSpec(400))


def use_stage(fields: dict, random: Random, documented: tuple[type[Exception], ...], window: Any = None) -> None:
    """The stage, whose handler gets what is wrong with a sample, and nothing that is not documented."""

    def handler(exn: Exception) -> bool:
        if not isinstance(exn, documented):
            raise exn
        return True

    stage = wds.clips(window or random.choice(WINDOWS), seed=0, handler=handler)
    for _ in islice(stage(iter([{"__key__": "a", **fields}, {"__key__": "b", **fields}])), MOST_CLIPS):
        pass
