"""Whether an AAC decoder has made noise: what it makes depends on all that it has made before."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

import av
import numpy as np
from av.audio.plane import AudioPlane

from clipx.audio.layouts import hold_layout

__all__ = ["AacNoise"]

RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)

LOW_COMPLEXITY = 2  # audioObjectType
SYNC_EXTENSION = f"{0x2B7:011b}"
NO_REPLICATION = SYNC_EXTENSION + f"{5:05b}" + "0"
SINGLE, PAIR, LOW, END = 0, 1, 3, 7  # id_syn_ele
ELEMENTS = {
    1: ((1,), (SINGLE,)),
    2: ((2,), (PAIR,)),
    3: ((3,), (SINGLE, PAIR)),
    4: ((4,), (SINGLE, PAIR, SINGLE)),
    5: ((5,), (SINGLE, PAIR, PAIR)),
    6: ((6,), (SINGLE, PAIR, PAIR, LOW)),
    8: ((7, 12), (SINGLE, PAIR, PAIR, PAIR, LOW)),
}
"""Each channelConfiguration of a number of channels, and its elements (ISO/IEC 14496-3 1.6.3.5)."""

NOISE_CODEBOOK = 13
NOISE_BANDS = 4
GAIN, NOISE_ENERGY = 130, 256  # of some amplitude


def _bits(*fields: tuple[int, int]) -> bytes:
    """Fields (value, bits) one after the other, with zeros up to a whole byte."""
    text = "".join(f"{value:0{bits}b}" for value, bits in fields)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _has_replication(extension: bytes) -> bool:
    """What follows an AudioSpecificConfig says that there is spectral band replication, or something else."""
    text = "".join(f"{byte:08b}" for byte in extension)
    at = text.find(SYNC_EXTENSION)
    return at >= 0 and not text[at:].startswith(NO_REPLICATION)


def _channel(bands: int) -> list[tuple[int, int]]:
    """An individual_channel_stream of a long window, with so many bands of noise and nothing else."""
    fields = [(GAIN, 8), (0, 1), (0, 2), (0, 1), (bands, 6), (0, 1)]  # global_gain, ics_info
    if bands:
        # section_data, and scale_factor_data: the energy of the first band, and no difference to the others'.
        fields += [(NOISE_CODEBOOK, 4), (bands, 5), (NOISE_ENERGY, 9), (0, bands - 1)]
    return [*fields, (0, 1), (0, 1), (0, 1)]  # no pulses, no temporal noise shaping, no gain control


@lru_cache(16)
def _packet_of_noise(elements: tuple[int, ...]) -> bytes:
    """A packet of noise in its first channel, and of silence in all others."""
    fields: list[tuple[int, int]] = []
    for at, element in enumerate(elements):
        fields += [(element, 3), (elements[:at].count(element), 4)]
        bands = NOISE_BANDS if at == 0 else 0
        fields += [(0, 1), *_channel(bands), *_channel(0)] if element == PAIR else _channel(bands)
    return _bits(*fields, (END, 3))


def _noise_of(context: av.AudioCodecContext, packet: bytes) -> list[bytes]:
    """The samples of two packets of noise, of which the second's depend on nothing but the noise made before."""
    context.decode(av.Packet(packet))
    found = []
    for frame in context.decode(av.Packet(packet)):
        hold_layout(frame.layout)
        planes = [AudioPlane(frame, channel) for channel in range(frame.layout.nb_channels)]
        found += [np.frombuffer(cast(Any, plane), np.float32, frame.samples).tobytes() for plane in planes]
    return found


def _twin(extradata: bytes) -> av.AudioCodecContext:
    """A decoder that has decoded nothing."""
    context = av.CodecContext.create("aac", "r")
    assert isinstance(context, av.AudioCodecContext)
    context.extradata = extradata
    return context


@lru_cache(64)
def _first_noise(extradata: bytes, packet: bytes) -> list[bytes]:
    """`_noise_of` a decoder that has decoded nothing, kept: most runs ask once, and opening one takes long."""
    return _noise_of(_twin(extradata), packet)


class AacNoise:
    """Finds out whether a decoder has made noise for the packets that it has decoded.

    FFmpeg's decoder takes noise (perceptual noise substitution) from one sequence of random numbers that goes on from
    packet to packet, also where it is flushed. It gives the packet of noise that is decoded here the same samples as a
    decoder that has decoded nothing else only if it has not made any before.
    """

    def __init__(self, extradata: bytes, packet: bytes) -> None:
        self._extradata, self._packet = extradata, packet
        self._twin: av.AudioCodecContext | None = None
        self._is_asked = False

    @staticmethod
    def of(context: av.AudioCodecContext) -> AacNoise | None:
        """For a decoder of plain low complexity; None for any other, and for channels in an order of its own."""
        hold_layout(context.layout)
        channels, rate = context.layout.nb_channels, context.sample_rate
        if context.profile != "LC" or channels not in ELEMENTS or rate not in RATES:
            return None
        configurations, elements = ELEMENTS[channels]
        plain = [_bits((LOW_COMPLEXITY, 5), (RATES.index(rate), 4), (each, 4), (0, 3)) for each in configurations]
        # The first is that of a stream with a header in every packet.
        extradata = bytes(context.extradata or plain[0])
        if extradata[:2] not in plain or _has_replication(extradata[2:]):
            return None
        return AacNoise(extradata, _packet_of_noise(elements))

    def is_used(self, context: av.AudioCodecContext) -> bool:
        """A decoder has made noise of its own, or cannot say. It holds noise of this afterwards."""
        try:
            return _noise_of(context, self._packet) != self._next_noise()
        except av.FFmpegError:
            return True

    def _next_noise(self) -> list[bytes]:
        """What a decoder makes that has made nothing but the noise of the calls before."""
        if not self._is_asked:
            self._is_asked = True
            return _first_noise(self._extradata, self._packet)
        if self._twin is None:
            self._twin = _twin(self._extradata)
            _noise_of(self._twin, self._packet)
        return _noise_of(self._twin, self._packet)
