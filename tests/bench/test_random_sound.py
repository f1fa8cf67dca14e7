"""The benchmarks of sound: their files, what rivals are given, and how their clips are compared."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner


class Quiet:
    """A run that keeps what is left out, and shows nothing."""

    quick, repeats = True, 1

    def __init__(self, folder):
        self.folder, self.left_out = folder, {}

    def describe(self, text):
        pass

    def leave_out(self, reasons):
        self.left_out |= reasons


@pytest.fixture
def run(tmp_path):
    return Quiet(tmp_path)


def find_sounds(load, run, *names, seconds=3):
    files = load("_sounds").find_sounds(seconds, run, names)
    assert [file.name for file in files] == list(names)
    return files


@pytest.mark.parametrize("name", ["wav", "flac", "mp3", "vorbis", "opus", "aac without PNS"])
def test_ranges_of_rivals_that_seek_are_those_of_a_full_decode(load, run, name):
    if name == "vorbis":
        pytest.importorskip("soundfile")
    [file] = find_sounds(load, run, name)
    sounds, ranges = load("_sounds"), load("_ranges")
    x = sounds.whole(file.path)
    assert x.shape == (2, file.samples)
    wanted = [(file.samples - file.rate, file.samples), (0, file.rate), (5, 6), (file.rate, 2 * file.rate)]
    for source in (file.path, Path(file.path).read_bytes()):
        for (start, end), clip in zip(wanted, ranges.pyav(source, wanted, file), strict=True):
            np.testing.assert_array_equal(clip, x[:, start:end])


def test_the_options_of_an_encoder_are_used(load, run):
    aac, without = find_sounds(load, run, "aac", "aac without PNS", seconds=1)
    assert aac.path != without.path
    assert Path(aac.path).read_bytes() != Path(without.path).read_bytes()


def test_a_codec_that_cannot_be_written_is_left_out(load, run, monkeypatch):
    sounds = load("_sounds")
    recipe = sounds.RECIPES["wav"]._replace(codec="not_a_codec")
    monkeypatch.setitem(sounds.RECIPES, "wav", recipe)
    assert sounds.find_sounds(1, run, ["wav"]) == []
    assert "not_a_codec" in run.left_out["wav"]


def test_copies_are_other_files_of_the_same_bytes(load, run):
    [file] = find_sounds(load, run, "wav", seconds=1)
    paths = load("_sounds").copies(file, 3, run.folder)
    assert len({Path(path).stat().st_ino for path in [*paths, file.path]}) == 4
    assert {Path(path).read_bytes() for path in paths} == {Path(file.path).read_bytes()}


def make_case(load, file, scenario, kind="paths", visits=2):
    bench = load("bench_random_sound")
    ranges = bench.spread_ranges(file) if scenario == bench.PARTS else bench.random_ranges(file, visits)
    paths = [file.path] if scenario == bench.PARTS else [file.path] * visits
    return bench.Case(scenario, file, 3, kind, paths, ranges)


def test_a_first_visit_gets_bytes_and_files_of_which_nothing_is_known(load, run):
    bench = load("bench_random_sound")
    [file] = find_sounds(load, run, "wav")
    case = make_case(load, file, bench.FIRST)
    before = Path(file.path).stat().st_mtime_ns
    assert case.sources() == [file.path] * 2
    assert Path(file.path).stat().st_mtime_ns > before
    before = Path(file.path).stat().st_mtime_ns
    assert make_case(load, file, bench.LATER).sources() == [file.path] * 2
    assert Path(file.path).stat().st_mtime_ns == before
    case = case._replace(kind="bytes")
    first, again = case.sources(), case.sources()
    assert first == again
    assert first[0] is not again[0]


@pytest.mark.parametrize("scenario", ["first visit", "segments"])
def test_clips_are_those_of_the_ranges(load, run, monkeypatch, scenario):
    bench = load("bench_random_sound")
    monkeypatch.setattr(bench, "SEGMENTS", 2)
    monkeypatch.setattr(bench, "SECONDS", 1)
    [file] = find_sounds(load, run, "mp3")
    case = make_case(load, file, scenario)
    x = load("_sounds").whole(file.path)
    missing = dict.fromkeys(set(bench.MODULES) - {bench.PYAV}, "not installed")
    contestants, figures = bench.find_contestants(case, x, missing, run)
    assert list(contestants) == [bench.CLIPX]
    assert figures[bench.CLIPX]["largest_difference"] == 0
    with pytest.raises(AssertionError, match="other samples"):
        bench.find_contestants(case, x + np.float32(1e-6), missing, run)


def test_rivals_that_are_wrong_are_not_compared(load, run, monkeypatch):
    bench = load("bench_random_sound")
    [file] = find_sounds(load, run, "mp3")
    case, x = make_case(load, file, bench.FIRST), load("_sounds").whole(file.path)

    def read(change, source, ranges, file):
        return (change(x[:, start:end].copy()) for start, end in ranges)

    changes = {
        "rounds": lambda clip: clip + np.float32(1e-6),
        "early": lambda clip: np.roll(clip, 1, axis=1),
        "short": lambda clip: clip[:, 1:].copy(),
        "samples first": lambda clip: clip.T.copy().T,
        "float64": lambda clip: clip.astype(np.float64),
    }
    for name, change in changes.items():
        monkeypatch.setitem(bench.READS, name, lambda *given, change=change: read(change, *given))
    monkeypatch.setattr(bench, "MODULES", dict.fromkeys(changes, ()))
    contestants, figures = bench.find_contestants(case, x, {}, run)
    assert list(contestants) == [bench.CLIPX, "rounds", "early, inexact"]
    assert 0 < figures["rounds"]["largest_difference"] <= bench.MOST_APART
    assert set(run.left_out) == {f"{name}, mp3" for name in ("early", "short", "samples first", "float64")}


def test_a_batch_of_a_wrong_number_or_of_other_samples_is_refused(load, run):
    bench = load("bench_random_sound")
    [file] = find_sounds(load, run, "wav")
    x = load("_sounds").whole(file.path)
    ends = slice(7, 7 + bench.SECONDS * file.rate, bench.THINNED)
    clips = [(7, x[:, ends].copy())] * bench.BATCHED
    bench.check_batches(bench.TWO, clips, file, x)
    with pytest.raises(AssertionError, match="not 128"):
        bench.check_batches(bench.TWO, clips[1:], file, x)
    with pytest.raises(AssertionError, match="other samples"):
        bench.check_batches(bench.TWO, [(8, clips[0][1]), *clips[1:]], file, x)


def test_only_the_cases_that_are_named_are_measured(load, tmp_path):
    bench = load("_bench")
    seen = {}

    def measure(run):
        seen.update({title: run.wants(title) for title in ("first visit, mp3", "later visits, mp3", "segments, wav")})
        return {}

    program = bench.command("audio", measure, selectable=True)
    target = tmp_path / "results.json"
    result = CliRunner().invoke(program, ["--only", "^first|wav", "--json", str(target), "--cache", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert list(seen.values()) == [True, False, True]
    assert target.is_file()
    result = CliRunner().invoke(bench.command("audio", measure), ["--only", "mp3"])
    assert result.exit_code == 2


def test_times_of_the_processor_leave_out_what_waits(load, monkeypatch):
    import time

    measure = load("_measure")
    monkeypatch.setattr(measure, "CLOCK", measure.Clock())
    assert measure.timed(lambda: time.sleep(0.05)).seconds >= 0.05
    measure.CLOCK.count_cpu_time()
    assert measure.timed(lambda: time.sleep(0.05)).seconds < 0.05


def test_reasons_name_no_address(load):
    reason = load("_bench").reason_of(ValueError("cannot open <_io.BytesIO object at 0x7f01>: no\nmore"))
    assert reason == "ValueError: cannot open it: no"
