"""The sound of a video, decoded between its pictures in the same pass over the file."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from clipx.audio.format import AudioFormat
from clipx.audio.track import Track
from clipx.media.damage import Report
from clipx.media.demuxing import demuxed
from clipx.media.opening import failures
from clipx.video.file import VideoFile

__all__ = ["InterleavedSound"]

LATE_SECONDS = 5  # how far sound may lie behind the pictures it belongs to


class InterleavedSound:
    """The sound of the clips of a video file, of the pass over its packets that has begun last.

    Args:
        duration: of a clip's sound, in seconds.
        slack: seconds before the first open clip of which a clip may still need the sound.
        alone: True if only `take` reads the file, and drops the packets of the video.

    Attributes:
        report: the damage that was found in it.
    """

    def __init__(
        self, file: VideoFile, format: AudioFormat, duration: Fraction, slack: float, *, alone: bool = False
    ) -> None:
        self._file, self._format, self._duration, self._slack = file, format, duration, slack
        self.report = Report(file.name, format.damage)
        self._track: Track | None = None
        self._packets: Iterator[av.Packet] = iter(())
        self._alone, self._oldest = alone, -math.inf
        # Packets of the video that `take` came by.
        self._passed: deque[av.Packet] = deque(maxlen=0 if alone else None)
        self._failed: av.FFmpegError | None = None

    def begin(self) -> Track:
        """Begin a pass. Raises MediaError for a file without sound, where nothing says of what shape silence is."""
        file = self._file
        track = self._track = Track(file.container, self._format, file.name, file.stream, self.report)
        self._passed.clear()
        self._failed = None
        if track.stream is not None:
            self._packets = demuxed(file.container, file.stream, track.stream)
        return track

    def packets(self) -> Iterator[av.Packet]:
        """Begin a pass, and give the packets of the video; those of the sound that lie between are decoded."""
        track = self.begin()
        if track.stream is None:
            yield from self._file.packets()
            return
        while True:
            packet = self._passed.popleft() if self._passed else self._next_of_video(track)
            if packet is None:
                break
            yield packet
        if self._failed is not None:
            raise self._failed

    def _next_of_video(self, track: Track) -> av.Packet | None:
        try:
            for packet in self._packets:
                # Not stream_index, which is 0 in the empty packets at the end.
                if track.stream is None or packet.stream.index != track.stream.index:
                    return packet
                track.feed(packet)
        except av.FFmpegError as exn:
            # It is raised where the pictures have come as far.
            self._failed = exn.with_traceback(None)
        if not track.ended:
            track.feed(None)
        return None

    def take(self, seconds: float) -> np.ndarray | None:
        """The sound of a clip that starts at a time; None where damage leaves it out.

        Reads ahead as far as it needs to; the packets of the video that lie between are kept for `packets`.
        """
        track, duration = self._track, self._duration
        assert track is not None
        with failures(self._file.name, "decoded"):
            while not track.reaches(seconds, duration):
                packet = self._next_of_video(track)
                if packet is None:
                    if self._alone and self._failed is not None and self._format.damage == "stop":
                        raise self._failed
                    break
                self._passed.append(packet)
                if self._alone and self._oldest > -math.inf:
                    track.forget(self._oldest)
                # Files keep what is shown together together: sound that is so late is not there.
                end = seconds + float(duration) + LATE_SECONDS
                if packet.dts is not None and packet.dts * self._file.time_base > end:
                    break
        return track.take(seconds, duration)

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        assert self._track is not None
        return self._track.sample_rate

    @property
    def samples_held(self) -> int:
        """Number of samples in memory."""
        return 0 if self._track is None else self._track.samples_held

    def forget(self, seconds: float) -> None:
        """Free the samples that no clip needs if the first open one starts at a time."""
        if self._track is not None:
            self._oldest = seconds - self._slack
            self._track.forget(self._oldest)
