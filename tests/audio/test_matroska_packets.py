"""The index of sound in Matroska and WebM, and files of which none is made."""

import io

import av
import numpy as np
import pytest

from clipx import AudioFormat, WindowSpec, audio
from clipx.audio.file_bytes import FileBytes
from clipx.audio.find_index import can_be_indexed, index_of
from clipx.audio.indexed_run import IndexedRun
from tests.helpers.sounds import encode, noise, whole_sound

PLAIN = {"aac_pns": "0"}


def index_for(data):
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.audio[0]
        return index_of(file, stream, FileBytes(data)) if can_be_indexed(file, stream) else None


@pytest.mark.parametrize("n", [40000, 48000, 96001, 100123])
@pytest.mark.parametrize(("codec", "container"), [("libopus", "webm"), ("libopus", "matroska"), ("aac", "matroska")])
def test_lengths(codec, container, n):
    data = encode(noise(n), codec, container, 48000, options=PLAIN if codec == "aac" else None)
    assert index_for(data).length == whole_sound(data).shape[1]


def test_length_without_padding_at_the_end():
    options = {"application": "lowdelay", "frame_duration": "2.5"}
    data = encode(noise(446400), "libopus", "webm", 48000, options=options)
    assert index_for(data).length == whole_sound(data).shape[1]


def test_silk_is_decoded_from_the_start():
    data = encode(noise(40000), "libopus", "webm", 8000, options={"b": "12000", "application": "voip"})
    assert index_for(data) is None
    [clip] = audio.clips(data, WindowSpec(10, num_clips=1))
    assert clip.start == (whole_sound(data).shape[1] - 10) // 2


def test_clips_are_decoded_from_near_them(monkeypatch):
    runs = []
    frames = IndexedRun.frames
    monkeypatch.setattr(IndexedRun, "frames", lambda self: runs.append(self) or frames(self))
    data = encode(noise(400000, 2), "aac", "matroska", 44100, "stereo", options=PLAIN)
    for format in (AudioFormat(), AudioFormat(sample_rate=16000, mono=True)):
        whole = whole_sound(data, format)
        [clip] = audio.clips(data, WindowSpec(500, num_clips=1), format)
        np.testing.assert_array_equal(clip.data, whole[:, clip.start : clip.start + 500])
    assert len(runs) == 2


def test_a_gap():
    sound = noise(100000)
    data = encode(sound, "libopus", "webm", 48000, skip=((48000, 48960),))
    assert index_for(data) is None
    assert index_for(encode(sound, "libopus", "webm", 48000)) is not None


def test_packets_of_several_lengths():
    data = bytearray(encode(noise(100000), "libopus", "webm", 48000))
    index = index_for(bytes(data))
    begin = index.packets._begins[20]
    assert data[begin] >> 3 == 31
    data[begin] = 30 << 3  # 10 ms
    assert index_for(bytes(data)) is None


def test_vorbis_is_decoded_from_the_start():
    assert index_for(encode(noise(50000, 2), "vorbis", "webm", 44100, "stereo")) is None
