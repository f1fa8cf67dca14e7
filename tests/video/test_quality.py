"""VideoOptions(quality="fast"): what it changes, and what it leaves as it is."""

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from helpers.videos import KINDS, N

import clipx
from clipx.video.clips import clips
from clipx.video.writer import PictureWriter

FAST = clipx.VideoOptions(quality="fast")


def frames(path, format=None):
    return np.concatenate([clip.data for clip in clips(path, clipx.WindowSpec(1), format, options=FAST)])


def decoded_fast(path, format=None):
    """The frames of FFmpeg with the options that quality="fast" stands for."""
    writer = PictureWriter(format or clipx.ClipFormat(), clipx.VideoOptions(), str(path))
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        context.thread_count = 1
        context.options = {"skip_loop_filter": "noref", "flags2": "+fast"}
        return np.concatenate([writer.clip_of(frame) for frame in container.decode(video=0)])


H265 = {"codec": "libx265", "x265-params": "log-level=none:keyint=24:pools=1:bframes=4:b-adapt=0:no-b-pyramid=1:qp=48"}


@pytest.mark.parametrize("codec", [{"crf": "36", "bf": "3"}, H265], ids=["h264", "hevc"])
def test_loop_filter_of_frames_that_no_other_refers_to(make_video, whole, codec):
    path = make_video(24, size=(96, 128), **codec)
    exact, fast = whole(path), frames(path)
    assert np.array_equal(fast, decoded_fast(path))
    same = [np.array_equal(a, b) for a, b in zip(exact, fast, strict=True)]
    assert any(same)
    assert not all(same)
    assert np.abs(exact.astype(int) - fast).mean() < 3


def test_every_route_gives_the_same_frames(make_video):
    path = make_video(40, size=(96, 128), crf="36", bf="3", g="10")
    every = frames(path)
    for spec in (clipx.WindowSpec(3, 7, dilation=3), clipx.WindowSpec(2, num_clips=3), clipx.FrameList([33, 2, 17])):
        for clip in clips(path, spec, options=FAST):
            assert np.array_equal(clip.data, every[clip.frame_indices])


@pytest.mark.parametrize("kind", ["h264 no b-frames", "vp8", "vp9", "av1", "prores", "mjpeg", "ffv1"])
def test_other_files_stay_exact(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    assert np.array_equal(frames(path), whole(path))


@pytest.mark.parametrize("kind", ["ffv1", "h264 422", "raw nv12", "mjpeg"])
@pytest.mark.parametrize("size", [(30, 40), (75, 101)])
def test_resize_keeps_the_sampling_of_chroma(make_video, whole, kind, size):
    path = make_video(N, **{"crf": "1", **KINDS[kind]})
    fast = frames(path, clipx.ClipFormat(resize=size))
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        for frame, found in zip(container.decode(video=0), fast, strict=True):
            full = 2 if frame.format.name.startswith("yuvj") else 1
            same = {"src_colorspace": 5, "dst_colorspace": 5, "src_color_range": full, "dst_color_range": full}
            small = reformatter.reformat(frame, size[1], size[0], frame.format.name, **same)
            small.colorspace, small.color_range = frame.colorspace, frame.color_range
            wanted = PictureWriter(clipx.ClipFormat(), clipx.VideoOptions(), "it").clip_of(small)
            assert np.array_equal(found, wanted[0])
    exact = whole(path, clipx.ClipFormat(resize=size))
    assert not np.array_equal(exact, fast)
    assert np.abs(exact.astype(int) - fast).mean() < 16


@pytest.mark.parametrize("kind", ["ffv1 bgra", "h264 444", "ffv1 gray"])
def test_resize_without_sampled_chroma_is_exact(make_video, whole, kind):
    path, format = make_video(N, **KINDS[kind]), clipx.ClipFormat(resize=(30, 40))
    assert np.array_equal(frames(path, format), decoded_fast(path, format))


def test_gray_resized_is_the_luma(make_video, whole):
    path, format = make_video(N, **KINDS["ffv1"]), clipx.ClipFormat(resize=(30, 40))
    gray = clipx.VideoOptions(color="gray", quality="fast")
    fast = np.concatenate([clip.data for clip in clips(path, clipx.WindowSpec(1), format, options=gray)])
    assert np.array_equal(fast, whole(path, format, clipx.VideoOptions(color="gray")))
