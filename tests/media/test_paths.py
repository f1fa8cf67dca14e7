"""Paths that do not lead to a regular file are refused at once: a pipe that nobody writes to is never opened."""

import os
import socket
import sys

import pytest
from click.testing import CliRunner

import clipx
from clipx.cli.main import main
from clipx.media.sources import as_source

SPEC = clipx.WindowSpec(2)

PIPE = "is a pipe, but a path must be that of a regular file: open it, and give the file object or the bytes"


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize(
    "read",
    [
        lambda path: clipx.video.clips(path, SPEC),
        lambda path: clipx.video.clips(path, SPEC, options=clipx.VideoOptions(trusted=True)),
        lambda path: clipx.video.clips(path, SPEC, audio=clipx.AudioFormat(), segments=[(0, 1)]),
        clipx.video.probe,
        lambda path: clipx.audio.clips(path, SPEC),
        lambda path: clipx.audio.clips(str(path), SPEC, clipx.AudioFormat(stream=1), segments=[(0, 1)]),
    ],
)
def test_pipes(pipe, read):
    with pytest.raises(clipx.MediaError, match=PIPE) as raised:
        read(pipe)
    assert str(raised.value).startswith(f"'{pipe}' is a pipe")


def test_folders_sockets_and_devices(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")  # the whole path may be too long for one
        with pytest.raises(clipx.MediaError, match=r"is a socket, but a path must be that of a regular file$"):
            as_source("socket", "it")
    with pytest.raises(clipx.MediaError, match=r"it is a folder, but a path must be that of a regular file$"):
        as_source(str(tmp_path), "it")
    with pytest.raises(clipx.MediaError, match=r"it is a device, but .*: open it"):
        as_source("/dev/null", "it")


def test_links(tmp_path, make_video):
    link = tmp_path / "link"
    link.symlink_to(make_video(n=4))
    assert len(list(clipx.video.clips(link, SPEC))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/fd leads to the files themselves on Linux")
def test_a_file_as_standard_input(make_video):
    """/dev/stdin of `command < file` is such a path."""
    with make_video(n=4).open("rb") as file:
        assert len(list(clipx.video.clips(f"/dev/fd/{file.fileno()}", SPEC))) == 2


def test_an_open_pipe(make_video):
    """What the message says to do."""
    video = make_video(n=4).read_bytes()
    read, write = os.pipe()
    with open(write, "wb") as file:
        file.write(video)
    with open(read, "rb") as file:
        assert len(list(clipx.video.clips(file, SPEC))) == 2


def test_a_pipe_in_place_of_a_mapped_file(pipe):
    for read in (clipx.mapped.open, lambda path: next(clipx.mapped.members(path))):
        with pytest.raises(ValueError, match="is a pipe, but must be a regular file"):
            read(pipe)


@pytest.mark.parametrize("name", ["pipe", "pipe.mp4", "pipe.npy", "pipe.tar"])
def test_commands(tmp_path, name):
    os.mkfifo(tmp_path / name)
    done = CliRunner().invoke(main, ["check", str(tmp_path / name)])
    assert done.exit_code == 1
    assert "it is a pipe, but must be a regular file" in done.output.replace("\n", " ")
    for command, message in ((["info"], "it is a pipe"), (["preview", "-o", str(tmp_path / "sheet.png")], PIPE)):
        done = CliRunner().invoke(main, [*command, str(tmp_path / name)])
        assert done.exit_code == 1
        assert message in done.output.replace("\n", " ")
