"""Options of `clipx preview` that say which frames: specs and segments."""

import json

import pytest
from click.testing import CliRunner

from clipx.cli import main

N = 40
SCENES = "Scene Number,Start Frame,End Frame\n1,1,10\n2,11,40\n"


@pytest.fixture
def drawn(tmp_path, make_video, monkeypatch):
    """Runs `clipx preview`; gives what it prints, and the clips that it draws as (segment, frames)."""
    pytest.importorskip("matplotlib")
    from clipx.cli import contact_sheet

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        clips, rows_of = [], contact_sheet._rows
        with monkeypatch.context() as patch:

            def record(clip):
                number = None if clip.segment is None else clip.segment.number
                clips.append((number, clip.frame_indices.tolist()))
                return rows_of(clip)

            patch.setattr(contact_sheet, "_rows", record)
            done = CliRunner().invoke(main, ["preview", str(make_video(N)), "-o", "sheet.png", *arguments])
        return done, clips

    return run


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        ("--uniform --length 4", [[5, 15, 25, 35]]),
        ("--uniform --length 3 --sampling linspace", [[0, 20, 39]]),
        ("--rate 2", [[0, 20, 39]]),
        ("--rate 5 --max-frames 2", [[0, 39]]),
        ("--frames 3,1,39", [[3, 1, 39]]),
        ("--seconds 0.4,0.05 --tolerance-seconds 0.02", [[10, 1]]),
        ("--length 2 --stride 20 --offset 5", [[5, 6], [25, 26]]),
        ("--length 2 --num-clips 2 --sampling regular", [[0, 1], [38, 39]]),
        ("--length 20 --policy repeat_last --dilation 2", [list(range(0, 40, 2))]),
    ],
)
def test_specs(drawn, arguments, frames):
    done, clips = drawn(*arguments.split())
    assert done.exit_code == 0, done.output
    assert clips == [(None, each) for each in frames]


@pytest.mark.parametrize("arguments", ["--offset random --stride 8 --length 2", "--uniform --sampling random"])
def test_random_specs_have_a_seed(drawn, arguments):
    runs = [drawn(*arguments.split(), "--seed", seed)[1] for seed in ("1", "1", "2")]
    assert runs[0] == runs[1] != runs[2]


def test_segments(drawn, tmp_path):
    (tmp_path / "scenes.csv").write_text(SCENES)
    (tmp_path / "a.json").write_text(json.dumps({"s": [[0, 0.4], {"start": 0.4, "end": 1.6}], "t": {"x": [0.8, 1.2]}}))
    (tmp_path / "b.json").write_text("[[0.8, 1.2]]")
    two = [(0, [2, 7]), (1, [17, 32])]
    for given, wanted in [
        ("scenes.csv", two),
        ("a.json:s", two),
        ("0:0.4,0.4:1.6", two),
        ("a.json:t.*", [(0, [22, 27])]),
        ("b.json", [(0, [22, 27])]),
        ("0.8:1.2", [(0, [22, 27])]),
    ]:
        done, clips = drawn("--uniform", "--length", "2", "--segments", given)
        assert done.exit_code == 0, done.output
        assert clips == wanted


def test_a_bad_segment_is_printed_and_loses_no_other(drawn):
    done, clips = drawn("--uniform", "--length", "2", "--segments", "9:10,0.8:1.2")
    assert (done.exit_code, clips) == (0, [(1, [22, 27])])
    assert "segment 0, 9.0 to 10.0 s: it starts at 9.0 s" in done.output
    done, clips = drawn("--length", "30", "--segments", "0.8:1.2")
    assert (done.exit_code, clips) == (1, [])
    assert "has 40 frames to take clips from, in 1 segment, and a clip spans 30 frames" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--uniform --stride 3", "--stride does not go with --uniform"),
        ("--rate 2 --length 3", "--length does not go with --rate"),
        ("--rate 2 --frames 1", "--frames does not go with --rate: each says all of the clips"),
        ("--multiple 2", "--multiple does not go with windows"),
        ("--frames 1,x", "--frames has 'x', which is not a number"),
        ("--frames 1,99", "frames[1] is 99, but there are 40 frames"),
        ("--seconds 1,", "--seconds has '', which is not a number"),
        ("--uniform --sampling regular", "sampling is 'regular', but must be one of centers"),
        ("--rate 0", "fps is '0'"),
        ("--segments 1:0", "--segments is '1:0', but must be a file, or pairs such as 0:4.5,10:12: end is 0"),
        ("--segments 1", "--segments is '1', but must be a file, or pairs such as 0:4.5,10:12"),
        ("--segments 0-1", "--segments is '0-1', but must be a file, or pairs such as 0:4.5,10:12"),
        ("--segments none.csv", "No such file or directory: 'none.csv'"),
        ("--segments none.json", "No such file or directory: 'none.json'"),
        ("--segments bad.json", "segment 0 of 'json': end is 1, but must be after start, 2"),
        ("--segments bad.json:x", "there is no json:x"),
        ("--segments bad.csv", "bad.csv, line 2, column 'end': 'x' is not a number of seconds"),
    ],
)
def test_what_is_refused(drawn, tmp_path, arguments, message):
    (tmp_path / "bad.json").write_text("[[2, 1]]")
    (tmp_path / "bad.csv").write_text("start,end\n0,x\n")
    done, _ = drawn(*arguments.split())
    assert done.exit_code == 1
    assert message in " ".join(done.output.split())
    assert not (tmp_path / "sheet.png").exists()
