"""Time: resampling, parts, times of frames, edit lists, and sampling that repeats."""

import io
from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest
from helpers.long import some
from helpers.media import Pipe, remuxed
from helpers.videos import MKV

import clipx
from clipx import wds
from clipx.video.clips import clips

NTSC = Fraction(30000, 1001)
N = 50


def variable(n, seed=0):
    """Times of n frames, milliseconds, uneven."""
    return tuple(np.cumsum(np.random.default_rng(seed).integers(3, 120, n)).tolist())


FILES = {
    "25": {"bf": "2", "g": "10"},
    "ntsc mp4": {"rate": NTSC, "bf": "2"},
    "ntsc mkv": {"rate": NTSC, "bf": "2", "g": "12", **MKV},
    "ntsc webm": {"rate": NTSC, "codec": "libvpx-vp9", "cpu-used": "8", "container": "webm", "suffix": ".webm"},
    "23.976 mkv": {"rate": Fraction(24000, 1001), "g": "12", **MKV},
    "60 mpegts": {"rate": 60, "container": "mpegts", "suffix": ".ts"},
    "12 avi": {"rate": 12, "codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "avi", "suffix": ".avi"},
    "variable mp4": {"pts": variable(N), "time_base": Fraction(1, 1000), "bf": "2", "g": "12"},
    "variable mkv": {"pts": variable(N, 1), "time_base": Fraction(1, 1000), "bf": "0", **MKV},
    "variable mkv with gaps": {
        "pts": tuple(each + 5000 * (k > 20) for k, each in enumerate(variable(N, 2))),
        "time_base": Fraction(1, 1000),
        **MKV,
    },
}


def shown(path):
    """The grace of the file's times; when each frame of a full decode is shown, and for how long; in seconds.

    Matroska and MPEG-TS have clocks of their own, to which they round what is not on them: the grace is a tick, but
    none for frames that are whole periods of the file's rate apart, where a period is a whole number of ticks.
    """
    with av.open(str(path) if not isinstance(path, bytes) else io.BytesIO(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        tick, rate = stream.time_base, stream.average_rate or stream.guessed_rate
        rate = rate if rate <= 240 else 25
        unsaid = max(round(1 / (rate * tick)), 1)
        durations = [(frame.duration or unsaid) * tick for frame in frames]
        period = 1 / Fraction(rate) if (1 / (rate * tick)).denominator == 1 else None
        rounds = container.format.name in ("matroska,webm", "mpegts")
        return (tick if rounds else Fraction(0), period), [frame.pts * tick for frame in frames], durations


def resampled(grace, times, durations, fps, start=None, end=None):
    """The frame at each frame of the plan, as the definition says it."""
    inside = [k for k, t in enumerate(times) if (start is None or t >= start) and (end is None or t < end)]
    if fps is None:
        return inside
    tick, period = grace
    first = times[inside[0]]
    graces = {k: 0 if period and (times[k] - first) % period == 0 else tick for k in inside}
    fps = Fraction(fps)
    over = times[inside[-1]] + durations[inside[-1]]
    over = over if end is None else min(over, end)
    plan, t0 = [], first
    while t0 + len(plan) / fps < over:
        at = t0 + len(plan) / fps
        plan.append(max(k for k in inside if times[k] <= at + graces[k]))
    return plan


def resampled_plan(src, window=None, **options):
    """The frames that a run cuts, one after the other; and what it knows of each."""
    spec = clipx.WindowSpec(1, **(window or {}))
    extracted = clips(src, spec, options=clipx.VideoOptions(**options))
    return [
        (int(c.frame_indices[0]), float(c.pts_seconds[0]), float(c.duration_seconds[0]), c.data[0]) for c in extracted
    ]


FPS = [None, 1, 5, 12, 24, 25, NTSC, 30, Fraction(24000, 1001), 60, 97.3]


@pytest.mark.parametrize(("kind", "fps"), some(product(FILES, FPS), 2), ids=str)
def test_resampling(make_video, whole, kind, fps):
    path = make_video(N, **FILES[kind])
    frames = whole(path)
    grace, times, durations = shown(path)
    fps = None if fps is None else Fraction(str(fps))
    plan = resampled(grace, times, durations, fps)
    # With an index, without one, and from a source that is read once.
    for src, window in [(path, {"stride": 2}), (path, {"stride": 1}), (Pipe(path.read_bytes()), {"stride": 1})]:
        if kind.endswith("mp4") or kind == "25":
            src = path  # noqa: PLW2901
        got = resampled_plan(src, window, fps=fps)
        expected = plan[:: window["stride"]]
        assert [k for k, *_ in got] == expected
        for (_, pts, duration, data), k in zip(got, expected):
            assert pts == float(times[k])
            assert duration == float(durations[k])
            assert np.array_equal(data, frames[k])


@pytest.mark.parametrize("kind", ["25", "ntsc mp4", "ntsc mkv", "ntsc webm", "23.976 mkv", "60 mpegts", "12 avi"])
def test_the_rate_of_the_file_gives_every_frame_once(make_video, kind):
    path = make_video(N, **FILES[kind])
    got = resampled_plan(path, fps=FILES[kind].get("rate", 25))
    assert [k for k, *_ in got] == list(range(N))


@pytest.mark.parametrize("kind", ["ntsc mkv", "23.976 mkv", "ntsc webm"])
def test_twice_and_half_the_rate(make_video, kind):
    rate = FILES[kind]["rate"]
    path = make_video(N, **FILES[kind])
    assert [k for k, *_ in resampled_plan(path, fps=rate / 2)] == list(range(0, N, 2))
    doubled = [k for k, *_ in resampled_plan(path, fps=rate * 2)]
    assert doubled[: 2 * N - 2] == [k // 2 for k in range(2 * N - 2)]


PARTS = [(0.4, None), (None, 0.5), (Fraction(1, 3), Fraction(7, 6)), (0.401, 1.0), (0.7, 0.79), (0, 99), (-3, 0.2)]
PARTED = ["25", "ntsc mkv", "60 mpegts", "variable mp4", "variable mkv with gaps"]


@pytest.mark.parametrize(("kind", "part", "fps"), some(product(PARTED, PARTS, [None, 10, NTSC, 60]), 3), ids=str)
def test_parts(make_video, kind, part, fps):
    start, end = part
    path = make_video(N, **FILES[kind])
    grace, times, durations = shown(path)
    # Some containers' clocks do not begin at 0; a part is on the video's own clock.
    begin = times[0] if times[0] >= 1 else Fraction(0)
    start, end = (None if each is None else Fraction(str(each)) + begin for each in (start, end))
    inside = [t for t in times if (start is None or t >= start) and (end is None or t < end)]
    if not inside:
        pytest.skip("no frame")
    plan = resampled(grace, times, durations, fps, start, end)
    for stride in (1, 2):
        got = resampled_plan(path, {"stride": stride}, fps=fps, start_seconds=start, end_seconds=end)
        assert [k for k, *_ in got] == plan[::stride]


@pytest.mark.parametrize("policy", ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"])
@pytest.mark.parametrize("kind", ["ntsc mkv", "variable mp4", "60 mpegts"])
def test_policies_work_on_the_plan(make_video, whole, kind, policy):
    path = make_video(N, **FILES[kind])
    frames = whole(path)
    for fps, start, end in [(7, None, None), (40, None, None), (13, 0.3, None), (None, 0.2, 0.7)]:
        grace, times, durations = shown(path)
        begin = times[0] if times[0] >= 1 else Fraction(0)
        start, end = (None if each is None else Fraction(str(each)) + begin for each in (start, end))  # noqa: PLW2901
        plan = np.array([*resampled(grace, times, durations, fps, start, end), -1])
        options = clipx.VideoOptions(fps=fps, start_seconds=start, end_seconds=end)
        for window in ({"stride": 3}, {"stride": 5, "dilation": 2}, {"num_clips": 3}):
            spec = clipx.WindowSpec(4, policy=policy, fill_value=1, **window)
            extracted = clips(path, spec, options=options)
            got = list(extracted)
            rows = plan[spec.indices(len(plan) - 1)]
            assert extracted.num_frames == len(plan) - 1
            assert [clip.start for clip in got] == spec.starts(len(plan) - 1).tolist()
            for clip, row in zip(got, rows):
                assert clip.frame_indices.tolist() == row.tolist()
                for written, k in zip(clip.data, row):
                    assert np.array_equal(written, frames[k] if k >= 0 else np.full_like(written, 1))


@pytest.mark.parametrize("kind", ["25", "60 mpegts"])
def test_a_part_without_frames(make_video, kind):
    path = make_video(N, **FILES[kind])
    for window in (clipx.WindowSpec(4), clipx.WindowSpec(4, dilation=3), clipx.WindowSpec(4, num_clips=2)):
        for fps in (None, 10):
            assert list(clips(path, window, options=clipx.VideoOptions(start_seconds=1000, fps=fps))) == []


def test_windows_in_seconds(make_video, whole):
    path = make_video(N, **FILES["25"])
    frames = whole(path)
    window = clipx.WindowSpec.of_seconds(0.8, stride=0.4, fps=10)
    assert (window.length, window.stride) == (8, 4)
    got = list(clips(path, window))
    plan = resampled(*shown(path), Fraction(10))
    assert len(got) == (len(plan) - 8) // 4 + 1 == 4
    for clip in got:
        assert clip.frame_indices.tolist() == plan[clip.start : clip.start + 8]
        np.testing.assert_array_equal(clip.data, frames[clip.frame_indices])
        np.testing.assert_array_equal(clip.pts_seconds, clip.frame_indices / 25)
    same = clips(path, window, options=clipx.VideoOptions(fps="10"))
    assert [clip.start for clip in same] == [clip.start for clip in got]


@pytest.mark.parametrize("fps", [25, 9.99, "30000/1001"])
def test_windows_in_seconds_have_one_rate(make_video, fps):
    window = clipx.WindowSpec.of_seconds(0.8, fps=10)
    options = clipx.VideoOptions(fps=fps)
    with pytest.raises(ValueError, match=r"fps is .*, but the window was made for 10 frames a second"):
        clips(make_video(N, **FILES["25"]), window, options=options)
    sample = {"__key__": "a", "mp4": make_video(N, **FILES["25"]).read_bytes()}
    with pytest.raises(ValueError, match="fps is"):
        list(wds.clips(window, options=options)([sample]))


def with_times(path, times, container="matroska"):
    """The packets of a file, in their order, with other times (None for none)."""

    def change(k, packet):
        packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), times[k], k + 1
        packet.duration = 40

    return remuxed(path, container, change)


def repaired(times, durations):
    made = []
    for k, t in enumerate(times):
        made.append(t if not made or t > made[-1] else made[-1] + durations[k - 1])
    return made


BACKWARD = {
    "swapped": [0, 40, 120, 80, 160, 200, 240],
    "back to the start": [0, 40, 80, 0, 40, 80, 120],
    "all equal": [40] * 7,
    "a step back": [0, 40, 80, 120, 110, 160, 200],
    "descending": [280, 240, 200, 160, 120, 80, 40],
}
WITHOUT_REORDERING = [
    {"codec": "mjpeg", "pix_fmt": "yuvj420p", **MKV},
    {"codec": "ffv1", "g": "2", **MKV},
    {"bf": "0", "g": "3", **MKV},
    {"codec": "libvpx", "g": "3", "deadline": "realtime", "container": "webm", "suffix": ".webm"},
]


@pytest.mark.parametrize("order", BACKWARD)
@pytest.mark.parametrize("kind", WITHOUT_REORDERING, ids=lambda kind: kind.get("codec", "libx264"))
def test_times_that_go_back_are_repaired(make_video, whole, kind, order):
    """Frame k is the k-th that a full decode gives, whatever its time."""
    path = make_video(7, **kind)
    frames = whole(path)
    data = with_times(path, [1000 + t for t in BACKWARD[order]])
    _, times, durations = shown(data)
    assert [float(t - times[0]) * 1000 for t in times] == pytest.approx(
        [t - BACKWARD[order][0] for t in BACKWARD[order]]
    )
    for window in ({}, {"stride": 2}, {"num_clips": 7}):
        got = resampled_plan(data, window)
        expected = list(range(7))[:: window.get("stride", 1)]
        assert [k for k, *_ in got] == expected
        for k, pts, _, picture in got:
            assert pts == pytest.approx(float(repaired(times, durations)[k]))
            assert np.array_equal(picture, frames[k])
    clip = next(clips(data, clipx.WindowSpec(3, dilation=3)))
    np.testing.assert_array_equal(clip.data, frames[[0, 3, 6]])
    # Never an endless loop, and never a time before the one before it.
    plan = [k for k, *_ in resampled_plan(data, fps=1000)]
    assert plan == sorted(plan)
    assert plan[0] == 0
    assert plan[-1] == 6
    assert len(plan) < 1000


@pytest.mark.parametrize("bf", ["0", "2"])
def test_missing_times(make_video, whole, bf):
    path = make_video(N, bf=bf, g="12")
    data = remuxed(path, "h264")
    with av.open(io.BytesIO(data)) as container:
        assert any(frame.pts is None for frame in container.decode(video=0))
    frames = whole(path)
    for window in ({}, {"stride": 3}, {"num_clips": 5}):
        got = resampled_plan(data, window)
        assert [k for k, *_ in got] == clipx.WindowSpec(1, **window).starts(N).tolist()
        for k, pts, duration, picture in got:
            assert pts == pytest.approx(k / 25)
            assert duration == pytest.approx(1 / 25)
            assert np.array_equal(picture, frames[k])
    assert [k for k, *_ in resampled_plan(data, fps=5)] == list(range(0, N, 5))


def edited(path, frames_off, duration=None):
    """The file with an edit list that begins that many frames in, and lasts `duration` seconds."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst")
    assert data[at + 4] == 0  # version
    assert int.from_bytes(data[at + 8 : at + 12], "big") == 1
    begin = int.from_bytes(data[at + 16 : at + 20], "big") + frames_off * 512
    data[at + 16 : at + 20] = begin.to_bytes(4, "big")
    if duration is not None:
        data[at + 12 : at + 16] = round(duration * 1000).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("duration", [None, 1, 0.6])
@pytest.mark.parametrize("frames_off", [0, 1, 3, 11])
@pytest.mark.parametrize("bf", ["0", "2"])
def test_edit_lists(make_video, whole, tmp_path, bf, frames_off, duration):
    """Packets that are decoded but not shown: frame k is the k-th of a full decode, not the k-th packet's."""
    path = make_video(N, bf=bf, g="10")
    with av.open(str(path)) as container:
        assert container.streams.video[0].time_base == Fraction(1, 12800)  # 512 ticks a frame
    data = edited(path, frames_off, duration)
    (tmp_path / "edited.mp4").write_bytes(data)
    expected = whole(tmp_path / "edited.mp4")
    grace, times, durations = shown(data)
    if frames_off or duration:
        assert len(expected) < N
    for window in ({"stride": 1}, {"stride": 2}, {"stride": 11}, {"num_clips": 5}):
        got = resampled_plan(data, window)
        starts = clipx.WindowSpec(1, **window).starts(len(expected))
        assert [k for k, *_ in got] == starts.tolist()
        for k, pts, _, picture in got:
            assert pts == float(times[k])
            assert np.array_equal(picture, expected[k])
        for fps in (10, 40):
            plan = resampled(grace, times, durations, fps)
            starts = clipx.WindowSpec(1, **window).starts(len(plan))
            assert [k for k, *_ in resampled_plan(data, window, fps=fps)] == [plan[s] for s in starts]


@pytest.mark.parametrize("bf", ["0", "2"])
def test_video_that_starts_before_zero(make_video, whole, bf):
    path = make_video(N, bf=bf, g="10")

    def change(_, packet):
        packet.pts, packet.dts = packet.pts - 7 * 512, packet.dts - 7 * 512

    data = remuxed(path, "mp4", change)
    _, times, _ = shown(data)
    for window in ({}, {"stride": 4}, {"num_clips": 6}):
        got = resampled_plan(data, window)
        assert [k for k, *_ in got] == clipx.WindowSpec(1, **window).starts(len(times)).tolist()
        for k, pts, _, picture in got:
            assert pts == float(times[k])
            assert np.array_equal(picture, whole(path)[N - len(times) + k])


def stage_starts(samples, seed, epoch, **window):
    window = {"length": 4, "num_clips": 6, "sampling": "random", **window}
    found = {}
    for out in wds.clips(clipx.WindowSpec(**window), seed=seed, epoch=epoch)(samples):
        found.setdefault(out["__key__"].rpartition("_")[0], []).append(out["clip.json"]["start"])
    return found


@pytest.mark.parametrize("kind", ["25", "ntsc mkv", "60 mpegts", "12 avi"])
def test_sampling_repeats(make_video, kind):
    path = make_video(N, **FILES[kind])
    field = path.suffix[1:]
    samples = [{"__key__": key, field: path.read_bytes()} for key in "abc"]
    first = stage_starts(samples, 1, 2)
    assert first == stage_starts(samples, 1, 2)
    assert first == stage_starts(samples[::-1], 1, 2)
    assert first["b"] == stage_starts(samples[1:2], 1, 2)["b"]
    others = [first["a"], first["b"], first["c"]]
    others += [stage_starts(samples, seed, epoch)["a"] for seed, epoch in [(2, 2), (1, 3)]]
    assert len({tuple(each) for each in others}) == 5
    for key in "abc":
        expected = clipx.WindowSpec(4, num_clips=6, sampling="random").starts(N, wds.sample_rng(1, 2, key))
        assert first[key] == expected.tolist()


def test_epochs_are_counted(make_video):
    samples = [{"__key__": "a", "mp4": make_video(N, **FILES["25"]).read_bytes()}]
    stage = wds.clips(clipx.WindowSpec(4, num_clips=6, sampling="random"), seed=1)
    passes = [[out["clip.json"]["start"] for out in stage(samples)] for _ in range(3)]
    assert passes == [stage_starts(samples, 1, epoch)["a"] for epoch in range(3)]
