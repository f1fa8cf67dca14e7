"""One file, or one field of a sample, looked through: whether it is whole, and what is in it."""

from __future__ import annotations

import dataclasses
import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import av

from clipx._reading import BytesFile
from clipx.arrays.npy import read_header
from clipx.arrays.npz import Npz
from clipx.audio.clips import clips as sound_clips
from clipx.audio.decoder import channels_of
from clipx.audio.sound import AudioFormat
from clipx.datasets.origins import describe_error, shorten
from clipx.datasets.sources import kind_of_bytes
from clipx.errors import Damage, MediaError
from clipx.media.damage import Report
from clipx.media.opening import best_video, open_media
from clipx.media.rates import likely_rate, stated_rate
from clipx.media.sources import Source
from clipx.plan.windows import WindowSpec
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions

__all__ = ["Checked", "Stopped", "inspect"]

MOST_UNPACKED = 1 << 32
"""Bytes that the members of an npz may unpack to, for them to be read."""

MOST_TEXT = 1000
MOST_CHUNKS = 1000  # of a WAV, before its sound
NEVER_WRITTEN = 0x7FFF0000
"""Sizes from here on stand in a WAV whose size was not known when its header was written."""

BLOCK = WindowSpec(1 << 16, policy="constant")
"""Samples of a sound that are decoded at a time."""

EXACT = frozenset({"aiff", "caf", "flac", "w64", "wav"})
"""Containers of sound whose header says how long it is, to the sample."""
TOLD = frozenset({"avi", "flv", "matroska,webm"})
"""Containers whose header says how long the longest stream is, more or less."""


class Stopped(Exception):
    """The check is given up."""


@dataclass
class Checked:
    """What was found of a file, a shard, or a field of a sample.

    Attributes:
        source: the path or address.
        sample, field: of a shard's.
        kind: "video", "sound", "array", "shard" or "field".
        status: "ok"; "broken": it gives nothing; "damaged": it plays, but parts of it are wrong; "cut short": its end
            is missing.
        error: in words, where it is not ok.
        damage: the parts that are damaged, with their time in seconds where it is known.
        codec, frames, width, height, fps, seconds: of a video, or (without width, height and fps) a sound, whose frames
            are audio samples.
        sample_rate, channels: of the sound, alone or beside a video; None where there is none.
        sound_frames: audio samples beside a video.
        shape, dtype: of an array; of an npz a dict of [shape, dtype].
        samples: of a shard.
    """

    source: str
    sample: str | None = None
    field: str | None = None
    kind: str = ""
    status: str = "ok"
    error: str | None = None
    damage: list[Damage] = dataclasses.field(default_factory=list)
    codec: str | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    sound_frames: int | None = None
    shape: Any = None
    dtype: str | None = None
    samples: int | None = None

    @property
    def name(self) -> str:
        """Where it is, in words."""
        inside = " ".join(shorten(each) for each in (self.sample, self.field) if each is not None)
        return f"{self.source} {inside}".strip()

    def fail(self, status: str, error: str) -> None:
        """Say that it is not ok; what was said first stays."""
        if self.status == "ok":
            self.status, self.error = status, shorten(" ".join(error.split()), MOST_TEXT)

    def as_json(self) -> dict[str, Any]:
        """What is known of it, as JSON takes it."""
        told = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        told["damage"] = [each._asdict() for each in self.damage]
        needed = ("source", "kind", "status", *(("sample_rate",) if self.kind == "video" else ()))
        return {name: value for name, value in told.items() if name in needed or value not in (None, [])}


def inspect(found: Checked, src: Any, kind: str, *, headers: bool, is_stopped: Callable[[], bool]) -> Checked:
    """Look a source through, and say what was found.

    Args:
        src: path or bytes.
        kind: "video", "sound", "npy" or "npz"; "" looks into it.
        headers: whether to leave it at what headers and packets say, and to decode nothing.
        is_stopped: whether to give up; Stopped is then raised.
    """
    try:
        kind = kind or _look(src)
        found.kind = "array" if kind in ("npy", "npz") else kind
        if kind == "npy":
            _inspect_npy(found, src)
        elif kind == "npz":
            _inspect_npz(found, src, headers)
        elif kind == "video":
            _inspect_video(found, src, headers, is_stopped)
        else:
            _inspect_sound(found, src, headers, is_stopped)
    except Stopped:
        raise
    except Exception as exn:  # of whatever kind: what is in it makes it, and the next is to be looked at
        found.fail("broken", describe_error(exn))
    return found


def _look(src: Any) -> str:
    if isinstance(src, (str, os.PathLike)):
        with open(src, "rb") as file:
            head = file.read(8)
        return kind_of_bytes("", head) if head.startswith((b"\x93NUMPY", b"PK")) else _look_into_media(src)
    return kind_of_bytes("", src)


def _look_into_media(src: Any) -> str:
    with open_media(src, "it", can_trust=False) as container:
        return "video" if best_video(container) is not None or not container.streams.audio else "sound"


# Media


def _end(found: Checked, container: str, told: float | None, reached: float) -> None:
    """Compare what a header says of the duration with what came."""
    if told is None or not math.isfinite(told) or told <= 0:
        return
    if container in EXACT:
        short = reached < told - 0.001
    else:
        # By so much may a stream end before the longest one, and a writer be wrong.
        short = container in TOLD and reached < told - max(0.02 * told, min(0.1 * told, 0.5))
    if short:
        found.fail("cut short", f"it ends at {reached:.3f} s, but its header says {told:.3f} s")


def _facts(found: Checked, container: av.container.InputContainer) -> tuple[str, float | None]:
    """What the header says, and, for `_end`, the container and the seconds that it says it lasts."""
    video, sound = best_video(container), container.streams.best("audio")
    duration = None if container.duration is None else container.duration / 1e6
    if found.kind == "video" and video is not None:
        context = cast(Any, video.codec_context)
        if context is not None:
            found.codec = context.codec.canonical_name
            found.width, found.height = context.width or None, context.height or None
        rate = stated_rate(container, video) or likely_rate(video, [])
        found.fps = round(float(rate), 6)
        entries = list(video.index_entries) if "mp4" in container.format.name else []
        size = container.size
        if entries and size > 0 and max(entry.pos + entry.size for entry in entries) > size:
            end = max(entry.pos + entry.size for entry in entries)
            found.fail("cut short", f"its header lists packets up to byte {end}, but it has {size}")
    if sound is not None and cast(Any, sound.codec_context) is not None:
        heard = cast(Any, sound.codec_context)
        found.sample_rate, found.channels = heard.sample_rate, channels_of(sound)
        if found.kind == "sound":
            found.codec = heard.codec.canonical_name
    found.seconds = None if duration is None else round(duration, 6)
    return container.format.name, duration


def _inspect_video(found: Checked, src: Source, headers: bool, is_stopped: Callable[[], bool]) -> None:
    options = VideoOptions(damage="keep")
    with open_media(src, "it", can_trust=False) as container:
        name, duration = _facts(found, container)
    file, report = VideoFile(src, "it", options), Report("it", "keep", log=False)
    try:
        if headers:
            _count_packets(found, file)
            return
        reached, first = 0.0, None
        found.frames = 0
        try:
            for frame in VideoDecoder(file, report).frames():
                _check_stopped(is_stopped)
                found.frames += 1
                found.width, found.height = frame.image.width, frame.image.height
                first = frame.pts if first is None else first
                reached = float((frame.pts + frame.duration) * file.time_base)
        except MediaError as exn:
            found.fail(_status(str(exn)) if found.frames else "broken", str(exn))
    finally:
        file.close()
    found.seconds = 0.0 if first is None else round(reached - float(first * file.time_base), 6)
    if not found.frames:
        found.fail("broken", report.found[0].reason if report.found else "it has a video stream without frames")
    _tell_damage(found, report.found)
    if found.sample_rate is not None:
        _hear(found, src, is_stopped, beside=True)
    if found.sound_frames and found.sample_rate:
        reached = max(reached, found.sound_frames / found.sample_rate)
    _end(found, name, duration, reached)


def _count_packets(found: Checked, file: VideoFile) -> None:
    found.frames = file.frames_listed
    if found.frames is None:
        index = file.read_index()
        found.frames = None if index is None else index.frames


def _check_riff(found: Checked, src: Any) -> None:
    """Compare the size of the sound in a WAV with the bytes that are there; FFmpeg takes what there is."""
    file: Any = open(src, "rb") if isinstance(src, (str, os.PathLike)) else BytesFile(memoryview(src))  # noqa: SIM115
    with file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head, at = file.read(12), 12
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        for _ in range(MOST_CHUNKS):
            file.seek(at)
            chunk = file.read(8)
            if len(chunk) < 8:
                return
            told = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                # Who writes to a pipe cannot go back to say how much it was.
                if size - at - 8 < told < NEVER_WRITTEN:
                    found.fail("cut short", f"its header says {told} bytes of sound, but {size - at - 8} are there")
                return
            at += 8 + told + told % 2


def _inspect_sound(found: Checked, src: Source, headers: bool, is_stopped: Callable[[], bool]) -> None:
    with open_media(src, "it", can_trust=False) as container:
        name, duration = _facts(found, container)
        if found.channels is None:
            raise MediaError("it has no audio stream")
    _check_riff(found, src)
    if headers:
        return
    _hear(found, src, is_stopped, beside=False)
    if found.sample_rate and found.frames is not None:
        found.seconds = round(found.frames / found.sample_rate, 6)
        _end(found, name, duration, found.seconds)


def _hear(found: Checked, src: Source, is_stopped: Callable[[], bool], beside: bool) -> None:
    """Decode the sound of a file to its end, or to where it is damaged."""
    # The log, which tells of the first damage, needs the name; what is said here stands beside it.
    clips, count = sound_clips(src, BLOCK, AudioFormat(damage="keep"), name=found.name), 0
    try:
        for clip in clips:
            _check_stopped(is_stopped)
            count += clip.valid
            found.sample_rate, found.channels = clip.sample_rate, clip.data.shape[0]
    except MediaError as exn:
        at = f", after {count / found.sample_rate:.3f} s of sound" if found.sample_rate else ""
        whole = "damaged" if count or beside else "broken"
        found.fail(_status(str(exn), whole), f"{exn}{at}".replace(found.name, "it", 1))
    finally:
        clips.close()
    _tell_damage(found, [each._replace(reason=each.reason.replace(found.name, "it", 1)) for each in clips.damages])
    if beside:
        found.sound_frames = count
    else:
        found.frames = count


def _tell_damage(found: Checked, damages: list[Damage]) -> None:
    """Say what is damaged, and where the first of it is."""
    found.damage += damages
    if damages:
        at = "" if damages[0].seconds is None else f" (at {damages[0].seconds:.3f} s)"
        more = f", and at {len(damages) - 1} more places" if len(damages) > 1 else ""
        found.fail(_status(damages[0].reason), f"{damages[0].reason}{at}{more}")


def _status(reason: str, otherwise: str = "damaged") -> str:
    """What a reason says of a file: that its end is missing, or something else."""
    return "cut short" if " ends " in reason else otherwise


def _check_stopped(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise Stopped


# Arrays


def _bytes_of(src: Any) -> Any:
    return Path(src).read_bytes() if isinstance(src, (str, os.PathLike)) else src


def _inspect_npy(found: Checked, src: Any) -> None:
    file: Any = open(src, "rb") if isinstance(src, (str, os.PathLike)) else BytesFile(memoryview(src))  # noqa: SIM115
    with file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        header = read_header(cast(IO[bytes], file), size)
    found.shape, found.dtype = list(header.shape), str(header.dtype)


def _inspect_npz(found: Checked, src: Any, headers: bool) -> None:
    members = Npz(_bytes_of(src))
    if not headers and members.unpacked_bytes > MOST_UNPACKED:
        raise ValueError(f"it unpacks to {members.unpacked_bytes} bytes; at most {MOST_UNPACKED} are read")
    shapes: dict[str, Any] = {}
    for name in members:
        if headers:
            shapes[name] = [list(members.shape(name) or ()), None]
        else:
            array = members[name]
            shapes[name] = [list(getattr(array, "shape", ())), str(getattr(array, "dtype", "bytes"))]
            del array
    found.shape = shapes
