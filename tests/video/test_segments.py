"""Segments of videos: their frames are those of a full decode, in one pass."""

import json
import re
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media import Pipe, remuxed
from helpers.segments import check_resumes, clips_of, in_order, open_at_once
from hypothesis import given, settings
from hypothesis import strategies as st
from video.test_resampling import edited

from clipx import ClipFormat, ClipPool, FrameList, RateSpec, Segment, UniformSpec, VideoOptions, WindowSpec, video
from clipx.plan import FrameSpec, as_segments
from clipx.video.clips import count_clips, selected_clips

N = 40

KINDS = ["mp4", "b-frames", "mkv", "vfr", "ts", "edits"]

SPECS = [
    WindowSpec(3, 2),
    WindowSpec(3, 2, policy="repeat_last"),
    WindowSpec(4, 3, policy="wrap"),
    WindowSpec(2, 5, dilation=3, policy="reflect"),
    WindowSpec(3, 4, policy="constant", fill_value=9),
    WindowSpec(4, 3, policy="backpad"),
    WindowSpec(2, num_clips=3),
    WindowSpec(2, dilation=2, num_clips=3, sampling="random", policy="repeat_last"),
    WindowSpec(3, 4, offset="random", policy="repeat_last"),
    WindowSpec(2, num_clips=3, sampling="partition_source"),
]


class Halves(FrameSpec):
    """One clip of the frames at the middles of equal parts of the time of a source, one for each half second."""

    max_length = 10
    needs_times = True

    def count(self, extent):
        return 1

    def rows(self, extent, rng=None):
        times = extent.times
        k = max(int((times[-1] - times[0]) * 2), 1)
        at = [times[0] + (times[-1] - times[0]) * (2 * i + 1) / (2 * k) for i in range(k)]
        return np.array([[max(j for j in range(extent.n) if times[j] <= t) for t in at]])


class File:
    """A file, and what a decode of all of it gives."""

    def __init__(self, path):
        self.path = path
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            self.base = Fraction(stream.time_base)
            self.pts = [frame.pts * self.base for frame in frames]
            self.durations = [frame.duration * self.base for frame in frames]
            self.end = self.pts[-1] + self.durations[-1]

    def of(self, segments):
        """The frames of each segment that has any."""
        found = {}
        for number, segment in segments.items():
            if segment.unit == "frames":
                frames = list(range(len(self.pts)))[segment.start : segment.end]
            else:
                frames = [k for k, time in enumerate(self.pts) if segment.start <= time < segment.end]
            if frames:
                found[number] = frames
        return found

    def times_of(self, frames):
        """The times of a segment's frames, and the end of the last."""
        last = frames[-1]
        return [*(self.pts[k] for k in frames), self.pts[last] + self.durations[last]]


@pytest.fixture(scope="module")
def files(make_video, tmp_path_factory):
    folder = tmp_path_factory.mktemp("segments")
    plain, reordered = make_video(N, g="10", bf="0"), make_video(N, g="12", bf="2")
    steps = np.random.default_rng(4).integers(300, 3000, N)
    vfr = make_video(N, g="8", bf="2", pts=tuple(np.cumsum(steps).tolist()), time_base=Fraction(1, 30000))
    paths = {"mp4": plain, "b-frames": reordered, "vfr": vfr}
    for kind, container, source in (("mkv", "matroska", reordered), ("ts", "mpegts", reordered)):
        paths[kind] = folder / f"{kind}.{container}"
        remuxed(source, container, to=paths[kind])
    paths["edits"] = folder / "edits.mp4"
    paths["edits"].write_bytes(edited(reordered, 3))
    return {kind: File(path) for kind, path in paths.items()}


@pytest.fixture(scope="module")
def frames_of(files, whole):
    return {kind: whole(file.path) for kind, file in files.items()}


times = st.fractions(-1, 2, max_denominator=50) | st.integers(0, 2)
seconds = st.tuples(times, st.fractions(Fraction(1, 100), 2, max_denominator=100)).map(lambda p: (p[0], p[0] + p[1]))
numbers = st.tuples(st.integers(0, N + 3), st.integers(1, N)).map(lambda p: Segment(p[0], p[0] + p[1], unit="frames"))
mixed = st.lists(seconds | numbers, max_size=5)


def check(clip, expected, pictures, file, fill=0):
    assert (clip.segment.number, clip.index, clip.start, clip.valid) == expected[:2] + expected[3:]
    assert clip.frame_indices.tolist() == expected.row
    for picture, k, time in zip(clip.data, expected.row, clip.pts_seconds):
        assert np.array_equal(picture, pictures[k] if k >= 0 else np.full_like(picture, fill))
        assert np.isnan(time) if k < 0 else time == float(file.pts[k])


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KINDS), st.sampled_from(SPECS), mixed, st.booleans())
def test_clips_are_those_of_a_full_decode(files, frames_of, kind, spec, given, piped):
    file, shift = files[kind], 0
    # The clock of a transport stream begins later.
    shift = file.pts[0]
    given = [each if isinstance(each, Segment) else (each[0] + shift, each[1] + shift) for each in given]
    segments = as_segments(given, "seconds")
    of = file.of(segments)
    wanted = in_order(clips_of(spec, of, 5))
    source = Pipe(file.path.read_bytes()) if piped else file.path
    pool = ClipPool(max(open_at_once(wanted), 1) + 1, (spec.length, *frames_of[kind].shape[1:]))
    clips = selected_clips(source, spec, pool=pool, rng=5, name="it", segments=segments)
    assert [number for number, _ in clips.segment_errors] == sorted(set(segments) - set(of))
    for count, expected in enumerate(wanted):
        clip = next(clips)
        assert clip.number == count
        check(clip, expected, frames_of[kind], file, 9)
        del clip
    assert next(clips, None) is None
    assert clips.num_frames == len(file.pts) or not wanted
    source = Pipe(file.path.read_bytes()) if piped else file.path
    assert count_clips(source, spec, None, "it", segments, 5) == len(wanted)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), st.sampled_from(SPECS), mixed, st.sampled_from([5, 12, "30000/1001", 50]), st.data())
def test_a_rate_counts_from_the_first_frame_of_a_segment(files, kind, spec, given, fps, data):
    file = files[kind]
    shift = file.pts[0]
    given = [each if isinstance(each, Segment) else (each[0] + shift, each[1] + shift) for each in given]
    part = data.draw(st.sampled_from([{}, {"start_seconds": shift + Fraction(1, 3)}, {"end_seconds": shift + 1}]))
    segments = as_segments(given, "seconds")
    clips = selected_clips(file.path, spec, options=VideoOptions(fps=fps, **part), rng=5, name="it", segments=segments)
    got = {}
    for clip in clips:
        got.setdefault(clip.segment.number, []).append(clip)
    spec = spec if not spec.is_random else None
    for number, segment in segments.items():
        start, end = segment.start, segment.end
        if segment.unit == "frames":
            start = file.pts[start] if start < len(file.pts) else file.end
            end = file.pts[end] if end < len(file.pts) else None
        start = max(start, part.get("start_seconds", start))
        ends = [each for each in (end, part.get("end_seconds")) if each is not None]
        end = min(ends, default=None)
        if end is not None and end <= start:
            assert number not in got
            continue
        options = VideoOptions(fps=fps, start_seconds=start, end_seconds=end)
        if spec is None:
            continue
        alone = list(video.clips(file.path, spec, options=options))
        found = sorted(got.get(number, []), key=lambda clip: clip.index)
        assert len(found) == len(alone)
        for one, other in zip(found, alone):
            facts = one.facts()
            assert facts.pop("segment")["number"] == number
            assert facts == other.facts()
            assert np.array_equal(one.data, other.data)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(KINDS), mixed)
def test_specs_that_need_times(files, frames_of, kind, given):
    file = files[kind]
    shift = file.pts[0]
    given = [each if isinstance(each, Segment) else (each[0] + shift, each[1] + shift) for each in given]
    segments = as_segments(given, "seconds")
    of = file.of(segments)
    wanted = in_order(clips_of(Halves(), of, 5, {number: file.times_of(of[number]) for number in of}))
    pool = ClipPool(50, (10, *frames_of[kind].shape[1:]))
    clips = list(selected_clips(file.path, Halves(), pool=pool, name="it", segments=segments))
    assert len(clips) == len(wanted) == count_clips(file.path, Halves(), None, "it", segments)
    for clip, expected in zip(clips, wanted):
        assert len(clip.data) == len(expected.row) == clip.length
        check(clip, expected, frames_of[kind], file)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fps", [None, 10])
def test_times_without_segments(files, kind, fps):
    file, seen = files[kind], []

    class Sees(Halves):
        def rows(self, extent, rng=None):
            seen.append(list(extent.times))
            return super().rows(extent)

    (clip,) = video.clips(file.path, Sees(), options=VideoOptions(fps=fps))
    if fps is None:
        assert seen[0] == [*file.pts, file.end]
    else:
        n = -(-(file.end - file.pts[0]) * fps // 1)
        assert seen[0] == [*(file.pts[0] + Fraction(p, fps) for p in range(n)), file.end]
    k = int((file.end - file.pts[0]) * 2)
    assert len(clip.data) == k
    assert count_clips(file.path, Halves(), None, "it") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_specs_over_segments_say_their_rate(files, kind):
    file = files[kind]
    whole = [(file.pts[4], file.pts[20]), (file.pts[8], 1000)]
    specs = [UniformSpec(4), RateSpec(6), FrameList(frames=[0, 3, 9]), FrameList(frames=[2, 2])]
    for spec in specs:
        for clip in video.clips(file.path, spec, segments=whole):
            first, *_, last = clip.pts_seconds
            wanted = (clip.length - 1) / (last - first) if last > first else None
            assert clip.facts().get("fps") == clip.fps == wanted
    (clip,) = video.clips(file.path, WindowSpec(3), segments=[(file.pts[4], file.pts[7])])
    assert "fps" not in clip.facts()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), mixed, st.sampled_from([None, 10]), st.integers(0, 2))
def test_specs_that_spread_a_clip_over_its_segment(files, frames_of, kind, given, fps, which):
    file = files[kind]
    shift = file.pts[0]
    given = [each if isinstance(each, Segment) else (each[0] + shift, each[1] + shift) for each in given]
    segments = as_segments(given, "seconds")
    of = file.of(segments)
    spec = [UniformSpec(4, sampling="random"), RateSpec(6, max_frames=8), FrameList(frames=[0, 3, 1])][which]
    clips = selected_clips(file.path, spec, options=VideoOptions(fps=fps), rng=5, name="it", segments=segments)
    errors = [number for number, _ in clips.segment_errors]
    if fps is None:
        times = {number: file.times_of(of[number]) for number in of}
        short = [number for number, frames in of.items() if which == 2 and len(frames) < 4]
        assert errors == sorted([*(set(segments) - set(of)), *short])
        wanted = in_order(clips_of(spec, {k: v for k, v in of.items() if k not in short}, 5, times))
        for clip, expected in zip(clips, wanted, strict=True):
            check(clip, expected, frames_of[kind], file)
    else:
        for clip in clips:
            segment = segments[clip.segment.number]
            options = {"start_seconds": segment.start, "end_seconds": segment.end}
            if segment.unit == "frames":
                end = file.pts[segment.end] if segment.end < len(file.pts) else None
                options = {"start_seconds": file.pts[segment.start], "end_seconds": end}
            if spec.is_random:
                continue
            (alone,) = video.clips(file.path, spec, options=VideoOptions(fps=fps, **options))
            assert clip.facts() | alone.facts() == clip.facts()
            assert np.array_equal(clip.data, alone.data)


def test_a_segment_lasts_as_long_as_its_frames(files):
    """Whatever its start and its end are: 25 frames at 25 a second are a second."""
    for start, end in ((0, 1), (Fraction("0.01"), Fraction("1.01")), (Fraction("0.03"), Fraction("1.03"))):
        (clip,) = video.clips(files["mp4"].path, RateSpec(4), segments=[(start, end)])
        options = VideoOptions(start_seconds=start, end_seconds=end)
        (alone,) = video.clips(files["mp4"].path, RateSpec(4), options=options)
        assert clip.length == alone.length == 4


def test_a_time_of_a_frame_as_a_float_means_that_frame(files):
    for kind in KINDS:
        file = files[kind]
        first, last = float(file.pts[7]), float(file.pts[11])
        for pair in ((first, last), (float(np.float32(first)), float(np.float32(last)))):
            (clip,) = video.clips(file.path, WindowSpec(4), segments=[json.loads(json.dumps(pair))])
            assert clip.frame_indices.tolist() == [7, 8, 9, 10]


@pytest.mark.parametrize("at_start", ["next", "shown"])
def test_segments_are_cut_down_to_the_part_of_the_options(files, at_start):
    file = files["vfr"]
    between = (file.pts[10] + file.pts[11]) / 2
    options = VideoOptions(start_seconds=between, end_seconds=file.pts[20], at_start=at_start)
    segments = [(0, 100), (file.pts[12], file.pts[15]), (0, file.pts[5]), (between - Fraction(1, 10**6), 100)]
    clips = video.clips(file.path, WindowSpec(1), options=options, segments=segments)
    got = {number: [] for number in range(4)}
    clips.raises_errors = False
    for clip in clips:
        got[clip.segment.number] += clip.frame_indices.tolist()
    ((number, error),) = clips.segment_errors
    assert number == 2
    assert re.match(r"segment 2, 0 to \S* s: no frame of \S* begins in it, within start_seconds and end", str(error))
    shown = [10] if at_start == "shown" else []
    assert got == {0: [*shown, *range(11, 20)], 1: [12, 13, 14], 2: [], 3: [*range(11, 20)]}


def test_what_no_segment_needs_is_not_decoded_and_the_rest_once(make_video):
    path = make_video(200, g="10", bf="0")
    segments = [(1, 1.4), (1.2, 1.4), (1, 1.1), (6, 6.4), (0.4, 0.5), (6.1, 6.2)]
    clips = video.clips(path, WindowSpec(1), segments=segments)
    needed = {k for clip in clips for k in clip.frame_indices.tolist()}
    assert needed == {*range(10, 13), *range(25, 35), *range(150, 160)}
    # From the key frame of each stretch up to the last frame that is needed there.
    assert clips.frames_decoded == (13 - 10) + (30 - 20) + (35 - 30) + 10
    assert clips.frames_skipped == 200 - clips.frames_decoded


def test_many_segments_take_the_slots_of_the_open_ones(make_video):
    path = make_video(200, g="10", bf="0")
    segments = [(0, 8), *((k / 100, k / 100 + 0.08) for k in range(500))]
    pool = ClipPool(10, (2, 48, 64, 3))
    count = 0
    for clip in video.clips(path, WindowSpec(2, num_clips=1, policy="repeat_last"), segments=segments, pool=pool):
        count += 1
        del clip
    assert count == 501
    assert pool.stats().peak_leased <= 10


def test_the_errors_of_segments_come_last(files):
    file = files["mp4"]
    segments = [(100, 101), (0, 0.2), (0.001, 0.002), Segment(N, N + 1, unit="frames"), (1, 100)]
    clips = video.clips(file.path, WindowSpec(5), segments=segments)
    assert [(clip.segment.number, clip.index) for clip in (next(clips) for _ in range(4))] == [
        (1, 0),
        (4, 0),
        (4, 1),
        (4, 2),
    ]
    with pytest.raises(ValueError, match=r"segment 0, 100 to 101 s: it starts at 100 s, but '.*mp4' ends at 1.6 s"):
        next(clips)
    assert next(clips, None) is None
    assert [str(error).split(":")[0] for _, error in clips.segment_errors] == [
        "segment 0, 100 to 101 s",
        "segment 2, 0.001 to 0.002 s",
        "segment 3, frames 40 to 41",
    ]
    assert "starts at frame 40, but" in str(clips.segment_errors[2][1])
    assert "no frame of" in str(clips.segment_errors[1][1])
    assert list(video.clips(file.path, WindowSpec(5), segments=[])) == []


def test_what_a_spec_does_not_allow_is_an_error_of_its_segment(files):
    clips = video.clips(files["mp4"].path, WindowSpec(4, policy="error"), segments=[(0, 0.2), (0.4, 0.72)])
    assert [clip.frame_indices.tolist() for clip in (next(clips) for _ in range(3))] == [
        [0, 1, 2, 3],
        [10, 11, 12, 13],
        [14, 15, 16, 17],
    ]
    with pytest.raises(ValueError, match=r"segment 0, 0 to 0\.2 s: policy is 'error', but 1 of 5 frames are left"):
        next(clips)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["b-frames", "ts"]), st.sampled_from(SPECS), mixed, st.data())
def test_a_run_resumes_anywhere(files, kind, spec, given, data):
    file = files[kind]
    shift = file.pts[0]
    given = [each if isinstance(each, Segment) else (each[0] + shift, each[1] + shift) for each in given]
    segments, format = as_segments(given, "seconds"), ClipFormat(crop=("random", 16), flip=0.5)

    def run(selection):
        rest = {"name": "it", "segments": segments, "selection": selection}
        return list(selected_clips(file.path, spec, format, rng=np.random.default_rng(3), **rest))

    check_resumes(run, data)


def test_draws_of_a_segment_do_not_depend_on_others(files):
    spec, format = WindowSpec(2, num_clips=3, sampling="random"), ClipFormat(crop=("random", 16), flip=0.5)

    def clips(first):
        found = video.clips(files["mp4"].path, spec, format, segments=[first, (0.4, 1.4)], rng=1)
        return [(clip.facts(), clip.data) for clip in found if clip.segment.number == 1]

    one, other = clips((0, 0.1)), clips((0.5, 1.6))
    assert [facts for facts, _ in one] == [facts for facts, _ in other]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(one, other))
    assert len({str(facts["crop"]) for facts, _ in one}) > 1


def test_more_open_clips_than_slots_for_a_source(files):
    path, segments = files["mp4"].path, as_segments([(0, 1), (0.2, 1), (0.4, 0.8)], "seconds")
    spec = WindowSpec(20, policy="repeat_last")
    assert len(list(selected_clips(path, spec, name="it", segments=segments, max_slots=4))) == 4
    with pytest.raises(ValueError, match=r"segments have 3 clips that are open at the same time, but .* may have 2"):
        selected_clips(path, spec, name="it", segments=segments, max_slots=3)


def test_a_spec_without_a_bound_is_refused_with_a_pool(files):
    class Unbounded(Halves):
        max_length = None

    clips = list(video.clips(files["mp4"].path, Unbounded(), segments=[(0, 1), (0, 1.6)]))
    assert [clip.length for clip in clips] == [2, 3]
    with pytest.raises(ValueError, match="whose clips have no longest length, but a pool needs one"):
        video.clips(files["mp4"].path, Unbounded(), segments=[(0, 1)], pool="5MB")
