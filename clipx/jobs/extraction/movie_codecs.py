"""The codecs of encoding "mp4": what options each takes, and what they are to FFmpeg."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import av

__all__ = ["CODECS", "DEFAULT_CODEC", "DEFAULT_GOP", "MovieCodec", "VideoSettings", "has_encoder", "settings"]

DEFAULT_CODEC, DEFAULT_GOP = "libx264", 12

FAST_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast")
SLOW_PRESETS = ("slow", "slower", "veryslow", "placebo")
X26X_PRESETS = (*FAST_PRESETS, "medium", *SLOW_PRESETS)
X265 = "log-level=none:pools=none:frame-threads=1:open-gop=0:info=0"
"""Silent, in one thread, with groups of pictures that can be decoded by themselves, and not naming its version."""


class VideoSettings(NamedTuple):
    """How the pictures of a clip are encoded.

    Attributes:
        encoder: FFmpeg's name of it.
        rgb_encoder, rgb: of the one that keeps pictures of three channels, and its pixel format.
        options: that they are opened with.
        gop: frames from one key frame to the next, at most.
        lossless: whether bytes are kept.
        needs_even: whether 4:2:0 is for pictures of even width and height alone.
        memory: bytes that the encoder takes, and further ones for each pixel of a picture.
    """

    encoder: str
    rgb_encoder: str
    rgb: str
    options: dict[str, str]
    gop: int
    lossless: bool
    needs_even: bool
    memory: tuple[int, int]


class MovieCodec(NamedTuple):
    """A codec, and what options it takes.

    Attributes:
        name: of what it makes, such as "h264".
        crf: the default, and the most; the least is 0.
        whole_crf: whether crf is a whole number.
        presets: and which of them is the default.
        encode: FFmpeg's options for a crf and a preset.
        keep: likewise, for a preset, where nothing is lost; None where it has no such RGB.
        kept_by: FFmpeg's name of the encoder that does that, and its pixel format of RGB.
        needs_even: whether 4:2:0 is for pictures of even width and height alone.
        memory: bytes that an encoder was measured to take, and for each pixel of a picture, by most presets and by
            those of `slow`.
        slow: presets that look further ahead.
    """

    name: str
    crf: tuple[int, int]
    whole_crf: bool
    presets: tuple[str, ...]
    preset: str
    encode: Callable[[str, str], dict[str, str]]
    keep: Callable[[str], dict[str, str]] | None
    kept_by: tuple[str, str]
    needs_even: bool
    memory: tuple[int, int, int]
    slow: tuple[str, ...]


CODECS = {
    "libx264": MovieCodec(
        "h264",
        (18, 51),
        False,
        X26X_PRESETS,
        "medium",
        lambda crf, preset: {"crf": crf, "preset": preset},
        lambda preset: {"qp": "0", "preset": preset},
        ("libx264rgb", "rgb24"),
        True,
        (16_000_000, 80, 320),
        SLOW_PRESETS,
    ),
    "libx265": MovieCodec(
        "hevc",
        (20, 51),
        False,
        X26X_PRESETS,
        "medium",
        lambda crf, preset: {"crf": crf, "preset": preset, "x265-params": X265},
        lambda preset: {"preset": preset, "x265-params": f"lossless=1:{X265}"},
        ("libx265", "gbrp"),
        True,
        (40_000_000, 180, 400),
        SLOW_PRESETS,
    ),
    "libsvtav1": MovieCodec(
        "av1",
        (30, 63),
        True,
        tuple(map(str, range(14))),
        "8",
        lambda crf, preset: {"crf": crf, "preset": preset, "svtav1-params": "lp=1"},
        None,
        ("", ""),
        False,
        (20_000_000, 270, 340),
        tuple(map(str, range(6))),
    ),
    "libvpx-vp9": MovieCodec(
        "vp9",
        (24, 63),
        True,
        tuple(map(str, range(9))),
        "4",
        lambda crf, preset: {"crf": crf, "cpu-used": preset},
        lambda preset: {"lossless": "1", "cpu-used": preset},
        ("libvpx-vp9", "gbrp"),
        False,
        (15_000_000, 130, 130),
        (),
    ),
}
"""The codecs, by FFmpeg's names of their encoders."""


def has_encoder(name: str) -> bool:
    """Whether this FFmpeg has an encoder of this name."""
    try:
        av.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def settings(
    codec: str | None, crf: float | None, preset: str | int | None, gop: int | None
) -> tuple[MovieCodec, VideoSettings]:
    """The codec, and how it encodes, of options; None for a default.

    Raises ValueError for a codec that there is not, and for options that it does not take.
    """
    codec = DEFAULT_CODEC if codec is None else codec
    if codec not in CODECS:
        raise ValueError(f"codec is {codec!r}, but must be one of {_available()}")
    found = CODECS[codec]
    chosen = found.preset if preset is None else str(preset)
    if chosen not in found.presets:
        raise ValueError(f"preset is {preset!r}, but {codec} takes one of {', '.join(found.presets)}")
    level = found.crf[0] if crf is None else crf
    if not 0 <= level <= found.crf[1] or (found.whole_crf and level != int(level)):
        kind = "a whole number" if found.whole_crf else "a number"
        least = 0 if found.keep else 1
        raise ValueError(f"crf is {crf}, but {codec} takes {kind} from {least} to {found.crf[1]}")
    if level:
        options = found.encode(f"{level:g}", chosen)
    elif found.keep is None:
        keeping = ", ".join(name for name, each in CODECS.items() if each.keep)
        raise ValueError(
            f"crf is 0, which keeps every byte, but {codec} has no RGB, and takes crf from 1 to {found.crf[1]}: take "
            f"one of {keeping} for that"
        )
    else:
        options = found.keep(chosen)
    for encoder in (codec, *([] if level else [found.kept_by[0]])):
        if not has_encoder(encoder):
            raise ValueError(f"codec is {codec!r}, but this FFmpeg has no encoder {encoder!r}; it has {_available()}")
    if codec == "libsvtav1":
        # Errors alone: it writes to the standard error, past FFmpeg's log, and asks once what to write.
        os.environ.setdefault("SVT_LOG", "1")
    frames = DEFAULT_GOP if gop is None else gop
    memory = found.memory[0], found.memory[2 if chosen in found.slow else 1]
    return found, VideoSettings(codec, *found.kept_by, options, frames, not level, found.needs_even, memory)


def _available() -> str:
    """The codecs that this FFmpeg has."""
    return ", ".join(name for name in CODECS if has_encoder(name)) or "none"
