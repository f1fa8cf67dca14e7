"""Clips that are written straight into their slots equal those of a stream, with all of their facts and errors."""

from fractions import Fraction

import numpy as np
import pytest
from helpers.pcm_files import data_of, fmt, wav
from hypothesis import given
from hypothesis import strategies as st

import clipx
from clipx import AudioFormat, ClipPool, FrameList, RateSpec, Segment, UniformSpec, WindowSpec
from clipx.audio import open_samples
from clipx.audio.clips import selected_clips
from clipx.plan import Selection

POLICIES = ["drop", "repeat_last", "wrap", "reflect", "constant", "error", "backpad"]
RATE = 1000


def given_clips(file, streamed=False, **kwargs):
    """Data and facts of the clips, the number of samples, and the text of an error that comes behind them."""
    kept = open_samples.open_pcm
    if streamed:
        open_samples.open_pcm = lambda *args: None
    found, error, clips = [], None, None
    try:
        clips = selected_clips(file, name="file", **kwargs)
        for clip in clips:
            found.append((clip.data.copy(), clip.facts()))
            del clip
    except ValueError as exn:
        error = type(exn).__name__, str(exn)
    finally:
        open_samples.open_pcm = kept
    n = None if clips is None else clips.num_frames
    errors = [] if clips is None else [(number, str(exn)) for number, exn in clips.segment_errors]
    return found, n, error, errors


def check(file, format=None, rng=None, make_pool=None, **kwargs):
    pools = [None if make_pool is None else make_pool() for _ in range(2)]
    runs = [
        given_clips(file, streamed, format=format, rng=rng, pool=pool, **kwargs)
        for streamed, pool in zip((False, True), pools)
    ]
    (found, n, error, errors), (expected, expected_n, expected_error, expected_errors) = runs
    assert (error, errors) == (expected_error, expected_errors)
    assert len(found) == len(expected)
    for (data, facts), (other, other_facts) in zip(found, expected):
        assert facts == other_facts
        assert data.dtype == other.dtype
        np.testing.assert_array_equal(data, other)
    # A stream that is not read to its end may not know how long it is.
    assert n == expected_n or expected_n is None
    return found


windows = st.builds(
    WindowSpec,
    length=st.integers(1, 40),
    stride=st.one_of(st.none(), st.integers(1, 50)),
    dilation=st.integers(1, 4),
    policy=st.sampled_from(POLICIES),
    fill_value=st.integers(-1, 1),
    offset=st.one_of(st.integers(0, 30), st.just("random")),
)
numbered = st.builds(
    WindowSpec,
    length=st.integers(1, 40),
    dilation=st.integers(1, 4),
    policy=st.sampled_from(POLICIES),
    num_clips=st.integers(1, 6),
    sampling=st.sampled_from(["regular", "random", "partition", "partition_source"]),
)
spread = st.one_of(
    st.builds(UniformSpec, st.integers(1, 20), st.sampled_from(["centers", "random", "linspace"])),
    st.builds(RateSpec, st.integers(1, 400), max_frames=st.integers(1, 60)),
    st.builds(FrameList, st.lists(st.integers(0, 30), min_size=1, max_size=9)),
)
specs = st.one_of(windows, numbered, spread)
formats = st.builds(AudioFormat, dtype=st.sampled_from(["float32", "int16"]), order=st.sampled_from(["CN", "NC"]))


@given(spec=specs, format=formats, n=st.integers(1, 300), channels=st.integers(1, 3), seed=st.integers(0, 9))
def test_any_spec(spec, format, n, channels, seed):
    check(wav(data_of("s16", n, channels), fmt("s16", channels, RATE)), format, seed, spec=spec)


@given(
    spec=st.one_of(windows, numbered),
    some=st.lists(st.integers(0, 12), unique=True, max_size=4),
    first=st.one_of(st.none(), st.integers(13, 20)),
    n=st.integers(1, 300),
)
def test_selections(spec, some, first, n):
    selection = Selection(tuple(sorted(some)), first)
    check(wav(data_of("s16", n), fmt("s16", 1, RATE)), rng=1, spec=spec, selection=selection)


@given(
    spec=specs,
    parts=st.lists(st.tuples(st.integers(0, 320), st.integers(1, 200)), min_size=1, max_size=5),
    unit=st.sampled_from(["frames", "seconds"]),
    n=st.integers(1, 300),
)
def test_segments(spec, parts, unit, n):
    scale = 1 if unit == "frames" else Fraction(1, RATE)
    segments = {
        number: Segment(start * scale, (start + length) * scale, unit=unit, number=number)
        for number, (start, length) in enumerate(parts)
    }
    check(wav(data_of("s16", n, 2), fmt("s16", 2, RATE)), rng=2, spec=spec, segments=segments)


def test_clips_lie_in_a_pool_and_hold_one_slot_each():
    file = wav(data_of("s24", 5000, 2), fmt("s24", 2))
    pool = ClipPool(3, (2, 1000), "float32")
    seen = set()
    for clip in clipx.audio.clips(file, WindowSpec(1000, 500), pool=pool):
        assert pool.stats().leased == 1
        seen.add(clip.data.__array_interface__["data"][0])
        del clip
    assert len(seen) == 1
    check(file, spec=WindowSpec(1000, 500, policy="reflect"), make_pool=lambda: ClipPool(3, (2, 1000), "float32"))


def test_a_pool_that_is_too_small():
    file = wav(data_of("s16", 5000, 2), fmt("s16", 2))
    found, _, error, _ = given_clips(file, spec=WindowSpec(1000), format=None, pool=ClipPool(2, (2, 900), "float32"))
    assert not found
    assert "shape=(2, 1000)" in error[1]
    # Sound that gives no clips fits into any pool.
    assert given_clips(file, spec=WindowSpec(6000), format=None, pool=ClipPool(2, 8)) == ([], 5000, None, [])


def test_a_clip_of_all_samples_of_a_path(tmp_path):
    path = tmp_path / "a.wav"
    for step in (1, 7):
        n = 300_000
        path.write_bytes(wav(data_of("s24", n, 2), fmt("s24", 2)))
        check(path, spec=WindowSpec((n - 1) // step + 1, dilation=step))


@pytest.mark.parametrize(
    "frames", [[5, 4, 3, 2], [0, 0, 0], [299, 0, 150, 150], list(range(0, 300, 7)), [1, 2, 3, 9, 8]]
)
def test_lists_of_frames(frames, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data_of("s16", 300, 2), fmt("s16", 2)))
    ((data, _),) = check(path, spec=FrameList(frames))
    assert data.shape == (2, len(frames))


def test_an_iterator_that_is_dropped_closes_its_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data_of("s16", 5000), fmt("s16")))
    clips = clipx.audio.clips(path, WindowSpec(100))
    next(clips)
    del clips  # a warning of a file that is not closed would be an error
    clips = clipx.audio.clips(path, WindowSpec(100))
    clips.close()
    assert list(clips) == []
