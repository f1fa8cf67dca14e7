"""Clips whose packets are copied, decoded and compared with the frames of their source."""

import io
from hashlib import sha256

import av
import numpy as np

import clipx
from clipx.jobs.extraction.copied import CopiedClips

SPEC = clipx.WindowSpec(length=7, stride=9, policy="repeat_last")


def opened(data):
    return av.open(str(data) if hasattr(data, "suffix") else io.BytesIO(data))


def decoded(data):
    """(seconds, digest of the picture) of all frames of a video: a path or bytes."""
    with opened(data) as container:
        stream = container.streams.video[0]
        return [(frame.pts * stream.time_base, _picture(frame)) for frame in container.decode(stream)]


def _picture(frame):
    """A digest of the pixels of a frame."""
    try:
        pixels = frame.to_ndarray()
    except ValueError:
        pixels = frame.to_ndarray(format="rgb24")
    return sha256(np.ascontiguousarray(pixels)).digest()


def copied(value, spec=SPEC, field="mp4", limits=None, **options):
    """The samples of the clips of a video in a field: bytes, or a stored file."""
    more = {} if limits is None else {"limits": limits}
    found = CopiedClips(spec, **options).clips({"__key__": "a", field: value}, 0, **more)
    return [clip.sample for clip in found]


def check_copies(data, clips, field="mp4"):
    """The clips have the frames of the source that they state, bit for bit, at their times; returns the spans."""
    frames, spans = decoded(data), []
    for clip in clips:
        facts, file = clip["clip.json"], clip[field]
        start, end = facts["copied"]["start_frame"], facts["copied"]["end_frame"]
        got, want = decoded(file.data), frames[start:end]
        indices = [k for k in facts["frame_indices"] if k >= 0]
        assert start <= min(indices)
        assert max(indices) < end
        assert facts["copied"]["frame_offset"] == indices[0] - start
        assert [at + want[0][0] for at, _ in got] == [at for at, _ in want]
        assert [picture for _, picture in got] == [picture for _, picture in want]
        assert facts["copied"]["start_seconds"] == float(want[0][0])
        if end < len(frames):
            assert facts["copied"]["end_seconds"] == float(frames[end][0])
        spans.append((start, end))
    return spans
