"""The packets before the first wanted sample that make samples those of a full decode."""

import io

import av
import numpy as np
import pytest
from av.audio.plane import AudioPlane

from clipx.audio.opus_frames import is_transient
from clipx.audio.opus_frames import samples_of as samples_of_opus
from clipx.audio.preroll import preroll_of
from tests.helpers.sounds import encode, noise

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}


def tones(n, channels=1):
    """Few bands that a coder would fill with noise."""
    t = np.arange(n) / 16000
    return np.stack([0.4 * np.sin(2 * np.pi * 200 * (1 + c) * t) * np.sin(t) for c in range(channels)])


def sound_of(codec, container, rate=44100, channels=1, seconds=3.0, sound=noise, **options):
    return encode(sound(round(seconds * rate), channels), codec, container, rate, LAYOUTS[channels], options=options)


class Packets:
    """The packets of a file, and the samples that a full decode gives for each."""

    def __init__(self, data):
        self.data = data
        with av.open(io.BytesIO(data)) as file:
            stream = file.streams.audio[0]
            self.packets = [packet for packet in file.demux(stream) if packet.size]
            self.samples = [samples_of(stream.codec_context, packet) for packet in self.packets]
        counts = [sum(each.shape[1] for each in found) for found in self.samples]
        self.sizes, self.starts = [packet.size for packet in self.packets], np.cumsum([0, *counts[:-1]]).tolist()

    def starts_exactly(self, p, n=10):
        """Packets p to p + n give the samples of the full decode. Returns whether that is known, too."""
        file, stream = context_of(self.data)
        with file:
            pre, context = preroll_of(stream), stream.codec_context
            begin = pre.first(p, self.sizes, self.starts)
            found = [samples_of(context, packet) for packet in self.packets[begin or 0 : p + n]]
            equal = same(found[p - (begin or 0) :], self.samples[p : p + n])
            known = begin is None or pre.is_exact(context, self.packets[begin : p + n])
            if known and begin is not None and p + n < len(self.packets):
                equal = equal and same([samples_of(context, self.packets[p + n])], self.samples[p + n : p + n + 1])
            return equal, known


def samples_of(context, packet):
    return [planes_of(frame) for frame in context.decode(packet)]


def planes_of(frame):
    channels = frame.layout.nb_channels if frame.format.is_planar else 1
    dtype = np.dtype({"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4"}[frame.format.name.removesuffix("p")])
    size = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
    planes = [np.frombuffer(AudioPlane(frame, i), dtype, size) for i in range(channels)]
    return np.stack(planes) if frame.format.is_planar else planes[0].reshape(frame.samples, -1).T.copy()


def same(found, wanted):
    return all(len(a) == len(b) and all(map(np.array_equal, a, b)) for a, b in zip(found, wanted, strict=True))


def context_of(data):
    file = av.open(io.BytesIO(data))
    return file, file.streams.audio[0]


FILES = {
    "flac": ("flac", "flac", 16000, 2),
    "alac": ("alac", "ipod", 44100, 2),
    "wavpack": ("wavpack", "wv", 44100, 1, 12),
    "wavpack in mkv": ("wavpack", "matroska", 44100, 2, 12),
    "tta": ("tta", "tta", 44100, 1, 16),
    "pcm": ("pcm_s16le", "wav", 16000, 2),
    "mu-law": ("pcm_mulaw", "au", 8000, 1, 16),
    "adpcm ms": ("adpcm_ms", "wav", 22050, 1),
    "adpcm ima": ("adpcm_ima_wav", "wav", 22050, 2),
    "adpcm swf": ("adpcm_swf", "flv", 22050, 1, 6),
    "vorbis": ("vorbis", "ogg", 44100, 2),
    "opus 20 ms": ("libopus", "ogg", 48000, 2, 4),
    "opus 5 ms": ("libopus", "webm", 48000, 2, 3),
    "mp3": ("libmp3lame", "mp3", 44100, 2),
    "mp3 lsf": ("libmp3lame", "mp3", 22050, 1),
    "mp3 2.5": ("libmp3lame", "mp3", 8000, 1, 8),
    **{f"aac {n}": ("aac", "ipod", 48000, n) for n in LAYOUTS},
    "adts": ("aac", "adts", 16000, 2),
    "adts 5.1": ("aac", "adts", 44100, 6),
    "aac in ts": ("aac", "mpegts", 32000, 1),
}
OPTIONS = {
    "opus 20 ms": {"sound": tones},
    "mp3": {"b": "32000"},
    "mp3 lsf": {"b": "8000"},
    "mp3 2.5": {"b": "8000"},
    "opus 5 ms": {"frame_duration": "5", "sound": tones},
}


@pytest.mark.parametrize("name", FILES)
def test_samples_equal_those_of_a_full_decode(name):
    options = {"aac_pns": "0"} if FILES[name][0] == "aac" else OPTIONS.get(name, {})
    packets = Packets(sound_of(*FILES[name], **options))
    for p in np.random.default_rng(1).integers(1, len(packets.packets) - 10, 12).tolist():
        assert packets.starts_exactly(p) == (True, True)


@pytest.mark.parametrize("name", ["vorbis", "mp3", "opus 20 ms", "adts"])
def test_fewer_packets_would_not_do(name):
    options = {"aac_pns": "0"} if name == "adts" else OPTIONS.get(name, {})
    packets = Packets(sound_of(*FILES[name], **options))
    file, stream = context_of(packets.data)
    with file:
        p = len(packets.packets) * 3 // 4
        assert preroll_of(stream).first(p, packets.sizes, packets.starts) < p
        found = [samples_of(stream.codec_context, packet) for packet in packets.packets[p : p + 1]]
        assert not same(found, packets.samples[p : p + 1])


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("container", ["ipod", "adts"])
def test_noise_that_aac_makes_is_found_out(channels, container):
    packets = Packets(sound_of("aac", container, 48000, channels, aac_pns="1", b=f"{channels * 32000}"))
    found = [packets.starts_exactly(p) for p in range(5, 120, 10)]
    assert not any(known and not equal for equal, known in found)
    assert not all(known for _, known in found)


def test_aac_is_exact_for_as_long_as_no_noise_is_made():
    plain = Packets(sound_of("aac", "adts", 48000, 1, aac_pns="0", sound=tones))
    noisy = Packets(sound_of("aac", "adts", 48000, 1, aac_pns="1", sound=tones))
    file, stream = context_of(plain.data)
    with file:
        pre, context = preroll_of(stream), stream.codec_context
        for first in (0, 20, 40):
            found = [samples_of(context, packet) for packet in plain.packets[first : first + 20]]
            assert same(found, plain.samples[first : first + 20])
            assert pre.is_exact(context, plain.packets[first : first + 20])
        for packet in noisy.packets[:40]:
            context.decode(packet)
        assert not pre.is_exact(context, noisy.packets[:40])
        context.flush_buffers()
        context.decode(plain.packets[60])
        assert not pre.is_exact(context, plain.packets[60:61])  # a flush keeps it


def test_silk_in_opus_is_found_out():
    packets = Packets(sound_of("libopus", "ogg", 48000, 1, application="voip", b="12000", sound=tones))
    assert packets.starts_exactly(90)[1] is False


def bursts(n, channels=1):
    """Clicks so near each other that a coder uses short blocks throughout, in noise of changing colour."""
    rng = np.random.default_rng(7)
    sound = np.cumsum(rng.normal(0, 0.02, (channels, n)), axis=1) * np.sin(np.arange(n) / 9000)
    sound[:, rng.integers(0, n, n // 700)] += 0.8
    return sound - np.mean(sound)


def test_short_blocks_in_opus_that_may_look_far_back():
    """Where two long blocks do not lie near, what they had is not known."""
    packets = Packets(sound_of("libopus", "ogg", 48000, 1, seconds=12, b="48000", sound=bursts))
    transients = [is_transient(memoryview(packet)) for packet in packets.packets]
    assert 0.5 < np.mean([each is True for each in transients]) < 1
    found = [packets.starts_exactly(p, n=30) for p in range(80, 560, 20)]
    assert not any(known and not equal for equal, known in found)
    assert {known for _, known in found} == {True, False}


def test_what_packets_of_opus_say():
    packets = Packets(sound_of("libopus", "ogg", 48000, 2, sound=lambda n, c: np.zeros((c, n))))
    assert is_transient(memoryview(packets.packets[50])) is False
    assert is_transient(memoryview(bytes([16 << 3, 0]))) is None
    assert is_transient(memoryview(bytes([3 << 3] + [1] * 20))) is None
    for first, samples in ((31 << 3, 960), (30 << 3, 480), (28 << 3 | 1, 240), (29 << 3 | 2, 480)):
        assert samples_of_opus(memoryview(bytes([first, 0]))) == samples
    assert samples_of_opus(memoryview(bytes([31 << 3 | 3, 3]))) == 2880
    assert samples_of_opus(memoryview(bytes([31 << 3 | 3]))) == 0


def test_dsd_in_wavpack_is_found_out():
    packets = Packets(sound_of(*FILES["wavpack"]))
    file, stream = context_of(packets.data)
    with file:
        pre, block = preroll_of(stream), bytearray(bytes(packets.packets[1]))
        assert pre.is_exact(stream.codec_context, [av.Packet(bytes(block))])
        block[27] |= 128
        assert not pre.is_exact(stream.codec_context, [av.Packet(bytes(block))])


def test_he_aac_is_decoded_from_the_start():
    data = sound_of("aac", "ipod", 48000, 1)
    extended = data.replace(bytes.fromhex("118856e500"), bytes.fromhex("118856e580"))  # sbrPresentFlag
    assert extended != data
    file, stream = context_of(extended)
    with file:
        assert preroll_of(stream) is None


@pytest.mark.parametrize(
    "kind",
    [
        ("ac3", "ac3", 48000, 2),
        ("eac3", "eac3", 48000, 1),
        ("mp2", "mp2", 44100, 1),
        ("g722", "wav", 16000, 1),
        ("g726", "wav", 8000, 1),
        ("adpcm_yamaha", "wav", 22050, 1),
        ("adpcm_ima_qt", "mov", 22050, 1),
        ("libopus", "matroska", 48000, 6),
    ],
    ids=lambda kind: f"{kind[0]} {kind[3]}",
)
def test_codecs_whose_state_goes_on_are_decoded_from_the_start(kind):
    file, stream = context_of(sound_of(*kind, seconds=0.5))
    with file:
        assert preroll_of(stream) is None


def test_a_list_that_begins_too_late_says_so():
    packets = Packets(sound_of("libmp3lame", "mp3", 44100, 1, b="64000"))
    file, stream = context_of(packets.data)
    with file:
        pre = preroll_of(stream)
        first = pre.first(60, packets.sizes, packets.starts)
        assert first < 59
        assert pre.first(60 - first, packets.sizes[first:], packets.starts[first:]) == 0
        assert pre.first(59 - first, packets.sizes[first + 1 :], packets.starts[first + 1 :]) is None


def test_bytes_without_main_data_do_not_count():
    file, stream = context_of(sound_of("libmp3lame", "mp3", 24000, 2, b="8000", seconds=0.5))
    with file:
        pre = preroll_of(stream)
        assert pre.first(300, [24] * 300, range(0, 300 * 576, 576)) == 298 - 255
        assert pre.first(300, [23] * 300, range(0, 300 * 576, 576)) is None
