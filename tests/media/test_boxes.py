"""Headers of MOV and MP4 that claim samples which cannot be there: refused before memory is taken for them."""

import gc
import io
import struct
import weakref
from fractions import Fraction

import av
import numpy as np
import pytest

import clipx
from clipx.media.boxes import check_boxes

N = 30
KINDS = {
    "mp4": {"bf": "2", "g": "8"},
    "fragments": {"bf": "2", "g": "8", "container": "ismv", "suffix": ".mp4"},
    "mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mov", "suffix": ".mov"},
    "mkv": {"container": "matroska", "suffix": ".mkv"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_are_sound(make_video, kind):
    data = make_video(N, **KINDS[kind]).read_bytes()
    assert check_boxes(io.BytesIO(data), len(data), "a") is (kind != "mkv")
    assert len(list(clipx.video.clips(data, clipx.WindowSpec(5)))) == N // 5


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_u8", "adpcm_ima_qt", "alac", "aac"])
def test_sound(codec):
    out = io.BytesIO()
    with av.open(out, "w", format="mov") as file:
        stream = file.add_stream(codec, rate=8000, layout="mono")
        samples = np.zeros((1, 64000), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        for part in av.AudioResampler(stream.format.name, "mono", 8000, frame_size=stream.frame_size).resample(frame):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    data = out.getvalue()
    check_boxes(io.BytesIO(data), len(data), "a")
    assert len(list(clipx.audio.clips(data, clipx.WindowSpec(8000)))) >= 7


@pytest.mark.parametrize("source", ["bytes", "path", "file"])
@pytest.mark.parametrize(("kind", "box", "at"), [("mp4", b"stsz", 12), ("mov", b"stsz", 12), ("fragments", b"trun", 8)])
def test_more_samples_than_bytes(make_video, tmp_path, kind, box, at, source):
    data = bytearray(make_video(N, **KINDS[kind]).read_bytes())
    begin = data.index(box) + at
    (count,) = struct.unpack_from(">I", data, begin)
    assert 0 < count <= N
    for claimed in (len(data) + 1, 80_000_000, 0xFFFFFFFF):
        struct.pack_into(">I", data, begin, claimed)
        path = tmp_path / "a.mp4"
        path.write_bytes(data)
        forms = {"bytes": bytes(data), "path": path, "file": io.BytesIO(data)}
        with pytest.raises(clipx.MediaError, match=rf"{box.decode()}.* claims {claimed} samples"):
            list(clipx.video.clips(forms[source], clipx.WindowSpec(5)))


def test_a_size_of_64_bits(make_video):
    data = make_video(N, **KINDS["fragments"]).read_bytes()
    run = struct.pack(">I4sQ4xI", 1, b"trun", 24, 10**9)
    moof = struct.pack(">I4s", 16 + len(run), b"moof") + struct.pack(">I4s", 8 + len(run), b"traf") + run
    with pytest.raises(clipx.MediaError, match="claims 1000000000 samples"):
        check_boxes(io.BytesIO(data + moof), len(data + moof), "a")


def test_nothing_else_is_believed_or_refused():
    rng = np.random.default_rng(0)
    for number in range(300):
        data = rng.bytes(int(rng.integers(0, 400)))
        if number % 2:
            data = struct.pack(">I4s", int(rng.integers(0, 40)), b"moov") + data
        check_boxes(io.BytesIO(data), len(data), "a")
    nested = b"".join(struct.pack(">I4s", 8 * (5000 - i), b"moov") for i in range(5000))
    check_boxes(io.BytesIO(nested), len(nested), "a")
    check_boxes(io.BytesIO(b"\0" * 10**6), 10**6, "a")


class Source(io.BytesIO):
    """Which can have a weak reference."""


@pytest.mark.parametrize("use", [clipx.video.probe, lambda file: list(clipx.video.clips(file, clipx.WindowSpec(4, 8)))])
def test_a_file_is_gone_with_its_last_clip(make_video, use):
    """Not only at the next garbage collection: many files come before that."""
    file = Source(make_video(n=20).read_bytes())
    gone = weakref.ref(file)
    gc.collect()
    gc.disable()
    try:
        use(file)
        del file
        assert gone() is None
    finally:
        gc.enable()
