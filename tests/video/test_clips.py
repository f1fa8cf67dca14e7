"""Videos to clips, against decoding every frame and slicing."""

import io
import subprocess
import sys

import av
import numpy as np
import pytest
from helpers.long import LONG
from helpers.media import Pipe

import clipx
from clipx import windows
from clipx.video.clips import clips

STREAMED = [{"stride": 8}, {"stride": 16}, {"stride": 21, "dilation": 3}, {"stride": 5, "length": 1}, {"num_clips": 3}]
POLICIES = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]


@pytest.mark.parametrize("name", ["carphone_pristine.mp4", "bikes.mp4", *(["bigbuckbunny.mp4"] if LONG else [])])
def test_clips_equal_decoding_and_slicing(real_video, whole, name):
    path = real_video(name)
    frames = whole(path)
    spec = clipx.WindowSpec(16, 8)
    pool = clipx.ClipPool(spec.slots(), (16, *frames.shape[1:]))
    count = 0
    for clip, start in zip(clips(path, spec, pool=pool), spec.starts(len(frames))):
        assert (clip.index, clip.start, clip.valid) == (count, start, 16)
        np.testing.assert_array_equal(clip.data, frames[start : start + 16])
        count += 1
    del clip
    assert count == spec.count(len(frames))
    assert pool.stats().free == pool.slots


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("window", STREAMED, ids=str)
@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 47, 50])
def test_every_policy_on_streams(make_video, whole, policy, window, n):
    path = make_video(n=n)
    frames = whole(path)
    assert len(frames) == n
    window = {"length": 16, "policy": policy, "fill_value": 7, **window}
    spec = clipx.WindowSpec(**window)
    extracted = clips(path, spec)
    got = list(extracted)
    np.testing.assert_array_equal([clip.start for clip in got], spec.starts(n))
    assert extracted.num_frames == n
    expected = windows.extract(frames, **window)
    assert len(got) == len(expected)
    rate = 25
    for clip, data, row, padded in zip(got, expected, spec.indices(n), spec.padding(n)):
        np.testing.assert_array_equal(clip.data, data)
        np.testing.assert_array_equal(clip.frame_indices, row)
        np.testing.assert_allclose(clip.pts_seconds, np.where(row < 0, np.nan, row / rate))
        np.testing.assert_allclose(clip.duration_seconds, np.where(row < 0, np.nan, 1 / rate))
        assert clip.valid == np.count_nonzero(~padded)


@pytest.mark.parametrize(("n", "complete"), [(32, 3), (35, 3), (10, 0)])
def test_error_policy_raises_after_the_complete_clips(make_video, n, complete):
    spec = clipx.WindowSpec(16, 8, policy="error")
    extracted = clips(make_video(n=n), spec)
    got = []
    if n == 32:
        got = list(extracted)
    else:
        with pytest.raises(ValueError, match="policy is 'error'"):
            got.extend(clip for clip in extracted)
    assert len(got) == (complete if n == 32 else 0) or [clip.start for clip in got] == [0, 8, 16]


def test_random_starts_repeat_for_the_same_seed(make_video):
    path = make_video(n=50)
    spec = clipx.WindowSpec(4, num_clips=5, sampling="random")
    drawn = [[clip.start for clip in clips(path, spec, rng=seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] == spec.starts(50, rng=1).tolist()
    assert drawn[0] != drawn[2]


def test_sources_are_paths_bytes_and_files(make_video):
    path = make_video(n=20)
    spec = clipx.WindowSpec(8, policy="wrap")
    data = path.read_bytes()
    with path.open("rb") as file:
        sources = [path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), file]
        kinds = [[clip.data.tobytes() for clip in clips(src, spec)] for src in sources]
    assert len(kinds[0]) == 3
    assert all(kind == kinds[0] for kind in kinds)


def test_clips_are_independent(make_video):
    first, second = clips(make_video(n=16), clipx.WindowSpec(8, 4, policy="drop")), None
    made = list(first)
    for i, clip in enumerate(made):
        assert clip.data.flags.c_contiguous
        assert clip.data.flags.writeable
        for second in made[:i]:
            assert not np.shares_memory(clip.data, second.data)


def test_pool_holds_the_open_clips_and_one_more(make_video):
    path = make_video(n=40)
    spec = clipx.WindowSpec(16, 4)
    shape = (16, 48, 64, 3)
    assert spec.slots() == 5
    with pytest.raises(ValueError, match="4 slots, but a source holds up to 5"):
        clips(path, spec, pool=clipx.ClipPool(4, shape))
    pool = clipx.ClipPool(5, shape)
    count = 0
    for clip in clips(path, spec, pool=pool):
        assert not np.isnan(clip.pts_seconds).any()
        count += 1
        del clip
    assert count == 7
    stats = pool.stats()
    assert (stats.leased, stats.reserve if hasattr(stats, "reserve") else pool.reserve) == (0, 5)
    assert stats.peak_leased <= 5


def test_lazy_pool_is_checked_when_the_shape_is_known(make_video):
    pool = clipx.ClipPool.of_bytes(2 * 16 * 48 * 64 * 3)
    with pytest.raises(ValueError, match="2 slots, but a source holds up to 5"):
        next(clips(make_video(n=40), clipx.WindowSpec(16, 4), pool=pool))


def test_closing_midway_gives_slots_back(make_video):
    pool = clipx.ClipPool(8, (16, 48, 64, 3))
    extracted = clips(make_video(n=40), clipx.WindowSpec(16, 4), pool=pool)
    next(extracted)
    extracted.close()
    del extracted
    assert pool.stats().free == 8


def test_what_cannot_be_read(tmp_path, make_video, make_audio):
    spec = clipx.WindowSpec(4)
    with pytest.raises(FileNotFoundError, match="nothing"):
        clips(tmp_path / "nothing.mp4", spec)
    for junk, reason in [(b"", "empty"), (b"no video at all" * 50, "cannot be opened")]:
        with pytest.raises(clipx.MediaError, match=reason):
            clips(junk, spec)
        (tmp_path / "junk.mp4").write_bytes(junk)
        with pytest.raises(clipx.MediaError, match=r"junk\.mp4"):
            clips(tmp_path / "junk.mp4", spec)
    whole_file = make_video(n=40).read_bytes()
    with pytest.raises(clipx.MediaError) as caught:
        clips(whole_file[: len(whole_file) // 2], spec)
    assert isinstance(caught.value.__cause__, av.FFmpegError)
    with pytest.raises(clipx.MediaError, match="no video stream"):
        clips(make_audio(), spec)
    with pytest.raises(TypeError, match="src is a int"):
        clips(3, spec)
    with pytest.raises(TypeError, match="spec is 16"):
        clips(whole_file, 16)


def test_a_source_that_cannot_seek(make_video):
    data = make_video(n=20, container="matroska", suffix=".mkv").read_bytes()
    got = [clip.data for clip in clips(Pipe(data), clipx.WindowSpec(8, policy="repeat_last"))]
    assert len(got) == 3


MEASURE = """
import resource, sys, clipx.video
import numpy as np
from clipx import memory
path, pool = sys.argv[1], clipx.ClipPool(8, (16, 48, 64, 3))
with memory.Meter(interval=0.01) as meter:
    count = sum(1 for clip in clipx.video.clips(path, clipx.WindowSpec(16, 8), pool=pool))
print(count, meter.peak - meter.start)
"""


def test_memory_does_not_grow_with_duration(make_video):
    peaks = []
    for seconds in (10, 600 if LONG else 200):
        out = subprocess.run(
            [sys.executable, "-c", MEASURE, make_video(n=25 * seconds, still=True)],
            check=True,
            capture_output=True,
            text=True,
        )
        count, peak = map(int, out.stdout.split())
        assert count == (25 * seconds - 16) // 8 + 1
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 20e6
