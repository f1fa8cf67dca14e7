"""Facts of a video stream that are known before its file is opened, from an index of files."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from clipx._lazy import lazy
from clipx.media.kept_container import KeptContainer
from clipx.media.packet_index import PacketIndex
from clipx.media.rates import Grace

__all__ = ["KnownPackets", "StreamFacts"]


@dataclass(frozen=True, eq=False)
class KnownPackets:
    """The packets of a stream as an index of files keeps them; see `PacketIndex` for what the numbers mean.

    Attributes:
        pts: time of each frame in ticks, int64 (n,), ascending.
        durations: of each frame in ticks, int64 (n,), or (1,) where they are all the same.
        frame_of: frame of each packet, int64 (n,); None where packets come in the order of their frames.
        keys: packets from which decoding can start, int64 (m,).
        positions: byte where the packet of each key begins, int64 (m,); None where that is not known.
    """

    pts: np.ndarray
    durations: np.ndarray
    frame_of: np.ndarray | None
    keys: np.ndarray
    positions: np.ndarray | None = None

    @staticmethod
    def of(index: PacketIndex) -> KnownPackets:
        """The packets of an index that has read all of them."""
        n, durations = index.frames, index.durations
        same = n > 0 and bool(np.all(durations == durations[0]))
        in_order = np.array_equal(index.frame_of, np.arange(n))
        return KnownPackets(
            index.pts,
            durations[:1] if same else durations,
            None if in_order else index.frame_of,
            index.keys,
            index.positions,
        )

    def index(self) -> PacketIndex:
        """The index of the packets. Raises ValueError where the numbers contradict each other."""
        pts, keys, n = self.pts, self.keys, len(self.pts)
        durations = np.full(n, self.durations[0]) if len(self.durations) == 1 else self.durations
        frame_of = np.arange(n) if self.frame_of is None else self.frame_of
        if not n or len(durations) != n or len(frame_of) != n:
            raise ValueError(f"its packets are {len(frame_of)}, but its frames {n} with {len(durations)} durations")
        if np.any(np.diff(pts) <= 0) or np.any(durations < 0):
            raise ValueError("the times of its frames are not ascending, or a frame lasts less than no time")
        if self.frame_of is not None and not np.array_equal(np.sort(frame_of), np.arange(n)):
            raise ValueError("its packets do not give each frame once")
        if not len(keys) or keys[0] != 0 or keys[-1] >= n or np.any(np.diff(keys) <= 0):
            raise ValueError("its key frames are not ascending from the first frame on")
        if self.frame_of is not None:
            latest_before = np.maximum.accumulate(np.concatenate(([-1], frame_of[:-1])))
            if np.any(latest_before[keys] != keys - 1) or np.any(frame_of[keys] != keys):
                raise ValueError("frames of a key frame's packets are shown before it, or frames before it after it")
        return PacketIndex(pts, durations, frame_of, pts[frame_of], keys, self.positions)


@dataclass(frozen=True, eq=False)
class StreamFacts:
    """Facts of a video stream, as opening its file and reading its packets gives them.

    Attributes:
        stream: its number among all streams of the file.
        number: its number among the videos that are not cover art.
        is_best: whether it is the one that FFmpeg chooses.
        container, codec: FFmpeg's names.
        width, height: of a frame as it is stored, in pixels.
        time_base: seconds of a tick.
        rate: frames a second, as VideoFile has it.
        grace: by how much the container may have rounded the times of frames; None where that is not known.
        listed: number of frames where the header lists them, as `frames_listed`.
        packets: all packets; None where they may not match frames one by one.
        memory: pixels of a picture, bytes of a pixel and the number of pictures that a decoder refers to, the most of
            all videos of the file.
        kept: place of a container that is left open at the file; None where it is closed each time.
    """

    stream: int
    number: int
    is_best: bool
    container: str
    codec: str
    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    grace: Grace | None
    listed: int | None
    packets: KnownPackets | None
    memory: tuple[int, Fraction, int]
    kept: KeptContainer | None = None

    @lazy
    def index(self) -> PacketIndex | None:
        """The index of the packets; None where there is none. Raises ValueError where it contradicts itself."""
        return None if self.packets is None else self.packets.index()
