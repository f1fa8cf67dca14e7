"""Specs of clips that are spread over a source: the same frames from arrays, videos, sound, stages and the Loader."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from helpers.media import Pipe
from helpers.shards import array_sample, write_shard
from helpers.states import check_every, check_every_of_videos

import clipx
from clipx import (
    AudioFormat,
    ClipFormat,
    FrameList,
    Loader,
    RateSpec,
    UniformSpec,
    VideoOptions,
    WindowSpec,
    audio,
    video,
    wds,
    windows,
)
from clipx.plan import Extent, Selection
from clipx.video.clips import selected_clips
from clipx.wds.sample_clips import SampleClips

SPECS = [
    UniformSpec(5),
    UniformSpec(4, "linspace"),
    UniformSpec(6, "random"),
    FrameList([3, 6, 2, 2]),
    UniformSpec(40),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_arrays(spec):
    frames = np.random.default_rng(0).integers(0, 256, (30, 6, 8, 3), dtype=np.uint8)
    rows = windows.indices(30, spec, rng=3)
    wanted = frames[rows]
    np.testing.assert_array_equal(windows.extract(frames, spec, rng=3), wanted)
    np.testing.assert_array_equal(list(windows.iterate(frames, spec, rng=3, pool="1MB")), wanted)
    out = windows.extract(frames, spec, rng=3, format=ClipFormat(order="CTHW"))
    np.testing.assert_array_equal(out, wanted.transpose(0, 4, 1, 2, 3))
    np.testing.assert_array_equal(windows.starts(30, spec, rng=3), rows[:, 0])


@pytest.mark.parametrize("made", [{"g": "10"}, {"container": "mpegts", "suffix": ".ts"}], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_videos(make_video, whole, spec, made):
    path = make_video(n=60, **made)
    frames, rows = whole(path), spec.rows(60, np.random.default_rng(3))
    for pool in (None, "20MB"):
        clips = video.clips(path, spec, rng=3, pool=pool)
        for clip, row in zip(clips, rows, strict=True):
            np.testing.assert_array_equal(clip.data, frames[row])
            np.testing.assert_array_equal(clip.frame_indices, row)
            np.testing.assert_allclose(clip.pts_seconds - clip.pts_seconds[0], (row - row[0]) / 25)
            del clip
        # What no clip needs is not decoded: at most each stretch between key frames up to its last frame.
        if made == {"g": "10"}:
            needed = {k // 10: k % 10 + 1 for k in sorted({*rows.ravel().tolist()})}
            assert clips.frames_decoded <= sum(needed.values()) + 4 * len(needed)


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_videos_at_a_rate(make_video, whole, spec):
    path = make_video(n=50)
    every = next(video.clips(path, WindowSpec(20), options=VideoOptions(fps=10)))
    (clip,) = video.clips(path, spec, options=VideoOptions(fps=10), rng=1)
    np.testing.assert_array_equal(clip.frame_indices, every.frame_indices[spec.rows(20, 1)[0]])
    np.testing.assert_array_equal(clip.data, every.data[spec.rows(20, 1)[0]])


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_a_selection_equals_the_run_over_all(make_video, spec):
    path = make_video(n=60, g="10")
    (every,) = video.clips(path, spec, rng=3)
    (again,) = selected_clips(path, spec, rng=3, name="video", selection=Selection((0,), None))
    np.testing.assert_array_equal(again.data, every.data)
    assert again.facts() == every.facts()
    assert not list(selected_clips(path, spec, rng=3, name="video", selection=Selection((), 1)))


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_sound(make_audio, spec):
    (whole,) = audio.clips(make_audio(), WindowSpec(8000), AudioFormat(dtype="int16"))
    (clip,) = audio.clips(make_audio(), spec, AudioFormat(dtype="int16"), rng=3)
    np.testing.assert_array_equal(clip.data[0], whole.data[0][spec.rows(8000, 3)[0]])


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_samples_draw_by_seed_epoch_and_key(make_video, spec):
    path = make_video(n=60)
    samples = [{"__key__": key, "mp4": path.read_bytes(), "npy": np.arange(60)} for key in "ab"]
    for epoch in (0, 1):
        found = list(wds.clips(spec, keys=("mp4", "npy"), seed=4, epoch=epoch)(samples))
        for sample, key in zip(found, "ab", strict=True):
            row = spec.rows(60, wds.sample_rng(4, epoch, key))[0]
            assert sample["npy"].tolist() == sample["clip.json"]["frame_indices"] == row.tolist()


@pytest.mark.usefixtures("small_decoders", "no_threads_left")
@pytest.mark.parametrize("spec", SPECS[:4], ids=repr)
def test_loader_resumes(tmp_path, make_video, spec):
    check_every_of_videos(tmp_path, [make_video(n=30 + i) for i in range(5)], spec)
    arrays = write_shard(tmp_path / "arrays.tar", [array_sample(f"a{i}", 7 + i) for i in range(6)])
    check_every(lambda **rest: clipx.Loader([arrays], spec, batch_size=2, memory="1MB", **rest), epochs=2)


@pytest.mark.parametrize("kind", ["mp4", "mpegts", "pipe"])
def test_frames_that_a_stream_turns_out_not_to_have(make_video, make_audio, kind):
    path = make_video(n=20) if kind != "mpegts" else make_video(n=20, container="mpegts", suffix=".ts")
    for pool in (None, "2MB"):
        with pytest.raises(ValueError, match=r"frames\[1\] is 20, but there are 20 frames"):
            list(video.clips(Pipe(path.read_bytes()) if kind == "pipe" else path, FrameList([3, 20]), pool=pool))
    with pytest.raises(ValueError, match=r"frames\[0\] is 8000, but there are 8000 frames"):
        list(audio.clips(make_audio(), FrameList([8000])))
    sample = {"__key__": "k", "mp4": path.read_bytes()}
    assert SampleClips(FrameList([19]), keys="mp4").count(sample) == 1


def test_a_stream_is_read_no_further_than_the_last_frame_of_a_list(make_video):
    clips = video.clips(Pipe(make_video(n=60, g="10").read_bytes()), FrameList([21, 3]))
    assert next(clips).frame_indices.tolist() == [21, 3]
    assert clips.frames_decoded < 40


BY_TIME = [
    RateSpec(4, max_frames=20),
    RateSpec(2, min_frames=4, max_frames=6, multiple=2),
    FrameList(seconds=[1.21, 0, 0.51]),
    FrameList(seconds=[1.24, 0.04], tolerance_seconds=0),
]


@pytest.mark.parametrize("made", [{"g": "10"}, {"container": "mpegts", "suffix": ".ts"}, None], ids=str)
@pytest.mark.parametrize("spec", BY_TIME, ids=repr)
def test_videos_have_times(make_video, whole, spec, made):
    path = make_video(n=60, **(made or {}))
    begin = float(next(video.clips(path, WindowSpec(1))).pts_seconds[0])
    if isinstance(spec, FrameList):
        spec = replace(spec, seconds=[float(each) + begin for each in spec.seconds])
    frames, extent = whole(path), Extent(60, [begin + i * 0.04 for i in range(61)])
    (row,) = spec.rows(extent)
    for pool in (None, "20MB"):
        source = path if made else Pipe(path.read_bytes())
        (clip,) = video.clips(source, spec, pool=pool)
        np.testing.assert_array_equal(clip.frame_indices, row)
        np.testing.assert_array_equal(clip.data, frames[row])
        del clip


@pytest.mark.parametrize("spec", BY_TIME, ids=repr)
def test_times_at_a_rate(make_video, spec):
    path, options = make_video(n=60), VideoOptions(fps=10)
    if isinstance(spec, FrameList):
        spec = replace(spec, tolerance_seconds=1)
    every = next(video.clips(path, WindowSpec(24), options=options))
    (row,) = spec.rows(Extent(24, [Fraction(i, 10) for i in range(25)]))
    (clip,) = video.clips(path, spec, options=options)
    np.testing.assert_array_equal(clip.frame_indices, every.frame_indices[row])


@pytest.mark.parametrize("spec", [*BY_TIME[:2], FrameList(seconds=[0.21, 0, 0.9])], ids=repr)
def test_sound_has_times(make_audio, spec):
    (row,) = spec.rows(Extent(8000, [Fraction(i, 8000) for i in range(8001)]))
    (whole,) = audio.clips(make_audio(), WindowSpec(8000), AudioFormat(dtype="int16"))
    (clip,) = audio.clips(make_audio(), spec, AudioFormat(dtype="int16"))
    np.testing.assert_array_equal(clip.data[0], whole.data[0][row])


@pytest.mark.usefixtures("small_decoders", "no_threads_left")
@pytest.mark.parametrize("spec", BY_TIME, ids=repr)
def test_loader_resumes_by_time(tmp_path, make_video, spec):
    videos = [{"__key__": f"v{i}", "mp4": make_video(n=40 + 9 * i).read_bytes()} for i in range(5)]
    url, format = write_shard(tmp_path / "videos.tar", videos), ClipFormat(crop=("random", (16, 16)))
    for equal in (False, True):
        rest = {"batch_size": 2, "memory": "2MB", "ragged": "pad", "equal_batches": equal, "drop_last": False}
        check_every(lambda rest=rest, **given: Loader([url], spec, format, **rest, **given))
    assert [SampleClips(spec).count(sample) for sample in videos] == [1] * 5
