"""VideoOptions(quality="fast"): what it changes, and what it leaves as it is."""

from dataclasses import replace

import av
import numpy as np
import pytest
from helpers.videos import KINDS, N

import clipx
from clipx.video.clips import clips
from clipx.video.writer import PictureWriter

FAST = clipx.VideoOptions(quality="fast")


def frames(path, format=None):
    return np.concatenate([clip.data for clip in clips(path, clipx.WindowSpec(1), format, options=FAST)])


def decoded_fast(path, format=None, options=None):
    """The frames of FFmpeg with the options that quality="fast" stands for."""
    writer = PictureWriter(format or clipx.ClipFormat(), options or clipx.VideoOptions(), str(path))
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


@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_what_is_decoded_is_resized_as_ever(make_video, color):
    path, format = make_video(24, size=(96, 128), crf="36", bf="3"), clipx.ClipFormat(resize=(30, 40))
    options = clipx.VideoOptions(color=color)
    fast = clips(path, clipx.WindowSpec(1), format, options=replace(options, quality="fast"))
    assert np.array_equal(np.concatenate([clip.data for clip in fast]), decoded_fast(path, format, options))
