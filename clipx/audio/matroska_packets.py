"""The packets of sound in Matroska and WebM, which are listed nowhere: all are read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from clipx.audio.even_packets import EvenPackets, samples_of_last
from clipx.audio.file_bytes import FileBytes
from clipx.audio.ogg_packets import opus_samples
from clipx.audio.track import STEP_SECONDS

__all__ = ["packets_of_matroska"]

MOST_HEAD = 12  # bytes of a block before its data


def packets_of_matroska(
    file: FileBytes, stream: Any, begun: list[Any], rest: Iterable[Any], step: int
) -> tuple[EvenPackets, int] | None:
    """The packets of a stream, each of `step` samples, and how many samples they give.

    None where they don't lie in the file as they are, in blocks of their own, where their times leave a gap, where
    samples are left out in the middle, and for a `step` of 0.

    Args:
        begun, rest: the packets of the stream.
    """
    if not step:
        return None
    is_opus = stream.codec_context.codec.canonical_name == "opus"
    begins: list[int] = []
    sizes: list[int] = []
    times: list[int] = []
    head, last = 0, begun[0]
    for packet in chain(begun, rest):
        if not packet.size:
            continue
        data = bytes(packet)
        if packet.pos is None or packet.pts is None or (is_opus and opus_samples(data) != step):
            return None
        # Those at the beginning are left out by the decoder that has begun.
        if len(begins) > len(begun) and last.has_sidedata("skip_samples"):
            return None
        head = head or max(bytes(file.read(packet.pos, MOST_HEAD + len(data))).find(data), 0)
        if not head or file.read(packet.pos + head, len(data)) != data:
            return None
        begins.append(packet.pos + head)
        sizes.append(len(data))
        times.append(packet.pts)
        last = packet
    rate = stream.codec_context.sample_rate
    late = (np.array(times) - times[0]) * float(stream.time_base) - np.arange(len(times)) * (step / rate)
    if np.any(np.diff(begins) < sizes[:-1]) or np.any(np.abs(late) > float(STEP_SECONDS) / 2):
        return None
    found = EvenPackets(np.array(begins, np.int64), np.array(sizes, np.int32), step)
    return found, found.samples - step + samples_of_last(last, step)
