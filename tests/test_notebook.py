"""What notebooks show: bounded, escaped, never an error, and nothing is held by it."""

import base64
import io
import re

import av
import numpy as np
import pytest
from helpers import corpus
from helpers.shards import write_shard

import clipx
from clipx import Clip, ClipFormat, ClipPool, Loader, WindowSpec
from clipx._notebook import html
from clipx._notebook.pictures import as_frames, thumbnails

MOST = 200_000
IMAGE = re.compile(r'src="data:image/png;base64,([^"]*)"')


def pictures(shown):
    """The pictures of a piece of HTML, uint8 (height, width, 3)."""
    found = []
    for match in IMAGE.finditer(shown):
        with av.open(io.BytesIO(base64.b64decode(match[1])), format="png_pipe") as file:
            found.append(next(file.decode(video=0)).to_ndarray(format="rgb24"))
    return found


@pytest.mark.parametrize(
    ("shape", "length", "order"),
    [
        ((5, 6, 7, 3), 5, (0, 1, 2, 3)),
        ((5, 6, 7, 1), None, (0, 1, 2, 3)),
        ((3, 5, 6, 7), 5, (1, 2, 3, 0)),
        ((5, 3, 6, 7), 5, (0, 2, 3, 1)),
        ((3, 3, 6, 7), 3, (1, 2, 3, 0)),
    ],
)
def test_orders(shape, length, order):
    data = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(as_frames(data, length)[0], data.transpose(order))
    views = np.stack([data, data])
    assert np.array_equal(as_frames(views, length)[1], data.transpose(order))


@pytest.mark.parametrize("shape", [(6, 7, 3), (3, 6, 7)])
def test_orders_of_single_frames(shape):
    assert as_frames(np.zeros(shape), 1).shape == (1, 1, 6, 7, 3)
    assert as_frames(np.zeros((5, *shape)), 1).shape == (5, 1, 6, 7, 3)


def test_gray_frames_without_channels_and_what_is_no_picture():
    assert as_frames(np.zeros((8, 6, 7))).shape == (1, 8, 6, 7, 1)
    assert as_frames(np.zeros((5, 6, 7, 4))).shape == (1, 5, 6, 7, 3)
    assert [as_frames(np.zeros(shape)) for shape in ((), (9,), (2, 9), (5, 6, 7, 9), (0, 6, 7, 3))] == [None] * 5


def test_pictures_are_the_frames():
    frames = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 3), np.uint8)
    found = pictures(Clip(frames, 0, 0, 2)._repr_html_())
    assert all(np.array_equal(*pair) for pair in zip(found, frames, strict=True))
    gray = frames[..., :1]
    found = pictures(Clip(gray, 0, 0, 2)._repr_html_())
    assert np.array_equal(found[1], np.repeat(gray[1], 3, axis=-1))


def test_pixels_are_averaged_to_few():
    frame = np.zeros((360, 640, 3), np.uint8)
    frame[::2] = 200
    (picture,) = pictures(Clip(frame[np.newaxis], 0, 0, 1)._repr_html_())
    assert picture.shape[0] <= 90
    assert set(picture.flat) == {100}


@pytest.mark.parametrize(
    ("numbers", "dtype", "levels", "note"),
    [
        ([0, 1], "float32", [0, 255], ""),
        ([0, 200], "float32", [0, 200], ""),
        ([-2, 2], "float16", [0, 255], "-2 is shown black, 2 white"),
        ([0, 1], "uint8", [0, 1], ""),
        ([0, 4000], "uint16", [0, 255], "0 is shown black, 4e+03 white"),
        ([False, True], "bool", [0, 255], ""),
        ([np.nan, 0.5], "float64", [0, 128], ""),
    ],
)
def test_ranges_of_numbers(numbers, dtype, levels, note):
    frames = [np.full((2, 2, 1), number, dtype) for number in numbers]
    found = thumbnails(frames)
    assert found.note == note
    shown = html.strip([html.Picture(uri, (2, 2), "") for uri in found.uris])
    assert [int(each.flat[0]) for each in pictures(shown)] == levels


@pytest.mark.parametrize("shape", [(64, 360, 640, 3), (1, 5000, 2, 3), (1, 2, 5000, 3), (3, 2, 500, 500)])
def test_the_size_is_bounded(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert len(Clip(noise, 0, 0, shape[0])._repr_html_()) < MOST


def test_captions_say_times_and_what_is_filled():
    clip = Clip(np.zeros((4, 8, 8, 3), np.uint8), 0, 0, 2, pts_seconds=np.array([1.5, 2.0, 2.0, np.nan]), length=4)
    said = clip._repr_html_()
    assert re.findall(r">([^<>]*)</span></div>", said) == ["1.500 s", "2.000 s", "filled", "filled"]
    clip = Clip(np.zeros((16, 8, 8, 3), np.uint8), 0, 0, 16, frame_indices=np.arange(32, 48))
    assert len(pictures(clip._repr_html_())) == 8
    assert "frame 32" in clip._repr_html_()
    assert "frame 47" in clip._repr_html_()


def test_clips_of_media():
    data = corpus.video_bytes("mp4 h264, B-frames")
    for format in (None, ClipFormat(order="CTHW", mean="imagenet"), ClipFormat(crop=("three", 8))):
        clip = next(clipx.video.clips(data, WindowSpec(4), format))
        said = clip._repr_html_()
        assert len(pictures(said)) == (6 if clip.data.ndim == 5 else 4)
        assert len(said) < MOST


def test_sound_is_a_waveform():
    sound = np.sin(np.arange(16_000, dtype=np.float32))[np.newaxis]
    said = Clip(sound, 0, 0, 16_000, sample_rate=16_000)._repr_html_()
    assert "sound: 1 channel, 16000 samples, 1.000 s" in said
    assert "<polygon" in said
    odd = Clip(np.full((2, 7), np.nan, np.float32), 0, 0, 7)._repr_html_()
    assert "nan" not in odd.partition("<polygon")[2]
    clip = Clip(np.zeros((1, 8, 8, 3), np.uint8), 0, 0, 1, audio=np.zeros((9, 2), np.int16))
    assert "sound: 2 channels, 9 samples" in clip._repr_html_()


@pytest.mark.parametrize(
    "data",
    [np.zeros(()), np.zeros((0, 4, 4, 3)), np.zeros((2, 0, 4, 3)), np.array([{}, None]), np.zeros(3, "i4,f8"), None],
)
def test_odd_clips_are_no_errors(data):
    said = Clip(data, 0, 0, 0)._repr_html_()
    assert said is None or "<img" not in said


HOSTILE = "<script>alert(1)</script>\"'&\n\u202e" + 10_000 * "x"


def test_texts_are_escaped_and_cut():
    array = np.zeros((1, 2, 8, 8, 3), np.uint8)
    facts = {"length": 2, "pts_seconds": [HOSTILE, HOSTILE], "valid": HOSTILE, "frame_indices": HOSTILE}
    batch = {"__key__": [HOSTILE], HOSTILE: array, "txt": [HOSTILE], "clip.json": [facts], "json": [{HOSTILE: HOSTILE}]}
    clip = Clip(array[0], 0, 0, 2, damaged=[HOSTILE])
    clip.segment = clipx.Segment(0, 1, {"caption": HOSTILE})
    for said in (clipx.show(batch)._repr_html_(), clip._repr_html_(), html.bar([(HOSTILE, 1)], 2, HOSTILE)):
        assert "<script" not in said
        assert "alert(1)" in said
        assert "\u202e" not in said
        assert len(said) < 10_000


def test_pools():
    pool = ClipPool(8, 4)
    held = [pool.acquire() for _ in range(2)]
    said = pool._repr_html_()
    assert "2 leased" in said
    assert "6 free" in said
    assert "width:25.00%" in said
    assert pool.stats().leased == len(held)
    assert "slots not known" in ClipPool.of_bytes("1MB")._repr_html_()


def test_a_clip_that_was_shown_holds_no_slot():
    pool = ClipPool(2, (2, 8, 8, 3))
    clip = Clip(pool.acquire(), 0, 0, 2)
    batch = {"__key__": ["a", "b"], "npy": pool.acquire((2, 1, 8, 8, 3))}
    shown = clipx.show(batch), clip._repr_html_()
    del clip, batch
    assert None not in shown
    assert pool.stats().free == 2


def test_loaders_and_batches(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    write_shard(tmp_path / "a.tar", [{"__key__": f"<{n}>", "npy": frames, "txt": b"text"} for n in range(3)])
    with Loader([str(tmp_path / "a.tar")], WindowSpec(4), batch_size=9, memory="1GB", shuffle=False) as loader:
        before = loader._repr_html_()
        assert "before the first epoch" in before
        assert "batches of 9" in before
        batches = iter(loader)
        batch = next(batches)
        assert type(batch) is dict
        during = loader._repr_html_()
        assert "epoch 0, 1 batches, 9 clips" in during
        assert "slots of clips" in during
        said = clipx.show(batch)._repr_html_()
        assert "Batch of 9 clips, the first 8 shown" in said
        assert "&lt;0&gt;_000000, npy" in said
        assert len(pictures(said)) == 8 * 4
        assert np.array_equal(pictures(said)[0], batch["npy"][0, 0])
        assert "npy: uint8 (9, 4, 8, 8, 3)" in repr(clipx.show(batch))
    assert ">last<" in loader._repr_html_()


def test_samples_lists_and_tensors():
    clips = [np.full((2, 8, 8, 3), number, np.uint8) for number in range(2)]
    sample = {"__key__": "a", "mp4": clips[0], "txt": "said", "audio": np.zeros((1, 400), np.float32)}
    said = clipx.show(sample)._repr_html_()
    assert len(pictures(said)) == 2
    assert "<polygon" in said
    ragged = {"__key__": ["a", "b"], "mp4": clips, "audio": [np.zeros((1, 9)), np.zeros((1, 7))]}
    assert len(pictures(clipx.show(ragged)._repr_html_())) == 4
    assert clipx.show(3)._repr_html_() is None
    assert repr(clipx.show(3)) == "3"
    torch = pytest.importorskip("torch")
    tensors = {"__key__": ["a", "b"], "mp4": torch.zeros((2, 3, 2, 8, 8)), "b16": torch.zeros(2, dtype=torch.bfloat16)}
    assert len(pictures(clipx.show(tensors)._repr_html_())) == 4


def test_the_extension_shows_batches_and_leaves_other_dicts():
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell

    class Own(dict):
        def _repr_html_(self):
            return "own"

    shell = InteractiveShell()
    format = shell.display_formatter.formatters["text/html"]
    batch = {"__key__": ["a"], "mp4": np.zeros((1, 2, 8, 8, 3), np.uint8)}
    assert format(batch) is None
    clipx.load_ipython_extension(shell)
    assert "Batch of 1 clip<" in format(batch)
    assert format({"mp4": 1}) is None
    assert format({"__key__": ["a"], "txt": ["b"]}) is None
    assert format(Own()) == "own"
    clipx.unload_ipython_extension(shell)
    assert format(batch) is None
