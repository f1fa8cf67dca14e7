"""`clipx extract`: its options, as the arguments of a job, and what it prints."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import webdataset
from click.testing import CliRunner
from rich.console import Console

import clipx
from clipx.cli import extract_display
from clipx.cli.main import main
from clipx.jobs import Expected, Progress, Summary, TooManyFailures

DONE = Summary(
    *(2, 3, 40, 2, 640, 0.5, 12_000_000),
    failures={"error": 1, "damage": 2},
    failed=1,
    examples=["a: it is broken", "b: it is [red]"],
    seconds=75.2,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with names of videos and a shard, which is the current one."""
    for name in ("a.mp4", "b.mp4", "shard.tar"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text("video,from,to,id\na.mp4,0,1,x\na.mp4,2,3,y\nb.mp4,0,1,z\n")
    (tmp_path / "scenes.csv").write_text("start,end\n0,1\n2,3.5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def called(folder, monkeypatch):
    """Runs the command in place of a job; gives what it prints, and the arguments of the job."""

    def run(*arguments, job=lambda **_: DONE):
        calls = []

        def fake(src, out, spec, format=None, **rest):
            calls.append({"src": src, "out": out, "spec": spec, "format": format, **rest})
            return job(**rest)

        with monkeypatch.context() as patch:
            patch.setattr("clipx.jobs.extract", fake, raising=False)
            done = CliRunner().invoke(main, ["extract", *map(str, arguments)], env={"COLUMNS": "120"})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done, calls[0] if calls else None

    return run


ALWAYS = {"out", "src", "spec", "format", "segments", "audio", "keys", "progress", "seed"}
ALWAYS |= {"shard_size", "files_per_part", "memory", "retry_failed", "dry_run"}


def test_defaults(called):
    done, given = called("a.mp4", "b.mp4", "-o", "out", "--length", 16)
    assert done.exit_code == 0, done.output
    assert given.keys() == ALWAYS
    assert given["spec"] == clipx.WindowSpec(16)
    assert given["src"].keys == ["a", "b"]
    none = ("format", "segments", "audio", "keys")
    assert all(given[name] is None for name in none)
    wanted = {"out": "out", "seed": 0, "shard_size": "1GB", "files_per_part": 64, "memory": "2GB"}
    assert {name: given[name] for name in wanted} == wanted
    assert not given["retry_failed"]
    assert not given["dry_run"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--resize 64 --crop 48", {"format": clipx.ClipFormat(resize=64, crop=48)}),
        (
            "--dtype float16 --mean 0.5,0.4,0.3 --std 0.2 --scale 0.5 --order CTHW --flip",
            {"format": clipx.ClipFormat(None, None, True, "float16", 0.5, [0.5, 0.4, 0.3], 0.2, "CTHW")},
        ),
        ("--mean imagenet", {"format": clipx.ClipFormat(mean="imagenet")}),
        (
            "--fps 8 --no-rotate --stream 1 --decoding fast --damage keep",
            {"options": clipx.VideoOptions("8", rotate=False, stream=1, quality="fast", damage="keep")},
        ),
        ("--audio", {"audio": clipx.AudioFormat()}),
        (
            "--sample-rate 16000 --mono --audio-dtype int16 --audio-stream 1 --damage skip",
            {"audio": clipx.AudioFormat(16000, True, "int16", stream=1, damage="skip")},
        ),
        ("--encoding jpg --quality 80", {"encoding": "jpg", "quality": 80}),
        (
            "--encoding mp4 --codec libx265 --crf 20 --preset fast --gop 12",
            {"encoding": "mp4", "codec": "libx265", "crf": 20, "preset": "fast", "gop": 12},
        ),
        ("--preset 8", {"preset": 8}),
        ("--whole", {"spec": clipx.RateSpec(10**6)}),
        ("--segments json:segments --min-seconds 0.1", {"segments": "json:segments", "min_seconds": "0.1"}),
        ("--segments 0:1,2:3.5", {"segments": [clipx.Segment(0.0, 1.0), clipx.Segment(2.0, 3.5)]}),
        ("--segments scenes.csv", {"segments": [clipx.Segment(0.0, 1.0), clipx.Segment(2.0, 3.5)]}),
        ("--keys mp4", {"keys": "mp4"}),
        ("--keys a.mp4,b.mp4", {"keys": ["a.mp4", "b.mp4"]}),
        ("--keys sound=wav;flac", {"keys": {"sound": "wav;flac"}}),
        (
            "--part 3/8 --jobs 2 --limit 5 --max-failures 5%",
            {"part": "3/8", "jobs": 2, "limit": 5, "max_failures": "5%"},
        ),
        ("--retry-failed", {"retry_failed": True}),
        ("--ray", {"ray": True}),
        ("--ray=head:6379", {"ray": "head:6379"}),
    ],
)
def test_options(called, arguments, expected):
    done, given = called("a.mp4", "-o", "out", *arguments.split())
    assert done.exit_code == 0, done.output
    assert {name: given[name] for name in expected} == expected
    assert given.keys() == ALWAYS | expected.keys() | ({"options"} if "--damage" in arguments else set())


def test_a_table_of_segments(called):
    columns = ["--path", "video", "--segment-columns", "from,to"]
    done, given = called("list.csv", "-o", "out", *columns)
    assert done.exit_code == 0, done.output
    assert given["segments"] == "segments"
    assert len(given["src"]) == 2
    assert given["src"].sample(0)["segments"][1] == {"start": 2, "end": 3, "id": "y"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "SRC and -o are needed"),
        ("a.mp4", "SRC and -o are needed"),
        ("-o out", "SRC and -o are needed"),
        ("none.mp4 -o out", "No such file or directory: 'none.mp4'"),
        ("a.mp4 shard.tar -o out", "is a shard and"),
        ("a.mp4 b.mp4 -o out --segments scenes.csv", "a file of segments of one source, but SRC may be several"),
        ("shard.tar -o out --segments scenes.csv", "a file of segments of one source, but SRC may be several"),
        ("a.mp4 -o out --segments none/scenes.csv", "No such file or directory: 'none/scenes.csv'"),
        ("list.csv -o out --segment-columns from", "must be two columns"),
        ("list.csv -o out --segment-columns from,to --segments 0:1", "does not go with --segment-columns"),
        ("list.csv -o out", "path names column 'path', but list.csv has columns 'video', 'from', 'to', 'id'"),
        ("a.mp4 -o out --keys a=mp4,wav", "either all fields are given names"),
        ("a.mp4 -o out --whole --length 3", "--length does not go with --whole"),
        ("--ray a.mp4 b.mp4 -o out", "--ray has 'a.mp4', which is no address of a cluster"),
        ("a.mp4 -o out --mean x", "mean or std is 'x'"),
        ("a.mp4 -o out --audio --audio-dtype int8", "dtype is 'int8', but must be one of float32, int16"),
        ("a.mp4 -o out --jobs 0", "0 is not in the range"),
        ("out --finish --length 3", "--length does not go with --finish"),
        ("out more --finish", "--finish takes one folder of a job, but 2 are given"),
    ],
)
def test_what_is_refused(called, arguments, message):
    done, given = called(*arguments.split())
    assert done.exit_code in (1, 2), done.output
    assert given is None
    assert message in " ".join(done.output.split())
    assert done.output.splitlines()[-1].startswith("Error: ")


def test_the_summary(called):
    done, _ = called("a.mp4", "-o", "out")
    for each in ("3 samples in 2 parts", "40 clips, 640 frames, 0.5 hours", "12 MB in 2 shards", "1 error, 2 damage"):
        assert each in done.output
    assert "0:01:15" in done.output
    assert done.output.endswith("a: it is broken\nb: it is [red]\nand 1 more: out/part-*.failures.jsonl\n")
    done, _ = called("a.mp4", "-o", "out", "-q")
    assert (done.exit_code, done.output) == (0, "")


def test_too_many_failures(called):
    """All is printed that is printed otherwise; without --max-failures, only where nothing was extracted."""

    def failing(**_):
        raise TooManyFailures("3 of 9 samples have failed", DONE)

    done, _ = called("a.mp4", "-o", "out", job=failing)
    assert done.exit_code == 1
    assert "40 clips" in done.output
    assert done.output.endswith("Error: 3 of 9 samples have failed\n")
    done, _ = called("a.mp4", "-o", "out", "-q", job=lambda **_: replace(DONE, clips=0))
    assert (done.exit_code, done.output) == (1, "Error: nothing was extracted: 1 sample failed\n")


def test_a_dry_run(called):
    found = Expected(5, 2, 300, 1, 4000, 2_000_000_000, "b: it is broken")
    done, given = called("a.mp4", "-o", "out", "--dry-run", job=lambda **_: found)
    assert done.exit_code == 0, done.output
    assert given["dry_run"]
    for each in ("5, of which 2 are done", "300 samples, of which 1 cannot be read", "4000", "about 2,000 MB", "b: it"):
        assert each in done.output


def test_interruption(called):
    def interrupted(**_):
        raise KeyboardInterrupt

    done, _ = called("a.mp4", "-o", "out", job=interrupted)
    assert done.exit_code == 130
    assert "Interrupted." in done.output
    assert "the same command" in done.output


NOW = Progress(8, 3, 1, clips=120, source_seconds=7200.0, bytes_written=500_000_000, failures=1, elapsed=60.0)
FACTS = "120 clips, 2.0 clips/s, 0.0333 hours of video/s, 8.3 MB/s, 1 failure"


def test_lines_without_a_terminal():
    """One each half minute, with rates of the last half minute."""
    console = Console(file=io.StringIO(), width=40)
    with extract_display.progress_display(console, quiet=False) as show:
        for elapsed in (0.0, 10.0, 29.0, 31.0, 59.0, 61.0):
            show(replace(NOW, elapsed=elapsed, clips=round(elapsed) * 2))
    lines = console.file.getvalue().splitlines()
    assert [line.split(", ")[:3] for line in lines] == [
        ["3/8 parts", "62 clips", "2.0 clips/s"],
        ["3/8 parts", "122 clips", "2.0 clips/s"],
    ]
    assert lines[0].endswith("0:00:31, 0:01:18 left")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_display_on_a_terminal(width):
    rates = extract_display._Rates()
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(extract_display._Lines(rates))
    rates.add(replace(NOW, clips=0, source_seconds=0.0, bytes_written=0, elapsed=0.0))
    rates.add(NOW)
    console.print(extract_display._Lines(rates))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1].strip() == "reading the input"
    assert lines[2].startswith("3/8 parts")
    assert lines[2].rstrip().endswith("0:02:30 left")
    shown = " ".join(" ".join(lines[3:]).split())
    assert shown == FACTS.replace(",", "")


def test_nothing_is_shown_where_it_is_quiet():
    console = Console(file=io.StringIO(), force_terminal=True)
    with extract_display.progress_display(console, quiet=True) as show:
        assert show is None
    assert console.file.getvalue() == ""


def test_a_job(make_video, tmp_path, monkeypatch):
    """From files to shards, and again with nothing to do; a changed option is refused."""
    monkeypatch.chdir(tmp_path)
    Path("videos").mkdir()
    Path("videos/a.mp4").write_bytes(make_video(n=40).read_bytes())
    Path("videos/b.mp4").write_bytes(b"no video")
    command = ["extract", "videos", "-o", "out", "--length", "8", "--resize", "24", "--jobs", "1"]
    expected = CliRunner().invoke(main, [*command, "--dry-run"])
    assert expected.exit_code == 0, expected.output
    assert "2 samples, of which 1 cannot be read" in expected.output
    assert not Path("out").exists()
    for _ in range(2):
        done = CliRunner().invoke(main, [*command, "--max-failures", "50%"])
        assert done.exit_code == 0, done.output
        assert "5 clips, 40 frames" in done.output
        assert "1 error" in done.output
    told = CliRunner().invoke(main, ["info", "out"]).output
    for each in (
        "npy",
        "WindowSpec, dilation 1, length 8",
        "resize 24",
        "1 of 1 are done",
        "2 samples",
        "5 clips",
        "b: MediaError",
    ):
        assert each in told
    refused = CliRunner().invoke(main, ["info", "videos"])
    assert (refused.exit_code, "it has no job.json" in refused.output) == (1, True)
    clips = list(webdataset.WebDataset("out/clips-000000-0000.tar", shardshuffle=False).decode())
    assert [clip["__key__"] for clip in clips] == [f"a_{k:06d}" for k in range(5)]
    assert clips[0]["npy"].shape == (8, 24, 32, 3)
    for changed, message in (["--max-failures", "0"], "1 of 2 samples have failed"), (["--flip"], "flip"):
        done = CliRunner().invoke(main, [*command, *changed])
        assert done.exit_code == 1
        assert message in done.output
    assert CliRunner().invoke(main, ["extract", "out", "--finish", "-q"]).exit_code == 0
