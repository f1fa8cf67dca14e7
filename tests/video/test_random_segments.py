"""1,000 random segments of 20 videos, by every spec: the frames of a full decode, each needed stretch decoded once."""

import itertools
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media import remuxed
from helpers.segments import clips_of, in_order, open_at_once
from video.test_segments import File

import clipx
from clipx import FrameList, RateSpec, Segment, UniformSpec, WindowSpec
from clipx.plan import as_segments
from clipx.video.clips import selected_clips

VIDEOS, EACH = 20, 50
KINDS = [("mp4", "0"), ("mp4", "2"), ("matroska", "2"), ("mpegts", "2"), ("vfr", "2")]

SPECS = [
    WindowSpec(3, 2),
    WindowSpec(4, 3, dilation=2, policy="repeat_last"),
    WindowSpec(4, 3, policy="wrap"),
    WindowSpec(3, 4, dilation=2, policy="reflect"),
    WindowSpec(3, 4, policy="constant", fill_value=9),
    WindowSpec(3, 2, policy="error"),
    WindowSpec(4, 3, policy="backpad"),
    WindowSpec(2, num_clips=3),
    WindowSpec(3, dilation=2, num_clips=2, sampling="random", policy="repeat_last"),
    WindowSpec(2, num_clips=3, sampling="partition"),
    WindowSpec(2, num_clips=2, sampling="partition_source", policy="repeat_last"),
    WindowSpec(3, 5, offset=2),
    WindowSpec(3, 5, offset="random", policy="repeat_last"),
    UniformSpec(4),
    UniformSpec(4, sampling="random"),
    UniformSpec(3, sampling="linspace"),
    RateSpec(6, min_frames=2, max_frames=8, multiple=2),
    FrameList(frames=[3, 0, 3]),
]


class Needed(File):
    """A file that also knows from which frames it can be decoded."""

    def __init__(self, path, container):
        super().__init__(path)
        with av.open(str(path)) as opened:
            keys = [k for k, frame in enumerate(opened.decode(video=0)) if frame.key_frame]
        self.has_index, self.keys = container != "mpegts", keys

    def most_decoded(self, frames):
        """Frames of the stretches between key frames that have some of these; all, twice, where only that counts them.

        Frames of a transport stream are not numbered like its packets.
        """
        if not self.has_index:
            return 2 * len(self.pts)
        parts = [range(*pair) for pair in itertools.pairwise([*self.keys, len(self.pts)])]
        return sum(len(part) for part in parts if not frames.isdisjoint(part))

    def resampled(self, frames, segment, fps):
        """The frames that are shown every 1 / fps s from the first on, before the end, and their times with the end."""
        start, shown, last = self.pts[frames[0]], [], self.pts[frames[-1]] + self.durations[frames[-1]]
        stop = segment.end
        if segment.unit == "frames":
            stop = self.pts[stop] if stop < len(self.pts) else last
        end = min(last, stop)
        times = list(itertools.takewhile(lambda time: time < end, (start + Fraction(p) / fps for p in range(10_000))))
        for time in times:
            shown.append(max(k for k in frames if self.pts[k] <= time))
        return shown, [*times, min(last, start + len(shown) / fps)]


def make_segments(file, rng):
    """Segments that overlap, in any order: long, tiny, of frames, partly and wholly outside."""
    begin, seconds, n = file.pts[0], float(file.end - file.pts[0]), len(file.pts)
    made = []
    for _ in range(EACH):
        kind, start = rng.integers(6), Fraction(int(rng.integers(-10, seconds * 100)), 100)
        if kind == 0:
            made.append(Segment(int(a := rng.integers(0, n + 3)), int(a + rng.integers(1, n)), unit="frames"))
        elif kind == 1:
            made.append(Segment(begin + start, begin + start + Fraction(int(rng.integers(1, 60)), 1000)))
        elif kind == 2:
            made.append(Segment(file.end + abs(start), file.end + abs(start) + 1))
        elif kind == 3:
            made.append(Segment(begin + start, file.end + 5))
        else:
            made.append(Segment(begin + start, begin + start + Fraction(int(rng.integers(1, 150)), 100)))
    return as_segments(made, "seconds")


@pytest.fixture(scope="module")
def files(make_video, tmp_path_factory):
    folder, rng, made = tmp_path_factory.mktemp("random"), np.random.default_rng(7), []
    for i, (container, bf) in zip(range(VIDEOS), itertools.cycle(KINDS)):
        n, rest = 30 + 2 * i, {}
        if container == "vfr":
            steps = rng.integers(300, 3000, n)
            rest = {"pts": tuple(np.cumsum(steps).tolist()), "time_base": Fraction(1, 30000)}
        path = make_video(n, g=str(5 + i), bf=bf, **rest)
        if container in ("matroska", "mpegts"):
            source, path = path, folder / f"{i}.{container}"
            remuxed(source, container, to=path)
        file = Needed(path, container)
        made.append((container, file, make_segments(file, rng)))
    return made


@pytest.fixture(scope="module")
def frames_of(files, whole):
    return [whole(file.path) for _, file, _ in files]


def expected_of(spec, of, times):
    """The clips of the segments, of those that the spec does not allow the complete ones, and the numbers of these."""
    found, refused = [], []
    for number in of:
        one = {number: of[number]}
        try:
            found += clips_of(spec, one, 5, times)
        except ValueError:
            refused.append(number)
            if isinstance(spec, WindowSpec):
                found += clips_of(replace(spec, policy="drop"), one, 5, times)
    return in_order(found), refused


def check_run(spec, file, pictures, segments, of, times, **options):
    wanted, refused = expected_of(spec, of, times)
    slots = max(open_at_once(wanted) + 1, 2)
    pool = clipx.ClipPool(slots, (spec.max_length, *pictures.shape[1:]))
    clips = selected_clips(file.path, spec, pool=pool, rng=5, name="it", segments=segments, **options)
    assert [number for number, _ in clips.segment_errors] == sorted({*segments} - {*of} | {*refused})
    fill = np.full(pictures.shape[1:], spec.fill_value, np.uint8)
    for count, expected in enumerate(wanted):
        clip = next(clips)
        assert (clip.number, clip.segment.number, clip.index) == (count, expected.segment, expected.index)
        assert clip.segment == segments[expected.segment]
        assert (clip.start, clip.valid) == (expected.start, expected.valid)
        assert clip.frame_indices.tolist() == expected.row
        assert all(map(np.array_equal, clip.data, (pictures[k] if k >= 0 else fill for k in expected.row)))
        del clip
    assert next(clips, None) is None
    needed = {k for clip in wanted for k in clip.row if k >= 0}
    assert clips.frames_decoded <= file.most_decoded(needed or {0})
    assert pool.stats().peak_leased <= slots
    return len(wanted)


def parts_of(file, segments):
    """The frames of each segment that has any, and their times."""
    of = file.of(segments)
    return of, {number: file.times_of(of[number]) for number in of}


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_frames_are_those_of_a_full_decode(files, frames_of, spec):
    count = 0
    for (_, file, segments), pictures in zip(files, frames_of):
        count += check_run(spec, file, pictures, segments, *parts_of(file, segments))
    assert count > 300


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(30000, 1001)])
@pytest.mark.parametrize("spec", SPECS[1::5], ids=str)
def test_at_a_rate(files, frames_of, spec, fps):
    options = clipx.VideoOptions(fps=fps)
    for (container, file, segments), pictures in zip(files, frames_of):
        if container not in ("mp4", "vfr"):
            continue  # times are rounded there
        shown = {number: file.resampled(frames, segments[number], fps) for number, frames in file.of(segments).items()}
        rows, at = ({number: each[i] for number, each in shown.items()} for i in (0, 1))
        check_run(spec, file, pictures, segments, rows, at, options=options)
