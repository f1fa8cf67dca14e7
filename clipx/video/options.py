"""Options of reading a video: `VideoOptions`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from clipx._checks import as_fps, integer
from clipx._reprs import value_repr
from clipx.media.damage import DAMAGE, AtDamage
from clipx.media.opening import MAX_PIXELS
from clipx.plan import FrameSpec
from clipx.plan.seconds import as_seconds
from clipx.video.color import COLORSPACES, RANGES, ColorRange, Colorspace

__all__ = ["VideoOptions", "at_rate"]

Color = Literal["rgb", "gray"]
AtStart = Literal["next", "shown"]
COLORS: tuple[Color, ...] = get_args(Color)
AT_START: tuple[AtStart, ...] = get_args(AtStart)
Quality = Literal["exact", "fast"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
BEST: Literal["best"] = "best"


def _one_of(name: str, value: Any, known: Any) -> None:
    if value is not None and (not isinstance(value, str) or value not in known):
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(known)}")


@dataclass(frozen=True)
class VideoOptions:
    """Options of reading a video.

    Args:
        fps: frames a second: clips are made of the frames that the video shows at `t0 + p / fps`, for p = 0, 1, ....
            Default: every frame of the video.
        start_seconds, end_seconds: the part of the video that clips are made of, [start, end) on the video's own clock.
            Ints, Fractions and texts such as "30000/1001" are exact; a float from `clip.pts_seconds`, also through JSON
            or 32 bits, means the exact time of that frame.
        at_start: "next": the first frame is the first that begins at start_seconds or later. "shown": it is the one
            that is on screen at start_seconds, where there is one, and with `fps` t0 is start_seconds then.
        rotate: whether frames are rotated (by a multiple of 90 degrees) and flipped as the file asks players to, in its
            container or else its stream: as its first frame says, also for clips that begin later.
        colorspace: "bt601" (BT.470 BG and SMPTE 170M are the same), "bt709", "bt2020" (non-constant luminance), "fcc"
            or "smpte240m"; default the one stated with each frame, BT.601 where none is. A frame in colors that FFmpeg
            does not convert (YCgCo, ICtCp, BT.2020 with constant luminance, ...) is a MediaError then.
        color_range: "limited" or "full"; default the one stated with each frame, limited where none is.
        color: "rgb", or "gray" for one channel, the luma.
        num_threads: of the decoder. One decodes if `damage` is not "stop", and for MPEG-1, MPEG-2 and VP8: several
            conceal damage in other ways, and miss some that one finds.
        stream: the file's video stream: "best", FFmpeg's choice (a default one before others), or its number from 0.
            Cover art is never the video, and does not count.
        damage: behaviour at damage of a file. "stop": the clips before the damage, then MediaError. "skip": clips in
            which the damage may show are left out, up to the next key frame. "keep": all clips, of the frames that the
            decoder gives, as players show them. See `clipx.video.clips`.
        quality: "exact": the frames that FFmpeg gives, bit for bit. "fast": not bit-exact. The decoder leaves out the
            loop filter of frames that no other refers to. It changes H.264 and HEVC; frames and clips stay the same
            ones, and how they are resized and converted.
        max_pixels: of a frame; a larger one is a MediaError before memory is taken for it.
        trusted: whether a path may be an address, a playlist, or another format that opens further files. Never set it
            for files of strangers.

    Raises TypeError and ValueError that name the argument.

    Stability: stable.
    """

    fps: Any = None
    start_seconds: Any = None
    end_seconds: Any = None
    at_start: AtStart = "next"
    rotate: bool = True
    colorspace: Colorspace | None = None
    color_range: ColorRange | None = None
    color: Color = "rgb"
    num_threads: int = 1
    stream: int | Literal["best"] = BEST
    damage: AtDamage = "stop"
    quality: Quality = "exact"
    max_pixels: int = MAX_PIXELS
    trusted: bool = False

    __repr__ = value_repr

    def __post_init__(self) -> None:
        if self.fps is not None:
            object.__setattr__(self, "fps", as_fps("fps", self.fps))
        for name in ("start_seconds", "end_seconds"):
            object.__setattr__(self, name, as_seconds(name, getattr(self, name)))
        if self.start_seconds is not None and self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise ValueError(
                f"end_seconds is {self.end_seconds}, but must be above start_seconds, {self.start_seconds}"
            )
        if self.at_start is None:
            raise ValueError(f"at_start is None, but must be one of {', '.join(AT_START)}")
        _one_of("at_start", self.at_start, AT_START)
        if self.at_start != "next" and self.start_seconds is None:
            raise ValueError(f"at_start is {self.at_start!r}, but start_seconds is None; give start_seconds")
        _one_of("colorspace", self.colorspace, COLORSPACES)
        _one_of("color_range", self.color_range, RANGES)
        for name, known in (("color", COLORS), ("damage", DAMAGE), ("quality", QUALITIES)):
            if getattr(self, name) is None:
                raise ValueError(f"{name} is None, but must be one of {', '.join(known)}")
            _one_of(name, getattr(self, name), known)
        stream: Any = self.stream
        if isinstance(stream, str) and stream != BEST and not stream.isdecimal():
            raise TypeError(f"stream is {stream!r}, but must be {BEST!r} or an integer")
        for name, least in (("num_threads", 1), ("stream", 0), ("max_pixels", 1)):
            if name == "stream" and stream == BEST:
                continue
            object.__setattr__(self, name, integer(name, getattr(self, name), least))
        for name in ("rotate", "trusted"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is {getattr(self, name)!r}, but must be True or False")


def at_rate(spec: FrameSpec, options: VideoOptions | None) -> VideoOptions:
    """The options at the rate that the spec was made for. Raises ValueError where they have another."""
    options = options or VideoOptions()
    fps = spec.timeline_fps
    if fps is None:
        return options
    if options.fps not in (None, fps):
        raise ValueError(f"fps is {options.fps}, but the window was made for {fps} frames a second")
    return replace(options, fps=fps)
