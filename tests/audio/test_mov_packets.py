"""The length of AAC in MP4 by its packets: that of a full decode, which may leave out samples at the end."""

import io
import struct
from functools import cache

import av
import numpy as np
import pytest
from helpers.sounds import decoded, encode, frames_of, noise

import clipx
from clipx import AudioFormat, Segment, WindowSpec
from clipx.audio.open_samples import open_samples

RATE = 48000
SAMPLES = 9000  # 9.8 packets with those before the sound
OPTIONS = {"aac_pns": "0"}
EDIT, HEADER = (b"elst", 8), (b"mdhd", 16)  # where durations are


@cache
def plain(samples=SAMPLES):
    return encode(noise(samples), "aac", "ipod", RATE, options=OPTIONS)


def with_video():
    """Sound that ends within a picture of a second."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        video = file.add_stream("mpeg4", rate=1)
        video.width = video.height = 32
        audio = file.add_stream("aac", rate=RATE, layout="mono", options=OPTIONS)
        audio.codec_context.open()
        for number in range(2):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 9, np.uint8))
            picture.pts = number
            file.mux(video.encode(picture))
        for frame in [*frames_of(noise(SAMPLES), audio, RATE, "mono"), None]:
            file.mux(audio.encode(frame))
        file.mux(video.encode(None))
    return out.getvalue()


def number_in(data, kind, at):
    begin = data.index(kind) + 4 + at
    return int.from_bytes(data[begin : begin + 4], "big")


def with_number(data, kind, at, value):
    """A file with another number in its first box of a kind."""
    begin = data.index(kind) + 4 + at
    return data[:begin] + struct.pack(">I", value) + data[begin + 4 :]


def with_last_step(value):
    """A file whose last packet has another duration."""
    return with_number(plain(), b"stts", 4 + 8 * number_in(plain(), b"stts", 4), value)


def box(kind, data):
    return struct.pack(">I", 8 + len(data)) + kind + data


def with_itunes(data, before, after, samples):
    """A file that says in iTunes' words how many samples are not sound."""
    text = f" 00000000 {before:08X} {after:08X} {samples:016X}".encode() + b" 00000000" * 8
    names = box(b"mean", b"\0\0\0\0com.apple.iTunes") + box(b"name", b"\0\0\0\0iTunSMPB")
    item = box(b"----", names + box(b"data", struct.pack(">II", 1, 0) + text))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    begin = data.index(b"moov") - 4
    moov = data[begin + 8 : data.index(b"udta", begin) - 4]
    return data[:begin] + box(b"moov", moov + box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", item))))


FILES = {
    "plain": plain,
    "of whole packets": lambda: plain(8192),
    "of a sample more": lambda: plain(8193),
    "with video": with_video,
    "edited shorter": lambda: with_number(plain(), *EDIT, number_in(plain(), *EDIT) - 5),
    "edited longer": lambda: with_number(plain(), *EDIT, 1 << 20),
    "last packet of one sample": lambda: with_last_step(1),
    "last packet of a whole step": lambda: with_last_step(1024),
    "no duration": lambda: with_number(plain(), *HEADER, 0),
    "short duration": lambda: with_number(plain(), *HEADER, 5000),
    "iTunes": lambda: with_itunes(plain(), 1024, 300, SAMPLES),
    "iTunes, most of two packets": lambda: with_itunes(plain(), 1024, 1500, SAMPLES),
    "iTunes, in the middle": lambda: with_itunes(with_number(plain(), *HEADER, 5000), 1024, 300, 100),
}
MAY_BE_DECODED = {"iTunes, most of two packets", "iTunes, in the middle"}


@pytest.mark.parametrize("name", FILES)
def test_the_length_is_that_of_a_full_decode(name):
    data = FILES[name]()
    sound = decoded(data)
    n = sound.shape[1]
    source = open_samples(data, "it", AudioFormat(), None)
    length = source.length()
    source.close()
    assert length == n or (length is None and name in MAY_BE_DECODED)
    (clip,) = clipx.audio.clips(data, WindowSpec(700), segments=[Segment(n - 700, n, unit="frames")])
    np.testing.assert_array_equal(clip.data, sound[:, -700:])


@pytest.mark.parametrize("samples", [1, 500, 1024, 1025, 2049])
def test_short_sounds(samples):
    source = open_samples(plain(samples), "it", AudioFormat(), None)
    length = source.length()
    source.close()
    assert length in (None, decoded(plain(samples)).shape[1])
