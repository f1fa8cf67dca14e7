"""Frames of clips as pictures: their bytes, names and sound, and formats that they do not take."""

import io
import sys

import numpy as np
import pytest
from helpers.encoded import ONE, clip_sample, joined_bytes, moving

from clipx import AudioFormat, ClipFormat, WindowSpec
from clipx.datasets.fields import Field
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.picture_encoder import PictureEncoder

Image = pytest.importorskip("PIL.Image")


def pictures(encoded, ending):
    return [
        np.asarray(Image.open(io.BytesIO(data))) for name, data in encoded.fields.items() if name.endswith("." + ending)
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("encoding", "quality"), [("png", None), ("webp", 100)])
def test_pictures_without_loss_are_the_frames_bit_for_bit(encoding, quality, channels):
    frames = moving(4, 33, 47, channels)
    encoded = PictureEncoder(encoding, quality).encode(clip_sample(frames), ONE)
    assert list(encoded.fields) == [f"{k:03d}.{encoding}" for k in range(4)]
    assert encoded.facts == {"codec": encoding, "width": 47, "height": 33}
    for picture, frame in zip(pictures(encoded, encoding), frames, strict=True):
        # WebP has no gray: three equal channels.
        gray = frame[..., 0] if picture.ndim == 2 else np.broadcast_to(frame, picture.shape)
        np.testing.assert_array_equal(picture, gray)


@pytest.mark.parametrize("encoding", ["jpg", "webp"])
def test_quality_is_the_encoders(encoding):
    frames = moving(2, 64, 96)
    sizes, errors = [], []
    for quality in (30, None, 99):
        encoded = PictureEncoder(encoding, quality).encode(clip_sample(frames), ONE)
        sizes.append(sum(len(data) for data in encoded.fields.values()))
        errors.append(np.abs(np.stack(pictures(encoded, encoding)).astype(float) - frames).mean())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 4


def test_names_sort_as_frames_do_and_name_their_source():
    fields = {Field("front.mp4"): Field("front.mp4"), Field("rear.mp4"): Field("rear.mp4")}
    sample = clip_sample(moving(1001, 2, 2), field="front.mp4") | {"rear.mp4": moving(3, 4, 4)}
    names = list(PictureEncoder("png").encode(sample, fields).fields)
    assert names[:2] == ["front.0000.png", "front.0001.png"]
    assert names[1000:] == ["front.1000.png", "rear.000.png", "rear.001.png", "rear.002.png"]


def test_sound_is_a_wav_file_beside_the_pictures():
    soundfile = pytest.importorskip("soundfile")
    sound = np.random.default_rng(0).uniform(-1, 1, (2, 500)).astype(np.float32)
    sample = clip_sample(moving(2), sound=sound, rate=22050)
    encoded = PictureEncoder("png", audio=AudioFormat()).encode(sample, ONE)
    assert list(encoded.fields) == ["000.png", "001.png", "audio.wav"]
    samples, rate = soundfile.read(io.BytesIO(joined_bytes(encoded.fields["audio.wav"])), dtype="float32")
    assert rate == 22050
    np.testing.assert_array_equal(samples.T, sound)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 9), np.uint8), r"field 'avi' has clips of shape \(4, 9\), but pictures are \(frames, height"),
        (np.zeros((4, 9, 9, 2), np.uint8), "1 channel or 3; encoding 'npy' takes any"),
        (np.zeros((4, 9, 9, 3), np.float32), "field 'avi' has clips of float32, but pictures are uint8"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        PictureEncoder("png").encode(clip_sample(array), ONE)


def test_a_picture_that_its_kind_has_no_room_for_is_refused():
    with pytest.raises(ValueError, match="a picture is 20000x1, but WEBP has at most 16383 a side: take resize="):
        PictureEncoder("webp").encode(clip_sample(np.zeros((1, 1, 20000, 3), np.uint8)), ONE)


@pytest.mark.parametrize("encoding", ["jpg", "mp4"])
@pytest.mark.parametrize(
    ("format", "message"),
    [
        (ClipFormat(order="CTHW"), "order of format is 'CTHW', but encoding '{}' takes pictures of order 'THWC'"),
        (ClipFormat(dtype="float16"), "dtype of format is 'float16', but encoding '{}' takes pictures of uint8"),
        (ClipFormat(dtype="float32", mean="imagenet", std="imagenet"), "dtype of format is 'float32'"),
        (ClipFormat(crop=("three", 8)), "gives 3 views of each picture, but encoding '{}' holds one"),
    ],
)
def test_formats_that_are_no_pictures_are_refused_with_the_options(encoding, format, message):
    with pytest.raises(ValueError, match=message.format(encoding)):
        ExtractOptions(WindowSpec(4), format, encoding=encoding)


def test_formats_of_pictures_are_taken():
    options = ExtractOptions(
        WindowSpec(4), ClipFormat(resize=8, dtype="uint8", order="THWC"), encoding="jpg", quality=80
    )
    assert isinstance(options.encoder(), PictureEncoder)


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "clipx-data\[pictures\]"'):
        ExtractOptions(WindowSpec(4), encoding="png")
