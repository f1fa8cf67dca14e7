"""Any FrameSpec gives clips of arrays, videos, sound and samples; what Extent and Plan say of a source."""

import io
import re
from fractions import Fraction

import numpy as np
import pytest

import clipx
from clipx import AudioFormat, ClipFormat, ClipPool, WindowSpec, audio, video, wds, windows
from clipx.plan import Extent, FrameSpec, Selection
from clipx.plan.rows import TablePlan, first_frame
from clipx.plan.spec import times_of
from clipx.video.clips import selected_clips


class BothEnds(FrameSpec):
    """The last frames backwards, and then the first one between fills: no frame in order, some twice, some never."""

    max_length = 4
    fill_value = 9

    def count(self, extent):
        n = extent.n if isinstance(extent, Extent) else extent
        return 2 if n >= 2 else 0

    def rows(self, extent, rng=None):
        n = extent.n if isinstance(extent, Extent) else extent
        rows = [[n - 1, n - 2, n - 2, -1], [-1, 0, n // 2, 0]]
        return np.array(rows[: self.count(n)], dtype=np.int64).reshape(-1, 4)


class Drawn(BothEnds):
    """One frame that is drawn."""

    max_length = 1

    def count(self, extent):
        return 1

    def rows(self, extent, rng=None):
        assert isinstance(rng, np.random.Generator)
        return rng.integers(0, extent.n if isinstance(extent, Extent) else extent, (1, 1))


class PastTheEnd(BothEnds):
    """A frame that is not there."""

    def rows(self, extent, rng=None):
        return super().rows(extent) + 1


class Endless(BothEnds):
    """Clips of any length."""

    max_length = None


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, path):
        self._file = io.BytesIO(path.read_bytes())

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        return self._file.read(size)


def expected(frames, row, fill=9):
    return np.stack([frames[k] if k >= 0 else np.full_like(frames[0], fill) for k in row])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10])
def test_arrays(n):
    frames = np.arange(n * 2).reshape(n, 2)
    rows = BothEnds().rows(n)
    out = windows.extract(frames, BothEnds())
    assert out.shape == (len(rows), 4, 2)
    for source in (out, *(list(windows.iterate(frames, BothEnds(), pool=pool)) for pool in (None, "1MB"))):
        assert len(source) == len(rows)
        for clip, row in zip(source, rows):
            np.testing.assert_array_equal(clip, expected(frames, row))
    np.testing.assert_array_equal(windows.indices(n, BothEnds()), rows)
    np.testing.assert_array_equal(windows.starts(n, BothEnds()), [n - 1, 0][: len(rows)])


def test_arrays_in_a_format():
    frames = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
    out = windows.extract(frames, BothEnds(), format=ClipFormat(order="CTHW"))
    for clip, row in zip(out, BothEnds().rows(5)):
        np.testing.assert_array_equal(clip.transpose(1, 2, 3, 0), expected(frames, row))


@pytest.mark.parametrize(("field", "value"), [
    ("stride", 1), ("dilation", 2), ("policy", "wrap"), ("fill_value", 1), ("num_clips", 2), ("sampling", "random"),
])  # fmt: skip
def test_beside_a_spec_no_field_of_a_window(field, value):
    for function in (windows.extract, windows.iterate, windows.starts, windows.indices):
        frames = 9 if function in (windows.starts, windows.indices) else np.arange(9)
        with pytest.raises(TypeError, match=rf"{field} is {value!r}, but .*BothEnds.* has been given"):
            function(frames, BothEnds(), **{field: value})


def test_a_window_spec_in_place_of_a_length():
    spec = WindowSpec(3, 2, policy="reflect")
    np.testing.assert_array_equal(windows.extract(np.arange(8), spec), spec.indices(8))
    np.testing.assert_array_equal(np.stack(list(windows.iterate(np.arange(8), spec))), spec.indices(8))
    np.testing.assert_array_equal(windows.starts(8, spec), spec.starts(8))
    np.testing.assert_array_equal(windows.indices(8, spec), spec.indices(8))


@pytest.mark.parametrize("kind", ["mp4", "mpegts", "pipe"])
@pytest.mark.parametrize("pool", [None, "40MB"])
def test_videos(make_video, whole, kind, pool):
    path = make_video(n=30) if kind != "mpegts" else make_video(n=30, container="mpegts", suffix=".ts")
    frames = whole(path)
    rows = BothEnds().rows(len(frames))
    clips = video.clips(path if kind != "pipe" else Pipe(path), BothEnds(), pool=pool)
    for clip, row, index in zip(clips, rows, range(2)):
        np.testing.assert_array_equal(clip.data, expected(frames, row))
        np.testing.assert_array_equal(clip.frame_indices, row)
        assert np.isnan(clip.pts_seconds[row < 0]).all()
        assert (clip.index, clip.start, clip.valid) == (index, first_frame(row), np.count_nonzero(row >= 0))
        del clip
    assert next(clips, None) is None
    assert clips.num_frames == len(frames)


def test_videos_have_no_sound_where_clips_have_no_duration(make_video):
    with pytest.raises(ValueError, match="BothEnds have no duration"):
        video.clips(make_video(n=5), BothEnds(), audio=AudioFormat(sample_rate=8000, mono=True))


@pytest.mark.parametrize("pool", [None, "1MB"])
def test_sound(make_audio, pool):
    (whole,) = audio.clips(make_audio(), WindowSpec(8000), AudioFormat(dtype="int16"))
    samples, rows = whole.data, BothEnds().rows(8000)
    for given in (make_audio(), Pipe(make_audio())):
        clips = list(audio.clips(given, BothEnds(), AudioFormat(dtype="int16"), pool=pool))
        assert len(clips) == 2
        for clip, row in zip(clips, rows):
            np.testing.assert_array_equal(clip.data[0], expected(samples[0], row))
            assert (clip.start, clip.valid) == (first_frame(row), np.count_nonzero(row >= 0))
            assert clip.duration_seconds == (row.max() - row[row >= 0].min() + 1) / 8000


def test_samples(make_video, whole, make_audio):
    path = make_video(n=12)
    frames, array = whole(path), np.arange(12)
    stage = wds.clips(BothEnds(), keys=("mp4", "npy"))
    out = list(stage([{"__key__": "a", "mp4": path.read_bytes(), "npy": array}]))
    for sample, row in zip(out, BothEnds().rows(12), strict=True):
        np.testing.assert_array_equal(sample["mp4"], expected(frames, row))
        np.testing.assert_array_equal(sample["npy"], expected(array, row))
        assert sample["clip.json"]["frame_indices"] == row.tolist()
    assert len(list(wds.clips(BothEnds())([{"__key__": "a", "wav": make_audio().read_bytes()}]))) == 2


def test_a_spec_that_draws_gets_a_generator(make_video, make_audio):
    drawn = {
        tuple(
            int(clip.ravel()[0]) if isinstance(clip, np.ndarray) else clip.start
            for clips in (
                windows.extract(np.arange(30), Drawn(), rng=seed),
                windows.iterate(np.arange(30), Drawn(), rng=seed),
                video.clips(make_video(n=30), Drawn(), rng=seed),
                audio.clips(make_audio(), Drawn(), rng=seed),
            )
            for clip in clips
        )
        for seed in (3, 3, 3)
    }
    assert len(drawn) == 1
    first, second, third, _ = drawn.pop()
    assert first == second == third


def test_frames_that_are_not_there(make_video, make_audio):
    for run in (
        lambda: windows.extract(np.arange(4), PastTheEnd()),
        lambda: list(video.clips(make_video(n=4), PastTheEnd())),
        lambda: list(audio.clips(make_audio(), PastTheEnd())),
    ):
        with pytest.raises(ValueError, match=r"asks for frame \d+, but there are \d+ frames"):
            run()


def test_pools_need_a_longest_clip(make_video, make_audio):
    pool = ClipPool(8, (4, 48, 64, 3))
    assert len(list(video.clips(make_video(n=4), Endless()))) == 2
    for run in (
        lambda: windows.iterate(np.arange(9), Endless(), pool=pool),
        lambda: video.clips(make_video(n=4), Endless(), pool=pool),
        lambda: audio.clips(make_audio(), Endless(), pool=pool),
        lambda: wds.clips(Endless(), pool=pool),
        lambda: clipx.Loader("a.tar", Endless(), batch_size=2),
    ):
        with pytest.raises(ValueError, match=r"spec is .*Endless.*, whose clips have no longest length"):
            run()


def test_extent():
    assert (Extent(3).n, Extent(3).times, Extent(3).end) == (3, None, None)
    extent = Extent(2, [0, Fraction(1, 3), Fraction(2, 3)])
    assert extent.end == Fraction(2, 3)
    assert repr(Extent(3)) == "Extent(3)"
    assert repr(extent) == "Extent(2, 0.666667 s)"
    with pytest.raises(ValueError, match="times has 2 numbers, but 2 frames and their end need 3"):
        Extent(2, [0, 1])
    with pytest.raises(TypeError, match="n is 'a', but must be an integer"):
        Extent("a")
    with pytest.raises(ValueError, match="n is -1, but must be at least 0"):
        Extent(-1)


def test_times_of_a_source():
    spec = WindowSpec(3)
    assert not spec.needs_times
    assert times_of(Extent(1, [0, Fraction(1, 3)]), spec) == [0, Fraction(1, 3)]
    for extent in (Extent(1), 1):
        with pytest.raises(ValueError, match=r"WindowSpec.* needs the times of frames, but .* has none"):
            times_of(extent, spec)


def test_windows_take_an_extent_for_a_number_of_frames():
    spec, extent = WindowSpec(3, 2, policy="wrap"), Extent(8)
    assert spec.count(extent) == spec.count(8)
    for method in (spec.starts, spec.indices, spec.rows, spec.padding):
        np.testing.assert_array_equal(method(extent), method(8))


def test_a_spec_says_how_long_and_how_many():
    with pytest.raises(TypeError, match="abstract"):
        FrameSpec()
    assert (WindowSpec(3).max_length, BothEnds().max_length) == (3, 4)
    assert (WindowSpec(3, 1).max_slots, WindowSpec(3, num_clips=5).max_slots, BothEnds().max_slots) == (4, 6, 2)


def test_a_plan_opens_clips_in_the_order_of_their_indices():
    plan = TablePlan(np.array([[7, 8], [-1, -1], [2, 3], [5, 9], [-1, -1]]))
    assert [plan.opening(index) for index in range(6)] == [2, 2, 2, 5, 5, None]
    assert plan.slots() == 6
    np.testing.assert_array_equal(np.flatnonzero(plan.frames_in_order(np.array([0, 3]), 9)), [5, 7, 8])
    assert [plan.count(n) for n in (2, 3, 5, 6, 10)] == [0, 3, 3, 5, 5]


@pytest.mark.parametrize("policy", ["drop", "repeat_last", "error", "backpad"])
def test_a_window_plan_before_and_after_the_end(policy):
    spec = WindowSpec(3, 2, policy=policy)
    plan = spec.plan()
    assert [plan.opening(index) for index in range(4)] == [0, 2, 4, 6]
    assert plan.row(2) == range(4, 7)
    if policy == "error":
        with pytest.raises(ValueError, match="policy is 'error'"):
            plan.count(6)
        assert plan.count_until_error(6) == 2
    else:
        np.testing.assert_array_equal(plan.final_rows(np.arange(plan.count(6)), 6), spec.indices(6))
    with pytest.raises(ValueError, match="num_clips is 2, which needs the number of frames"):
        WindowSpec(3, num_clips=2).plan()


class Table(FrameSpec):
    """Rows that are given as they are."""

    max_length = 3

    def __init__(self, rows, count=1):
        self.given, self.says = rows, count

    def count(self, extent):
        return self.says

    def rows(self, extent, rng=None):
        return self.given

    def __repr__(self):
        return "Table()"


@pytest.mark.parametrize(
    ("rows", "count", "error", "message"),
    [
        ([[0, 1, 2]], 1, TypeError, "rows of Table() are a list, but must be an int64 array (clips, length)"),
        (np.zeros(3, np.int64), 1, TypeError, "rows of Table() are int64 (3,), but must be"),
        (np.zeros((1, 3)), 1, TypeError, "rows of Table() are float64 (1, 3), but must be"),
        (np.zeros((1, 3), np.int32), 1, TypeError, "rows of Table() are int32 (1, 3), but must be"),
        (np.zeros((1, 4), np.int64), 1, ValueError, "rows of Table() have 4 positions, but must have 1"),
        (np.zeros((0, 0), np.int64), 0, ValueError, "rows of Table() have 0 positions, but must have 1"),
        (np.zeros((1, 0), np.int64), 1, ValueError, "rows of Table() have 0 positions, but must have 1"),
        (np.zeros((1, 3), np.int64), 2, ValueError, "Table() has 1 rows, but its count is 2, for 6 frames"),
        (np.array([[0, -2, 1]]), 1, ValueError, "Table() asks for frame -2, but there are 6 frames, and -1 to fill"),
        (np.array([[0, 6, 1]]), 1, ValueError, "Table() asks for frame 6, but there are 6 frames, and -1 to fill"),
    ],
)
def test_rows_that_are_no_rows_are_refused_alike_by_arrays_and_streams(make_video, rows, count, error, message):
    spec, frames = Table(rows, count), np.zeros((6, 4, 4, 3), np.uint8)
    path = make_video(6)
    for extract in (
        lambda: windows.extract(frames, spec),
        lambda: windows.extract(frames, spec, format=ClipFormat(flip=True)),
        lambda: windows.iterate(frames, spec, pool="1MB"),
        lambda: list(video.clips(path, spec)),
        lambda: list(video.clips(Pipe(path), spec, pool="1MB")),
        lambda: list(wds.clips(spec)([{"__key__": "k", "npy": frames}])),
    ):
        with pytest.raises(error, match=re.escape(message)):
            extract()


def test_rows_may_have_any_strides_and_there_may_be_none(make_video):
    rows = np.arange(6).reshape(3, 2).T
    for given in (rows, np.broadcast_to(np.arange(3), (2, 3))):
        found = [clip.frame_indices.tolist() for clip in video.clips(make_video(6), Table(given, 2))]
        assert windows.extract(np.arange(6), Table(given, 2)).tolist() == found == given.tolist()
    none = Table(np.zeros((0, 3), np.int64), 0)
    assert list(video.clips(make_video(6), none)) == list(windows.iterate(np.arange(6), none, pool="1MB")) == []


@pytest.mark.parametrize("made", [{}, {"container": "matroska", "suffix": ".mkv"}, {"g": "4"}], ids=str)
def test_clips_without_any_frame_are_filled(make_video, made):
    path = make_video(12, **made)
    rows = np.array([[-1, -1], [9, 3], [-1, -1]])
    for source in (path, Pipe(path)):
        found = list(video.clips(source, Table(rows[:1])))
        assert [(clip.index, clip.valid, clip.data.shape) for clip in found] == [(0, 0, (2, 48, 64, 3))]
        assert not found[0].data.any()
    spec = Table(rows, 3)
    every = list(video.clips(path, spec, pool="3MB"))
    for some, first in [((0,), None), ((0,), 3), ((), 2), ((2,), None), ((0, 2), None)]:
        found = list(selected_clips(path, spec, name="video", selection=Selection(some, first)))
        wanted = [every[index] for index in Selection(some, first).of(3)]
        assert [clip.facts() for clip in found] == [clip.facts() for clip in wanted]
        for clip, same in zip(found, wanted):
            np.testing.assert_array_equal(clip.data, same.data)
