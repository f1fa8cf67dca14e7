"""What is decoded before the first wanted sample so that samples equal, bit for bit, those of a full decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av

from clipx.audio.aac_noise import AacNoise
from clipx.audio.opus_frames import is_transient, samples_of

__all__ = ["LSF_RATES", "Preroll", "preroll_of"]

PACKETS_BEFORE = {
    # Every packet stands alone.
    "adpcm_ima_wav": 0,
    "adpcm_ms": 0,
    "adpcm_swf": 0,
    "alac": 0,
    "flac": 0,
    "tta": 0,
    "wavpack": 0,
    # Windows overlap with those of the packet before.
    "aac": 1,
    "vorbis": 1,
}
"""Decoders that need a fixed number of packets before the first one whose samples are wanted.

Not those with a noise or dither that goes on from packet to packet (AC-3, E-AC-3, WMA, Nellymoser, MPEG layers I and
II), nor those that predict from all sound before (AMR, G.722, G.726, the other ADPCMs, Speex).
"""

FEW_SECONDS = 0.5

MP3_HEAD, LSF_HEAD = 38, 23
"""Most bytes of an MP3 packet that are not main data: header, checksum and side information; LSF: MPEG-2 and 2.5."""

MP3_RESERVOIR, LSF_RESERVOIR = 511, 255
"""How many bytes before a packet its main data may begin, by the bits of main_data_begin (ISO/IEC 11172-3, 13818-3)."""

LSF_RATES = 24000  # and below

OPUS_SECONDS = 1.25
"""Opus predicts band energies from the packet before, by a factor of 0.5 (20 ms) to 0.9 (2.5 ms): an error shrinks
until it is lost in rounding, which takes 24 bits. 0.76 s is the most of thousands of starts; each packet beyond halves,
or with small packets lowers as much in time, the chance that one bit still differs."""

OPUS_SETTLED_SECONDS = 0.25
"""After these. A frame with short blocks may look back at the energies of the last two without (anti-collapse)."""

OPUS_RATE = 48000
OPUS_CELT = 16  # the first configuration of a packet (RFC 6716 3.1) without SILK, which predicts far back
OPUS_MAPPING = 18  # byte of OpusHead (RFC 7845 5.1): 0 is one stream of one or two channels

WAVPACK_FLAGS = 27  # byte of a block's header
WAVPACK_DSD = 128  # is converted by a filter that goes on from block to block


class Preroll:
    """Packets to decode before those whose samples are wanted; their samples are dropped.

    It belongs to one run of a decoder, fresh or flushed. Where that decodes a packet otherwise than the file's first
    one, in rate, layout or type, or refuses one, samples may differ from those of a full decode all the same.

    Attributes:
        seconds: by how much earlier packets are nearly always enough for `first`.
    """

    seconds = FEW_SECONDS

    def __init__(self, packets: int) -> None:
        self._packets = packets

    def first(self, p: int, sizes: Sequence[int], starts: Sequence[int]) -> int | None:
        """The packet to decode from so that the samples of packet p and all after it are exact.

        Args:
            p: index of a packet in the lists, as is what is returned.
            sizes: bytes of packets that follow each other.
            starts: their first samples, at the rate of the decoder.

        None where that is before the first one listed. From the file's first packet on all samples are exact.
        """
        return p - self._packets if p >= self._packets else None

    def is_exact(self, context: av.AudioCodecContext, packets: Sequence[av.Packet]) -> bool:
        """The samples of packets that have been decoded since the last call are those of a full decode.

        packets: in order, in the first call from the one that `first` says on. The decoder is left so that it can go on
            with the next one.
        """
        return True


class _WavPack(Preroll):
    def is_exact(self, context: av.AudioCodecContext, packets: Sequence[av.Packet]) -> bool:
        return all(
            packet.size > WAVPACK_FLAGS and not memoryview(packet)[WAVPACK_FLAGS] & WAVPACK_DSD for packet in packets
        )


class _Aac(Preroll):
    def __init__(self, noise: AacNoise) -> None:
        super().__init__(PACKETS_BEFORE["aac"])
        self._noise = noise

    def is_exact(self, context: av.AudioCodecContext, packets: Sequence[av.Packet]) -> bool:
        # A decoder finds out about spectral band replication, whose state reaches far back, as it goes.
        if context.profile != "LC" or self._noise.is_used(context):
            return False
        try:
            # The last packet again, for what overlaps with the next one.
            context.decode(packets[-1])
        except av.FFmpegError:
            return False
        return True


class _Mp3(Preroll):
    """The bit reservoir and the hybrid synthesis of MPEG layer III.

    A sample needs the spectra of its granule and of the two before: the packet before it holds two of them, or one in
    LSF. Their main data may begin in earlier packets, in all that follows the last full reservoir.
    """

    def __init__(self, is_lsf: bool) -> None:
        super().__init__(2 if is_lsf else 1)
        self._head = LSF_HEAD if is_lsf else MP3_HEAD
        self._reservoir = LSF_RESERVOIR if is_lsf else MP3_RESERVOIR

    def first(self, p: int, sizes: Sequence[int], starts: Sequence[int]) -> int | None:
        at, missing = p - self._packets, self._reservoir
        while missing > 0 and at > 0:
            at -= 1
            missing -= max(int(sizes[at]) - self._head, 0)
        return at if at >= 0 and missing <= 0 else None


class _Opus(Preroll):
    seconds = OPUS_SECONDS + OPUS_SETTLED_SECONDS + 0.2

    def __init__(self) -> None:
        super().__init__(0)
        self._is_settled = False

    def first(self, p: int, sizes: Sequence[int], starts: Sequence[int]) -> int | None:
        at, latest = p, starts[p] - (OPUS_SECONDS + OPUS_SETTLED_SECONDS) * OPUS_RATE
        while at > 0 and starts[at] > latest:
            at -= 1
        return at if starts[at] <= latest else None

    def is_exact(self, context: av.AudioCodecContext, packets: Sequence[av.Packet]) -> bool:
        views = [memoryview(packet) for packet in packets]
        if not all(view.nbytes and view[0] >> 3 >= OPUS_CELT for view in views):
            return False
        self._is_settled = self._is_settled or _settles(views)
        return self._is_settled


def _settles(packets: Sequence[memoryview]) -> bool:
    """Two frames without short blocks lie in the part of a pre-roll in which energies are right."""
    found, samples = 0, 0.0
    for packet in packets:
        if samples >= (OPUS_SECONDS + OPUS_SETTLED_SECONDS) * OPUS_RATE:
            return False
        if samples >= OPUS_SECONDS * OPUS_RATE and is_transient(packet) is False:
            found += 1
            if found == 2:
                return True
        samples += samples_of(packet)
    return False


def preroll_of(stream: Any) -> Preroll | None:
    """The Preroll of a stream's decoder; None where samples are exact only if all from the file's first on is decoded.

    They are with a decoder that is not known, AAC other than plain low complexity (HE-AAC, Main, LTP, xHE-AAC), and
    Opus of more than two channels.
    """
    context = stream.codec_context
    name, extradata = context.codec.name, bytes(context.extradata or b"")
    if name == "mp3float":
        return _Mp3(is_lsf=context.sample_rate <= LSF_RATES)
    if name == "opus":
        return _Opus() if len(extradata) > OPUS_MAPPING and not extradata[OPUS_MAPPING] else None
    if name == "aac":
        noise = AacNoise.of(context)
        return None if noise is None else _Aac(noise)
    if name == "wavpack":
        return _WavPack(PACKETS_BEFORE[name])
    packets = 0 if name.startswith("pcm_") else PACKETS_BEFORE.get(name)
    return None if packets is None else Preroll(packets)
