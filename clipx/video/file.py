"""A file that is open at one of its video streams, and what its header and first packets say."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import IO, Any, cast

import av
import numpy as np

from clipx.audio.file_bytes import FileBytes
from clipx.errors import MediaError
from clipx.media.demuxing import demuxed
from clipx.media.file_objects import CheckedFile
from clipx.media.hints import ByteRange, listed_ranges
from clipx.media.kept_container import KeptContainer
from clipx.media.opening import best_video, open_media, videos
from clipx.media.packet_index import PacketIndex, frames_listed, gives_frames, listed_stretches
from clipx.media.rates import MEASURED_PACKETS, Grace, grace_of, likely_rate, stated_rate, time_base_of
from clipx.media.sources import Source, can_rewind
from clipx.media.stream_facts import StreamFacts
from clipx.video.known_headers import carries_other_sets, is_known
from clipx.video.options import VideoOptions
from clipx.video.times import VideoTimes, are_of

__all__ = ["VideoFile", "choose_video"]

# Decoders whose threads give other frames of a damaged file, without a word.
ONE_THREAD = frozenset({"mpeg1video", "mpeg2video", "vp8"})

FAST = {"skip_loop_filter": "noref", "flags2": "+fast"}
"""Options of a decoder for quality="fast"."""


def choose_video(container: av.container.InputContainer, stream: int | str, name: str) -> av.VideoStream:
    """The video stream of a number, or the "best" one.

    Raises MediaError where there is none, and for a codec that is not known.
    """
    known = videos(container)
    best = best_video(container)
    if best is None:
        covers = " but cover art" if container.streams.video else ""
        raise MediaError(f"{name} has no video stream{covers}")
    if not isinstance(stream, str):
        if stream >= len(known):
            raise MediaError(f"stream is {stream}, but {name} has {len(known)} video streams")
        best = known[stream]
    if cast(Any, best.codec_context) is None:
        raise MediaError(f"{name} has video of a codec that is not known")
    return best


class VideoFile(VideoTimes):
    """A file that is open at the start of a video stream, and is opened again by `rewind`.

    Args:
        probes: whether FFmpeg decodes first frames to learn of the streams also where `is_known` says that the header
            tells all of the video; of sound it may not.
        facts: of a stream of the file, from an index: where they are of the one that options name, its packets are not
            read to find the rate or to make an index. None: nothing is known.

    Attributes:
        container, stream: those of av, which are others after `rewind`.
        rewinds: whether the source can be read again.
        time_base: seconds of a tick.
        rate: frames a second, as the file says where that can be, else as its first packets say; else 25.
        grace: by how much the container may have rounded the times of frames; none without `options.fps`.
        reused: whether it was left open by another, so that it stands anywhere until `rewind`.
    """

    def __init__(
        self, src: Source, name: str, options: VideoOptions, probes: bool = True, facts: StreamFacts | None = None
    ) -> None:
        super().__init__(name, options)
        self._src, self._probes = src, probes
        self._facts = facts if facts is not None and are_of(facts, options) else None
        self.rewinds = can_rewind(src)
        self._start = cast(IO[bytes], src).tell() if self.rewinds and hasattr(src, "read") else 0
        # Several threads conceal damage in other ways than one, and report it late: where it does not end the clips,
        # one decodes, and otherwise a file that has some is decoded again by one.
        self._threads = options.num_threads if options.damage == "stop" else 1
        self.reused = self._left = False
        if not self._take_kept():
            self._open()
        facts = self._facts
        self.rate = self._find_rate() if facts is None else facts.rate
        if options.fps is None:
            self.grace = Grace(0, None)
        else:
            known = None if facts is None else facts.grace
            self.grace = grace_of(self.container, self.stream, self.rate) if known is None else known

    @property
    def _kept(self) -> KeptContainer | None:
        """Where the container may be left open: an index says all that is read from the file's beginning."""
        facts = self._facts
        return None if facts is None or facts.packets is None or self._probes or self.takes_hints else facts.kept

    def _take_kept(self) -> bool:
        """Take a container that was left open; returns whether there was one."""
        kept = self._kept
        found = None if kept is None else kept.take(self._options)
        if found is None:
            return False
        self.container, self.stream = found
        self.stream.codec_context.flush_buffers()
        self.stream.codec_context.skip_frame = "DEFAULT"
        self.time_base, self._threads, self.reused = time_base_of(self.stream), 1, True
        return True

    def leave(self) -> None:
        """Close the file, or leave it open for the next where facts have a place for it and one thread decodes."""
        kept = self._kept
        if self._left:
            return
        if kept is None or self._threads > 1:
            self.close()
            return
        self._left = True
        kept.give(self._options, self.container, self.stream)

    def _open(self) -> None:
        options = self._options
        self.container = open_media(
            self._src,
            self.name,
            trusted=options.trusted,
            max_pixels=options.max_pixels,
            is_known=None if self._probes else partial(is_known, options=options),
        )
        try:
            self.stream = choose_video(self.container, options.stream, self.name)
        except MediaError:
            self.container.close()
            raise
        context = self.stream.codec_context
        if context.codec.canonical_name in ONE_THREAD:
            self._threads = 1
        context.thread_count = self._threads
        context.thread_type = "AUTO" if self.has_threads else "SLICE"
        context.copy_opaque = True
        if options.quality == "fast":
            context.options = {**context.options, **FAST}
        self.time_base = time_base_of(self.stream)
        if self._facts is not None and not self._is_of(self._facts):
            self._facts = None

    def _is_of(self, facts: StreamFacts) -> bool:
        """True if facts are of the open stream, as far as its header shows."""
        here = self.stream.index, self.codec, self.time_base
        return here == (facts.stream, facts.codec, facts.time_base)

    def _find_rate(self) -> Fraction:
        rate = stated_rate(self.container, self.stream)
        if rate is not None:
            return rate
        packets: list[av.Packet] = []
        if self.rewinds:
            with suppress(av.FFmpegError):
                packets.extend(islice(self.packets(), MEASURED_PACKETS))
            self.rewind()
        return likely_rate(self.stream, packets)

    @property
    def codec(self) -> str:
        """Name of the codec, not of its decoder: AV1 is decoded by libdav1d."""
        return self.stream.codec_context.codec.canonical_name

    @property
    def announced(self) -> int:
        """Number of packets that the header of a MOV or MP4 lists; 0 for other files, which list what has been read."""
        return len(self.stream.index_entries) if "mp4" in self.container.format.name else 0

    @property
    def gives_frames(self) -> bool:
        """True if each packet is one frame, for this container and codec."""
        return gives_frames(self.container, self.stream)

    @property
    def counts_packets(self) -> bool:
        """True for transport streams, which number their packets.

        One that comes after a missing number is called corrupt, which it is not where two files have been joined.
        """
        return "mpegts" in self.container.format.name

    @property
    def frames_listed(self) -> int | None:
        """Number of frames, where the header lists them."""
        if self._facts is not None:
            return self._facts.listed
        return frames_listed(self.container, self.stream)

    @property
    def has_threads(self) -> bool:
        """True if several threads decode, each a frame of its own."""
        return self._threads > 1 and self.rewinds

    def use_one_thread(self) -> None:
        """Decode with one thread from the next `rewind` on."""
        self._threads = 1

    def packets(self) -> Iterator[av.Packet]:
        """The packets of the stream, up to the end of the file."""
        return demuxed(self.container, self.stream)

    def packet_at(self, pts: int) -> av.Packet | None:
        """The packet of the key frame at a time, in ticks, or before it; None where none is left."""
        self.container.seek(pts, stream=self.stream)
        return next((packet for packet in self.packets() if packet.size), None)

    def read_index(self, wanted: Callable[[int], np.ndarray] | None = None) -> PacketIndex | None:
        """The index of the stream's packets, or None where they do not give one; the file is then rewound.

        wanted: from the number of frames, the frames that will be asked for, bool (n,); others may then be left out.
        """
        if self._facts is not None and (known := self._facts.index) is not None:
            return known
        index = None
        announced = 0 if wanted is None else self.announced
        stretches = listed_stretches(self.stream, wanted(announced)) if wanted is not None and announced else None
        if stretches is not None:
            if self.takes_hints:
                self.hint(listed_ranges(self.stream, stretches))
            with suppress(av.FFmpegError):
                index = PacketIndex.read_part(self.container, self.stream, stretches)
            if index is not None:
                return index
            self.rewind()
        with suppress(av.FFmpegError):
            index = PacketIndex.read(self.container, self.stream, self.announced)
        if index is None:
            self.rewind()
        return index

    @property
    def takes_hints(self) -> bool:
        """True if `hint` has an effect: for remote files."""
        return isinstance(self._src, CheckedFile) and self._src.takes_hints

    def hint(self, ranges: Iterable[ByteRange]) -> None:
        """Say which bytes will be read, so that they are fetched together."""
        if isinstance(self._src, CheckedFile):
            self._src.hint(ranges)

    @property
    def opens_again(self) -> bool:
        """True if the source can be read by two files side by side."""
        return not hasattr(self._src, "read")

    def bytes(self) -> FileBytes | None:
        """The bytes of the file; None where only FFmpeg knows how to read it, or it cannot be opened again."""
        return None if self._options.trusted else FileBytes.of(self._src)

    def head(self, size: int) -> memoryview:
        """The first `size` bytes of the file, or fewer; it must be rewound then. None of one that only FFmpeg reads."""
        if hasattr(self._src, "read"):
            source = cast(IO[bytes], self._src)
            source.seek(self._start)
            return memoryview(source.read(size))
        found = self.bytes()
        return memoryview(b"" if found is None else found.read(0, size))

    def opened_again(self) -> VideoFile:
        """The same file, open a second time."""
        other = copy.copy(self)
        other._open()
        return other

    def probe_for(self, *packets: av.Packet | None) -> None:
        """Open the file again, probed, if it was not and packets tell what its header does not."""
        if self._probes:
            return
        extradata = bytes(self.stream.codec_context.extradata or b"")
        if any(carries_other_sets(packet, extradata) for packet in packets if packet is not None):
            self._probes = True
            self.rewind()

    def rewind(self) -> None:
        """Start again at the first packet."""
        self.container.close()
        self.reused = False
        if hasattr(self._src, "read"):
            cast(IO[bytes], self._src).seek(self._start)
        self._open()

    def close(self) -> None:
        """Close the file, unless it has been left open."""
        if not self._left:
            self.container.close()
