"""Memory that samples need while their clips are extracted, by their headers, and the order that follows from it."""

import gzip
import io
import random
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.arrays import npy
from helpers.loaders import everything
from helpers.shards import write_shard

import clipx
from clipx.datasets.fields import Field
from clipx.loader import budget
from clipx.loader.needs import PLAIN_BYTES, needs_of
from clipx.video.decoder_memory import PictureMemory, decoder_needs, parameter_sets_memory

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


def encode(codec, format, size=(192, 112), pix_fmt="yuv420p", **options):
    out = io.BytesIO()
    with av.open(out, "w", format=format) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = *size, pix_fmt, options
        for k in range(6):
            image = np.full((size[1], size[0], 3), 40 * k, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    return out.getvalue()


X264 = {"preset": "ultrafast"}
QUIET = "log-level=none"


@pytest.mark.parametrize("format", ["mp4", "matroska", "mpegts", "flv", "h264", "avi"])
@pytest.mark.parametrize("references", [1, 4, 16])
def test_references_of_h264(format, references):
    data = encode("libx264", format, **X264, **{"x264-params": f"ref={references}:bframes=0:{QUIET}"})
    found = decoder_needs(data, "this", 1)
    with av.open(io.BytesIO(data)) as container:
        context = container.streams.video[0].codec_context
        picture = parameter_sets_memory("h264", bytes(context.extradata)) if context.extradata else None
        assert (context.width, context.height) == (192, 112)
    assert picture == PictureMemory(192 * 112, Fraction(3, 2), references)
    assert found == (picture.held(1), 192 * 112)
    assert decoder_needs(data, "this", 5).nbytes > found.nbytes


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "pixel_bytes"),
    [
        ("libx264", "yuv420p10le", Fraction(3)),
        ("libx264", "yuv422p", Fraction(2)),
        ("libx264", "yuv444p10le", Fraction(6)),
        ("libx264", "gray", Fraction(1)),
        ("libx265", "yuv420p", Fraction(3, 2)),
        ("libx265", "yuv420p10le", Fraction(3)),
        ("libx265", "yuv444p12le", Fraction(6)),
    ],
)
def test_depths(codec, pix_fmt, pixel_bytes):
    params = {"x264-params" if codec == "libx264" else "x265-params": QUIET}
    data = encode(codec, "mp4", (322, 178), pix_fmt, **X264, **params)
    with av.open(io.BytesIO(data)) as container:
        context = container.streams.video[0].codec_context
        found = parameter_sets_memory(context.codec.canonical_name, bytes(context.extradata))
        assert 322 * 178 <= found.pixels <= 336 * 192
        assert found.pixel_bytes == pixel_bytes
        assert 1 <= found.references <= 16
    assert decoder_needs(data, "this", 1) == (found.held(1), found.pixels)


@pytest.mark.parametrize(("codec", "format"), [("mpeg4", "mp4"), ("mpeg2video", "mpegts"), ("libvpx-vp9", "webm")])
def test_other_codecs(codec, format):
    found = decoder_needs(encode(codec, format), "this", 1)
    assert found.pixels == 192 * 112
    assert found.nbytes >= 5 * 192 * 112 * 3 // 2


def test_broken_parameter_sets():
    """Any bytes are passed over, whatever they say, and soon."""
    rng = random.Random(0)
    units = [bytes([0x67]), bytes([0x42, 1])]
    for _ in range(3000):
        data = bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
        for codec, head in zip(("h264", "hevc"), units):
            for extradata in (b"\0\0\1" + head + data, b"\1" + data, b"\1" * 22 + data, data):
                found = parameter_sets_memory(codec, extradata)
                assert found is None or 0 <= found.references <= 16
    assert decoder_needs(b"no video", "this", 1) == (0, 0)


def test_what_a_sample_needs():
    text = gzip.compress(b"x" * 100_000)
    packed = io.BytesIO()
    np.savez_compressed(packed, a=np.zeros((100, 10, 10)), b=np.zeros(5))
    sample = {"__key__": "a", "npz": packed.getvalue(), "txt.gz": text, "bin": bytes(9000), "cls": b"5"}
    found = needs_of(sample, [Field("npz:a"), Field("npz:b")], 1, 10**9)
    assert found.read == sum(len(value) for value in sample.values() if isinstance(value, bytes))
    assert 80_000 + 200_000 < found.decoded < 80_000 + 203_000  # the arrays once; the text, and as it is unpacked
    assert 109_000 < found.beside < 110_000
    assert found.decoder == found.pixels == 0
    video = encode("libx264", "mp4", (1280, 720), **X264)
    assert needs_of({"__key__": "a", "mp4": video}, [Field("mp4")], 1, 10**9).decoder == 0
    three = needs_of({f"{k}.mp4": video for k in "abc"}, [Field(f"{k}.mp4") for k in "abc"], 1, 10**9)
    assert three.decoder == 3 * decoder_needs(video, "this", 1).nbytes - PLAIN_BYTES > 0


def mixed(tmp_path):
    """Samples of which some are more than half of what is read at a time, some more than all of it; two are broken."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(40):
        frames = int(rng.choice([5, 9, 30, 300, 500, 900]))
        frames = 30 if i in (7, 20) else frames
        value = npy(rng.integers(0, 256, (frames, 8, 8, 3)).astype(np.uint8))
        extra = "x" * int(rng.choice([1, 10, 9000]))
        samples.append({"__key__": f"s{i:02d}", "npy": value[:-5] if i in (7, 20) else value, "txt": extra})
    return [write_shard(tmp_path / f"{k}.tar", samples[20 * k : 20 * k + 20]) for k in range(2)]


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_order_does_not_depend_on_threads(tmp_path, shuffle, monkeypatch):
    """Nor on whether it is resumed, where samples of all sizes wait for each other and some are refused."""
    monkeypatch.setattr(budget, "LEAST_SAMPLE", 1)
    monkeypatch.setattr(budget, "BESIDE_BYTES", 10_000)
    urls = mixed(tmp_path)

    def load(threads, reported):
        window = clipx.WindowSpec(4, 40)
        return clipx.Loader(
            urls, window, batch_size=4, memory="1MB", threads=threads, shuffle=shuffle, drop_last=False,
            handler=lambda exn: reported.append(str(exn)) or True,
        )  # fmt: skip

    reported = []
    wanted = everything(load(1, reported))
    assert sum("raise memory" in each for each in reported) > 2
    assert sum("bytes, but it has" in each for each in reported) == 2
    for threads in (2, 8):
        again = []
        assert everything(load(threads, again)) == wanted
        assert again == reported
    for stop in range(0, len(wanted), 3):
        loader = load(3, [])
        iterator = iter(loader)
        for _ in range(stop):
            next(iterator)
        state = loader.state_dict()
        iterator.close()
        loader = load(2, [])
        loader.load_state_dict(state)
        assert everything(loader) == wanted[stop:], stop


def test_a_picture_that_grows_past_what_its_header_says(tmp_path):
    """MPEG-4 in MP4 says sizes twice, and the decoder goes by the one inside."""
    large, small = (encode("mpeg4", "mp4", size) for size in ((2560, 1440), (64, 48)))
    inner = large.replace((2560).to_bytes(2, "big") + (1440).to_bytes(2, "big"), b"\0\x40\0\x30")
    assert inner != large
    reported = []
    url = write_shard(
        tmp_path / "a.tar", [{"__key__": key, "mp4": data} for key, data in zip("abc", (small, inner, small))]
    )
    loader = clipx.Loader(url, clipx.WindowSpec(2), clipx.ClipFormat(resize=(16, 16)), batch_size=1, memory="100MB",
                          handler=lambda exn: reported.append(exn) or True)  # fmt: skip
    keys = {key[0] for batch in loader for key in batch["__key__"]}
    assert {"a", "c"} <= keys
    assert ("b" in keys) != bool(reported)


def test_decoders_that_are_larger_leave_room_for_fewer():
    how = {"held": 2, "fields": 1, "batch_size": 4, "batches": 3, "shuffle": True}
    plain = budget.divide(10**9, 100_000, **how)
    large = budget.divide(10**9, 100_000, decoder=100_000_000, **how)
    assert plain.sources > large.sources
    assert large.decoder_bytes == plain.decoder_bytes + 100_000_000
    for found in (plain, large):
        assert found.decoder(0) == found.decoder_bytes
        assert found.sample_bytes == found.encoded_bytes + found.sources * found.decoder_bytes
    assert plain.decoder(10**8) == plain.decoder_bytes + 10**8
    assert large.decoder(10**7) == large.decoder_bytes
