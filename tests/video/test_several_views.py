"""Clips of several views of videos: those of their upright, resized frames, in slots, samples and batches."""

import json

import numpy as np
import pytest
import webdataset
from helpers.media import rotated

import clipx
from clipx import wds, windows

N = 21
NAMES = ["three", "five", "ten"]


def same(got, wanted):
    assert (got.dtype, got.shape, got.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


def check(clips, wanted, views):
    """Clips against arrays, and their facts against the views."""
    for clip, row in zip(clips, wanted, strict=True):
        same(clip.data, row)
        assert clip.data.flags.c_contiguous
        assert clip.crop == tuple(view[:4] for view in views)
        assert clip.flip == tuple(view.flip for view in views)
        facts = json.loads(json.dumps(clip.facts()))
        assert facts == clip.facts()
        assert facts["crop"] == [list(view[:4]) for view in views]
        assert facts["flip"] == [view.flip for view in views]
        del clip


SPECS = [
    {"length": 4, "stride": 3, "policy": "constant", "fill_value": 200},
    {"length": 6, "stride": 4, "policy": "reflect"},
    {"length": 3, "dilation": 2, "stride": 9, "policy": "backpad"},
    {"length": 4, "num_clips": 3},
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("order", ["THWC", "TCHW", "CTHW"])
def test_every_plan_and_order(make_video, whole, name, spec, order):
    path, spec = make_video(N), clipx.WindowSpec(**spec)
    for rest in ({}, {"mean": "imagenet", "flip": True}, {"dtype": "bfloat16", "scale": 1 / 255}):
        format = clipx.ClipFormat(crop=(name, (31, 33)), order=order, **rest)
        views, wanted = format.views(48, 64), windows.extract(whole(path), spec, format=format)
        for pool in (None, clipx.ClipPool(6, wanted.shape[1:], wanted.dtype), "20MB"):
            check(clipx.video.clips(path, spec, format, pool=pool), wanted, views)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gray", "rgb24"])
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_every_pixel_format(make_video, whole, name, pix_fmt, color):
    codec = {"codec": "png", "container": "mov", "suffix": ".mov"} if pix_fmt == "rgb24" else {}
    path, options = make_video(N, pix_fmt=pix_fmt, **codec), clipx.VideoOptions(color=color)
    frames, spec = whole(path, options=options), clipx.WindowSpec(4, 2)
    for order in ("THWC", "CTHW"):
        format = clipx.ClipFormat(crop=(name, 37), order=order)
        wanted = windows.extract(frames, spec, format=format)
        for clip, row in zip(clipx.video.clips(path, spec, format, options=options), wanted, strict=True):
            same(clip.data, row)


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_after_rotation_and_resize(make_video, whole, tmp_path, degrees):
    path = tmp_path / "rotated.mp4"
    path.write_bytes(rotated(make_video(N), degrees))
    frames = whole(path, clipx.ClipFormat(resize=32))
    assert min(frames.shape[1:3]) == 32
    spec, format = clipx.WindowSpec(5), clipx.ClipFormat(resize=32, crop=("three", 32), order="CTHW")
    wanted = windows.extract(frames, spec, format=clipx.ClipFormat(crop=("three", 32), order="CTHW"))
    for clip, row in zip(clipx.video.clips(path, spec, format), wanted, strict=True):
        same(clip.data, row)
        sides = [each[degrees != 90] for each in clip.crop]
        assert sides[0] == 0 < sides[1] < sides[2] == max(frames.shape[1:3]) - 32


def test_a_flip_is_drawn_once_for_all_views_of_a_clip(make_video, whole):
    path, spec, format = make_video(N), clipx.WindowSpec(2, 1), clipx.ClipFormat(crop=("three", 30), flip=0.5)
    drawn = []
    for clip in clipx.video.clips(path, spec, format, rng=1):
        assert len(set(clip.flip)) == 1
        drawn.append(clip.flip[0])
        seen = whole(path)[clip.start : clip.start + 2]
        for view, (y, x, h, w), flip in zip(clip.data, clip.crop, clip.flip):
            part = seen[:, y : y + h, x : x + w]
            np.testing.assert_array_equal(view, part[:, :, ::-1] if flip else part)
    assert len(drawn) == 20
    assert 2 < sum(drawn) < 18
    assert drawn == [clip.flip[0] for clip in clipx.video.clips(path, spec, format, rng=1)]


def test_a_view_larger_than_the_picture(make_video):
    path = make_video(N)
    for format in (clipx.ClipFormat(crop=("three", 49)), clipx.ClipFormat(resize=20, crop=("ten", 21))):
        with pytest.raises(ValueError, match=r"crop is \('(three|ten)', \(\d+, \d+\)\), but the picture is"):
            next(clipx.video.clips(path, clipx.WindowSpec(2), format))


def test_slots_that_hold_one_view(make_video):
    clips = clipx.video.clips(
        make_video(N), clipx.WindowSpec(2), clipx.ClipFormat(crop=("three", 30)), pool=clipx.ClipPool(4, (2, 30, 30, 3))
    )
    with pytest.raises(ValueError, match="slot"):
        next(clips)


def test_ten_clips_by_three_crops(make_video, whole, tmp_path):
    """Scores of all clips and views of a video, averaged by the key of its sample."""
    path, spec = make_video(N), clipx.WindowSpec(4, num_clips=10)
    format = clipx.ClipFormat(crop=("three", 48), mean="kinetics", order="CTHW")
    wanted = windows.extract(whole(path), spec, format=format)
    assert wanted.shape == (10, 3, 3, 4, 48, 48)
    out = list(wds.clips(spec, format)([{"__key__": "a", "mp4": path.read_bytes()}]))
    for sample, row in zip(out, wanted, strict=True):
        same(sample["mp4"], row)
        assert np.array(sample["clip.json"]["crop"]).shape == (3, 4)
        assert sample["clip.json"]["flip"] == [False] * 3
    for batch in wds.batched(5)(iter(out)):
        assert batch["mp4"].shape == (5, 3, 3, 4, 48, 48)
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        for i in range(3):
            tar.write({"__key__": f"v{i}", "mp4": path.read_bytes()})
    loader = clipx.Loader(str(tmp_path / "a.tar"), spec, format, batch_size=10, memory="200MB", shuffle=False)
    batches = list(loader)
    assert len(batches) == 3
    got = {key: clip for batch in batches for key, clip in zip(batch["__key__"], np.array(batch["mp4"]))}
    for i, k in np.ndindex(3, 10):
        same(np.ascontiguousarray(got[f"v{i}_{k:06d}"]), wanted[k])
