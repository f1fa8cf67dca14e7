"""`clipx check`: what is broken, damaged or truncated, and what there is, against what was written."""

import io
import json
import tarfile
import threading
import wave
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from helpers.arrays import npy, npz
from helpers.media import remuxed
from helpers.shards import write_tar

from clipx.cli.main import main
from clipx.jobs import check as checking
from clipx.jobs.check import Finding, Summary, check, find_sources

RATE = 8000


def wav(n=RATE):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.random.default_rng(0).integers(-99, 99, 2 * n).astype("<i2").tobytes())
    return out.getvalue()


def check_one(path, data, **changes):
    path.write_bytes(data)
    (found,) = check([path], **changes)
    return found


@pytest.fixture
def video(make_video):
    return lambda *args, **kwargs: make_video(*args, **kwargs).read_bytes()


CONTAINERS = {
    "mp4": {"codec": "libx264", "g": "10"},
    "mkv": {"codec": "libx264", "container": "matroska", "g": "10"},
    "webm": {"codec": "libvpx-vp9", "container": "webm"},
    "ts": {"codec": "mpeg2video", "container": "mpegts"},
    "avi": {"codec": "mpeg4", "container": "avi"},
    "flv": {"codec": "flv", "container": "flv"},
    "mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "mov"},
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_whole_videos(tmp_path, video, kind):
    data = video(50, size=(64, 96), **CONTAINERS[kind])
    found = check_one(tmp_path / f"a.{kind}", data)
    assert (found.status, found.error, found.damage) == ("ok", None, [])
    assert (found.kind, found.frames, found.width, found.height) == ("video", 50, 96, 64)
    assert found.fps == pytest.approx(25, abs=0.01)
    assert found.seconds == pytest.approx(2, abs=0.05)
    assert found.sample_rate is None
    quick = check_one(tmp_path / f"a.{kind}", data, headers=True)
    size = (None, None) if kind == "flv" else (96, 64)  # its header does not say
    assert (quick.status, quick.width, quick.height, quick.codec) == ("ok", *size, found.codec)
    assert quick.frames in (50, None)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("part", [0.5, 0.8])
def test_videos_that_are_cut_short(tmp_path, video, kind, part):
    data = video(50, size=(64, 96), **CONTAINERS[kind])
    found = check_one(tmp_path / f"a.{kind}", data[: int(len(data) * part)])
    wanted = {
        "mp4": {"broken"},  # what says where its frames are stands at the end
        "mov": {"broken"},
        "ts": {"damaged", "truncated", "ok"},  # no header says how long it is
    }.get(kind, {"truncated"})
    assert found.status in wanted, found
    assert found.error or kind == "ts"
    if found.status != "broken":
        assert 0 < found.frames < 50


def test_a_video_that_is_damaged_in_the_middle(tmp_path, video):
    data = bytearray(video(100, size=(64, 96), g="10", bf="0"))
    rng = np.random.default_rng(0)
    for at in rng.integers(len(data) * 2 // 5, len(data) * 3 // 5, 40):
        data[at] ^= 255
    found = check_one(tmp_path / "a.mp4", bytes(data))
    assert found.status == "damaged"
    assert found.damage
    assert all(each.seconds is None or 1 < each.seconds < 3 for each in found.damage)
    assert " s)" in found.error
    assert check_one(tmp_path / "a.mp4", bytes(data), headers=True).status == "ok"


def test_an_mp4_whose_end_is_missing_behind_its_header(tmp_path, make_video):
    source = make_video(100, movflags="+faststart")
    path = tmp_path / "fast.mp4"
    whole = remuxed(source, "mp4", to=path, options={"movflags": "faststart"})
    for headers in (False, True):
        found = check_one(path, whole[: len(whole) * 2 // 3], headers=headers)
        assert found.status == "truncated", headers
        assert str(len(whole) * 2 // 3) in found.error
        assert check_one(path, whole, headers=headers).status == "ok"


def test_sound(tmp_path):
    found = check_one(tmp_path / "a.wav", wav())
    assert (found.status, found.kind, found.frames, found.sample_rate, found.channels) == ("ok", "sound", RATE, RATE, 2)
    assert found.seconds == 1
    found = check_one(tmp_path / "a.wav", wav()[:20_000])
    assert found.status == "truncated"
    found = check_one(tmp_path / "a.wav", b"RIFF" + b"x" * 99)
    assert found.status == "broken"


def test_sound_beside_a_video(tmp_path, real_video):
    path = real_video("bigbuckbunny.mp4")
    found = next(check([path]))
    import av

    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert found.status == "ok", found
    assert found.frames == frames
    assert found.sound_frames == pytest.approx(samples, abs=2048)
    assert (found.sample_rate, found.channels) == (48000, 6)


def test_arrays(tmp_path):
    x = np.zeros((3, 4, 5), "f4")
    found = check_one(tmp_path / "a.npy", npy(x))
    assert (found.status, found.kind, found.shape, found.dtype) == ("ok", "array", [3, 4, 5], "float32")
    assert check_one(tmp_path / "a.npy", npy(x)[:-1]).status == "broken"
    found = check_one(tmp_path / "a.npz", npz(np.savez_compressed, x=x, y=np.arange(7)))
    assert (found.status, found.shape) == ("ok", {"x": [[3, 4, 5], "float32"], "y": [[7], "int64"]})
    data = bytearray(npz(np.savez_compressed, x=np.random.default_rng(0).random(999)))
    data[len(data) // 2] ^= 255
    assert check_one(tmp_path / "a.npz", bytes(data)).status == "broken"
    assert check_one(tmp_path / "a.npz", b"PK").status == "broken"


@pytest.mark.filterwarnings("ignore:unclosed file")  # of a shard, as webdataset opens it
def test_names_that_do_not_tell(tmp_path, video):
    for data, kind in (
        (video(20), "video"),
        (wav(), "sound"),
        (npy(np.arange(3)), "array"),
        (npz(np.savez_compressed, a=np.arange(3)), "array"),
    ):
        found = check_one(tmp_path / "data", data)
        assert (found.status, found.kind) == ("ok", kind)
    write_tar(tmp_path / "data", [("a.wav", wav())])
    assert Counter(found.kind for found in check([tmp_path / "data"])) == {"shard": 1, "sound": 1}
    assert check_one(tmp_path / "data", b"nothing at all").status == "broken"
    assert check_one(tmp_path / "data", b"").status == "broken"
    (found,) = check([tmp_path / "none.mp4"])
    assert found.status == "broken"
    assert "none.mp4" in found.error


@pytest.fixture
def shard(tmp_path, video):
    """A shard of whole and of broken samples."""
    whole = video(50)
    files = [
        ("a.mp4", whole),
        ("a.json", b"{}"),
        ("b.mp4", b"no video"),
        ("b.json", b"{"),
        ("c.wav", wav()),
        ("c.cls", b"3"),
        ("d.mp4", whole),
    ]
    return write_tar(tmp_path / "s.tar", files)


def test_a_shard(shard):
    found = list(check([shard], threads=2))
    reported = {(each.sample, each.field): (each.kind, each.status) for each in found}
    assert reported == {
        ("a", "mp4"): ("video", "ok"),
        ("b", "mp4"): ("video", "broken"),
        ("b", "json"): ("field", "broken"),
        ("c", "wav"): ("sound", "ok"),
        ("d", "mp4"): ("video", "ok"),
        (None, None): ("shard", "ok"),
    }
    assert next(each.samples for each in found if each.kind == "shard") == 4
    assert {each.frames for each in found if each.field == "mp4"} == {50, None}


def test_a_shard_that_is_cut_short(shard):
    with tarfile.open(shard) as tar:
        last = tar.getmember("d.mp4")
    data = shard.read_bytes()
    shard.write_bytes(data[: last.offset_data + last.size // 2])
    found = list(check([shard]))
    assert [each.status for each in found if each.kind == "shard"] == ["truncated"]
    assert any("d.mp4" in each.error for each in found if each.kind == "shard")
    assert "d" not in {each.sample for each in found}
    shard.write_bytes(b"")
    assert [each.status for each in check([shard])] == ["broken"]
    (found,) = check([shard.with_name("none.tar")])
    assert found.status == "broken"


def test_what_is_too_large_is_not_read(shard, monkeypatch):
    monkeypatch.setattr(checking, "MOST_SAMPLE", 1000)
    found = {(each.sample, each.field): each for each in check([shard])}
    assert found["a", "mp4"].status == "broken"
    assert "1000" in found["a", "mp4"].error


def names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("clipx-check")]


def test_closing_a_check_ends_its_threads(shard):
    found = check([shard] * 200, threads=3)
    next(found)
    assert names()
    found.close()
    assert not names()


def test_sources(tmp_path, shard):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    for name in ("x.mp4", "y.WAV", "z.txt", "w.tar.gz", "v.gz"):
        (folder / name).write_bytes(b"")
    inside = sorted(str(folder / name) for name in ("x.mp4", "y.WAV", "w.tar.gz"))
    assert find_sources([tmp_path / "deep", shard]) == [*inside, str(shard)]
    assert find_sources(["s-{00..02}.tar"]) == ["s-00.tar", "s-01.tar", "s-02.tar"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty"):
        find_sources([tmp_path / "empty"])


# The command


def test_the_command(tmp_path, shard):
    out = tmp_path / "found.jsonl"
    done = CliRunner().invoke(main, ["check", str(shard), "-o", str(out), "--threads", "2"])
    assert done.exit_code == 1
    assert "b mp4: broken" in done.output
    assert "b json: broken" in done.output
    for words in ("3 videos", "100 frames", "2 of 64x48", "without sound", "2 of 3"):
        assert words in done.output, done.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 6
    (a,) = [line for line in lines if line.get("sample") == "a"]
    assert (a["frames"], a["width"], a["height"], a["fps"], a["sample_rate"]) == (50, 64, 48, 25, None)
    assert {line["status"] for line in lines} == {"ok", "broken"}


def test_the_command_on_names_that_a_terminal_would_obey(tmp_path):
    shard = write_tar(tmp_path / "s.tar", [("a\x1b[31m\udcff.mp4", b"no video")])
    out = tmp_path / "found.jsonl"
    done = CliRunner().invoke(main, ["check", str(shard), "-o", str(out)])
    assert done.exit_code == 1
    assert "\x1b" not in done.output
    assert "a\\x1b[31m\\udcff mp4: broken" in done.output
    assert json.loads(out.read_text().splitlines()[0])["sample"] == "a\x1b[31m\udcff"


def test_the_command_on_what_is_whole(tmp_path, video):
    (tmp_path / "a.mp4").write_bytes(video(20))
    done = CliRunner().invoke(main, ["check", str(tmp_path)])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(main, ["check", str(tmp_path), "-q", "--headers"])
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["{empty}"], [], ["{file}", "-o", "{empty}/none/x.jsonl"], ["{file}", "--threads", "0"]]
)
def test_the_command_says_what_is_wrong_with_it(tmp_path, shard, arguments):
    (tmp_path / "empty").mkdir()
    filled = [each.format(empty=tmp_path / "empty", file=shard) for each in arguments]
    done = CliRunner().invoke(main, ["check", *filled])
    assert done.exit_code in (1, 2)
    assert "Error" in done.output
    assert "Traceback" not in done.output


def test_an_interrupted_command_keeps_what_it_has_written(tmp_path, shard, monkeypatch):
    given = check

    def interrupted(*args, **kwargs):
        for number, found in enumerate(given(*args, **kwargs)):
            if number == 2:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(checking, "check", interrupted)
    out = tmp_path / "found.jsonl"
    done = CliRunner().invoke(main, ["check", str(shard), "-o", str(out)])
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert len(out.read_text().splitlines()) == 2
    assert not names()


def test_a_summary():
    summary = Summary()
    for status, rate in (("ok", 48000), ("damaged", None), ("broken", None)):
        summary.add(Finding("a", kind="video", status=status, frames=5, height=2, width=3, fps=25.0, sample_rate=rate))
    assert summary.failed == 2
    assert (summary.silent, summary.frames) == (1, 10)
    assert summary.sizes == {(2, 3): 2}
