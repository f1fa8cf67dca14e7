"""The command line, as a person runs it."""

import pytest
from click.testing import CliRunner
from helpers.processes import run_python
from helpers.torchless import WITHOUT_TORCH

import clipx
from clipx.cli import demo_runs as demo
from clipx.cli.main import main
from clipx.cli.output import counted


def run(*arguments):
    return run_python("-m", "clipx", *arguments, timeout=100)


def check_refused(done, message):
    assert done.exit_code in (1, 2), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert message in done.output
    assert done.output.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("command", [[], ["info"], ["preview"], ["check"], ["index"], ["extract"], ["bench"], ["demo"]])
def test_help(command):
    short, long = (CliRunner().invoke(main, [*command, option]) for option in ("-h", "--help"))
    assert short.exit_code == long.exit_code == 0
    assert short.output == long.output
    assert "Example" in long.output or not command


def test_one_clip_and_two_clips():
    assert [counted(n, "clip") for n in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]


def test_version_and_info():
    assert CliRunner().invoke(main, ["--version"]).output == f"clipx, version {clipx.__version__}\n"
    reported = CliRunner().invoke(main, ["info"])
    assert reported.exit_code == 0
    for each in (clipx.simd, "FFmpeg", "libavcodec", "numpy"):
        assert each in reported.output


def test_info_of_a_video(make_video, tmp_path):
    done = CliRunner().invoke(main, ["info", str(make_video(n=40))])
    assert done.exit_code == 0, done.output
    for each in ("64x48", "25 frames/s", "40", "1.600 s", "h264", "sound", "none"):
        assert each in done.output
    text = tmp_path / "text"
    text.write_text("text")
    check_refused(CliRunner().invoke(main, ["info", str(text)]), "cannot be opened")
    check_refused(CliRunner().invoke(main, ["info", str(tmp_path / "none")]), "does not exist")


def test_demo(tmp_path, real_video):
    pytest.importorskip("matplotlib")
    done = run("demo", "--video", real_video("carphone_pristine.mp4"), "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    for kind in demo.KINDS:
        assert kind in done.stdout
    assert "All 4 gave the same 40 clips" in done.stdout
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_demo_shows_what_views_retain(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "VIDEOS", 4)
    monkeypatch.setattr(demo, "FRAMES", 120)
    monkeypatch.syspath_prepend(WITHOUT_TORCH)  # for the processes that it starts
    reported = []
    dataset = demo.make_dataset(tmp_path, report=reported.append)
    assert reported == [1, 2, 3, 4]
    assert dataset.clips == 16
    views, copies, pool, loader = (demo.run(kind, dataset) for kind in demo.KINDS)
    assert views.checksums == copies.checksums == pool.checksums == loader.checksums
    assert len(views.checksums) == 16
    assert views.retained > 2 * views.shown
    assert copies.retained == copies.shown == dataset.nominal
    assert pool.retained == pool.shown == dataset.nominal


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_demo_refuses_what_it_cannot_cut(tmp_path, content):
    file = tmp_path / "file.mp4"
    file.write_bytes(content)
    done = run("demo", "--video", file, "--out", tmp_path)
    assert done.returncode == 1
    assert "file.mp4" in done.stderr
    assert "Traceback" not in done.stderr


def test_demo_refuses_a_short_video(tmp_path, make_video):
    done = CliRunner().invoke(main, ["demo", "--video", str(make_video(n=10)), "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "10 frames" in done.output


def test_preview(tmp_path, make_video):
    pytest.importorskip("matplotlib")
    sheet = tmp_path / "sheet.png"
    arguments = ["preview", make_video(n=40), "-o", sheet, "--length", 4, "--dilation", 2, "--fps", "12.5", "--rows", 2]
    done = CliRunner().invoke(main, [*map(str, arguments), "--crop", "32,40", "--color", "gray", "--flip"])
    assert done.exit_code == 0, done.output
    assert "2 clips" in done.output
    assert "there are more" not in done.output
    assert sheet.read_bytes().startswith(b"\x89PNG")
    done = CliRunner().invoke(main, [*map(str, arguments[:-2]), "--rows", "1", "--num-clips", "3"])
    assert "1 clip, and there are more" in done.output


@pytest.mark.parametrize(("crop", "views"), [("32", 1), ("random,20,30", 1), ("three,48", 3), ("ten,20,30", 10)])
def test_preview_of_several_views(tmp_path, make_video, crop, views):
    image = pytest.importorskip("matplotlib.image")
    sheet, heights = tmp_path / "sheet.png", []
    for rows in (1, 2):
        arguments = ["preview", make_video(n=40), "-o", sheet, "--length", 4, "--rows", rows, "--crop", crop]
        done = CliRunner().invoke(main, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
        assert f"{counted(rows, 'clip')}, and there are more" in done.output
        heights.append(image.imread(sheet).shape[0])
    lines, width = (int(each) for each in crop.split(",")[-2:]) if crop.count(",") == 2 else (1, 1)
    expected = views * (1.35 * lines / width + 0.45) * 100
    assert heights == [pytest.approx(expected, abs=2), pytest.approx(2 * expected, abs=2)]


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (["--resize", "24"], (24, 32)),
        (["--resize", "24,40", "--interpolation", "bicubic"], (24, 40)),
        (["--resize", "longer,32"], (24, 32)),
        (["--resize", "fit,40,20,128"], (40, 20)),
        (["--resize", "pixels,100,1000,4", "--interpolation", "area"], (24, 36)),
        (["--crop", "resized,20"], (20, 20)),
        (["--crop", "resized,40,20", "--interpolation", "nearest"], (40, 20)),
    ],
)
def test_preview_of_resized_pictures(tmp_path, make_video, arguments, shape):
    image = pytest.importorskip("matplotlib.image")
    sheet = tmp_path / "sheet.png"
    done = CliRunner().invoke(main, ["preview", str(make_video(n=8)), "-o", str(sheet), *arguments])
    assert done.exit_code == 0, done.output
    assert image.imread(sheet).shape[0] == pytest.approx((1.35 * shape[0] / shape[1] + 0.45) * 100, abs=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resize", "longer"], "'longer' is not a number"),
        (["--resize", "shorter,8"], "resize is ('shorter', 8), but the names are longer, fit, pixels"),
        (["--resize", "fit,8,8"], "resize is ('fit', 8, 8), but must be ('fit', height, width, value)"),
        (["--crop", "resized,0"], "size is 0, but must be at least 1"),
        (["--crop", "resized,8", "--resize", "8"], "resize is 8, but crop is RandomResizedCrop(size=(8, 8))"),
        (["--interpolation", "area"], "interpolation is 'area', but neither resize nor crop"),
        (["--resize", "8", "--interpolation", "lanczos"], "interpolation is 'lanczos', but must be one of bilinear"),
        (["--crop", "999"], "crop is (999, 999)"),
        (["--crop", "x"], "'x' is not a number"),
        (["--crop", "four,20"], "the names are random, three, five, ten"),
        (["--crop", "three,x"], "'x' is not a number"),
        (["--crop", "three,49"], "crop is ('three', (49, 49)), but the picture is 48 by 64"),
        (["--fps", "0"], "fps is '0'"),
        (["--length", "0"], "length is 0"),
        (["--policy", "bounce"], "policy is 'bounce'"),
        (
            ["--length", "100"],
            "no clips: {video} lasts 1.6 s and has 40 frames to take clips from",
        ),
        (["--length", "21", "--fps", "12.5"], "lasts 1.6 s and has 20 frames to take clips from, and a clip spans 21"),
        (["--start-seconds", "9"], "lasts 1.6 s and has 0 frames to take clips from"),
        (["--resize", "99999"], "Unable to allocate"),
        (["--stream", "3"], "stream is 3"),
        (["--quality", "best"], "quality is 'best', but must be one of exact, fast"),
        (["--num-clips", "2", "--stride", "3"], "stride is 3"),
    ],
)
def test_preview_says_what_is_wrong(tmp_path, make_video, arguments, message):
    video, sheet = make_video(n=40), tmp_path / "sheet.png"
    done = CliRunner().invoke(main, ["preview", str(video), "-o", str(sheet), *arguments])
    check_refused(done, message.format(video=video))
    assert not sheet.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["preview", "{none}", "-o", "{none}.png"], "does not exist"),
        (["preview", "{folder}", "-o", "{none}.png"], "is a directory"),
        (["preview", "{text}", "-o", "{none}.png"], "cannot be opened"),
        (["preview", "{video}", "-o", "{none}/sheet.png"], "No such file or directory"),
        (["preview", "{video}", "-o", "{none}.nothing"], "'nothing' is not supported"),
        (["preview", "{video}", "-o", "{none}.png", "--rows", "0"], "0 is not in the range"),
        (["check", "{video}", "-o", "{none}/found.jsonl"], "No such file or directory"),
        (["check", "{folder}"], "holds no shard"),
        (["check", "a{{b"], "Unbalanced braces"),
        (["demo", "--video", "{none}"], "does not exist"),
        (["demo", "--video", "{text}", "--out", "{none}"], "cannot be opened"),
        (["demo", "--video", "{video}", "--out", "{text}"], "is a file"),
        (["demo", "--video", "{video}", "--out", "{text}/demo"], "Not a directory"),
        (["nonsense"], "No such command"),
    ],
)
def test_bad_input_is_one_line(tmp_path, make_video, arguments, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("text")
    names = {name: tmp_path / name for name in ("none", "folder", "text")}
    done = CliRunner().invoke(main, [each.format(**names, video=make_video(n=40)) for each in arguments])
    check_refused(done, message)


def test_a_folder_that_does_not_exist():
    done = run("check", "nowhere/shards")
    assert done.returncode == 1
    assert "nowhere/shards: broken: FileNotFoundError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_check_of_a_file_of_no_known_kind(tmp_path):
    (tmp_path / "notes.dat").write_text("hello")
    done = CliRunner().invoke(main, ["check", str(tmp_path / "notes.dat")])
    assert done.exit_code == 1
    assert "1 unknown file" in done.output
    assert "1 broken" in done.output
