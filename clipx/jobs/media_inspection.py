"""Inspection of videos and sounds: facts from their headers, and damage found by decoding them to the end."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import IO, Any, cast

import av

from clipx._reading import BytesFile, size_of
from clipx.audio.clips import clips as sound_clips
from clipx.audio.format import AudioFormat
from clipx.audio.layouts import channels_of
from clipx.errors import Damage, MediaError
from clipx.jobs.findings import Finding
from clipx.media.damage import Report
from clipx.media.opening import best_video, open_media
from clipx.media.rates import likely_rate, stated_rate
from clipx.media.sources import Source
from clipx.plan import WindowSpec
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions

__all__ = ["Cancelled", "inspect_sound", "inspect_video", "kind_of_media", "open_source"]

MOST_CHUNKS = 1000
"""Chunks of a WAV before its sound."""

UNKNOWN_SIZE = 0x7FFF0000
"""Least size that a WAV states whose size was not known when its header was written."""

BLOCK = WindowSpec(1 << 16, policy="constant")
"""Audio samples that are decoded at a time."""

EXACT_DURATION = frozenset({"aiff", "caf", "flac", "w64", "wav"})
"""Containers of sound whose header states the duration to the audio sample."""

ROUGH_DURATION = frozenset({"avi", "flv", "matroska,webm"})
"""Containers whose header states roughly how long the longest stream is."""


class Cancelled(Exception):
    """The check has been cancelled."""


def _check_cancelled(is_cancelled: Callable[[], bool]) -> None:
    if is_cancelled():
        raise Cancelled


def open_source(src: Any) -> IO[bytes]:
    """A file over a path or bytes."""
    if isinstance(src, (str, os.PathLike)):
        return open(src, "rb")
    return cast(IO[bytes], BytesFile(memoryview(src)))


def kind_of_media(src: Any) -> str:
    """The kind of a media file by its streams, "video" or "sound". Raises MediaError where it cannot be opened."""
    with open_media(src, "it", can_trust=False) as container:
        return "video" if best_video(container) is not None or not container.streams.audio else "sound"


def _check_end(found: Finding, container: str, stated: float | None, reached: float) -> None:
    """Compare the duration that a header states with the time that decoding has reached, both in seconds."""
    if stated is None or not math.isfinite(stated) or stated <= 0:
        return
    if container in EXACT_DURATION:
        short = reached < stated - 0.001
    else:
        # The tolerance allows for streams that end before the longest one, and for writers that round.
        short = container in ROUGH_DURATION and reached < stated - max(0.02 * stated, min(0.1 * stated, 0.5))
    if short:
        found.fail("truncated", f"it ends at {reached:.3f} s, but its header says {stated:.3f} s")


def _read_facts(found: Finding, container: av.container.InputContainer) -> tuple[str, float | None]:
    """Add the facts of the header to a finding.

    Returns the container's name and the duration that it states, for `_check_end`.
    """
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
        end, size = max((entry.pos + entry.size for entry in entries), default=0), container.size
        if end > size > 0:
            found.fail("truncated", f"its header lists packets up to byte {end}, but it has {size}")
    if sound is not None and cast(Any, sound.codec_context) is not None:
        context = cast(Any, sound.codec_context)
        found.sample_rate, found.channels = context.sample_rate, channels_of(sound)
        if found.kind == "sound":
            found.codec = context.codec.canonical_name
    found.seconds = None if duration is None else round(duration, 6)
    return container.format.name, duration


def inspect_video(found: Finding, src: Source, headers: bool, is_cancelled: Callable[[], bool]) -> None:
    """Add the facts of a video, and its damage, to a finding."""
    with open_media(src, "it", can_trust=False) as container:
        name, duration = _read_facts(found, container)
    file, report = VideoFile(src, "it", VideoOptions(damage="keep")), Report("it", "keep", log=False)
    try:
        if headers:
            found.frames = _count_packets(file)
            return
        reached, first = 0.0, None
        found.frames = 0
        try:
            for frame in VideoDecoder(file, report).frames():
                _check_cancelled(is_cancelled)
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
    _add_damage(found, report.found)
    if found.sample_rate is not None:
        found.sound_frames = _decode_sound(found, src, is_cancelled, alone=False)
        if found.sample_rate:
            reached = max(reached, found.sound_frames / found.sample_rate)
    _check_end(found, name, duration, reached)


def _count_packets(file: VideoFile) -> int | None:
    """Number of frames by the header or the packets; None where neither says."""
    if file.frames_listed is not None:
        return file.frames_listed
    index = file.read_index()
    return None if index is None else index.frames


def inspect_sound(found: Finding, src: Source, headers: bool, is_cancelled: Callable[[], bool]) -> None:
    """Add the facts of a sound file, and its damage, to a finding. Raises MediaError where it has no sound."""
    with open_media(src, "it", can_trust=False) as container:
        name, duration = _read_facts(found, container)
        if found.channels is None:
            raise MediaError("it has no audio stream")
    _check_riff(found, src)
    if headers:
        return
    found.frames = _decode_sound(found, src, is_cancelled, alone=True)
    if found.sample_rate:
        found.seconds = round(found.frames / found.sample_rate, 6)
        _check_end(found, name, duration, found.seconds)


def _check_riff(found: Finding, src: Any) -> None:
    """Compare the size of the sound that a WAV states with its bytes; FFmpeg takes what there is without a word."""
    with open_source(src) as file:
        size = size_of(file)
        head, position = file.read(12), 12
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        for _ in range(MOST_CHUNKS):
            file.seek(position)
            chunk = file.read(8)
            if len(chunk) < 8:
                return
            stated, held = int.from_bytes(chunk[4:], "little"), size - position - 8
            if chunk[:4] == b"data":
                if held < stated < UNKNOWN_SIZE:
                    found.fail("truncated", f"its header says {stated} bytes of sound, but {held} are there")
                return
            position += 8 + stated + stated % 2


def _decode_sound(found: Finding, src: Source, is_cancelled: Callable[[], bool], alone: bool) -> int:
    """Number of audio samples up to the end of a file, or to damage that ends it; damage is added to the finding."""
    # The log, which warns of the first damage, needs the name; the finding's own messages say "it".
    clips, count = sound_clips(src, BLOCK, AudioFormat(damage="keep"), name=found.name), 0
    try:
        for clip in clips:
            _check_cancelled(is_cancelled)
            count += clip.valid
            found.sample_rate, found.channels = clip.sample_rate, clip.data.shape[0]
    except MediaError as exn:
        after = f", after {count / found.sample_rate:.3f} s of sound" if found.sample_rate else ""
        otherwise = "broken" if alone and not count else "damaged"
        found.fail(_status(str(exn), otherwise), f"{exn}{after}".replace(found.name, "it", 1))
    finally:
        clips.close()
    _add_damage(found, [each._replace(reason=each.reason.replace(found.name, "it", 1)) for each in clips.damages])
    return count


def _add_damage(found: Finding, damages: list[Damage]) -> None:
    """Add damage to a finding; its error says where the first of it is."""
    found.damage += damages
    if damages:
        time = "" if damages[0].seconds is None else f" (at {damages[0].seconds:.3f} s)"
        more = f", and at {len(damages) - 1} more times" if len(damages) > 1 else ""
        found.fail(_status(damages[0].reason), f"{damages[0].reason}{time}{more}")


def _status(reason: str, otherwise: str = "damaged") -> str:
    """The status of a file with this damage: "truncated" where its end is missing."""
    return "truncated" if " ends " in reason else otherwise
