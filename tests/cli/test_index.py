"""`clipx index`, and `clipx info` of what it writes."""

import pytest
from click.testing import CliRunner
from helpers.arrays import npy
from helpers.corpus import sound_bytes, video_bytes
from helpers.shards import write_tar

import clipx
from clipx.cli.main import main

pytest.importorskip("pyarrow")


def run(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    fields = {"a.mp4": video_bytes("mp4 h264, B-frames"), "b.mp4": b"broken", "b.npy": npy(clipx.windows.starts(9, 3))}
    write_tar(path / "shard.tar", fields)
    (path / "film.mkv").write_bytes(video_bytes("mkv h264"))
    (path / "sound.wav").write_bytes(sound_bytes("wav pcm"))
    (path / "table.csv").write_text("video,label\nfilm.mkv,1\nnone.mkv,2\n")
    return path


def test_index_and_info(data, tmp_path):
    out = tmp_path / "index.parquet"
    done = run("index", data, "-o", out)
    assert done.exit_code == 0, done.output
    assert "shard.tar b mp4: broken: MediaError" in done.output
    assert "3 videos, 1 array, 1 sound" in done.output
    assert "4 samples" in done.output
    assert len(clipx.Index(out)) == 4
    told = run("info", out, "--rows", 2).output
    for each in ("64x48", "h264", "and 5 rows more", "2 of 64x48", "4 samples, from", "1 broken"):
        assert each in told, told
    assert run("index", data, "-o", out, "-q", "--threads", 1).output == ""


def test_a_table_is_told_apart(data, tmp_path):
    done = run("index", data / "table.csv", "-o", tmp_path / "index.parquet")
    assert done.exit_code == 2
    assert "is a table of files: give it alone, with --table" in done.output


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_an_index_of_nothing_is_a_failure(quiet, data, tmp_path):
    done = run("index", tmp_path / "none", "-o", tmp_path / "index.parquet", *quiet)
    assert done.exit_code == 1
    assert done.output.endswith("Error: nothing of SRC can be read\n")
    of_table = ["--table", "--path", "video", "--root", tmp_path]
    table = run("index", data / "table.csv", *of_table, "-o", tmp_path / "table.parquet", *quiet)
    assert "nothing of SRC can be read: are its paths and --root right?" in table.output


def test_info_of_a_shard_and_a_sound(data):
    told = run("info", data / "shard.tar").output
    for each in ("a", "mp4", "h264", "broken: MediaError", "<i8 (3,)"):
        assert each in told, told
    assert "8000" in run("info", data / "sound.wav").output


def test_index_of_a_table(data, tmp_path):
    out = tmp_path / "index.parquet"
    done = run("index", data / "table.csv", "--table", "--path", "video", "-o", out)
    assert done.exit_code == 0, done.output
    assert "none.mkv" in done.output
    assert "FileNotFoundError" in done.output
    sample = clipx.Index(out).sample(0)
    assert (sample["label"], sample["mkv"].facts.index.frames) == (1, 40)


def test_bad_arguments(data, tmp_path):
    out = tmp_path / "index.parquet"
    for arguments, message in (
        (
            ["index", data, data, "--table", "-o", out],
            "is one table or index, and goes with no other, but 2 names are given",
        ),
        (["index", data, "--key", "id", "-o", out], "go with --table"),
        (["index", data, "-o", out, "--threads", 2, "--processes", 1], "give one of them"),
        (["index", tmp_path, "-o", out], "holds no shard"),
        (["info", data / "table.csv"], "cannot be opened"),
    ):
        done = run(*arguments)
        assert done.exit_code in (1, 2), done.output
        assert message in done.output
    out.write_bytes(b"PAR1 but no more")
    done = run("info", out)
    assert done.exit_code == 1
    assert "not a Parquet file, or is truncated" in done.output
