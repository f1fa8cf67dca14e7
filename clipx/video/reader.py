"""Decoded frames of a video stream: all of them, or only those that are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from heapq import heappop, heappush
from itertools import islice
from typing import IO, Any, NamedTuple, cast

import av
import numpy as np

from clipx.audio.sound import AudioFormat, Track
from clipx.errors import MediaError
from clipx.media.damage import Report, Taint
from clipx.media.demuxing import demuxed
from clipx.media.opening import best_video, failures, open_media, videos
from clipx.media.packet_index import NO_TIME, Index, frames_listed, gives_frames, is_shown, skips_exactly
from clipx.media.sources import Source, can_rewind
from clipx.video.options import VideoOptions
from clipx.video.orientation import Orientation, carries_orientation
from clipx.video.rates import MEASURED_PACKETS, Grace, grace_of, likely_rate, stated_rate

__all__ = ["Frame", "Reader"]

# Packets that are passed over by reading them rather than by seeking.
NEAR_PACKETS = 64
# Decoders whose threads give other frames of a damaged file, without a word.
ONE_THREAD = frozenset({"mpeg1video", "mpeg2video", "vp8"})
LATE_SECONDS = 5  # how far sound may lie behind the pictures it belongs to


class Frame(NamedTuple):
    """The k-th frame of a stream; pts and duration in its time base, made up where the file has none.

    damaged: damage of the file may show in it. lost: frames may be missing right before it.
    """

    k: int
    image: av.VideoFrame
    pts: int
    duration: int
    damaged: bool = False
    lost: bool = False


class _NotAlone(Exception):
    """Damage was found while several threads decoded."""


class Reader:
    """A video stream that is read from its start, as often as its source allows.

    Attributes:
        time_base: seconds of a tick.
        rate: frames a second, as the file says where that can be, else as its first packets tell; else 25.
        grace: by how much the container may have rounded the times of frames, which counts at a rate alone.
        frames_decoded: frames that the decoder has given, in all passes.
        report, sound_report: the damage that was found, in the pictures and in the sound.
        lost: whether packets gave no frame where each gives one, so that frames are not numbered like packets.
        orientation: of the first frame, which is that of all; None before one has been decoded.
    """

    def __init__(self, src: Source, name: str, options: VideoOptions, audio: AudioFormat | None = None) -> None:
        self.name = name
        self._audio = audio
        self._track: Track | None = None
        self._packets: Iterator[av.Packet] = iter(())
        self._passed: deque[av.Packet] = deque()
        self._failed: av.FFmpegError | None = None
        self._src, self._options = src, options
        self._start = cast(IO[bytes], src).tell() if can_rewind(src) and hasattr(src, "read") else 0
        self.frames_decoded, self.lost = 0, False
        self.orientation: Orientation | None = None
        self.report = Report(name, options.damage)
        self.sound_report = Report(name, "stop" if audio is None else audio.damage)
        # Several threads conceal damage in other ways than one, and tell of it late: where it does not end the clips,
        # one decodes, and else a file that has some is decoded again by one.
        self._threads = options.num_threads if options.damage == "stop" else 1
        self._rewinds = can_rewind(src)
        self._open()
        self.rate = self._find_rate()
        self.grace = Grace(0, None)
        if options.fps is not None:
            self.grace = grace_of(self._container, self._stream, self.rate)

    def _open(self) -> None:
        options = self._options
        self._container = open_media(self._src, self.name, trusted=options.trusted, max_pixels=options.max_pixels)
        try:
            self._stream = self._choose(options.stream)
        except MediaError:
            self._container.close()
            raise
        if cast(Any, self._stream.codec_context) is None:
            self._container.close()
            raise MediaError(f"{self.name} has video of a codec that is not known")
        self._context = self._stream.codec_context
        # Of MOV and MP4, whose header lists all packets; of others what the start of the file tells.
        self._announced = len(self._stream.index_entries) if "mp4" in self._container.format.name else 0
        self._keyed = gives_frames(self._container, self._stream)
        if self._context.codec.canonical_name in ONE_THREAD:
            self._threads = 1
        self._context.thread_count = self._threads
        self._context.thread_type = "AUTO" if self._threads > 1 and self._rewinds else "SLICE"
        self._context.copy_opaque = True
        # Transport streams number their packets, and call one corrupt where a number is missing: as it is where two
        # files have been joined. Only at the end is such a packet one that was cut short.
        self._counts_packets = "mpegts" in self._container.format.name
        self.time_base = self._stream.time_base or Fraction(1, 90000)

    def _find_rate(self) -> Fraction:
        rate = stated_rate(self._container, self._stream)
        if rate is not None:
            return rate
        packets: list[av.Packet] = []
        if self._rewinds:
            with suppress(av.FFmpegError):
                for packet in demuxed(self._container, self._stream):
                    packets.append(packet)
                    if len(packets) == MEASURED_PACKETS:
                        break
            self.rewind()
        return likely_rate(self._stream, packets)

    def _choose(self, stream: int | str) -> av.VideoStream:
        known = videos(self._container)
        best = best_video(self._container)
        if best is None:
            covers = " but cover art" if self._container.streams.video else ""
            raise MediaError(f"{self.name} has no video stream{covers}")
        if isinstance(stream, str):
            return best
        if stream >= len(known):
            raise MediaError(f"stream is {stream}, but {self.name} has {len(known)} video streams")
        return known[stream]

    def _demux(self, hears: bool) -> Iterator[av.Packet]:
        """The packets of the video; those of the sound that lie between are decoded on the way."""
        track = self._hear() if hears else None
        if track is None or track.stream is None:
            yield from demuxed(self._container, self._stream)
            return
        self._packets, self._failed = demuxed(self._container, self._stream, track.stream), None
        while True:
            packet = self._passed.popleft() if self._passed else self._next_of_video(track)
            if packet is None:
                break
            yield packet
        if self._failed is not None:
            raise self._failed

    def _hear(self) -> Track:
        assert self._audio is not None
        self._track = Track(self._container, self._audio, self.name, self._stream, self.sound_report)
        return self._track

    def _next_of_video(self, track: Track) -> av.Packet | None:
        try:
            for packet in self._packets:
                # Not stream_index, which is 0 in the empty packets at the end.
                if track.stream is None or packet.stream.index != track.stream.index:
                    return packet
                track.feed(packet)
        except av.FFmpegError as exn:
            # It is told where the pictures have come as far.
            self._failed = exn
        if not track.ended:
            track.feed(None)
        return None

    def sound(self, seconds: float, duration: Fraction) -> np.ndarray | None:
        """The sound from this time on, of a run of `frames` that hears it; None where damage leaves it out.

        Reads ahead as far as it needs; the packets of the video that lie between are kept, not decoded.
        """
        track = self._track
        assert track is not None
        with failures(self.name, "decoded"):
            while not track.reaches(seconds, duration):
                packet = self._next_of_video(track)
                if packet is None:
                    break
                self._passed.append(packet)
                # Files keep what is shown together together: sound that is so late is not there.
                if packet.dts is not None and packet.dts * self.time_base > seconds + float(duration) + LATE_SECONDS:
                    break
        return track.take(seconds, duration)

    @property
    def sample_rate(self) -> int:
        """Of the sound."""
        assert self._track is not None
        return self._track.sample_rate

    def forget_sound(self, seconds: float) -> None:
        """Samples before this time are not asked for any more."""
        if self._track is not None:
            self._track.forget(seconds)

    def rewind(self) -> None:
        """Start again at the first frame."""
        self._container.close()
        if hasattr(self._src, "read"):
            cast(IO[bytes], self._src).seek(self._start)
        self._open()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def read_index(self, wanted: Callable[[int], np.ndarray] | None = None) -> Index | None:
        """The index of the stream, where its packets tell; then `selected` is next, and without one `frames`.

        wanted: says of a number of frames which of them will be asked for; the index may then know of no others.
        """
        index = None
        if wanted is not None and self._announced:
            with suppress(av.FFmpegError):
                index = Index.read_part(self._container, self._stream, wanted(self._announced))
            if index is not None:
                return index
            self.rewind()
        with suppress(av.FFmpegError):
            index = Index.read(self._container, self._stream, self._announced)
        if index is None:
            self.rewind()
        return index

    @property
    def listed(self) -> int | None:
        """Number of frames, where the header tells."""
        return frames_listed(self._container, self._stream)

    @property
    def frame_ticks(self) -> int:
        """Ticks that a frame is shown where the file does not say: one at `rate`."""
        return max(round(1 / (self.rate * self.time_base)), 1)

    def frames(
        self, hears: bool = False, *, index: Index | None = None, first: int = 0, count: bool = False
    ) -> Iterator[Frame]:
        """Every frame, from the first to the last; with the sound between them, where that is asked for.

        With an index, from the key frame `first` on: from there on all is as if what comes before had been decoded.

        A frame without a time, or one that is not after the frame before it, is taken to follow that at once.

        With damage="stop" MediaError is raised at damage, after the frames before it, unless they are only to be
        counted. Otherwise these are the frames that the decoder gives, and they say in which of them it may show.
        Packets before the first key frame that cannot be decoded are passed over, as players do.
        """
        report = Report(self.name, "keep", log=False) if count else self.report
        given = 0
        if self._threads > 1 and self._rewinds:
            try:
                for frame in self._decode(hears, index, first, None):
                    yield frame
                    given += 1
                return
            except _NotAlone:
                self.decode_alone()
                self.rewind()
        yield from islice(self._decode(hears, index, first, report), given, None)

    def decode_alone(self) -> bool:
        """Decode with one thread from the next `rewind` on. False where that is so already."""
        several, self._threads = self._threads > 1 and self._rewinds, 1
        return several

    def _decode(self, hears: bool, index: Index | None, first: int, report: Report | None) -> Iterator[Frame]:
        """`frames`, once; without a report it raises _NotAlone at damage."""
        if index is not None:
            self._look_at_first(index, first)
        self._context.skip_frame = "DEFAULT"
        # Up to a key frame there are as many packets as frames.
        k, last_pts, last_duration, listed = first, None, 0, first
        taint, begun = Taint(), False
        pending = _Pending(self._context.codec.canonical_name) if report is None or self._keyed else None
        packets = self._demux(hears) if index is None else _Packets(self, index).all_from(first)

        def harm(reason: str, pts: int | None, lost: bool, cause: Exception | None = None) -> None:
            if report is None:
                raise _NotAlone from cause
            seconds = None if pts is None else float(pts * self.time_base)
            report.add(f"{self.name} {reason}", seconds, cause)
            taint.harm(lost)

        def ended(exn: av.FFmpegError) -> None:
            harm(_failed(k, exn), last_pts, True, exn)

        for packet, is_last in _until_error(packets, ended):
            images: list[av.VideoFrame] = []
            if packet is None:
                if listed < self._announced:
                    # What the decoder still holds may lack the frames between.
                    harm(f"ends after {listed} of {self._announced} packets, {k} frames", last_pts, True)
            else:
                listed += bool(packet.size) or packet.dts is not None
                if not packet.size:
                    # Not the end of the stream, which av tells by such packets: a frame that was never recorded.
                    continue
                taint.send(packet)
                if pending is not None:
                    pending.send(packet)
                if packet.is_corrupt and (is_last or not self._counts_packets):
                    harm(f"is damaged or ends inside packet {listed - 1}, after {k} frames", packet.pts, False)
                begun = begun or packet.is_keyframe or k > first
            try:
                images = self._context.decode(packet)
            except av.FFmpegError as exn:
                if begun:
                    harm(_failed(k, exn), None if packet is None else packet.pts, True, exn)
                continue
            for image in images:
                pts = image.pts
                if pts is None or (last_pts is not None and pts <= last_pts):
                    pts = 0 if last_pts is None else last_pts + last_duration
                last_pts, last_duration = pts, image.duration or self.frame_ticks
                if pending is not None and pending.take(image):
                    if report is None:
                        raise _NotAlone
                    self.lost = True
                if not self._check(image, k):
                    harm(f"is damaged at frame {k}", pts, False)
                yield Frame(k, image, last_pts, last_duration, *taint.of(image))
                k += 1
        if report is None and pending is not None and pending.lacks:
            raise _NotAlone

    def _check(self, image: object, k: int) -> bool:
        """Count a frame that the decoder gave as frame k; whether it says that it is whole."""
        self.frames_decoded += 1
        if self.orientation is None:
            self.orientation = Orientation.of(cast(av.VideoFrame, image))
        return not cast(av.VideoFrame, image).is_corrupt

    def _look_at_first(self, index: Index, first: int) -> None:
        """Decode the file's first frame before a run from key frame `first` on, if its orientation may be another.

        A container's orientation stands with every frame, a stream's own only with those that bring it.
        """
        if self.orientation is not None or first == 0:
            return
        codec, extradata = self._context.codec.canonical_name, bytes(self._context.extradata or b"")
        begin = int(index.packet_pts[0])
        if begin == NO_TIME:
            begin = self._stream.start_time or 0
        with suppress(av.FFmpegError):
            packets = [self._packet_at(int(index.packet_pts[first])), self._packet_at(begin)]
            if any(carries_orientation(packet, codec, extradata) for packet in packets if packet is not None):
                self._context.skip_frame = "DEFAULT"
                for image in [*self._context.decode(packets[1]), *self._context.decode(None)]:
                    self._check(image, 0)
            self._context.flush_buffers()

    def _packet_at(self, pts: int) -> av.Packet | None:
        self._container.seek(pts, stream=self._stream)
        return next((packet for packet in demuxed(self._container, self._stream) if packet.size), None)

    def selected(self, index: Index, wanted: np.ndarray) -> Iterator[Frame]:
        """The frames k with wanted[k], in order, bit for bit as `frames` gives them.

        What stands between is passed over: not read where it is long, not decoded from one key frame to another, and
        otherwise left out by the decoder where nothing refers to it.
        """
        n = index.frames
        reads = _Packets(self, index)
        borders = np.append(index.keys, n)
        ks = np.flatnonzero(wanted)
        # Decoding goes from key frame to key frame; each stretch up to the last packet that it is needed for.
        stretches = np.unique(np.searchsorted(index.keys, ks, side="right") - 1)
        packet_of = np.empty(n, dtype=np.int64)
        packet_of[index.frame_of] = np.arange(n)
        given, latest = 0, -1
        try:
            if len(stretches):
                self._look_at_first(index, int(borders[stretches[0]]))
            for stretch in stretches:
                first, end = int(borders[stretch]), int(borders[stretch + 1])
                here = ks[np.searchsorted(ks, first) : np.searchsorted(ks, end)]
                # With reordering, a frame can need packets of frames shown later: all up to its own are decoded.
                last = int(packet_of[here].max())
                if reads.position != first:
                    reads.go_to(first)
                for image in self._stretch(reads, index, wanted, last):
                    frame = self._place(index, image)
                    if frame.k <= latest:
                        raise MediaError(
                            f"{self.name} gave frame {frame.k} after frame {latest}: its times are not in order"
                        )
                    latest = frame.k
                    if wanted[frame.k]:
                        self._check_given(given, ks, frame.k)
                        given += 1
                        yield frame
                if given < np.searchsorted(ks, end):
                    self._check_given(given, ks, end)
        except av.FFmpegError as exn:
            k = int(index.frame_of[max(reads.position - 1, 0)])
            raise self._error(index, k, _failed(k, exn)) from exn

    def _error(self, index: Index, k: int, reason: str) -> MediaError:
        """What is wrong at frame k."""
        seconds = float(index.pts[k] * self.time_base) if k < index.frames else None
        return self.report.error(f"{self.name} {reason}", seconds)

    def _check_given(self, given: int, ks: np.ndarray, k: int) -> None:
        """Raise MediaError where frame k comes, and frames before it that are wanted did not."""
        if ks[given] != k:
            raise MediaError(f"{self.name} did not give frame {ks[given]}, which its packets announce")

    def _stretch(self, reads: _Packets, index: Index, wanted: np.ndarray, last: int) -> Iterator[object]:
        """What the decoder gives of the packets up to `last`; it can start anew after that."""
        context = self._context
        skips = skips_exactly(context)
        for position in range(reads.position, last + 1):
            packet = reads.next()
            if skips:
                context.skip_frame = "DEFAULT" if wanted[index.frame_of[position]] else "NONREF"
            yield from packet.decode()
        yield from context.decode(None)
        context.flush_buffers()

    def _place(self, index: Index, image: object) -> Frame:
        frame = cast(av.VideoFrame, image)
        k = int(np.searchsorted(index.pts, frame.pts)) if frame.pts is not None else index.frames
        if k >= index.frames or index.pts[k] != frame.pts:
            raise MediaError(f"{self.name} gave a frame at {frame.pts} ticks that no packet announces")
        if not self._check(frame, k):
            raise self._error(index, k, f"is damaged at frame {k}")
        return Frame(k, frame, int(index.pts[k]), int(index.durations[k]) or frame.duration or self.frame_ticks)


class _Pending:
    """Packets that have given no frame yet."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._times: list[int] = []
        self._untimed = 0

    @property
    def lacks(self) -> bool:
        """Whether frames are missing."""
        return bool(self._times) or self._untimed > 0

    def send(self, packet: av.Packet) -> None:
        """The packet that is decoded next."""
        if packet.is_discard or not is_shown(packet, self._codec):
            return
        if packet.pts is None:
            self._untimed += 1
        else:
            heappush(self._times, packet.pts)

    def take(self, image: av.VideoFrame) -> bool:
        """The frame that comes next. Whether one before it did not come."""
        times, pts, passed = self._times, image.pts, False
        if pts is None:
            self._untimed -= 1
            return False
        while times and times[0] < pts:
            heappop(times)
            passed = True
        if times and times[0] == pts:
            heappop(times)
        return passed


def _failed(k: int, exn: av.FFmpegError) -> str:
    return f"cannot be decoded at frame {k}: {exn.strerror or exn}"


def _until_error(
    packets: Iterator[av.Packet], tell: Callable[[av.FFmpegError], None]
) -> Iterator[tuple[av.Packet | None, bool]]:
    """Packets up to the end or an error, which is told, then None; corrupt ones with whether they are the last."""

    def following() -> av.Packet | None:
        try:
            return next(packets, None)
        except av.FFmpegError as exn:
            tell(exn)
            return None

    packet = following()
    while packet is not None:
        after = following() if packet.is_corrupt else None
        # At the end av gives empty packets.
        yield packet, packet.is_corrupt and (after is None or not after.size)
        packet = after or following()
    yield None, True


class _Packets:
    """The packets of a stream with an index, from any key frame on."""

    def __init__(self, reader: Reader, index: Index) -> None:
        self._reader, self._index = reader, index
        self._pts_of = index.packet_pts
        self._packets: Iterator[av.Packet] = iter(())
        self._held: av.Packet | None = None
        self.position = -1
        """The packet that `next` gives; -1 before the first `go_to`."""

    def next(self) -> av.Packet:
        """The packet at `position`."""
        packet = self._held or next((packet for packet in self._packets if packet.size), None)
        self._held = None
        if packet is None or self._pts_of[self.position] not in (packet.pts, NO_TIME):
            raise MediaError(f"{self._reader.name} changed while it was read: packet {self.position} is another")
        self.position += 1
        return packet

    def go_to(self, position: int) -> None:
        """Make `position`, a key frame's, the next."""
        ahead = position - self.position
        if self.position < 0 or ahead < 0 or ahead > NEAR_PACKETS:
            self._seek(position)
        while self.position < position:
            self.next()

    def all_from(self, position: int) -> Iterator[av.Packet]:
        """The packets from `position`, a key frame's, to the end of the file, whatever the index says of them."""
        self.go_to(position)
        if self._held is not None:
            yield self._held
        yield from self._packets

    def _seek(self, position: int) -> None:
        reader = self._reader
        reader._container.seek(int(self._pts_of[position]), stream=reader._stream)
        self._packets = demuxed(reader._container, reader._stream)
        packet = next((packet for packet in self._packets if packet.size), None)
        found: Any = [] if packet is None else np.flatnonzero(self._pts_of == packet.pts)
        if len(found) == 1 and found[0] <= position:
            self._held, self.position = packet, int(found[0])
        else:
            # The file's own index is off: from the start, then.
            reader.rewind()
            self._packets = demuxed(reader._container, reader._stream)
            self._held, self.position = None, 0
