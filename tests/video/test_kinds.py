"""Videos of many kinds to clips, against decoding every frame and slicing."""

import contextlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import av
import numpy as np
import pytest
from helpers.long import LONG, some
from helpers.media import Pipe
from helpers.videos import KINDS, MKV, WINDOWS, N, check_slices

import clipx
from clipx import wds
from clipx.video.clips import clips

REAL = ["carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4"]


def check_work(extracted, n):
    """What the run decoded and what it did not are all frames, some of them twice."""
    assert extracted.frames_decoded + extracted.frames_skipped >= n
    assert extracted.frames_decoded > 0
    assert 0 <= extracted.frames_skipped < n


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    assert len({each.tobytes() for each in frames}) == N
    for window in WINDOWS if LONG else WINDOWS[list(KINDS).index(kind) % 2 :: 2]:
        spec = clipx.WindowSpec(**window)
        extracted = clips(path, spec, rng=3)
        check_slices(extracted, frames, spec, rng=3)
        check_work(extracted, N)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_that_pyav_makes(make_video, kind):
    path = make_video(N, **KINDS[kind])
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    (clip,) = clips(path, clipx.WindowSpec(4, num_clips=1))
    for written, k in zip(clip.data, clip.frame_indices):
        # Of other chroma, edges differ; of another frame, matrix or order of channels, everything.
        right, wrong = (np.mean(np.abs(written.astype(int) - expected[each])) for each in (k, k - 3))
        assert right < 12
        assert right < wrong / 2


@pytest.mark.parametrize(("name", "window"), some(product(REAL, (WINDOWS[2], WINDOWS[4], WINDOWS[8])), 4), ids=str)
def test_real_files(real_video, whole_real, name, window):
    path, frames = real_video(name), whole_real(name)
    spec = clipx.WindowSpec(**window)
    extracted = clips(path, spec, rng=5)
    check_slices(extracted, frames, spec, rng=5)
    check_work(extracted, len(frames))


@pytest.fixture(scope="module")
def whole_real(real_video, whole):
    kept = {}

    def decode(name):
        if name not in kept:
            kept.clear()
            kept[name] = whole(real_video(name))
        return kept[name]

    return decode


@pytest.mark.parametrize("policy", ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"])
@pytest.mark.parametrize(
    "window", [{"stride": 7}, {"stride": 5, "dilation": 3}, {"num_clips": 4}, {"stride": 70, "dilation": 12}], ids=str
)
@pytest.mark.parametrize("kind", ["h264 mkv", "h264 mpegts", "mjpeg avi"])
def test_sources_that_cannot_seek(make_video, whole, kind, window, policy):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    spec = clipx.WindowSpec(6, policy=policy, fill_value=200, **window)
    check_slices(clips(Pipe(path.read_bytes()), spec), frames, spec)


@pytest.mark.parametrize("policy", ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"])
def test_sources_that_cannot_seek_and_end_early(make_video, whole, policy):
    path = make_video(5, **MKV)
    spec = clipx.WindowSpec(9, 4, policy=policy, fill_value=200)
    check_slices(clips(Pipe(path.read_bytes()), spec), whole(path), spec)


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("dilation", [1, 3])
def test_error_policy(make_video, seekable, dilation):
    data = make_video(N, **KINDS["h264 mkv"]).read_bytes()
    spec = clipx.WindowSpec(8, 8, dilation, policy="error")
    got = []
    with pytest.raises(ValueError, match="policy is 'error'"):
        got.extend(clip.start for clip in clips(io.BytesIO(data) if seekable else Pipe(data), spec))
    got = []
    with contextlib.suppress(ValueError):
        for clip in clips(io.BytesIO(data) if seekable else Pipe(data), spec):
            got.append(clip.start)
    assert got == clipx.WindowSpec(8, 8, dilation).starts(N).tolist()


def test_random_windows(make_video, whole):
    paths = [make_video(N, **KINDS[kind]) for kind in ("h264 b-frames", "h264 short gop", "hevc closed", "vp9")]
    wholes = [whole(path) for path in paths]
    rng = np.random.default_rng(11)
    policies = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]
    for _ in range(2000 if LONG else 120):
        length, dilation, stride = (int(rng.integers(1, most)) for most in (9, 12, 40))
        window = {"length": length, "dilation": dilation, "policy": str(rng.choice(policies))}
        if rng.random() < 0.3:
            window |= {"num_clips": int(rng.integers(1, 6)), "sampling": "random"}
        else:
            window["stride"] = stride
        spec = clipx.WindowSpec(**window)
        which = int(rng.integers(len(paths)))
        check_slices(clips(paths[which], spec, rng=7), wholes[which], spec, rng=7)


@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 short gop", "hevc", "vp9", "av1", "ffv1", "mjpeg"])
def test_threads_of_the_decoder_change_nothing(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    for window in WINDOWS[:3] + WINDOWS[-2:]:
        spec = clipx.WindowSpec(**window)
        check_slices(clips(path, spec, options=clipx.VideoOptions(num_threads=2), rng=1), frames, spec, rng=1)


def test_two_videos_in_two_threads_with_one_pool(make_video, whole):
    paths = [make_video(N, **KINDS[kind]) for kind in ("h264 b-frames", "vp9")]
    spec = clipx.WindowSpec(8, 3)
    pool = clipx.ClipPool(2 * spec.slots(), (8, 48, 64, 3))
    wholes = [whole(path) for path in paths]

    def extracted(which):
        for _ in range(5):
            count = 0
            for clip in clips(paths[which], spec, pool=pool):
                np.testing.assert_array_equal(clip.data, wholes[which][clip.start : clip.start + 8])
                count += 1
                del clip
            assert count == spec.count(N)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(extracted, which) for which in (0, 1)]:
            done.result()
    assert pool.stats().free == pool.slots


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_pool_as_small_as_may_be(make_video, whole, window):
    path = make_video(N, **KINDS["h264 b-frames"])
    frames = whole(path)
    spec = clipx.WindowSpec(**window)
    starts = spec.starts(N, rng=2)
    pool = clipx.ClipPool(spec.slots(starts if spec.num_clips else None), (spec.length, 48, 64, 3))
    for _ in range(2):
        count = 0
        for clip, row in zip(clips(path, spec, pool=pool, rng=2), spec.indices(N, rng=2)):
            for written, k in zip(clip.data, row):
                assert np.array_equal(written, frames[k] if k >= 0 else np.full_like(written, spec.fill_value))
            count += 1
            del clip, written
        assert count == len(starts)
        assert pool.stats().free == pool.slots


def two_streams(first, second):
    """A file with the packets of two videos."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as target, av.open(str(first)) as a, av.open(str(second)) as b:
        packets = []
        for source in (a, b):
            stream = target.add_stream_from_template(source.streams.video[0])
            for number, packet in enumerate(source.demux(video=0)):
                if packet.size:
                    packets.append((number, stream, packet))
        for _, stream, packet in sorted(packets, key=lambda each: each[0]):
            packet.stream = stream
            target.mux(packet)
    return out.getvalue()


def test_the_stream_that_was_asked_for(make_video, whole):
    first = make_video(N, **KINDS["h264 mkv"])
    second = make_video(40, size=(32, 96), bf="2", g="10", **MKV)
    data = two_streams(first, second)
    for number, path in enumerate([first, second]):
        frames = whole(path)
        for window in WINDOWS:
            spec = clipx.WindowSpec(**window)
            check_slices(clips(data, spec, options=clipx.VideoOptions(stream=number), rng=1), frames, spec, rng=1)
    with pytest.raises(clipx.MediaError, match=r"stream is 2, but .* has 2 video streams"):
        clips(data, clipx.WindowSpec(4), options=clipx.VideoOptions(stream=2))


def test_the_stage_takes_format_and_options(make_video, whole):
    path = make_video(N, **KINDS["h264 b-frames"])
    samples = [{"__key__": "a", "mp4": path.read_bytes(), "cls": 1}, {"__key__": "b", "mp4": path.read_bytes()}]
    format = clipx.ClipFormat(crop=(1, 2, 30, 40), flip=True)
    options = clipx.VideoOptions(color="gray", start_seconds=0.4, fps=12.5)
    window = clipx.WindowSpec(5, 4, policy="constant", fill_value=3)
    pool = clipx.ClipPool(8, (5, 30, 40, 1))
    frames = whole(path, format, options)
    # From frame 10 on, every second: 26 of them.
    rows = np.array([[s + i if s + i < 26 else -1 for i in range(5)] for s in range(0, 25, 4)])
    seen = []
    for out in wds.clips(window, format, options=options, pool=pool)(samples):
        key, _, number = out["__key__"].rpartition("_")
        facts = json.loads(json.dumps(out["clip.json"]))
        row = rows[int(number)]
        expected = np.where(row < 0, -1, 10 + 2 * row)
        assert set(facts) == {
            "index",
            "start",
            "valid",
            "length",
            "frame_indices",
            "pts_seconds",
            "duration_seconds",
            "source_fps",
            "rotation",
            "key",
        }
        assert facts["key"] == key
        assert (facts["index"], facts["start"]) == (int(number), 4 * int(number))
        assert facts["valid"] == np.count_nonzero(row >= 0)
        assert facts["length"] == len(row)
        assert facts["frame_indices"] == expected.tolist()
        assert facts["pts_seconds"] == [None if k < 0 else pytest.approx(k / 25) for k in expected]
        assert facts["duration_seconds"] == [None if k < 0 else pytest.approx(1 / 25) for k in expected]
        assert (facts["source_fps"], facts["rotation"]) == (25.0, 0)
        assert out.get("cls") == (1 if key == "a" else None)
        for written, k in zip(out["mp4"], expected):
            assert np.array_equal(written, np.full_like(written, 3) if k < 0 else frames[k])
        seen.append(key)
        del out, written
    assert seen == ["a"] * len(rows) + ["b"] * len(rows)
    assert pool.stats().free == 8
