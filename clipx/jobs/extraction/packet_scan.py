"""All packets of an open video and its sound, read once, without decoding pictures, to make their tables."""

from __future__ import annotations

from array import array
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np

from clipx.errors import MediaError
from clipx.jobs.extraction.access_points import CODECS, reader_of
from clipx.jobs.extraction.announced_bytes import HEAD_BYTES, announced_bytes
from clipx.jobs.extraction.packet_table import PacketFlags, PacketTable, SoundPackets, not_copied
from clipx.media.demuxing import demuxed
from clipx.video.file import VideoFile

__all__ = ["scan_packets"]

AAC_SAMPLES = 1024
MOST_DECODED = 8
"""Packets of sound that are decoded to learn its rate."""


def scan_packets(file: VideoFile, sound: av.AudioStream | None) -> tuple[PacketTable, SoundPackets | None]:
    """The tables of a video's packets and of its sound's; the file must be rewound then.

    Raises MediaError for packets that are damaged, or that do not say which frames they give, and for a file that ends
    too early.
    """
    if file.codec not in CODECS:
        raise not_copied(file.name, f"packets of {file.codec} do not say which frames they give")
    return _Scan(file, sound).tables()


class _Scan:
    """The packets of a file so far: numbers of each, one behind the other, in little memory."""

    def __init__(self, file: VideoFile, sound: av.AudioStream | None) -> None:
        self._file, self._sound = file, sound
        self._numbers, self._flags = array("q"), bytearray()
        self._heard, self._discarded = array("q"), bytearray()
        self._rate, self._layout, self._hides, self._is_learned = 0, "", False, False

    def tables(self) -> tuple[PacketTable, SoundPackets | None]:
        file = self._file
        try:
            listed = self._read()
        except av.FFmpegError as exn:
            raise self._damage(f"cannot be read: {exn.strerror or exn}") from exn
        if listed < file.announced:
            raise self._damage(f"ends after {listed} of {file.announced} packets")
        if not self._flags:
            raise MediaError(f"{file.name} has a video stream without frames")
        size, announced = file.container.size, announced_bytes(bytes(file.head(HEAD_BYTES)))
        if announced is not None and 0 < size < announced:
            raise self._damage(f"ends after {size} of {announced} bytes")
        packets = np.frombuffer(self._numbers, dtype=np.int64).reshape(-1, 3)
        is_reordered = file.stream.codec_context.has_b_frames or not file.gives_frames
        if not is_reordered and np.any(np.diff(packets[:, 0]) <= 0):
            raise not_copied(file.name, "times of its packets are not in order")
        return PacketTable(file.name, file.time_base, packets, self._flags), self._sound_packets()

    def _read(self) -> int:
        """Read the packets. Returns the number of the video's, with those that were never recorded."""
        file, sound, listed = self._file, self._sound, 0
        number = file.stream.index
        read = reader_of(file.codec, bytes(file.stream.codec_context.extradata or b""))
        for packet in demuxed(file.container, *([file.stream] if sound is None else [file.stream, sound])):
            is_video, pts, size = packet.stream_index == number, packet.pts, packet.size
            if not size:
                listed += is_video and packet.dts is not None
                continue
            if packet.is_corrupt:
                raise self._damage(f"is damaged or ends inside packet {len(self._flags)}")
            if not is_video:
                if pts is not None:
                    self._is_learned = self._is_learned or self._learn(packet)
                    self._heard.extend((pts, packet.duration or 0, size))
                    self._discarded.append(packet.is_discard)
                continue
            found = read(bytes(packet), packet.is_keyframe)
            if pts is None or isinstance(found, str):
                raise not_copied(file.name, found if isinstance(found, str) else "its packets have no times")
            self._numbers.extend((pts, max(packet.duration or 0, 0), size))
            self._flags.append(PacketFlags.of(found, packet.is_discard))
            listed += 1
        return listed

    def _learn(self, packet: av.Packet) -> bool:
        """Decode a first packet of the sound: containers may not state its rate, or state another. Returns whether
        that gave sound, or is enough."""
        assert self._sound is not None
        context = self._sound.codec_context
        self._rate = self._rate or context.sample_rate
        frames: list[av.AudioFrame] = []
        with suppress(av.FFmpegError):
            frames = context.decode(packet)
        self._rate, self._layout = self._rate or context.sample_rate, context.layout.name
        # HE-AAC gives twice the samples that its container counts.
        is_plain = context.codec.canonical_name != "aac" or all(frame.samples <= AAC_SAMPLES for frame in frames)
        self._hides = is_plain and bool(frames) and frames[0].sample_rate == self._rate
        return bool(frames) or len(self._discarded) >= MOST_DECODED

    def _sound_packets(self) -> SoundPackets | None:
        stream, name = self._sound, self._file.name
        if not self._discarded or stream is None:
            return None
        pts, durations, sizes = np.frombuffer(self._heard, dtype=np.int64).reshape(-1, 3).T
        if np.any(np.diff(pts) <= 0):
            raise not_copied(name, "times of its sound are not in order")
        if not self._rate:
            raise not_copied(name, "the rate of its sound is not known")
        return SoundPackets(
            pts,
            durations,
            sizes,
            np.frombuffer(self._discarded, dtype=bool),
            Fraction(stream.time_base or 1),
            stream.codec_context.codec.canonical_name,
            self._rate,
            self._layout,
            self._hides,
        )

    def _damage(self, what: str) -> MediaError:
        """The error of damage, behind the packets so far."""
        file, at = self._file, ""
        seconds = float(self._numbers[-3] * file.time_base) if self._numbers else None
        if seconds is not None:
            at = f" (at {seconds:.3f} s)"
        error = MediaError(f"{file.name} {what}{at}: damaged files are not copied by packets; encode clips anew")
        error.seconds = seconds
        return error
