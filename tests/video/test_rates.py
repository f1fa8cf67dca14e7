"""Rates: of the several answers that a file gives, the one that can be."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media import Pipe

import clipx
from clipx.video.clips import clips

NTSC = Fraction(30000, 1001)


def file_of(container, codec, n=30, rate=25, size=(48, 64), late=0, times=None, duration=None):
    """n frames; `late` seconds of sound before the first. times: of the frames, in milliseconds."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        sound = target.add_stream("mp2", rate=44100, layout="mono") if late else None
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        target.start_encoding()
        packets = []
        for k in range(n):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 5 * k % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, 1 / Fraction(rate)
            if times is not None:
                frame.pts, frame.time_base = times[k], Fraction(1, 1000)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for packet in packets:
            ticks = round(late / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            if duration is not None:
                packet.duration = duration
        for k in range(int((late + 2) * 44100 / 1152) if late else 0):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = 44100, 1152 * k, Fraction(1, 44100)
            packets += sound.encode(frame)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            target.mux(packet)
    return out.getvalue()


def rate_of(src, **window):
    return next(clips(src, clipx.WindowSpec(1, **window))).source_fps


KINDS = {
    "dv": ("dv", "dvvideo", {"size": (576, 720)}, 25),
    "gxf": ("gxf", "mpeg2video", {"size": (576, 720)}, 25),
    "late ts": ("mpegts", "libx264", {"late": 12}, 25),
    "late ts, mpeg2": ("mpegts", "mpeg2video", {"late": 12}, 25),
    "late ts, ntsc": ("mpegts", "libx264", {"late": 12, "rate": NTSC}, NTSC),
    "late ps": ("mpeg", "mpeg2video", {"late": 12}, 25),
    "late mkv": ("matroska", "libx264", {"late": 12}, 25),
    "late mp4": ("mp4", "libx264", {"late": 12}, 25),
    "mp4": ("mp4", "libx264", {"rate": NTSC}, NTSC),
    "ts": ("mpegts", "libx264", {"rate": 50}, 50),
    "one frame ts": ("mpegts", "libx264", {"n": 1}, 25),
    "bare h264": ("h264", "libx264", {"rate": 30}, 30),
    "bare hevc": ("hevc", "libx265", {"rate": 24}, 24),
    "bare m4v": ("m4v", "mpeg4", {"rate": 25}, 25),
    "avi": ("avi", "mpeg4", {"rate": NTSC}, NTSC),
    "fast avi": ("avi", "mpeg4", {"rate": 500}, 500),
    "time lapse": ("matroska", "libx264", {"rate": Fraction(1, 10)}, Fraction(1, 10)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_that_can_be(kind):
    container, codec, how, rate = KINDS[kind]
    data = file_of(container, codec, **how)
    for src in (data, io.BytesIO(data)):
        assert rate_of(src) == pytest.approx(float(rate), rel=0.01)
    if how.get("n") != 1:
        assert rate_of(data, stride=3) == pytest.approx(float(rate), rel=0.01)
        assert rate_of(data, num_clips=2) == pytest.approx(float(rate), rel=0.01)


@pytest.mark.parametrize("kind", ["dv", "late ts", "late mkv", "avi", "ts"])
def test_of_a_pipe(kind):
    """Its first packets cannot be read twice: then the best of the answers, and where none can be, 25."""
    container, codec, how, rate = KINDS[kind]
    assert rate_of(Pipe(file_of(container, codec, **how))) == pytest.approx(float(rate), rel=0.01)


def test_uneven_times_have_their_average():
    times = np.cumsum(np.random.default_rng(0).integers(20, 60, 30)).tolist()
    data = file_of("mp4", "libx264", times=times)
    assert rate_of(data) == pytest.approx(29_000 / (times[-1] - times[0]), rel=0.1)
    data = file_of("mpegts", "libx264", times=times)
    assert rate_of(data) == pytest.approx(29_000 / (times[-1] - times[0]), rel=0.01)


def test_frames_of_a_late_video_are_shown_as_long_as_they_are():
    data = file_of("mpegts", "libx264", late=12)
    for window in ({}, {"stride": 3}):
        for clip in clips(data, clipx.WindowSpec(2, **window)):
            assert clip.duration_seconds == pytest.approx([0.04, 0.04])
    assert len(list(clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(fps=50)))) == 60
