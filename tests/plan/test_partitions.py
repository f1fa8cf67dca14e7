"""WindowSpec with sampling "partition" (runs of starts) and "partition_source" (parts of the source)."""

import numpy as np
import pytest
import reference
from helpers.states import check_every_of_videos
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import AudioFormat, WindowSpec, audio, video, wds, windows
from clipx.plan import Selection
from clipx.plan.rows import TablePlan
from clipx.video.clips import selected_clips
from clipx.wds.sample_clips import SampleClips

POLICIES = ("drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad")
FIELDS = {
    "length": st.integers(1, 12),
    "dilation": st.integers(1, 4),
    "policy": st.sampled_from(POLICIES),
    "num_clips": st.integers(1, 30),
}


@settings(deadline=None)
@given(n=st.integers(0, 200), seed=st.integers(0, 2**70), fields=st.fixed_dictionaries(FIELDS))
def test_partition(n, seed, fields):
    spec, as_random = WindowSpec(**fields, sampling="partition"), WindowSpec(**fields, sampling="random")
    starts = n - spec.span + 1
    if starts < spec.num_clips:
        if n < spec.span and spec.policy == "error":
            with pytest.raises(ValueError, match="policy is 'error'"):
                spec.rows(n, seed)
            return
        np.testing.assert_array_equal(spec.rows(n, seed), as_random.rows(n, seed))
        return
    at = spec.starts(n, seed).tolist()
    assert len(at) == spec.count(n) == spec.num_clips
    assert all(start in reference.part(starts, spec.num_clips, i) for i, start in enumerate(at))
    np.testing.assert_array_equal(spec.rows(n, seed), reference.indices(n, at, spec.length, spec.dilation, spec.policy))
    np.testing.assert_array_equal(spec.starts(n, np.random.default_rng(seed)), at)
    assert spec.is_random


@settings(deadline=None)
@given(n=st.integers(0, 200), seed=st.integers(0, 2**70), fields=st.fixed_dictionaries(FIELDS))
def test_partition_source(n, seed, fields):
    spec = WindowSpec(**fields, sampling="partition_source")
    part = n // spec.num_clips
    if part < spec.span and spec.policy == "error":
        for method in (lambda: spec.rows(n, seed), lambda: spec.count(n), lambda: spec.padding(n)):
            with pytest.raises(ValueError, match=f"policy is 'error', but {part} frames do not fill one span"):
                method()
        return
    given_none = not part or (part < spec.span and spec.policy in ("drop", "backpad"))
    rows, at = spec.rows(n, seed), spec.starts(n, seed)
    assert len(rows) == len(at) == spec.count(n) == (0 if given_none else spec.num_clips)
    padding = spec.padding(n)
    for i, (row, start, past) in enumerate(zip(rows, at.tolist(), padding, strict=True)):
        # Each part is a source of its own.
        assert part * i <= start <= part * i + max(part - spec.span, 0)
        (of_part,) = reference.indices(part, [start - part * i], spec.length, spec.dilation, spec.policy)
        np.testing.assert_array_equal(row, np.where(of_part < 0, -1, of_part + part * i))
        (wanted,) = reference.padding(part, [start - part * i], spec.length, spec.dilation)
        np.testing.assert_array_equal(past, wanted)
    np.testing.assert_array_equal(spec.valid(rows, n), np.count_nonzero(~padding, axis=1))
    plan = spec.plan(n, seed)
    np.testing.assert_array_equal(plan.final_rows(np.arange(len(rows)), n), rows)
    assert plan.slots() <= spec.slots(at) == spec.max_slots == 2
    assert plan.count(n) == plan.count_until_error(n) == len(rows)


@pytest.mark.parametrize("sampling", ["partition", "partition_source"])
def test_every_start_is_drawn(sampling):
    spec, rng = WindowSpec(3, num_clips=3, sampling=sampling), np.random.default_rng(0)
    drawn = np.stack([spec.starts(17, rng) for _ in range(300)]).T
    wanted = {
        "partition": [set(reference.part(15, 3, i)) for i in range(3)],
        "partition_source": [set(range(5 * i, 5 * i + 3)) for i in range(3)],
    }
    assert [set(each.tolist()) for each in drawn] == wanted[sampling]


@pytest.mark.parametrize("sampling", ["partition", "partition_source"])
def test_far_and_many(sampling):
    spec = WindowSpec(2, num_clips=31, sampling=sampling)
    for seed in range(5):
        at = spec.starts(2**60, seed).tolist()
        if sampling == "partition":
            assert all(start in reference.part(2**60 - 1, 31, i) for i, start in enumerate(at))
        else:
            assert all(start // (2**60 // 31) == i for i, start in enumerate(at))
    with pytest.raises(ValueError, match=r"num_clips is .*, but must be at most"):
        WindowSpec(2, num_clips=2**40, sampling=sampling)
    with pytest.raises(ValueError, match=r"a plan of shape .* too large"):
        WindowSpec(2**50, policy="wrap", num_clips=2**30, sampling=sampling).rows(2**60, 0)


def test_v_jepa_repeats_the_last_frame_of_a_short_part():
    spec = WindowSpec(4, None, 2, "repeat_last", num_clips=2, sampling="partition_source")
    assert spec.rows(10, 0).tolist() == [[0, 2, 4, 4], [5, 7, 9, 9]]
    assert spec.rows(11, 0).tolist() == [[0, 2, 4, 4], [5, 7, 9, 9]]


SPECS = [
    WindowSpec(4, None, 2, "drop", num_clips=3, sampling="partition"),
    WindowSpec(4, None, 2, "drop", num_clips=3, sampling="partition_source"),
    *(
        WindowSpec(4, None, 8, policy, 7, num_clips=3, sampling="partition_source")
        for policy in ("repeat_last", "wrap", "reflect", "constant")
    ),
]


@pytest.mark.parametrize("made", [{"g": "8"}, {"container": "mpegts", "suffix": ".ts"}], ids=str)
@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_videos(make_video, whole, spec, made):
    path, options = make_video(n=60, **made), {"rng": 3, "name": "video"}
    frames, rows = whole(path), spec.rows(60, 3)
    for pool in (None, "8MB"):
        for clip, row in zip(video.clips(path, spec, pool=pool, rng=3), rows, strict=True):
            np.testing.assert_array_equal(clip.frame_indices, row)
            assert clip.valid == spec.valid(row[None], 60)[0]
            np.testing.assert_array_equal(clip.data[row >= 0], frames[row[row >= 0]])
            assert (clip.data[row < 0] == 7).all()
            del clip
    every = list(video.clips(path, spec, rng=3))
    for some, first in [((), 1), ((0,), 2), ((0, 2), None)]:
        selection = Selection(some, first)
        found = list(selected_clips(path, spec, selection=selection, **options))
        assert [clip.facts() for clip in found] == [every[index].facts() for index in selection.of(3)]
        for clip, index in zip(found, selection.of(3)):
            np.testing.assert_array_equal(clip.data, every[index].data)


def test_what_no_clip_needs_is_not_decoded(make_video):
    clips = video.clips(make_video(n=120, g="10"), WindowSpec(2, num_clips=3, sampling="partition_source"), rng=3)
    assert len(list(clips)) == 3
    assert clips.frames_decoded < 60


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_sound_and_arrays(make_audio, spec):
    (whole,) = audio.clips(make_audio(), WindowSpec(8000), AudioFormat(dtype="int16"))
    samples, rows = whole.data[0], spec.rows(8000, 3)
    wanted = np.where(rows < 0, 7, samples[rows])
    clips = list(audio.clips(make_audio(), spec, AudioFormat(dtype="int16"), rng=3))
    np.testing.assert_array_equal([clip.data[0] for clip in clips], wanted)
    assert [clip.valid for clip in clips] == spec.valid(rows, 8000).tolist()
    np.testing.assert_array_equal(windows.extract(samples, spec, rng=3), wanted)
    np.testing.assert_array_equal(list(windows.iterate(samples, spec, rng=3, pool="1MB")), wanted)


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_samples(make_video, spec):
    sample = {"__key__": "a", "mp4": make_video(n=60).read_bytes(), "npy": np.arange(60)}
    rows = spec.rows(60, wds.sample_rng(0, 2, "a"))
    found = list(wds.clips(spec, keys=("mp4", "npy"), epoch=2)([sample]))
    assert [each["clip.json"]["frame_indices"] for each in found] == rows.tolist()
    assert SampleClips(spec, keys=("mp4", "npy")).count(sample) == len(rows)


@pytest.mark.usefixtures("small_decoders", "no_threads_left")
@pytest.mark.parametrize("spec", SPECS[:3], ids=repr)
def test_loader_resumes(tmp_path, make_video, spec):
    check_every_of_videos(tmp_path, [make_video(n=30 + i) for i in range(4)], spec)


def test_a_plan_of_short_parts_knows_its_rows():
    spec = WindowSpec(4, None, 8, "wrap", num_clips=3, sampling="partition_source")
    assert isinstance(spec.plan(30, 0), TablePlan)
    assert (spec.first_frames, spec.last_frames) == (0, 0)
    assert not isinstance(spec.plan(300, 0), TablePlan)
