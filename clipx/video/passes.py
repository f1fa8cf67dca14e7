"""Passes over a video that is open: along the route that was chosen, frames in the order of its time line."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clipx.errors import Damage, MediaError
from clipx.media.damage import Report
from clipx.media.frames import Frame
from clipx.media.hints import stretch_ranges
from clipx.media.packet_index import NO_TIME, PacketIndex, size_of
from clipx.media.timeline import Timeline
from clipx.video.decoder import VideoDecoder
from clipx.video.file import VideoFile
from clipx.video.routes import AllFrames, FramesByTime, FromKeyFrame, Route
from clipx.video.sound_apart import SoundApart
from clipx.video.with_audio import InterleavedSound

__all__ = ["VideoPasses"]

Frames = Iterator[tuple[int, Frame]]
"""Frames with their numbers in the time line, ascending."""


class VideoPasses:
    """Passes over a video: the first along a route, then others for frames that the end needs again.

    Args:
        sound: that is decoded in the first pass, or beside it; None for none.
        index: of the packets; None for the route AllFrames.
        frames: frame of the video for each frame of the time line, ascending; None where that is not known.
        route: of the first pass.

    Attributes:
        redone_from: frame of the time line from which on frames are given again where damage is found; None for those
            after the frame that was given last.
    """

    def __init__(
        self,
        file: VideoFile,
        timeline: Timeline,
        decoder: VideoDecoder,
        report: Report,
        *,
        sound: InterleavedSound | SoundApart | None,
        index: PacketIndex | None,
        frames: np.ndarray | None,
        route: Route,
    ) -> None:
        self.file, self.decoder, self.sound, self.frames, self.route = file, decoder, sound, frames, route
        self._timeline, self._report, self.index = timeline, report, index
        self._by_time = isinstance(route, FramesByTime)
        self.redone_from: int | None = None

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far in pictures and sound."""
        return self._report.found + ([] if self.sound is None else self.sound.report.found)

    @property
    def frames_skipped(self) -> int:
        """Frames of the stream that have not been decoded, where its packets are selected; else 0."""
        return 0 if self.index is None else max(self.index.frames - self.decoder.frames_decoded, 0)

    def first(self, wanted: np.ndarray | None) -> Frames:
        """The first pass, with the sound: all frames, or those with wanted[p]."""
        if isinstance(self.sound, SoundApart):
            self.sound.begin()
        if isinstance(self.route, AllFrames):
            return self._all(with_sound=True)
        assert wanted is not None
        if isinstance(self.route, FromKeyFrame):
            return self._from_key_frame(wanted, self.route.first)
        return self._wanted(wanted, with_sound=True)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        if isinstance(self.sound, SoundApart):
            self.sound.close()

    def leave(self) -> None:
        """Close the file, or leave it open as `VideoFile.leave` where it has no sound and no damage."""
        if self.sound is not None or self.damages or self.decoder.lost:
            self.file.close()
        else:
            self.file.leave()

    def again(self, wanted: np.ndarray) -> Frames:
        """Another pass without sound, with the frames p with wanted[p] among others."""
        if isinstance(self.route, AllFrames):
            self.file.rewind()
            return self._all(with_sound=False)
        return self._wanted(wanted, with_sound=False)

    def _decoded(self, with_sound: bool) -> Iterator[Frame]:
        if with_sound and isinstance(self.sound, InterleavedSound):
            return self.decoder.frames(self.sound.packets)
        return self.decoder.frames()

    def _all(self, with_sound: bool) -> Frames:
        return self._timeline.follow(self._decoded(with_sound))

    def _from_key_frame(self, wanted: np.ndarray, first: int) -> Frames:
        assert self.index is not None
        assert self.frames is not None
        yield from self._wanted(wanted & (self.frames < first), with_sound=False)
        selected = np.zeros(self.index.frames, dtype=bool)
        selected[first : self.frames[wanted].max(initial=first) + 1] = True
        self._hint(selected)
        # Nothing is left out between frames, nor before the first: frame p of the time line is frame p of the video.
        for _, frame in self._timeline.follow(self.decoder.frames_from(self.index, first)):
            yield frame.k, frame

    def _hint(self, selected: np.ndarray) -> None:
        """Say which frames of the video will be read, to a file that fetches their bytes together."""
        if self.file.takes_hints and self.index is not None and self.index.positions is not None:
            self.file.hint(stretch_ranges(self.index, selected, size_of(self.file.container)))

    def _wanted(self, wanted: np.ndarray, with_sound: bool) -> Frames:
        index, frames = self.index, self.frames
        assert index is not None
        assert frames is not None
        left, p = wanted, -1
        while not self._by_time:
            selected = np.zeros(index.frames, dtype=bool)
            selected[frames[left]] = True
            self._hint(selected)
            try:
                for frame in self.decoder.selected(index, selected):
                    for p in range(*np.searchsorted(frames, [frame.k, frame.k + 1]).tolist()):
                        if left[p]:
                            yield p, frame
                return
            except MediaError:
                # Several threads find damage at another frame than one; and in which frames of the clips that are open
                # it may show is known when they are written again.
                if self.file.has_threads:
                    self.file.use_one_thread()
                    self.file.rewind()
                elif self._report.damage == "stop":
                    raise
                else:
                    self._by_time = True
            done = p if self.redone_from is None else min(p, self.redone_from - 1)
            left = wanted & (np.arange(len(wanted)) > done)
        self.file.rewind()
        if np.any(index.packet_pts == NO_TIME):
            # Only packets of frames that are wanted have been read, but frames are found by the times of all packets.
            complete = self.file.read_index()
            if complete is not None and complete.frames == index.frames:
                self.index = index = complete
            self.file.rewind()
        yield from self._found_by_time(index, frames, left, with_sound)
        failed = self.decoder.failed
        if failed is not None and not self._report.found:
            # What ends the clips with damage="stop", but shows only where some frames are passed over.
            self._report.add(failed.reason, failed.seconds)

    def _found_by_time(self, index: PacketIndex, frames: np.ndarray, wanted: np.ndarray, with_sound: bool) -> Frames:
        """The wanted frames out of all that the decoder gives; for one that is lost, the one that is shown then."""
        left, at = np.flatnonzero(wanted).tolist(), 0
        last: Frame | None = None
        for frame in self._decoded(with_sound):
            k = index.frame_at(frame.image.pts)
            if k is None:
                last = frame
                continue
            found = frame._replace(k=k, pts=int(index.pts[k]), lost=False)
            while at < len(left) and frames[left[at]] <= k:
                is_lost = frames[left[at]] < k
                yield left[at], (last or found)._replace(damaged=True) if is_lost else found
                at += 1
            if at == len(left):
                return
            last = found
        for p in left[at:]:
            if last is not None:
                yield p, last._replace(damaged=True)
