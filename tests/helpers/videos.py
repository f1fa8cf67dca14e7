"""Kinds of videos, windows over them, and clips compared with slices of all frames."""

import numpy as np

X265 = {"codec": "libx265", "x265-params": "log-level=none:keyint=20:pools=1"}
MKV = {"container": "matroska", "suffix": ".mkv"}
MOV = {"container": "mov", "suffix": ".mov"}

KINDS = {
    "h264 b-frames": {"bf": "3", "g": "25", "x264-params": "b-pyramid=normal"},
    "h264 short gop": {"bf": "2", "g": "5"},
    "h264 one gop": {"bf": "3", "g": "500"},
    "h264 open gop": {"x264-params": "open-gop=1:keyint=12:min-keyint=2:bframes=3:scenecut=0"},
    "h264 open gop mkv": {"x264-params": "open-gop=1:keyint=12:min-keyint=2:bframes=3:scenecut=0", **MKV},
    "h264 intra refresh": {"x264-params": "intra-refresh=1:keyint=10:bframes=0"},
    "h264 intra": {"g": "1"},
    "h264 no b-frames": {"bf": "0", "g": "10"},
    "h264 mkv": {"bf": "3", "g": "12", **MKV},
    "h264 mpegts": {"bf": "2", "g": "12", "container": "mpegts", "suffix": ".ts"},
    "h264 avi": {"bf": "0", "container": "avi", "suffix": ".avi"},
    "h264 fragments": {"bf": "2", "g": "12", "container": "ismv", "suffix": ".mp4"},
    "h264 odd": {"size": (33, 47), "pix_fmt": "yuv444p"},
    "vp9 odd": {"size": (47, 33), "codec": "libvpx-vp9", "container": "webm", "suffix": ".webm", "g": "20"},
    "h264 nv12": {"pix_fmt": "nv12"},
    "h264 yuvj420p": {"pix_fmt": "yuvj420p"},
    "h264 10 bits": {"pix_fmt": "yuv420p10le"},
    "h264 422": {"pix_fmt": "yuv422p"},
    "h264 422 10 bits": {"pix_fmt": "yuv422p10le"},
    "h264 444": {"pix_fmt": "yuv444p"},
    "h264 gray": {"pix_fmt": "gray"},
    "h264 rgb": {"codec": "libx264rgb", "pix_fmt": "rgb24"},
    "hevc": {**X265},
    "hevc mkv": {**X265, **MKV},
    "hevc closed": {**X265, "x265-params": "log-level=none:keyint=20:open-gop=0:bframes=4:pools=1"},
    "hevc layers": {**X265, "x265-params": "log-level=none:keyint=20:open-gop=0:temporal-layers=3:pools=1"},
    "hevc 10 bits": {**X265, "pix_fmt": "yuv420p10le"},
    "vp8": {"codec": "libvpx", "container": "webm", "suffix": ".webm", "g": "20", "deadline": "realtime"},
    "vp9": {"codec": "libvpx-vp9", "container": "webm", "suffix": ".webm", "g": "20", "cpu-used": "8"},
    "av1": {"codec": "libsvtav1", "container": "webm", "suffix": ".webm", "g": "20", "preset": "12"},
    "av1 forward keys": {
        "codec": "libsvtav1",
        "preset": "12",
        "svtav1-params": "irefresh-type=1:keyint=16:lp=1",
        "size": (64, 64),
    },
    "prores": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", **MOV},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj422p", **MOV},
    "mjpeg avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "avi", "suffix": ".avi"},
    "ffv1": {"codec": "ffv1", "g": "10", **MKV},
    "ffv1 gray": {"codec": "ffv1", "pix_fmt": "gray", **MKV},
    "raw nv12": {"codec": "rawvideo", "pix_fmt": "nv12", "container": "avi", "suffix": ".avi"},
    "ffv1 bgr0": {"codec": "ffv1", "pix_fmt": "bgr0", "size": (33, 47), **MKV},
    "ffv1 bgra": {"codec": "ffv1", "pix_fmt": "bgra", **MKV},
    "ffv1 16 bits": {"codec": "ffv1", "pix_fmt": "yuv420p16le", **MKV},
    "ffv1 411": {"codec": "ffv1", "pix_fmt": "yuv411p", **MKV},
    "raw rgb": {"codec": "rawvideo", "pix_fmt": "bgr24", "container": "avi", "suffix": ".avi"},
    "png": {"codec": "png", "pix_fmt": "rgb24", **MOV},
    "png gray and alpha": {"codec": "png", "pix_fmt": "ya8", **MOV},
    "qtrle": {"codec": "qtrle", "pix_fmt": "rgb24", **MOV},
    "mpeg4": {"codec": "mpeg4", "bf": "0", "container": "avi", "suffix": ".avi"},
    "mpeg4 b-frames": {"codec": "mpeg4", "bf": "2", "g": "12", "container": "avi", "suffix": ".avi"},
    "mpeg2": {"codec": "mpeg2video", "bf": "2", "container": "mpegts", "suffix": ".ts"},
}

N = 61

WINDOWS = [
    {"length": 8, "stride": 3},
    {"length": 4, "dilation": 4, "stride": 8},
    {"length": 3, "dilation": 8, "stride": 16, "policy": "repeat_last"},
    {"length": 3, "stride": 29, "policy": "wrap"},
    {"length": 6, "dilation": 2, "stride": 5, "policy": "backpad"},
    {"length": 5, "stride": 29, "policy": "constant", "fill_value": 9},
    {"length": 7, "stride": 9, "dilation": 3, "policy": "reflect"},
    {"length": 4, "num_clips": 3},
    {"length": 4, "dilation": 2, "num_clips": 4, "sampling": "random"},
]


def check_slices(clips, frames, spec, rng=None):
    """Clips equal slicing `frames`; returns them."""
    got = list(clips)
    rows = spec.indices(len(frames), rng)
    assert [clip.start for clip in got] == spec.starts(len(frames), rng).tolist()
    assert [clip.index for clip in got] == list(range(len(rows)))
    assert clips.num_frames == len(frames)
    for clip, row in zip(got, rows):
        np.testing.assert_array_equal(clip.frame_indices, row)
        assert clip.data.shape == (spec.length, *frames.shape[1:])
        for frame, k in zip(clip.data, row):
            assert np.array_equal(frame, np.full_like(frame, spec.fill_value) if k < 0 else frames[k])
        np.testing.assert_array_equal(np.isnan(clip.pts_seconds), row < 0)
    return got
