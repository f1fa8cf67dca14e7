"""`repr` says what an object is, on one short line."""

import re
from fractions import Fraction

import numpy as np
import pytest
from helpers import corpus, sounds
from helpers.shards import write_shard

import clipx
from clipx import (
    AudioFormat,
    Clip,
    ClipFormat,
    ClipPool,
    FrameList,
    Loader,
    RateSpec,
    UniformSpec,
    VideoOptions,
    WindowSpec,
    audio,
    memory,
    video,
    wds,
)
from clipx._reprs import byte_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (153_600_000, "154 MB"),
        (2 * 10**9, "2 GB"),
        (10**13, "10 TB"),
    ],
)
def test_bytes(count, text):
    assert byte_text(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (WindowSpec(16), "WindowSpec(length=16, stride=16)"),
        (WindowSpec(16, 8, policy="wrap"), "WindowSpec(length=16, stride=8, policy='wrap')"),
        (WindowSpec(4, fill_value=0.0), "WindowSpec(length=4, stride=4, fill_value=0.0)"),
        (WindowSpec.of_seconds(2, 0.5, fps=8), "WindowSpec(length=16, stride=4, fps=Fraction(8, 1))"),
        (UniformSpec(8, "linspace"), "UniformSpec(length=8, sampling='linspace')"),
        (RateSpec(2, max_frames=768), "RateSpec(fps=Fraction(2, 1), max_frames=768)"),
        (FrameList([3, 1]), "FrameList(frames=(3, 1))"),
        (FrameList(seconds=[0.1]), "FrameList(seconds=(0.1,))"),
        (ClipFormat(), "ClipFormat()"),
        (ClipFormat(224, order="CTHW"), "ClipFormat(crop=(224, 224), order='CTHW')"),
        (ClipFormat(scale=2.0), "ClipFormat(dtype='float32', scale=2.0)"),
        (VideoOptions(), "VideoOptions()"),
        (VideoOptions(fps=8, start_seconds=1.5), "VideoOptions(fps=Fraction(8, 1), start_seconds=1.5)"),
        (AudioFormat(mono=True), "AudioFormat(mono=True)"),
    ],
)
def test_values_without_their_defaults(value, text):
    assert repr(value) == text
    assert eval(text, {**vars(clipx), "Fraction": Fraction}) == value


def test_pools():
    pool = ClipPool(256, (16, 224, 224, 3))
    clip = pool.acquire()
    assert repr(pool) == "<ClipPool: 255 of 256 slots free, each uint8 (16, 224, 224, 3), 617 MB>"
    del clip
    lazy = ClipPool.of_bytes("1.5GB")
    assert repr(lazy) == "<ClipPool: 1.5 GB, slots not known before the first clip>"


def test_clips():
    data = np.zeros((4, 2, 2, 3), np.uint8)
    assert repr(Clip(data, 3, 48, 4)) == "<Clip 3: uint8 (4, 2, 2, 3), start 48>"
    times = np.array([1.5, 2.0, np.nan, np.nan])
    clip = Clip(data, 3, 48, 2, pts_seconds=times, duration_seconds=np.full(4, 0.5), audio=np.zeros((1, 9), np.int16))
    assert repr(clip) == "<Clip 3: uint8 (4, 2, 2, 3), start 48, 1.500 to 2.500 s, sound int16 (1, 9)>"
    clip.pts_seconds, clip.duration_seconds = [1, 2, 3, 4], [1, 1, 1, 1]
    assert repr(clip) == "<Clip 3: uint8 (4, 2, 2, 3), start 48, 1.000 to 5.000 s, sound int16 (1, 9)>"
    clip.pts_seconds = np.full(4, np.nan)
    assert repr(clip) == "<Clip 3: uint8 (4, 2, 2, 3), start 48, sound int16 (1, 9)>"


def test_clips_of_media():
    clips = video.clips(corpus.video_bytes("mp4 h264, B-frames"), WindowSpec(4), name="talk.mp4")
    assert repr(clips) == "<VideoClips of talk.mp4>"
    said = repr(next(clips))
    assert re.fullmatch(r"<Clip 0: uint8 \(4, \d+, \d+, 3\), start 0, \d\.\d{3} to \d\.\d{3} s>", said)
    clips = audio.clips(sounds.corpus_file("wav"), WindowSpec(400), name="talk.wav")
    assert repr(clips) == "<AudioClips of talk.wav>"
    said = repr(next(clips))
    assert re.fullmatch(r"<Clip 0: float32 \(\d, 400\), start 0, 0\.000 to \d\.\d{3} s>", said)


def test_loaders_and_their_batches(tmp_path):
    write_shard(tmp_path / "a.tar", [{"__key__": "a", "npy": np.zeros((12, 2), np.uint8)}])
    spec = WindowSpec(4)
    with Loader([str(tmp_path / "a.tar")], spec, batch_size=2, memory="1GB") as loader:
        assert repr(loader) == "<Loader: 1 shard, WindowSpec(length=4, stride=4), batches of 2, 1 GB>"
        batches = iter(loader)
        assert repr(batches) == "<Loader's batches: 0 given>"
        next(batches)
    assert repr(batches) == "<Loader's batches: 1 given, closed>"
    assert repr(loader.errors) == "<Ledger: 0 entries, 0 in all>"


def test_stages(tmp_path):
    pool = ClipPool(4, 8)
    said = "<ClipPool: 4 of 4 slots free, each uint8 (8,), 256 bytes>"
    spec = "WindowSpec(length=4, stride=4)"
    assert repr(wds.clips(WindowSpec(4), pool=pool)) == f"clipx.wds.clips({spec}, pool={said})"
    assert repr(wds.shuffle("2kB")) == "clipx.wds.shuffle(2000, pool=None, reserve=None, seed=0)"
    assert repr(wds.batched(4)) == "clipx.wds.batched(4, partial=True, pool=None)"
    assert repr(wds.watch(9)) == "clipx.wds.watch(9)"
    assert repr(wds.mapped_samples(["a.tar", "b.tar"])) == "<clipx.wds.mapped_samples: 2 shards>"


def test_meters():
    meter = memory.Meter()
    assert repr(meter) == "<Meter: not started>"
    with meter:
        pass
    assert re.fullmatch(r"<Meter: \d+ samples, .* at the start, .* at most>", repr(meter))
