"""Times: floats that stand for ticks, what is on screen, grace, and clocks that jump."""

import io
import json
import tracemalloc
from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest
from helpers.long import LONG, some
from helpers.videos import MKV

import clipx
from clipx import wds
from clipx.media.frames import Frame
from clipx.media.packet_index import PacketIndex
from clipx.media.rates import Grace
from clipx.media.timeline import MOST_FRAMES, MOST_REPEATS, Timeline
from clipx.plan.seconds import as_seconds, as_ticks
from clipx.video.clips import clips, count_frames
from clipx.wds.sample_clips import SampleClips

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
N = 40
TIME_BASES = [
    Fraction(1, 1000),
    Fraction(1, 90000),
    Fraction(1, 12800),
    Fraction(1, 24),
    Fraction(1, 30),
    Fraction(1001, 30000),
    Fraction(1001, 24000),
    Fraction(1, 600),
    Fraction(1, 1200000),
    Fraction(1, 10**7),
    Fraction(1, 10**9),
    Fraction(7, 3),
]


@pytest.mark.parametrize("time_base", TIME_BASES, ids=str)
def test_a_float_that_is_a_tick_is_that_tick(time_base):
    rng = np.random.default_rng(0)
    reaches = [100, 10**4, 10**6, 10**9]
    ticks = [0, 1, -1, 2, 3, *(int(each) for reach in reaches for each in rng.integers(-reach, reach, 100))]
    for tick in ticks:
        pts = tick * time_base.numerator / time_base.denominator
        for given in (pts, np.float64(pts), json.loads(json.dumps(pts))):
            assert as_ticks(as_seconds("start_seconds", given), time_base) == tick
        exact = tick * time_base
        assert as_ticks(as_seconds("start_seconds", exact), time_base) == tick
        assert as_ticks(as_seconds("start_seconds", str(exact)), time_base) == tick


@pytest.mark.parametrize("time_base", TIME_BASES, ids=str)
def test_a_float_of_32_bits_is_the_first_tick_that_it_can_be(time_base):
    rng = np.random.default_rng(1)
    for tick in [0, 1, 2, 3, *(int(each) for reach in (100, 10**4, 10**6) for each in rng.integers(0, reach, 100))]:
        pts = tick * time_base.numerator / time_base.denominator
        single = np.float32(pts)
        if float(str(single)) == float(single):
            continue  # as short as a number that is written by hand, and taken as such
        for given in (single, float(single), json.loads(json.dumps(float(single)))):
            found = as_ticks(as_seconds("start_seconds", given), time_base)
            assert found.denominator == 1
            assert np.float32(int(found) * time_base.numerator / time_base.denominator) == single
            earlier = (int(found) - 1) * time_base.numerator / time_base.denominator
            assert np.float32(earlier) != single
            assert found <= tick


@pytest.mark.parametrize(
    "value", [Fraction(1, 3), "0.06666666666666667", "1/7", 3, Fraction(10**12 + 1, 10**12), "0.1"]
)
def test_what_is_exact_stays_exact(value):
    for time_base in TIME_BASES:
        assert as_ticks(as_seconds("end_seconds", value), time_base) == Fraction(value) / time_base


@pytest.mark.parametrize("value", [0.1, 1.5, 12.345, 1e-9, -2.25, 5e-324])
def test_other_floats_are_what_is_written(value):
    """No tick of these is within rounding of the number."""
    time_base = Fraction(1, 7)
    assert as_ticks(as_seconds("start_seconds", value), time_base) == Fraction(repr(value)) * 7
    assert repr(clipx.VideoOptions(start_seconds=value).start_seconds) == repr(value)


@pytest.mark.parametrize("value", [1e300, -1e300, 1.7976931348623157e308])
def test_floats_beyond_any_clock(value):
    assert float(as_ticks(as_seconds("start_seconds", value), Fraction(1, 7)) / 7) == value


RATES = [24, 25, 30, 60, NTSC, FILM, Fraction(60000, 1001), Fraction(15), 12]
CONTAINERS = {
    "mp4": {},
    "mkv": MKV,
    "ts": {"container": "mpegts", "suffix": ".ts"},
    "avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "avi", "suffix": ".avi"},
}


def extract_clips(src, fps=None, **options):
    options = clipx.VideoOptions(fps=fps, **options)
    return [
        (int(c.frame_indices[0]), float(c.pts_seconds[0])) for c in clips(src, clipx.WindowSpec(1), options=options)
    ]


@pytest.mark.parametrize(("container", "rate"), some(product(CONTAINERS, RATES), 2), ids=str)
def test_times_of_clips_as_start_and_end(make_video, container, rate):
    path = make_video(N, rate=rate, size=(16, 16), **CONTAINERS[container])
    times = [pts for _, pts in extract_clips(path)]
    assert len(times) == N
    for k in range(int(rate) % 5, N - 1, 9 if LONG else 13):
        for to in (lambda x: x, lambda x: json.loads(json.dumps(x)), np.float32, lambda x: float(np.float32(x))):
            start, end = to(times[k]), to(times[min(k + 7, N - 1)])
            expected = list(range(k, min(k + 7, N - 1)))
            assert [at for at, _ in extract_clips(path, start_seconds=start, end_seconds=end)] == expected
        start, end = times[k], times[min(k + 7, N - 1)]
        assert [at for at, _ in extract_clips(path, start_seconds=start)][:2] == [k, k + 1]
        assert [at for at, _ in extract_clips(path, end_seconds=end)][-1] == min(k + 7, N - 1) - 1
        assert [at for at, _ in extract_clips(path, fps=rate, start_seconds=start, end_seconds=end)] == expected
        halved = [at for at, _ in extract_clips(path, fps=Fraction(rate) / 2, start_seconds=start, end_seconds=end)]
        assert halved == expected[::2]


# A video of N frames, as numbers alone.
def timeline_of(options, time_base, grace=None):
    part = {name: getattr(options, name) for name in ("fps", "start_seconds", "end_seconds", "at_start")}
    return Timeline("'a.mp4'", time_base, grace or Grace(0, None), **part)


def index_of(pts, durations):
    n = np.arange(len(pts))
    pts = np.array(pts, dtype=np.int64)
    return PacketIndex(pts, np.array(durations, dtype=np.int64), n, pts, n[:1])


def frames_of(pts, durations):
    return [Frame(k, None, t, d) for k, (t, d) in enumerate(zip(pts, durations))]


def by_definition(pts, durations, grace, options, time_base):
    """The plan by the words of the docs: for every p all frames are looked at, in seconds."""
    times = [t * time_base for t in pts]
    ends = [*times[1:], times[-1] + durations[-1] * time_base]
    start, end = options.start_seconds, options.end_seconds
    inside = [k for k, t in enumerate(times) if (start is None or t >= start) and (end is None or t < end)]
    t0 = times[inside[0]] if inside else None
    over = times[inside[-1]] + durations[inside[-1]] * time_base if inside else None
    first = t0
    if options.at_start == "shown":
        seen = [k for k in range(len(times)) if times[k] < start < ends[k] or times[k] == start]
        if seen and seen[0] not in inside:
            first = times[seen[0]]
            over = over if inside else ends[seen[0]]
            inside, t0 = [*seen, *inside], start
    if options.fps is None or not inside:
        return inside
    over = over if end is None else min(over, end)
    graces = {k: Fraction(grace.of(round((times[k] - first) / time_base), 0)) * time_base for k in inside}
    plan = []
    while t0 + len(plan) / options.fps < over:
        at = t0 + len(plan) / options.fps
        # The frame that the plan begins with is on screen then, whatever the others.
        plan.append(max(k for k in inside if k == inside[0] or times[k] <= at + graces[k]))
    return plan


GRACES = [Grace(0, None), Grace(1, None), Grace(1, 40), Grace(1, 3)]


@pytest.mark.parametrize("seed", range(30))
def test_the_plan_is_what_the_words_say(seed):
    rng = np.random.default_rng(seed)
    for _ in range(20):
        time_base = TIME_BASES[rng.integers(len(TIME_BASES))]
        n = int(rng.integers(1, 12))
        steps = rng.integers(1, int(rng.choice([3, 60])), n)
        pts = (int(rng.integers(-50, 50)) + np.cumsum(steps)).tolist()
        durations = [*np.diff(pts).tolist(), int(rng.integers(1, 60))]
        if rng.random() < 0.3:
            durations = rng.integers(1, 60, n).tolist()
        grace = GRACES[rng.integers(len(GRACES))]
        options = {}
        if rng.random() < 0.7:
            options["fps"] = Fraction(int(rng.integers(1, 100)), int(rng.integers(1, 40))) / time_base / 50
            options["fps"] = min(options["fps"], Fraction(10**6))
        span = pts[-1] - pts[0] + 60
        if rng.random() < 0.7:
            start = pts[0] - 5 + Fraction(int(rng.integers(0, 4 * span)), 4)
            options["start_seconds"] = start * time_base
            if rng.random() < 0.6:
                options["at_start"] = "shown"
            if rng.random() < 0.5:
                options["end_seconds"] = (start + Fraction(int(rng.integers(1, 4 * span)), 4)) * time_base
        elif rng.random() < 0.5:
            options["end_seconds"] = (pts[0] + Fraction(int(rng.integers(0, 4 * span)), 4)) * time_base
        options = clipx.VideoOptions(**options)
        timeline = timeline_of(options, time_base, grace)
        expected = by_definition(pts, durations, grace, options, time_base)
        followed = list(timeline.follow(frames_of(pts, durations)))
        assert [frame.k for _, frame in followed] == expected
        assert [p for p, _ in followed] == list(range(len(expected)))
        assert timeline.frames(index_of(pts, durations), 1).tolist() == expected


def test_what_is_on_screen(make_video):
    """A slide show: frames at 0, 2, 4, ... seconds."""
    pts = tuple(range(0, 2 * 8, 2))
    for kind in ({}, MKV):
        path = make_video(8, size=(16, 16), pts=pts, time_base=Fraction(1, 1), rate=1, bf="0", **kind)
        times = [t for _, t in extract_clips(path)]
        assert times[:3] == [0, 2, 4]
        assert [k for k, _ in extract_clips(path, start_seconds=3)] == [2, 3, 4, 5, 6, 7]
        for src in (path, io.BytesIO(path.read_bytes())):
            assert [k for k, _ in extract_clips(src, start_seconds=3, at_start="shown")] == [1, 2, 3, 4, 5, 6, 7]
        assert [k for k, _ in extract_clips(path, start_seconds=3, end_seconds=4, at_start="shown")] == [1]
        assert [k for k, _ in extract_clips(path, start_seconds=3, end_seconds=Fraction(7, 2), at_start="shown")] == [1]
        assert [k for k, _ in extract_clips(path, start_seconds=4, at_start="shown")] == [2, 3, 4, 5, 6, 7]
        assert [k for k, _ in extract_clips(path, start_seconds=-1, at_start="shown")] == [*range(8)]
        assert extract_clips(path, start_seconds=100, at_start="shown") == []
        # At 3, 3.5, 4, ...
        plan = [k for k, _ in extract_clips(path, fps=2, start_seconds=3, end_seconds=7, at_start="shown")]
        assert plan == [1, 1, 2, 2, 2, 2, 3, 3]
        assert [k for k, _ in extract_clips(path, fps=2, start_seconds=3, end_seconds=7)] == [2, 2, 2, 2, 3, 3]
        window = clipx.WindowSpec(2, num_clips=3)
        options = clipx.VideoOptions(fps=1, start_seconds=3, end_seconds=9, at_start="shown")
        assert [clip.frame_indices.tolist() for clip in clips(path, window, options=options)] == [
            [1, 2],
            [2, 3],
            [3, 4],
        ]
        assert count_frames(path, window, options, "a") == 6


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"at_start": "shown"}, "at_start is 'shown', but start_seconds is None"),
        ({"at_start": "before", "start_seconds": 1}, "at_start is 'before', but must be one of next, shown"),
        ({"at_start": None, "start_seconds": 1}, "at_start is None, but must be one of next, shown"),
    ],
)
def test_bad_at_start(options, reason):
    with pytest.raises(ValueError, match=reason):
        clipx.VideoOptions(**options)


@pytest.mark.parametrize(("kind", "grace"), [({}, 0), ({"container": "mpegts", "suffix": ".ts"}, 0), (MKV, 0)])
def test_no_grace_where_frames_are_on_the_clock(make_video, kind, grace):
    """A frame that begins a tick after a frame of the plan is not shown there."""
    path = make_video(N, size=(16, 16), bf="0", **kind)
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
    step = Fraction(1, 25) - tick
    plan = [k for k, _ in extract_clips(path, fps=1 / step)]
    expected, p = [], 0
    while p * step < Fraction(N, 25):
        expected.append(int(p * step // Fraction(1, 25)))
        p += 1
    assert plan == expected
    assert plan[:3] == [0, 0, 1]


@pytest.mark.parametrize(("kind", "rate"), [(MKV, NTSC), (MKV, 30), (MKV, 24), ({"container": "mpegts"}, FILM)])
def test_grace_where_the_container_rounds(make_video, kind, rate):
    path = make_video(N, size=(16, 16), bf="0", rate=rate, **kind)
    assert [k for k, _ in extract_clips(path, fps=rate)] == list(range(N))


def jumped(codec, jump, at=5, n=50, container="matroska", bf=0):
    """n frames at 25 a second, of which those from `at` on are `jump` seconds late."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size, stream.max_b_frames = 64, 48, "yuv420p", 10, bf
        packets = []
        for k in range(n):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            packets += stream.encode(frame)
        for packet in packets + stream.encode(None):
            if packet.pts * packet.time_base >= Fraction(at, 25):
                ticks = int(jump / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            file.mux(packet)
    return out.getvalue()


@pytest.fixture
def bounded():
    """Fails where more than 100 MB are taken at once."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize("jump", [1_700_000_000, 10**7, 900_000])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("window", [{"length": 4, "num_clips": 2}, {"length": 4}, {"length": 1, "stride": 3}], ids=str)
def test_a_clock_that_jumps(codec, jump, window, bounded):
    data, spec = jumped(codec, jump), clipx.WindowSpec(**window)
    for src in (data, io.BytesIO(data)):
        got = []
        with pytest.raises(clipx.MediaError) as raised:
            got.extend(clips(src, spec, options=clipx.VideoOptions(fps=8), name="'a.mkv'"))
        message = str(raised.value)
        assert message.startswith(f"'a.mkv' shows frame 4 from 0.160 s to {jump + 0.2:.3f} s: ")
        assert "frames at 8 a second" in message
        assert "start_seconds= and end_seconds=" in message
        assert len(got) <= 1
    # The cure, and what needs none.
    for part, first in (({"end_seconds": 1}, 0), ({"start_seconds": 1}, 5)):
        frames = [k for k, _ in extract_clips(data, fps=25, **part)]
        assert frames == list(range(5) if first == 0 else range(5, 50))
    assert len(list(clips(data, clipx.WindowSpec(5)))) == 10


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_counting_with_a_clock_that_jumps(codec, bounded):
    data, window = jumped(codec, 1_700_000_000), clipx.WindowSpec(1)
    stage = wds.clips(window, options=clipx.VideoOptions(fps=8), handler=lambda _: True)
    sample_clips = SampleClips(window, options=clipx.VideoOptions(fps=8))
    sample = {"__key__": "a", "mkv": data}
    try:
        counted = sample_clips.count(sample)
    except clipx.MediaError:
        counted = 0
    # As many as are given before the error.
    assert counted == len(list(stage([sample])))


def test_an_honest_pause_is_shown(bounded):
    data = jumped("libx264", 3600)
    plan = [k for k, _ in extract_clips(data, fps=1)]
    assert plan[:2] == [0, 4]
    assert len(plan) == 3602
    assert plan.count(4) == 3600
    # Two months, at a frame an hour.
    plan = [k for k, _ in extract_clips(jumped("libx264", 5_000_000), fps=Fraction(1, 3600))]
    assert len(plan) == 5_000_000 // 3600 + 1


LARGE = 2**62
CLOCKS = {
    "to the end of int64": [0, 40, 2**63 - 2, 2**63 - 1],
    "from the start of int64": [-(2**63) + 2, 0, 40],
    "twice": [0, 40, LARGE, LARGE + 40],
    "at the end": [0, 40, 80, LARGE],
}


@pytest.mark.parametrize("per_tick", [Fraction(1, 1000), Fraction(1, 41), Fraction(3)], ids=str)
@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("time_base", TIME_BASES, ids=str)
def test_clocks_at_the_limits(clock, time_base, per_tick):
    pts = CLOCKS[clock]
    fps = min(per_tick / time_base, 10**6)
    timeline = timeline_of(clipx.VideoOptions(fps=fps), time_base)
    durations = [40] * len(pts)
    with pytest.raises(clipx.MediaError, match="if its clock jumps"):
        timeline.frames(index_of(pts, durations), 40)
    given = []
    with pytest.raises(clipx.MediaError, match="if its clock jumps"):
        given.extend(p for p, _ in timeline.follow(frames_of(pts, durations)))
    assert given == [*range(len(given))]
    assert len(given) <= 80 * per_tick + 2
    whole = timeline_of(clipx.VideoOptions(), time_base)
    assert whole.frames(index_of(pts, durations), 40).tolist() == [*range(len(pts))]


@pytest.mark.parametrize("duration", [2**40, 2**62, 2**63 - 1])
def test_a_last_frame_of_ages(duration, bounded):
    timeline = timeline_of(clipx.VideoOptions(fps=25), Fraction(1, 1000))
    durations = [40, 40, duration]
    with pytest.raises(clipx.MediaError, match=r"shows frame 2 from 0\.080 s to"):
        timeline.frames(index_of([0, 40, 80], durations), 40)
    with pytest.raises(clipx.MediaError, match=r"shows frame 2 from 0\.080 s to"):
        list(timeline.follow(frames_of([0, 40, 80], durations)))
    ended = timeline_of(clipx.VideoOptions(fps=25, end_seconds=0.2), Fraction(1, 1000))
    assert ended.frames(index_of([0, 40, 80], durations), 40).tolist() == [0, 1, 2, 2, 2]


def test_many_pauses_are_bounded_too():
    """Each below what one frame may be repeated, but all together above what a plan may hold."""
    step = MOST_REPEATS - 1
    n = MOST_FRAMES // step + 3
    pts = [k * step for k in range(n)]
    timeline = timeline_of(clipx.VideoOptions(fps=25), Fraction(1, 25))
    with pytest.raises(clipx.MediaError, match=rf"up to then \d+ frames at 25 a second, of at most {MOST_FRAMES}"):
        timeline.frames(index_of(pts, [step] * n), 1)
    assert len(timeline.frames(index_of(pts[:2], [step] * 2), 1)) == 2 * step


@pytest.mark.parametrize("start", [1e18, -1e18, 1e300, 10**40, Fraction(10**40, 7)])
def test_a_start_that_is_far_away(make_video, start):
    for kind in ({}, {"container": "mpegts", "suffix": ".ts"}):
        path = make_video(N, size=(16, 16), **kind)
        for fps in (None, 10):
            for at_start in ("next", "shown"):
                got = extract_clips(path, fps=fps, start_seconds=start, at_start=at_start)
                assert bool(got) == (start < 0)
