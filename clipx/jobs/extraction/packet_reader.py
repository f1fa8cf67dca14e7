"""The packets of an open video and its sound, those of one clip after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.streams import find_audio
from clipx.errors import MediaError
from clipx.jobs.extraction.packet_scan import scan_packets
from clipx.jobs.extraction.packet_table import Span
from clipx.media.demuxing import demuxed
from clipx.media.opening import failures
from clipx.video.file import VideoFile

__all__ = ["PacketReader", "SpanPackets", "TimedPacket"]

NEAR_PACKETS = 64
"""Packets that are passed over by reading them rather than by seeking."""

PASSED_STARTS = 2, 16
"""Starts before a clip's from which its packets are looked for: sound may lie before the pictures of its time."""


class TimedPacket(NamedTuple):
    """A packet, and its times in ticks of its stream; duration 0 where the file does not say."""

    packet: av.Packet
    pts: int
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
        at = self.at
        if at is None:
            at = next(iter(np.flatnonzero(self._pts == packet.pts).tolist()), len(self))
        if at >= len(self) or (self._pts[at], self._sizes[at]) != (packet.pts, packet.size):
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

    Raises MediaError as `scan_packets`.
    """

    def __init__(self, file: VideoFile) -> None:
        self._file = file
        if file.reused:
            file.rewind()
        self._find_sound()
        with failures(file.name, "read"):
            self.table, self.sound = scan_packets(file, self.sound_stream)
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
            TimedPacket(packet, int(table.pts[at]), int(table.durations[at]))
            for at, packet in enumerate(self._video_run.take(span.first, span.last), span.first)
            if at not in span.left_out
        ]
        if heard is None or sound[0] == sound[1]:
            return SpanPackets(video, [])
        start = table.seconds(span.start_frame, 0)
        return SpanPackets(
            video,
            [
                TimedPacket(packet, int(heard.pts[at]), int(heard.durations[at]))
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
