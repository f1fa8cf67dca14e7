"""Packets of a video to frames: all of them, those from a key frame on, or only those that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import av
import numpy as np

from clipx.errors import Damage, MediaError
from clipx.media.damage import Report, Taint
from clipx.media.exact_times import FrameTimes
from clipx.media.frames import Frame
from clipx.media.packet_index import NO_TIME, PacketIndex, skips_exactly
from clipx.media.timeline import Timeline
from clipx.video.file import VideoFile
from clipx.video.orientation import Orientation, carries_orientation
from clipx.video.packets import PendingPackets, packets_until_error
from clipx.video.seeking import IndexedPackets

__all__ = ["VideoDecoder"]

Packets = Callable[[], Iterator[av.Packet]]


class _DamagedWithThreads(Exception):
    """Damage was found while several threads decoded."""


def _failed(k: int, exn: av.FFmpegError) -> str:
    return f"cannot be decoded at frame {k}: {exn.strerror or exn}"


class VideoDecoder:
    """The decoder of a video file, in all passes over it.

    Attributes:
        frames_decoded: number of frames that it has given.
        bytes_decoded: bytes of the packets that it has got.
        lost: whether packets gave no frame where each gives one, so that frames are not numbered like packets.
        orientation: of the first frame, which is that of all; None before one has been decoded.
        failed: what ended `selected` last; None where nothing has.
    """

    def __init__(self, file: VideoFile, report: Report) -> None:
        self._file, self._report = file, report
        self.frames_decoded, self.bytes_decoded, self.lost = 0, 0, False
        self.orientation: Orientation | None = None
        self.failed: Damage | None = None

    def frames(self, packets: Packets | None = None, report: Report | None = None) -> Iterator[Frame]:
        """Every frame, from the first to the last.

        A frame without a time, or one that is not after the frame before it, is taken to follow that at once.

        With damage="stop" MediaError is raised at damage, after the frames before it. Otherwise these are the frames
        that the decoder gives, and they say in which of them damage may show. Packets before the first key frame that
        cannot be decoded are passed over, as players do.

        Args:
            packets: starts a pass over the packets; default those of the file.
            report: of damage, in place of the decoder's own.
        """
        return self._frames(packets or self._file.packets, 0, report or self._report)

    def count(self, timeline: Timeline) -> int:
        """Number of frames of a time line, by decoding them all, whatever damage there is; rewinds the file then."""
        n = sum(1 for _ in timeline.follow(self._all_frames()))
        self._file.rewind()
        return n

    def times(self) -> FrameTimes:
        """The times of all frames, by decoding them, whatever damage there is; rewinds the file then."""
        found = [(frame.pts, frame.duration) for frame in self._all_frames()]
        self._file.rewind()
        pts, durations = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return FrameTimes(pts, durations)

    def _all_frames(self) -> Iterator[Frame]:
        return self.frames(report=Report(self._file.name, "keep", log=False))

    def frames_from(self, index: PacketIndex, first: int) -> Iterator[Frame]:
        """`frames` from the key frame `first` on, as if all before it had been decoded."""

        def packets() -> Iterator[av.Packet]:
            self._probe_orientation(index, first)
            return IndexedPackets(self._file, index).all_from(first)

        return self._frames(packets, first, self._report)

    def _frames(self, packets: Packets, first: int, report: Report) -> Iterator[Frame]:
        given = 0
        if self._file.has_threads:
            try:
                for frame in self._decode(packets, first, None):
                    yield frame
                    given += 1
                return
            except _DamagedWithThreads:
                self._file.use_one_thread()
                self._file.rewind()
        yield from islice(self._decode(packets, first, report), given, None)

    def _decode(self, start: Packets, first: int, report: Report | None) -> Iterator[Frame]:
        """The frames of one pass; without a report it raises _DamagedWithThreads at damage."""
        file, packets = self._file, start()
        file.stream.codec_context.skip_frame = "DEFAULT"
        # Up to a key frame there are as many packets as frames.
        k, last_pts, last_duration, listed, taint, begun = first, None, 0, first, Taint(), False
        pending = PendingPackets(file.codec) if report is None or file.gives_frames else None
        announced, counts_packets = file.announced, file.counts_packets

        def harm(reason: str, pts: int | None, lost: bool, cause: Exception | None = None) -> None:
            if report is None:
                raise _DamagedWithThreads from cause
            seconds = None if pts is None else float(pts * file.time_base)
            report.add(f"{file.name} {reason}", seconds, cause)
            taint.harm(lost)

        def on_error(exn: av.FFmpegError) -> None:
            harm(_failed(k, exn), last_pts, True, exn)

        for packet, is_last in packets_until_error(packets, on_error):
            images: list[av.VideoFrame] = []
            if packet is None:
                if listed < announced:
                    # What the decoder still holds may lack the frames between.
                    harm(f"ends after {listed} of {announced} packets, {k} frames", last_pts, True)
            else:
                if not packet.size:
                    # Not the end of the stream, for which av gives such packets, but a frame that was never recorded.
                    listed += packet.dts is not None
                    continue
                listed += 1
                self.bytes_decoded += packet.size
                taint.send(packet)
                if pending is not None:
                    pending.send(packet)
                if packet.is_corrupt and (is_last or not counts_packets):
                    harm(f"is damaged or ends inside packet {listed - 1}, after {k} frames", packet.pts, False)
                begun = begun or packet.is_keyframe or k > first
            try:
                images = file.stream.codec_context.decode(packet)
            except av.FFmpegError as exn:
                if begun:
                    harm(_failed(k, exn), None if packet is None else packet.pts, True, exn)
                continue
            for image in images:
                pts = image.pts
                if pts is None or (last_pts is not None and pts <= last_pts):
                    pts = 0 if last_pts is None else last_pts + last_duration
                last_pts, last_duration = pts, image.duration or file.frame_ticks
                if pending is not None and pending.receive(image):
                    if report is None:
                        raise _DamagedWithThreads
                    self.lost = True
                if not self._receive(image):
                    harm(f"is damaged at frame {k}", pts, False)
                yield Frame(k, image, last_pts, last_duration, *taint.of(image))
                k += 1
        if report is None and pending is not None and pending.remain:
            raise _DamagedWithThreads

    def _receive(self, image: av.VideoFrame) -> bool:
        """Count a frame that the decoder gave. Returns False if the decoder says that it is damaged."""
        self.frames_decoded += 1
        if self.orientation is None:
            self.orientation = Orientation.of(image)
        return not image.is_corrupt

    def _probe_orientation(self, index: PacketIndex, first: int) -> None:
        """Decode the file's first frame before a pass from key frame `first` on, if its orientation may be another.

        A container's orientation comes with every frame, a stream's own only with those that bring it.
        """
        if self.orientation is not None or first == 0:
            return
        file = self._file
        begin = int(index.packet_pts[0])
        if begin == NO_TIME:
            begin = file.stream.start_time or 0
        with suppress(av.FFmpegError):
            packets = [file.packet_at(int(index.packet_pts[first])), file.packet_at(begin)]
            file.probe_for(*packets)
            context = file.stream.codec_context
            extradata = bytes(context.extradata or b"")
            if any(carries_orientation(packet, file.codec, extradata) for packet in packets if packet is not None):
                context.skip_frame = "DEFAULT"
                for image in [*context.decode(packets[1]), *context.decode(None)]:
                    self._receive(image)
            context.flush_buffers()

    def selected(self, index: PacketIndex, wanted: np.ndarray) -> Iterator[Frame]:
        """The frames k with wanted[k], in order, bit for bit as `frames` gives them.

        What lies between is passed over: not read where it is long, not decoded from one key frame to another, and
        otherwise left out by the decoder where nothing refers to it.
        """
        n = index.frames
        packets = IndexedPackets(self._file, index)
        borders = np.append(index.keys, n)
        ks = np.flatnonzero(wanted)
        # Decoding goes from key frame to key frame; each stretch up to the last packet that it is needed for.
        stretches = np.unique(np.searchsorted(index.keys, ks, side="right") - 1)
        packet_of = np.empty(n, dtype=np.int64)
        packet_of[index.frame_of] = np.arange(n)
        given, latest = 0, -1
        try:
            if len(stretches):
                self._probe_orientation(index, int(borders[stretches[0]]))
            for stretch in stretches:
                first, end = int(borders[stretch]), int(borders[stretch + 1])
                here = ks[np.searchsorted(ks, first) : np.searchsorted(ks, end)]
                # With reordering, a frame can need packets of frames shown later: all up to its own are decoded.
                last = int(packet_of[here].max())
                if packets.position != first:
                    packets.go_to(first)
                for image in self._stretch(packets, wanted[index.frame_of[first : last + 1]].tolist()):
                    frame = self._numbered(index, image)
                    if frame.k <= latest:
                        raise self._error(
                            index, frame.k, f"gave frame {frame.k} after frame {latest}: its times are not in order"
                        )
                    latest = frame.k
                    if wanted[frame.k]:
                        self._check_given(index, given, ks, frame.k)
                        given += 1
                        yield frame
                if given < np.searchsorted(ks, end):
                    self._check_given(index, given, ks, end)
        except av.FFmpegError as exn:
            k = int(index.frame_of[max(packets.position - 1, 0)])
            raise self._error(index, k, _failed(k, exn)) from exn

    def _stretch(self, packets: IndexedPackets, wanted: list[bool]) -> Iterator[Any]:
        """All frames of the next packets, but those that are not wanted and nothing refers to.

        The decoder can start anew after that.

        wanted: for each packet, whether its frame is.
        """
        context = self._file.stream.codec_context
        skips = skips_exactly(context)
        for is_wanted in wanted:
            packet = packets.next()
            self.bytes_decoded += packet.size
            if skips:
                context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            yield from packet.decode()
        yield from context.decode(None)
        context.flush_buffers()

    def _numbered(self, index: PacketIndex, image: av.VideoFrame) -> Frame:
        """A frame with its number and time in the index."""
        pts = image.pts
        k = index.frames if pts is None else int(index.pts.searchsorted(pts))
        if pts is None or k >= index.frames or index.pts.item(k) != pts:
            raise self._error(index, index.frames, f"gave a frame at {pts} ticks that no packet announces")
        if not self._receive(image):
            raise self._error(index, k, f"is damaged at frame {k}")
        duration = index.durations.item(k) or image.duration or self._file.frame_ticks
        return Frame(k, image, pts, duration)

    def _error(self, index: PacketIndex, k: int, reason: str) -> MediaError:
        """The error of damage at frame k."""
        seconds = float(index.pts[k] * self._file.time_base) if k < index.frames else None
        self.failed = Damage(seconds, f"{self._file.name} {reason}")
        return self._report.error(self.failed.reason, seconds)

    def _check_given(self, index: PacketIndex, given: int, ks: np.ndarray, k: int) -> None:
        """Raise MediaError where frame k comes, and frames before it that are wanted did not."""
        if ks[given] != k:
            raise self._error(index, ks.item(given), f"did not give frame {ks[given]}, which its packets announce")
