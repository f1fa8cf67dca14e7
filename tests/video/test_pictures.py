"""Pictures of clips: crop, flip, resize, gray, color matrices and ranges, rotation."""

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from helpers.media import rotated
from helpers.videos import KINDS, N, check_slices

import clipx
from clipx import wds
from clipx.video.clips import clips
from clipx.video.color import matrix

CROPS = [(20, None), ((16, 31), None), ((3, 5, 20, 21), None), (None, True), ((1, 0, 47, 63), True), (1, True)]


@pytest.mark.parametrize(("crop", "flip"), CROPS, ids=str)
@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 422", "ffv1 bgra", "hevc 10 bits"])
def test_crop_and_flip_slice_the_whole(make_video, whole, kind, crop, flip):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    ((y, x, h, w, _),) = clipx.ClipFormat(crop=crop).views(*frames.shape[1:3])
    frames = frames[:, y : y + h, x : x + w]
    spec = clipx.WindowSpec(4, num_clips=3)
    check_slices(
        clips(path, spec, clipx.ClipFormat(crop=crop, flip=bool(flip))), frames[:, :, ::-1] if flip else frames, spec
    )


@pytest.mark.parametrize(
    ("resize", "size"), [(68, (68, 160)), ((120, 100), (120, 100)), ((300, 700), (300, 700)), ((33, 47), (33, 47))]
)
def test_resize_is_like_pyavs(real_video, resize, size):
    path = real_video("bikes.mp4")
    (clip,) = clips(path, clipx.WindowSpec(3, num_clips=1), clipx.ClipFormat(resize=resize))
    assert clip.data.shape == (3, *size, 3)
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        frames = {k: frame for k, frame in enumerate(container.decode(video=0)) if k in clip.frame_indices}
        for written, k in zip(clip.data, clip.frame_indices):
            scaled = reformatter.reformat(
                frames[k], size[1], size[0], "rgb24", interpolation=av.video.reformatter.Interpolation.BICUBIC
            ).to_ndarray()
            assert np.mean(np.abs(written.astype(int) - scaled)) < 3


def test_resize_then_crop_then_flip(make_video, whole):
    path = make_video(N, **KINDS["h264 b-frames"])
    frames = whole(path, clipx.ClipFormat(resize=30))
    assert frames.shape == (N, 30, 40, 3)
    format = clipx.ClipFormat(resize=30, crop=(2, 3, 20, 30), flip=True)
    spec = clipx.WindowSpec(4, dilation=3)
    check_slices(clips(path, spec, format), frames[:, 2:22, 3:33][:, :, ::-1], spec)


@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 gray", "h264 444", "ffv1 bgr0", "prores", "h264 10 bits"])
def test_gray_is_the_luma(make_video, kind):
    path = make_video(N, **KINDS[kind])
    (clip,) = clips(path, clipx.WindowSpec(3, num_clips=1), options=clipx.VideoOptions(color="gray"))
    (colored,) = clips(path, clipx.WindowSpec(3, num_clips=1))
    assert clip.data.shape == (*colored.data.shape[:3], 1)
    luma = colored.data @ np.array([0.299, 0.587, 0.114])
    # Colors outside the cube were cut off at 0 and 255.
    inside = ((colored.data > 0) & (colored.data < 255)).all(-1)
    assert inside.mean() > 0.2
    assert np.abs(clip.data[..., 0] - luma)[inside].max() < 2.5


@pytest.mark.parametrize("colorspace", [None, "bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("color_range", [None, "limited", "full"])
@pytest.mark.parametrize("stated", [None, (1, 1), (9, 2), (6, 1)], ids=str)
def test_colorspace_and_range(make_video, stated, colorspace, color_range):
    path = make_video(4, g="2", color=stated)
    options = clipx.VideoOptions(colorspace=colorspace, color_range=color_range)
    (clip,) = clips(path, clipx.WindowSpec(4), options=options)
    space = colorspace or {None: "bt601", (1, 1): "bt709", (9, 2): "bt2020", (6, 1): "bt601"}[stated]
    m = matrix(space, color_range or ("full" if stated == (9, 2) else "limited"), 8)
    with av.open(str(path)) as container:
        for frame, written in zip(container.decode(video=0), clip.data):
            planes = frame.to_ndarray(format=frame.format.name)
            y, u, v = planes[:48], planes[48:60].reshape(24, 32), planes[60:].reshape(24, 32)
            y, u, v = y - float(m.offset), *(each.repeat(2, 0).repeat(2, 1) - 128.0 for each in (u, v))
            rgb = np.stack([m.y * y + m.rv * v, m.y * y + m.gu * u + m.gv * v, m.y * y + m.bu * u], -1)
            assert np.abs(written - np.clip(np.rint(rgb), 0, 255)).max() <= 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("format", [None, clipx.ClipFormat(resize=(20, 36), crop=(1, 2, 17, 30), flip=True)], ids=str)
def test_rotation(make_video, whole, degrees, format):
    path = make_video(N, **KINDS["h264 b-frames"])
    data = rotated(path, degrees)
    upright = np.rot90(whole(path), -degrees // 90, axes=(1, 2))
    spec = clipx.WindowSpec(4, dilation=4)
    if format is not None:
        sideways = degrees in (90, 270)
        resized = whole(path, clipx.ClipFormat(resize=(36, 20) if sideways else (20, 36)))
        upright = np.rot90(resized, -degrees // 90, axes=(1, 2))[:, 1:18, 2:32][:, :, ::-1]
    got = check_slices(clips(data, spec, format), upright, spec)
    assert {clip.rotation for clip in got} == {-degrees % 360}
    left = clips(data, spec, options=clipx.VideoOptions(rotate=False))
    assert {clip.rotation for clip in check_slices(left, whole(path), spec)} == {0}


def test_rotation_in_the_stage(make_video):
    path = make_video(N, **KINDS["h264 b-frames"])
    sample = {"__key__": "a", "mp4": rotated(path, 90)}
    outs = list(wds.clips(clipx.WindowSpec(16))([sample]))
    assert len(outs) == 3
    for out in outs:
        assert out["mp4"].shape == (16, 64, 48, 3)
        assert out["clip.json"]["rotation"] == 270
    kept = list(wds.clips(clipx.WindowSpec(16), options=clipx.VideoOptions(rotate=False))([sample]))
    assert [out["clip.json"]["rotation"] for out in kept] == [0, 0, 0]
    np.testing.assert_array_equal(outs[0]["mp4"], np.rot90(kept[0]["mp4"], -1, axes=(1, 2)))
