"""Clips of several views of videos: those of their upright, resized frames, in slots, samples and batches."""

import io
import json
import re

import av
import numpy as np
import pytest
import webdataset
from helpers.media import Pipe, rotated

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


def seen_by(clip, views):
    """The views of a whole clip (time, height, width, channels), by NumPy."""
    parts = [clip[:, y : y + h, x : x + w] for y, x, h, w, _ in views]
    return np.stack([part[:, :, ::-1] if view[4] else part for part, view in zip(parts, views)])


@pytest.mark.parametrize(
    ("spec", "options", "rest"),
    [
        (clipx.WindowSpec(3, 2), {"fps": 10, "start_seconds": 0.1}, {}),
        (clipx.WindowSpec(3, 2), {"damage": "keep"}, {}),
        (clipx.WindowSpec(3, 2), {"damage": "skip", "num_threads": 2}, {}),
        (clipx.WindowSpec(4, num_clips=5, sampling="random", policy="wrap"), {}, {"rng": 4}),
        (clipx.UniformSpec(6), {}, {}),
        (clipx.FrameList([20, 3, 3, 0]), {}, {}),
        (clipx.WindowSpec(3, 2, policy="constant", fill_value=7), {}, {"segments": [(0.2, 0.5), (0, 0.3)]}),
        (clipx.RateSpec(5, max_frames=9), {}, {"segments": [(0, 0.8), (0.1, 0.3)]}),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NAMES)
def test_views_are_whole_clips_cropped(make_video, name, spec, options, rest):
    """With every way of sampling and of reading, and where clips of one source have different lengths."""
    data, options = make_video(60, g="10").read_bytes(), clipx.VideoOptions(**options)
    if options.damage != "stop":
        middle = len(data) * 6 // 10
        data = data[:middle] + bytes(20) + data[middle + 20 :]
    format = clipx.ClipFormat(crop=(name, (40, 37)), flip=True)
    views, count, damaged = format.views(48, 64), 0, False
    whole = clipx.video.clips(data, spec, options=options, **rest)
    for clip, other in zip(clipx.video.clips(data, spec, format, options=options, **rest), whole, strict=True):
        np.testing.assert_array_equal(clip.data, seen_by(other.data, views))
        facts = clip.facts()
        assert facts.pop("crop") == [list(view[:4]) for view in views]
        assert facts.pop("flip") == [view.flip for view in views]
        assert facts == other.facts()
        count += 1
        damaged |= bool(other.damaged)
    assert count
    assert damaged == (options.damage == "keep")


@pytest.mark.parametrize("policy", ["wrap", "reflect", "repeat_last"])
def test_views_of_a_stream_that_cannot_be_read_again(make_video, policy):
    data, spec = make_video(N).read_bytes(), clipx.WindowSpec(6, 4, policy=policy)
    format = clipx.ClipFormat(crop=("five", 24), order="TCHW")
    wanted = [clip.data for clip in clipx.video.clips(data, spec, format)]
    ts = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(ts, "w", format="matroska") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    for clip, right in zip(clipx.video.clips(Pipe(ts.getvalue()), spec, format), wanted, strict=True):
        same(clip.data, right)


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


def test_padded_batches_of_clips_of_different_lengths(make_video):
    """Time is padded, which is not the first axis, also where a clip is as long as it has views."""
    spec, format = clipx.RateSpec(25, max_frames=30), clipx.ClipFormat(crop=("three", 32), order="CTHW")
    samples = [{"__key__": f"v{n}", "mp4": make_video(n).read_bytes()} for n in (3, 5, 4)]
    clips = list(wds.clips(spec, format)(samples))
    assert [clip["mp4"].shape[2] for clip in clips] == [3, 5, 4]
    (batch,) = wds.batched(3, ragged="pad")(iter(clips))
    assert batch["mp4"].shape == (3, 3, 3, 5, 32, 32)
    assert list(batch["lengths"]) == [3, 5, 4]
    for padded, clip in zip(batch["mp4"], clips):
        length = clip["mp4"].shape[2]
        np.testing.assert_array_equal(padded[:, :, :length], clip["mp4"])
        assert not padded[:, :, length:].any()


def test_the_loader_knows_the_bytes_of_all_views(tmp_path):
    """Before it reads anything: a clip of 10 views takes ten times as much as one of the same size."""
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as tar:
        tar.write({"__key__": "a", "mp4": b"unread"})

    def least(crop):
        with pytest.raises(ValueError, match="memory is 1000 bytes") as caught:
            clipx.Loader(
                str(tmp_path / "a.tar"),
                clipx.WindowSpec(4, 4),
                clipx.ClipFormat(crop=crop),
                batch_size=2,
                memory=1000,
            )
        return int(re.search(r"at least (\d+)", str(caught.value))[1])

    one, ten = least((256, 256)), least(("ten", 256))
    clip = 4 * 256 * 256 * 3
    assert ten - one >= 9 * clip * 4
    assert ten < 10 * one
