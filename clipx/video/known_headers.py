"""Files whose header says all that decoding their first frames would tell: they are opened without that."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import av

from clipx.media.packet_index import nal_units
from clipx.media.rates import stated_rate, time_base_of
from clipx.video.options import BEST, VideoOptions
from clipx.video.parameter_sets import Sequence, sequences, units

__all__ = ["carries_other_sets", "is_known"]

PARAMETER_SETS = 7  # nal_unit_type of a sequence parameter set, ITU-T H.264 table 7-1
MOST_EXTRADATA = 4096  # bytes of what is kept for the next file; a set has some 30


def is_known(container: av.container.InputContainer, options: VideoOptions) -> bool:
    """True if probing would neither say more of a file than its header does, nor change what its decoder gives.

    That is for H.264 in MOV and MP4 with one sequence parameter set, which states how far frames are reordered: FFmpeg
    decodes frames to guess it otherwise.
    """
    streams = container.streams.video
    if "mp4" not in container.format.name or len(streams) != 1 or options.stream not in (BEST, 0):
        return False
    stream = streams[0]
    context = cast(Any, stream.codec_context)
    if context is None or context.codec.canonical_name != "h264" or stream.start_time is None or not stream.frames:
        return False
    found = _only_sequence(bytes(context.extradata or b""))
    if found is None or found.reordered is None:
        return False
    if not context.width * context.height or found.width * found.height > options.max_pixels:
        return False
    rate = stated_rate(container, stream)
    # At a fixed rate, times that the container rounds are judged by rates that probing finds.
    return rate is not None and (options.fps is None or (1 / (rate * time_base_of(stream))).denominator == 1)


def carries_other_sets(packet: av.Packet, extradata: bytes) -> bool:
    """True if a packet of H.264 carries a sequence parameter set that is not that of the header.

    A decoder keeps colors that one set states for those after it that do not.
    """
    known, data = _sets(extradata), bytes(packet)
    return any(
        kind == PARAMETER_SETS and data[begin:end] not in known
        for kind, begin, end in nal_units(data, extradata, "h264")
    )


def _only_sequence(extradata: bytes) -> Sequence | None:
    """The facts of the sequence parameter set of an avcC with just one."""
    if extradata[:1] != b"\1" or len(extradata) > MOST_EXTRADATA:
        return None
    return _read_only_sequence(extradata)


@lru_cache(maxsize=16)
def _read_only_sequence(extradata: bytes) -> Sequence | None:
    found = sequences("h264", extradata)
    return found[0] if len(found) == len(_sets(extradata)) == 1 else None


def _sets(extradata: bytes) -> list[bytes]:
    return [unit for unit in units(extradata, "h264") if unit[0] & 31 == PARAMETER_SETS]
