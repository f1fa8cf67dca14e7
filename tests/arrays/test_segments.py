"""Segments of arrays: the clips of each, as if it were an array of its own."""

import weakref

import numpy as np
import pytest
from helpers.segments import clips_of, gathered, in_order
from helpers.windows import numbers
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import ClipFormat, ClipPool, PoolExhausted, Segment, WindowSpec, windows
from clipx.arrays.clips import ArrayClips
from clipx.plan import ALL, FrameSpec, Selection, as_segments

pairs = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 30)).map(lambda p: (p[0], p[0] + p[1])), max_size=5)
SPEC = WindowSpec(3, 2, policy="repeat_last")


class Half(FrameSpec):
    """One clip of every other frame."""

    max_length = None

    def count(self, extent):
        return 1

    def rows(self, extent, rng=None):
        return np.arange(0, extent.n, 2)[None]


def parts(pairs, n):
    return {number: range(n)[a:b] for number, (a, b) in enumerate(pairs)}


@settings(deadline=None)
@given(pairs, st.sampled_from(["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]))
def test_segments_equal_arrays_of_their_own(pairs, policy):
    x = numbers((13, 2, 3), "int16")
    rest = {"length": 3, "stride": 2, "policy": policy}
    alone = [windows.extract(x[a:b], **rest) for a, b in pairs]
    wanted = np.concatenate([np.zeros((0, 3, 2, 3), "int16"), *alone])
    assert np.array_equal(windows.extract(x, segments=pairs, **rest), wanted)
    assert np.array_equal(list(windows.iterate(x, segments=pairs, **rest)), [*wanted])
    rows = windows.indices(13, segments=pairs, **rest)
    assert np.array_equal(
        rows, [clip.row for clip in clips_of(WindowSpec(**rest), parts(pairs, 13))] or np.zeros((0, 3))
    )
    assert np.array_equal(windows.starts(13, segments=pairs, **rest), [row[0] for row in rows])


def test_an_axis_and_out_and_threads():
    x = numbers((2, 20, 300), "int32")
    out = np.empty((6, 3, 2, 300), "int32")
    wanted = windows.extract(x[:, 1:10], 3, axis=1)
    got = windows.extract(x, 3, segments=[(1, 10), (1, 10)], axis=1, out=out, num_threads=2)
    assert got is out
    assert np.array_equal(got, np.concatenate([wanted, wanted]))


def test_draws_of_a_segment_do_not_depend_on_others():
    x, spec = numbers((40, 6, 6, 3)), WindowSpec(3, num_clips=4, sampling="random")
    format = ClipFormat(crop=("random", 2))
    two = windows.extract(x, spec, segments=[(0, 20), (10, 40)], format=format, rng=3)
    again = windows.extract(x, spec, segments=[(5, 7), (10, 40)], format=format, rng=3)
    assert np.array_equal(two[4:], again)
    assert not np.array_equal(two[:4], two[4:])
    assert np.array_equal(list(windows.iterate(x, spec, segments=[(0, 20), (10, 40)], format=format, rng=3)), two)


def test_clips_of_different_lengths():
    x = numbers((20, 2))
    with pytest.raises(
        ValueError, match=r"clips of the segments have different lengths \(2, 5\): give them with iterate"
    ):
        windows.extract(x, Half(), segments=[(0, 10), (3, 7)])
    clips = list(windows.iterate(x, Half(), segments=[(0, 10), (3, 7)]))
    assert [clip.tolist() for clip in clips] == [x[0:10:2].tolist(), x[3:7:2].tolist()]
    pictures = numbers((20, 4, 4, 3))
    clips = list(windows.iterate(pictures, Half(), segments=[(0, 10), (3, 7)], format=ClipFormat(order="CTHW")))
    assert [clip.shape for clip in clips] == [(3, 5, 4, 4), (3, 2, 4, 4)]
    assert np.array_equal(clips[1], pictures[3:7:2].transpose(3, 0, 1, 2))
    with pytest.raises(ValueError, match="whose clips have no longest length, but a pool needs one"):
        windows.iterate(x, Half(), segments=[(0, 10)], pool="1MB")


def test_slots_of_a_pool():
    x, pool = numbers((100, 50)), ClipPool(2, (3, 50))
    count = 0
    for clip in windows.iterate(x, 3, 1, segments=[(0, 50), (20, 100)], pool=pool):
        assert clip.base is not None
        count += 1
        del clip
    assert count == 48 + 78
    held = windows.iterate(x, 3, 1, segments=[(0, 50)], pool=pool)
    clips = [next(held), next(held)]
    with pytest.raises(PoolExhausted):
        next(held)
    del clips
    assert np.array_equal(next(held), x[2:5])


def test_errors_of_segments_come_last_and_lose_no_other():
    x = np.arange(10)
    clips = windows.iterate(x, 2, segments=[(0, 4), (10, 12), (6, 10), (50, 60)])
    assert [next(clips).tolist() for _ in range(4)] == [[0, 1], [2, 3], [6, 7], [8, 9]]
    with pytest.raises(ValueError, match="segment 1, frames 10 to 12: it starts at frame 10, but there are 10 frames"):
        next(clips)
    assert next(clips, None) is None
    with pytest.raises(ValueError, match="segment 1, frames 10 to 12"):
        windows.extract(x, 2, segments=[(0, 4), (10, 12)])
    with pytest.raises(ValueError, match="it is in seconds, but an array has no times"):
        windows.extract(x, 2, segments=[(0, 4), Segment(0, 4)])
    segments = as_segments([Segment(0, 4), (0, 4)], "frames")
    clips = ArrayClips(x, WindowSpec(2), None, None, np.random.default_rng(0), 1, ALL, segments)
    assert [(clip.segment.number, clip.index) for clip in clips] == [(1, 0), (1, 1)]
    assert [number for number, _ in clips.segment_errors] == [0]


def test_no_segments_give_no_clips():
    assert windows.extract(np.zeros((9, 2)), 3, segments=[]).shape == (0, 3, 2)
    assert list(windows.iterate(np.zeros((9, 2)), 3, segments=[])) == []


@settings(deadline=None)
@given(pairs, st.data())
def test_clips_of_a_stage(pairs, data):
    x = numbers((13, 5))
    segments = as_segments(pairs, "frames")
    wanted = in_order(clips_of(SPEC, parts(pairs, 13)))
    first = data.draw(st.integers(0, len(wanted)))
    rng = np.random.default_rng(0)
    clips = list(ArrayClips(x, SPEC, None, None, rng, 1, Selection((), first), segments))
    assert [clip.number for clip in clips] == list(range(first, len(wanted)))
    for clip, expected in zip(clips, wanted[first:]):
        assert (clip.segment.number, clip.index) == (expected.segment, expected.index)
        assert (clip.start, clip.valid) == (expected.start, expected.valid)
        assert np.array_equal(clip.data, gathered(x, expected))


def test_facts_of_a_clip():
    x = numbers((9, 4, 4, 3))
    segments = as_segments([Segment(2, 8, {"label": "run"}, "frames"), (8, 9), (9, 12)], "frames")
    clips = ArrayClips(x, WindowSpec(3), ClipFormat(flip=0.5), None, np.random.default_rng(0), 1, ALL, segments)
    assert [(number, str(error)) for number, error in clips.segment_errors] == [
        (2, "segment 2, frames 9 to 12: it starts at frame 9, but there are 9 frames")
    ]
    first, second = clips
    assert "of segment 0, frames 2 to 8" in repr(first)
    assert (first.number, first.facts()["segment"]) == (
        0,
        {"number": 0, "start": 2, "end": 8, "unit": "frames", "facts": {"label": "run"}},
    )
    for clip in (first, second):
        wanted = x[2 + clip.start :][:3]
        assert np.array_equal(clip.data, wanted[:, :, ::-1] if clip.flip else wanted)


@pytest.mark.parametrize("format", [None, ClipFormat(order="TCHW")])
def test_the_source_is_not_kept_past_the_last_clip(format):
    x = numbers((30, 2, 2, 3))
    kept = weakref.ref(x)
    clips = windows.iterate(x, 3, segments=[(0, 10), (5, 30)], format=format)
    del x
    assert len(list(clips)) == 3 + 8
    assert kept() is None


@pytest.mark.parametrize("order", [[(0, 30), (10, 20), (50, 90)], [(50, 90), (10, 20), (0, 30)]])
def test_mapped_arrays(tmp_path, order):
    x = numbers((100, 16, 16, 3))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for policy in ("drop", "wrap"):
        got = list(windows.iterate(mapped, 4, 3, policy=policy, segments=order))
        assert np.array_equal(got, windows.extract(x, 4, 3, policy=policy, segments=order))
        segments = as_segments(order, "frames")
        spec = WindowSpec(4, 3, policy=policy)
        wanted = in_order(clips_of(spec, parts(order, 100)))
        clips = ArrayClips(mapped, spec, None, None, np.random.default_rng(0), 1, ALL, segments)
        for clip, expected in zip(clips, wanted, strict=True):
            assert np.array_equal(clip.data, gathered(x, expected))
