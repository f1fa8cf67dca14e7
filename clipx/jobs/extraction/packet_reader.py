"""The packets of an open video and its sound: all of them to make their table, and then those of one clip after the
other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.streams import find_audio
from clipx.errors import MediaError
from clipx.jobs.extraction.access_points import CODECS, EncodedFrame, reader_of
from clipx.jobs.extraction.announced_bytes import HEAD_BYTES, announced_bytes
from clipx.jobs.extraction.packet_table import CURE, PacketTable, SoundPackets, Span
from clipx.media.demuxing import demuxed
from clipx.media.opening import failures
from clipx.media.packet_index import NO_TIME, gives_frames
from clipx.video.file import VideoFile

__all__ = ["PacketReader", "SpanPackets", "TimedPacket"]

NEAR_PACKETS = 64
"""Packets that are passed over by reading them rather than by seeking."""

AAC_SAMPLES = 1024
MOST_DECODED = 8
"""Packets of sound that are decoded to learn its rate."""

PASSED_STARTS = 2, 16
"""Starts before a clip's from which its packets are looked for: sound may lie before the pictures of its time."""


class TimedPacket(NamedTuple):
    """A packet, and its times in ticks of its stream; dts NO_TIME where the file does not say."""

    packet: av.Packet
    pts: int
    dts: int
    duration: int


class SpanPackets(NamedTuple):
    """The packets of a clip: of its video in the order of decoding, and of its sound."""

    video: list[TimedPacket]
    sound: list[TimedPacket]


class _Run:
    """Packets of one stream that follow each other, as they are read.

    Attributes:
        at: number of the packet that comes next; None where that is not known, after a seek.
        seeks: whether packets can be told apart, so that their numbers are known after a seek.
        held: those that have been read and not been given up.
    """

    def __init__(self, pts: np.ndarray, sizes: np.ndarray) -> None:
        self._pts, self._sizes = pts, sizes
        self.seeks = len(np.unique(pts)) == len(pts)
        self._number_of: dict[int | None, int] = dict(zip(pts.tolist(), range(len(pts)))) if self.seeks else {}
        self.at: int | None = 0
        self.held: deque[av.Packet] = deque()

    def __len__(self) -> int:
        return len(self._pts)

    @property
    def begin(self) -> int:
        """Number of the first packet that is held, or else comes next."""
        assert self.at is not None
        return self.at - len(self.held)

    def give_up(self, first: int) -> None:
        """Give up the packets before one."""
        while self.held and self.begin < first:
            self.held.popleft()

    def add(self, packet: av.Packet, first: int) -> bool:
        """Take the next packet, and hold it unless it comes before `first`. Returns False for one that is another.

        After a seek, packets that are not known are passed over: they may lack their beginning.
        """
        at = self.at if self.at is not None else self._number_of.get(packet.pts)
        if at is None or at >= len(self) or (self._pts[at], self._sizes[at]) != (packet.pts, packet.size):
            return self.at is None
        self.at = at + 1
        if at >= first:
            self.held.append(packet)
        return True

    def take(self, first: int, last: int) -> list[av.Packet]:
        """The packets [first, last), which are held."""
        begin = self.begin
        return [self.held[each - begin] for each in range(first, last)]


class PacketReader:
    """Reads the packets of a video, and of the sound that belongs to it, without decoding.

    Attributes:
        table: of the video's packets.
        sound: of the sound's; None where there is none.
        sound_stream: of av, which is another after the file has been read again; None where there is none.

    Raises MediaError for packets that are damaged, or that do not say which frames they give, and for a file that ends
    too early.
    """

    def __init__(self, file: VideoFile) -> None:
        self._file = file
        if file.codec not in CODECS:
            raise MediaError(
                f"{file.name} cannot be copied by packets: those of {file.codec} do not say their frames; {CURE}"
            )
        self._rate, self._layout, self._hides = 0, "", False
        if file.reused:
            file.rewind()
        self._find_sound()
        with failures(file.name, "read"):
            self.table, self.sound = self._read_all()
            size, announced = file.container.size, announced_bytes(bytes(file.head(HEAD_BYTES)))
        if announced is not None and 0 < size < announced:
            end = float(self.table.seconds(len(self.table.times.pts), file.frame_ticks))
            raise self._damage(f"ends after {size} of {announced} bytes", end)
        self._video_run = _Run(self.table.pts, self.table.sizes)
        sound = self.sound
        none = np.zeros(0, dtype=np.int64)
        self._sound_run = _Run(none, none) if sound is None else _Run(sound.pts, sound.sizes)
        self._rewind()

    def _find_sound(self) -> None:
        file = self._file
        self.sound_stream = find_audio(file.container, AudioFormat(), file.name, file.stream)

    def _packets(self) -> Iterator[tuple[bool, av.Packet]]:
        """The packets that are not empty, with whether they are of the video."""
        file, sound = self._file, self.sound_stream
        streams = [file.stream] if sound is None else [file.stream, sound]
        for packet in demuxed(file.container, *streams):
            if packet.size:
                yield packet.stream_index == file.stream.index, packet

    def _read_all(self) -> tuple[PacketTable, SoundPackets | None]:
        file = self._file
        context = file.stream.codec_context
        read = reader_of(file.codec, bytes(context.extradata or b""))
        numbers: list[tuple[int, int, int, int]] = []
        sounds: list[tuple[int, int, int, bool]] = []
        facts: list[EncodedFrame] = []
        discarded: list[bool] = []
        is_known = False

        def ends_at() -> float | None:
            return float(numbers[-1][0] * file.time_base) if numbers else None

        for is_video, packet in self._packets():
            pts = packet.pts
            if packet.is_corrupt:
                raise self._damage(f"is damaged or ends inside packet {len(numbers)}", ends_at())
            if not is_video:
                if pts is not None:
                    is_known = is_known or len(sounds) >= MOST_DECODED or self._learn_sound(packet)
                    sounds.append((pts, packet.duration or 0, packet.size, packet.is_discard))
                continue
            found = read(bytes(packet), packet.is_keyframe)
            if pts is None or isinstance(found, str):
                why = found if isinstance(found, str) else "packets have no times"
                raise MediaError(f"{file.name} cannot be copied by packets: {why}; {CURE}")
            dts = NO_TIME if packet.dts is None else packet.dts
            numbers.append((pts, dts, packet.duration or 0, packet.size))
            facts.append(found)
            discarded.append(packet.is_discard)
        if len(numbers) < file.announced:
            raise self._damage(f"ends after {len(numbers)} of {file.announced} packets", ends_at())
        if not numbers:
            raise MediaError(f"{file.name} has a video stream without frames")
        packets = np.array(numbers, dtype=np.int64)
        if (
            not context.has_b_frames
            and gives_frames(file.container, file.stream)
            and np.any(np.diff(packets[:, 0]) <= 0)
        ):
            raise MediaError(f"{file.name} cannot be copied by packets: their times are not in order; {CURE}")
        table = PacketTable(file.name, file.time_base, packets, facts, np.array(discarded, dtype=bool))
        return table, self._sound_packets(sounds)

    def _learn_sound(self, packet: av.Packet) -> bool:
        """Decode a first packet of the sound: containers may not state its rate, or another one. Returns False where
        that has given no frame."""
        assert self.sound_stream is not None
        context = self.sound_stream.codec_context
        self._rate = self._rate or context.sample_rate
        frames: list[av.AudioFrame] = []
        with suppress(av.FFmpegError):
            frames = context.decode(packet)
        self._rate, self._layout = self._rate or context.sample_rate, context.layout.name
        # HE-AAC gives twice the samples that its container counts.
        is_plain = context.codec.canonical_name != "aac" or all(frame.samples <= AAC_SAMPLES for frame in frames)
        self._hides = is_plain and bool(frames) and frames[0].sample_rate == self._rate
        return bool(frames)

    def _sound_packets(self, found: list[tuple[int, int, int, bool]]) -> SoundPackets | None:
        stream, name = self.sound_stream, self._file.name
        if not found or stream is None:
            return None
        pts, durations, sizes, discarded = np.array(found, dtype=np.int64).T
        if np.any(np.diff(pts) <= 0):
            raise MediaError(f"{name} cannot be copied by packets: times of its sound are not in order; {CURE}")
        if not self._rate:
            raise MediaError(f"{name} cannot be copied by packets: the rate of its sound is not known; {CURE}")
        codec, base = stream.codec_context.codec.canonical_name, Fraction(stream.time_base or 1)
        return SoundPackets(pts, durations, sizes, discarded > 0, base, codec, self._rate, self._layout, self._hides)

    def _damage(self, what: str, seconds: float | None) -> MediaError:
        at = "" if seconds is None else f" (at {seconds:.3f} s)"
        error = MediaError(f"{self._file.name} {what}{at}: damaged files are not copied by packets; {CURE}")
        error.seconds = seconds
        return error

    def _rewind(self) -> None:
        self._file.rewind()
        self._find_sound()
        self._begin(0)

    def _begin(self, at: int | None) -> None:
        """Read on from the file's position, where packets of this number come next; None where that is not known."""
        self._left = self._packets()
        for run in (self._video_run, self._sound_run):
            run.at = at
            run.held.clear()

    def read(self, span: Span, sound: tuple[int, int]) -> SpanPackets:
        """The packets of a span, and those of the sound from one to another.

        They are held until the packets of a later span are read. Raises MediaError where the file has changed.
        """
        table, heard = self.table, self.sound
        with failures(self._file.name, "read"):
            self._go_to(span, sound)
        video = [
            TimedPacket(packet, int(table.pts[at]), int(table.dts[at]), int(table.durations[at]))
            for at, packet in enumerate(self._video_run.take(span.first, span.last), span.first)
            if at not in span.left_out
        ]
        if heard is None or sound[0] == sound[1]:
            return SpanPackets(video, [])
        start = table.seconds(span.start_frame, 0)
        return SpanPackets(
            video,
            [
                TimedPacket(packet, int(heard.pts[at]), int(heard.pts[at]), int(heard.durations[at]))
                for at, packet in enumerate(self._sound_run.take(*sound), sound[0])
                if not heard.discarded[at] or heard.seconds(at) < start
            ],
        )

    def _go_to(self, span: Span, sound: tuple[int, int]) -> None:
        video_run, sound_run = self._video_run, self._sound_run
        video_run.give_up(span.first)
        sound_run.give_up(sound[0])
        has_sound = sound[0] < sound[1]
        is_behind = span.first < video_run.begin or (has_sound and sound[0] < sound_run.begin)
        is_far = not video_run.held and span.first - video_run.begin > NEAR_PACKETS
        if not (is_behind or is_far) and self._fill(span, sound):
            return
        if video_run.seeks and sound_run.seeks:
            for first in self.table.starts_before(span.first, PASSED_STARTS):
                self._file.container.seek(int(self.table.pts[first]), stream=self._file.stream)
                self._begin(None)
                if self._fill(span, sound):
                    return
        self._rewind()
        if not self._fill(span, sound):
            raise MediaError(f"{self._file.name} changed while it was read: its packets are others")

    def _fill(self, span: Span, sound: tuple[int, int]) -> bool:
        """Read on until the packets of a span are held. Returns False at one that is not in the table, or behind it."""
        runs = (self._sound_run, *sound), (self._video_run, span.first, span.last)
        while any(run.at is None or run.at < last for run, first, last in runs if first < last):
            is_video, packet = next(self._left, (True, None))
            if packet is None:
                return False
            if not is_video and packet.pts is None:
                continue
            run, first, last = runs[is_video]
            if not run.add(packet, first) or (first < last and run.at is not None and run.begin > first):
                return False
        return True
