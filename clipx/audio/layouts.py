"""The channels of sound, as FFmpeg and av describe them."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

__all__ = ["channels_of", "hold_layout", "is_mapped"]

CHANNELS = "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR DL DR WL WR SDL SDR LFE2 TSL TSR BFC BFL BFR"
CHANNELS += " SSL SSR TTL TTR"
"""The names of channels, in the order in which they stand where a layout does not say another."""


@lru_cache(256)
def is_mapped(name: str) -> bool:
    """A layout of this name may list its channels in an order of its own, such as "3 channels (FR+FL+FC)"."""
    if name.startswith("ambisonic"):
        return True
    count, _, listed = name.removesuffix(")").partition(" channels (")
    if not (count.isdecimal() and listed):
        return False
    known = CHANNELS.split()
    ranks = [known.index(each) if each in known else -1 for each in listed.split("+")]
    return -1 in ranks or ranks != sorted(set(ranks))


def hold_layout(layout: Any) -> Any:
    """Let a layout that av has made of a frame or a decoder live for ever, where freeing it would do harm.

    The list of channels of a layout with an order of its own belongs to the frame or the decoder, which frees it; av
    does so as well with each object that shows the layout. Such an object is small, and such files are rare.

    Returns the layout if it can be compared with others later, None for one with an order of its own.
    """
    if is_mapped(layout.name):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
        return None
    return layout


def channels_of(stream: Any) -> int:
    """Channels of a stream of sound, as its header says."""
    layout = stream.codec_context.layout
    hold_layout(layout)
    return int(layout.nb_channels)
