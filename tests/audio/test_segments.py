"""Segments of sound: their samples are those of a full decode, on the file's clock."""

import io
import json
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media import OnlyRead, until_error
from helpers.segments import check_resumes, clips_of, in_order, open_at_once
from helpers.sounds import corpus_file, decoded, encode, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from clipx import AudioFormat, ClipPool, FrameList, RateSpec, Segment, UniformSpec, WindowSpec, audio
from clipx.audio import planning
from clipx.audio.clips import count_clips, selected_clips
from clipx.plan import as_segments

KINDS = ["wav", "flac", "m4a", "opus", "mkv"]

FORMATS = [AudioFormat(), AudioFormat(sample_rate=16000, mono=True, order="NC"), AudioFormat(dtype="int16")]

SPECS = [
    WindowSpec(700, 300),
    WindowSpec(500, 900, dilation=2, policy="reflect"),
    WindowSpec(700, 600, policy="wrap"),
    WindowSpec(700, 300, policy="repeat_last"),
    WindowSpec(300, 200, policy="constant", fill_value=1),
    WindowSpec(500, 300, policy="backpad"),
    WindowSpec(200, num_clips=3, sampling="random"),
    WindowSpec(300, 700, offset="random", policy="repeat_last"),
    UniformSpec(40),
    RateSpec(100, max_frames=60),
    FrameList(frames=[0, 700, 3]),
]

times = st.fractions(-1, 1, max_denominator=50) | st.integers(0, 1)
seconds = st.tuples(times, st.fractions(Fraction(1, 100), 2, max_denominator=100)).map(lambda p: (p[0], p[0] + p[1]))
numbers = st.tuples(st.integers(0, 50000), st.integers(1, 9000)).map(lambda p: Segment(p[0], sum(p), unit="frames"))
mixed = st.lists(seconds | numbers, max_size=5)


class Sound:
    """The samples of a file, (channels, n), and its clock."""

    def __init__(self, data, format):
        self.samples = decoded(data, format)
        with av.open(io.BytesIO(data)) as file:
            stream = file.streams.audio[0]
            first = next(file.decode(stream))
            self.start, self.rate = first.pts * Fraction(first.time_base), format.sample_rate or first.sample_rate

    def time(self, p):
        return self.start + Fraction(p, self.rate)

    def of(self, segments):
        n, found = self.samples.shape[1], {}
        for number, segment in segments.items():
            first, end = segment.start, segment.end
            if segment.unit == "seconds":
                # The first sample that begins at the time or later.
                first, end = (max(-(-(each - self.start) * self.rate // 1), 0) for each in (first, end))
            if first < min(end, n):
                found[number] = range(int(first), int(min(end, n)))
        return found

    def times_of(self, frames):
        return [self.time(p) for p in (*frames, frames[-1] + 1)]


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(KINDS), st.sampled_from(FORMATS), st.sampled_from(SPECS), mixed, st.booleans(), st.data())
def test_clips_are_those_of_a_full_decode(kind, format, spec, given, piped, data):
    file = corpus_file(kind)
    sound, segments = Sound(file, format), as_segments(given, "seconds")
    of = sound.of(segments)
    if isinstance(spec, FrameList):
        of = {number: frames for number, frames in of.items() if len(frames) > 700}
    timed = {number: sound.times_of(of[number]) for number in of} if spec.needs_times else None
    wanted = in_order(clips_of(spec, of, 5, timed))
    source = OnlyRead(file) if piped else file
    slots = max(open_at_once(wanted), 1) + 1
    pool = ClipPool(slots, format.shape(len(sound.samples), spec.max_length), format.dtype)
    clips = selected_clips(source, spec, format, pool=pool, rng=5, name="it", segments=segments)
    assert [number for number, _ in clips.segment_errors] == sorted(set(segments) - set(of))
    for number, expected in enumerate(wanted):
        clip = next(clips)
        got = (clip.number, clip.segment.number, clip.index, clip.start, clip.valid, clip.length)
        assert got == (number, *expected[:2], *expected[3:], len(expected.row))
        row = np.array(expected.row)
        samples = sound.samples[:, row]
        samples[:, row < 0] = spec.fill_value
        assert np.array_equal(format.channels_first(clip.data), samples)
        assert clip.pts_seconds == float(sound.time(next(p for p in expected.row if p >= 0)))
        del clip
    assert next(clips, None) is None
    assert count_clips(file, spec, format, "it", segments, 5) == len(wanted)


def test_a_time_of_a_sample_as_a_float_means_that_sample():
    file = encode(noise(48000), "flac", "matroska", 44100, start=1234)
    every = [clip.pts_seconds for clip in audio.clips(file, WindowSpec(1))]
    for first, end in ((1000, 1002), (17, 20000), (44099, 44101)):
        pair = every[first], every[end]
        for bounds in (pair, [float(np.float32(each)) for each in pair]):
            (clip,) = audio.clips(file, WindowSpec(end - first), segments=[json.loads(json.dumps(bounds))])
            assert clip.pts_seconds == every[first]


def test_times_behind_a_gap_are_those_of_the_clock():
    file = encode(noise(48000), "pcm_s16le", "matroska", 16000, skip=[(16384, 32768)])
    format = AudioFormat(damage="keep")
    every = list(audio.clips(file, WindowSpec(160), format))
    late = [clip for clip in every if clip.pts_seconds > 2.1]
    segments = [(late[0].pts_seconds, late[2].pts_seconds), (0.5, 0.51), (1.3, 1.4)]
    clips = selected_clips(file, WindowSpec(160), format, name="it", segments=as_segments(segments, "seconds"))
    got = list(clips)
    assert [(clip.segment.number, clip.index) for clip in got] == [(1, 0), (0, 0), (0, 1)]
    assert np.array_equal(got[1].data, late[0].data)
    assert [clip.pts_seconds for clip in got[1:]] == [each.pts_seconds for each in late[:2]]
    assert "segment 2, 1.3 to 1.4 s: no sample of it begins in it" in str(clips.segment_errors[0][1])


@pytest.mark.parametrize("damage", ["stop", "skip", "keep"])
def test_damage(damage):
    file = encode(noise(48000), "pcm_s16le", "matroska", 16000, skip=[(16384, 20480)])
    format, spec = AudioFormat(damage=damage), WindowSpec(160, 80)
    segments = as_segments([(0, 0.5), (0.9, 1.5), (1, 1.2), (2, 2.5)], "seconds")
    clips = selected_clips(file, spec, format, name="it", segments=segments)
    found, error, _ = until_error(clips)
    assert (error is None) == (damage != "stop")
    keep = selected_clips(file, spec, AudioFormat(damage="keep"), name="it", segments=segments)
    every = {clip.number: clip for clip in keep}
    whole = [clip.number for clip in every.values() if not clip.damaged]
    if damage == "keep":
        assert len(found) == len(every) > len(whole)
    elif damage == "skip":
        assert [clip.number for clip in found] == whole
    else:
        assert [clip.number for clip in found] == list(range(len(found)))
        assert found[-1].pts_seconds + 160 / 16000 <= 1.03
    for clip in found:
        assert np.array_equal(clip.data, every[clip.number].data)
    assert count_clips(file, spec, format, "it", segments) == len(found)


def test_no_more_is_counted_than_the_last_segment_needs(monkeypatch):
    file = encode(noise(480000), "wavpack", "wv", 16000)
    counted = []

    class Counts(planning.CountedSamples):
        def __init__(self, *args):
            super().__init__(*args)
            counted.append(self.samples)

    monkeypatch.setattr(planning, "CountedSamples", Counts)
    assert len(list(audio.clips(file, WindowSpec(1600), segments=[(0.5, 1), (0, 0.3)]))) == 8
    assert 16000 <= counted[0] < 200000
    clips = audio.clips(file, WindowSpec(1600), segments=[(0.5, 100)])
    assert len(list(clips)) == 295
    assert counted[1] == clips.num_frames == 480000


def test_long_windows_over_many_segments_take_only_open_slots():
    file = encode(noise(160000), "flac", "flac", 16000)
    segments = [(0, 10), *((k / 50, k / 50 + 0.02) for k in range(500))]
    pool = ClipPool(4, (1, 320), "float32")
    count = 0
    for clip in audio.clips(file, WindowSpec(320, num_clips=1), segments=segments, pool=pool):
        count += 1
        del clip
    assert count == 501


def test_errors_of_segments_come_last():
    file = encode(noise(16000), "flac", "flac", 16000)
    segments = [(5, 6), (0, 0.11), (0.00001, 0.00002), (0.1, 0.15)]
    clips = audio.clips(file, WindowSpec(800, policy="error"), segments=segments)
    assert [(clip.segment.number, clip.index) for clip in (next(clips) for _ in range(3))] == [(1, 0), (1, 1), (3, 0)]
    with pytest.raises(ValueError, match=r"segment 0, 5 to 6 s: it starts at 5 s, but \d+ bytes ends at 1 s"):
        next(clips)
    assert next(clips, None) is None
    assert [number for number, _ in clips.segment_errors] == [0, 1, 2]
    assert "segment 1, 0 to 0.11 s: policy is 'error', but 160 of 1760" in str(clips.segment_errors[1][1])


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(SPECS), mixed, st.data())
def test_a_run_resumes_anywhere(spec, given, data):
    file, segments = corpus_file("flac"), as_segments(given, "seconds")

    def run(selection):
        rest = {"name": "it", "segments": segments, "selection": selection}
        return list(selected_clips(file, spec, rng=np.random.default_rng(3), **rest))

    check_resumes(run, data)
