"""Clips whose packets are copied: their frames are those of the source between the stated times, bit for bit."""

import io

import av
import numpy as np
import pytest
from helpers.videos import KINDS, MKV

import clipx
from clipx.jobs.extraction.copied import CopiedClips

N = 61

MORE = {
    "h264 open gop, b-frames not referred to": {
        "x264-params": "open-gop=1:keyint=12:min-keyint=2:bframes=2:b-pyramid=none:scenecut=0"
    },
    "mpeg4 mp4": {"codec": "mpeg4", "bf": "2", "g": "12"},
    "mpeg4 mkv": {"codec": "mpeg4", "bf": "2", "g": "12", **MKV},
    "mpeg2 mp4": {"codec": "mpeg2video", "bf": "2", "g": "9"},
    "hevc mpegts": {
        "codec": "libx265",
        "x265-params": "log-level=none:keyint=12:pools=1",
        "container": "mpegts",
        "suffix": ".ts",
    },
}


def decoded(data):
    """(seconds, picture) of all frames of a video."""
    source = str(data) if not isinstance(data, (bytes, memoryview)) else io.BytesIO(data)
    with av.open(source) as container:
        stream = container.streams.video[0]
        return [(frame.pts * stream.time_base, picture_of(frame)) for frame in container.decode(stream)]


def picture_of(frame):
    try:
        return frame.to_ndarray()
    except ValueError:
        return frame.to_ndarray(format="rgb24")


def check_equal(got, want, offset=0):
    assert [at + offset for at, _ in got] == [at for at, _ in want]
    assert all(np.array_equal(picture, other) for (_, picture), (_, other) in zip(got, want))


def clips_of(path, spec, **more):
    sample = {"__key__": "a", path.suffix[1:]: path.read_bytes()}
    return [clip.sample for clip in CopiedClips(spec, **more).clips(sample, 0)]


COPIED = [
    "h264 b-frames",
    "h264 open gop mkv",
    "h264 intra refresh",
    "h264 mpegts",
    "h264 avi",
    "h264 fragments",
    "hevc mkv",
    "hevc closed",
    "vp8",
    "vp9",
    "av1 forward keys",
    "prores",
    "mjpeg avi",
    "ffv1",
    "mpeg2",
]


@pytest.mark.parametrize("kind", [*COPIED, *MORE])
def test_frames_are_those_of_the_source(make_video, kind):
    path = make_video(N, **{**KINDS, **MORE}[kind])
    spec = clipx.WindowSpec(length=7, stride=9, policy="repeat_last")
    frames = decoded(path)
    clips = clips_of(path, spec)
    field = path.suffix[1:]
    for clip, other in zip(clips, clipx.video.clips(path, spec), strict=True):
        facts, copied = clip["clip.json"], clip["clip.json"]["copied"]
        assert facts["frame_indices"] == other.frame_indices.tolist()
        start, end = copied["start_frame"], copied["end_frame"]
        assert start <= min(facts["frame_indices"])
        assert max(facts["frame_indices"]) < end
        assert copied["frame_offset"] == facts["frame_indices"][0] - start
        assert facts["pts_seconds"] == other.pts_seconds.tolist()
        assert facts["duration_seconds"] == other.duration_seconds.tolist()
        check_equal(decoded(clip[field].data), frames[start:end], frames[start][0])
