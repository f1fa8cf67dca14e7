"""The audio streams of a file: which one is read, and how a file of sound alone is opened."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any, cast

import av

from clipx.audio.format import AudioFormat
from clipx.errors import MediaError
from clipx.media.opening import open_media
from clipx.media.sources import Source, can_rewind

__all__ = ["GAP_SECONDS", "find_audio", "open_audio"]

GAP_SECONDS = Fraction(1, 10)
"""Times of sound alone that are further apart than the samples between them by this are a gap."""

WAV_OPTIONS = {"max_size": "65536", "probesize": "32768"}
"""Bytes of a packet, of which FFmpeg's 4096 are mostly calls, and of what it looks into before the first one."""

WAV_HEAD = 4096
PLAIN_WAV = frozenset({1, 3, 6, 7})
"""Codecs of WAV (PCM, floats, A-law, mu-law) whose packets may have any size; of others a packet is a block."""

EXTENSIBLE_WAV = 0xFFFE

LOW_COMPLEXITY = 2
"""The audioObjectType, the first five bits of AAC's configuration (ISO/IEC 14496-3 1.6.2.1)."""


def find_audio(
    container: av.container.InputContainer, format: AudioFormat, name: str, video: Any = None
) -> av.AudioStream | None:
    """The audio stream that a format names, of a video the one that belongs to it; None where there is no sound.

    Raises MediaError for the number of a stream that is not there, and for a codec that is not known.
    """
    streams = container.streams.audio
    if format.stream == "best":
        if not streams:
            return None
        # FFmpeg chooses none whose rate is not known before it is decoded.
        stream = cast(av.AudioStream, container.streams.best("audio", related=video) or streams[0])
    else:
        number = format.stream
        if number >= len(streams):
            many = f"{len(streams)} audio stream{'s' * (len(streams) != 1)}" if streams else "no audio stream"
            raise MediaError(f"stream is {number}, but {name} has {many}")
        stream = streams[number]
    if cast(Any, stream.codec_context) is None:
        raise MediaError(f"{name} has sound of a codec that is not known")
    return stream


def open_audio(
    src: Source, format: AudioFormat, name: str, for_index: bool = False
) -> tuple[av.container.InputContainer, av.AudioStream]:
    """A file and the audio stream of it that a format names. Raises MediaError where it has none.

    for_index: whether only its packets, and the first of them decoded, are asked for: a MOV or MP4 of AAC alone is then
        opened without decoding any of it.
    """
    options = WAV_OPTIONS if _is_plain_wav(src) else None
    is_known = _is_plain_aac if for_index else None
    container = open_media(src, name, options=options, can_trust=False, is_known=is_known)
    try:
        stream = find_audio(container, format, name)
        if stream is None:
            raise MediaError(f"{name} has no audio stream")
    except MediaError:
        container.close()
        raise
    return container, stream


def _is_plain_aac(container: av.container.InputContainer) -> bool:
    """A MOV or MP4 that was opened without decoding holds AAC of low complexity alone, as its header says."""
    if len(container.streams) != 1 or not container.streams.audio:
        return False
    context = cast(Any, container.streams.audio[0].codec_context)
    if context is None or context.codec.canonical_name != "aac" or not context.sample_rate:
        return False
    return bool(context.extradata) and context.extradata[0] >> 3 == LOW_COMPLEXITY


def _is_plain_wav(src: Source) -> bool:
    """A source says that it is RIFF WAVE of plain samples, as far as that can be seen without taking bytes."""
    if isinstance(src, (bytes, bytearray, memoryview)):
        head = bytes(memoryview(src).cast("B")[:WAV_HEAD])
    elif isinstance(src, (str, os.PathLike)):
        try:
            with open(src, "rb") as file:
                head = file.read(WAV_HEAD)
        except OSError:  # the file is opened later, which raises this
            return False
    elif hasattr(src, "read") and can_rewind(src):
        at = src.tell()
        head = src.read(WAV_HEAD)
        src.seek(at)
    else:
        return False
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return False
    at = 12
    while head[at : at + 4] != b"fmt ":
        if at + 8 > len(head):
            return False
        size = int.from_bytes(head[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    code = int.from_bytes(head[at + 8 : at + 10], "little")
    if code == EXTENSIBLE_WAV:
        code = int.from_bytes(head[at + 32 : at + 34], "little")
    return code in PLAIN_WAV
