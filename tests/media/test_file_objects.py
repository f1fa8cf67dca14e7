"""File objects of others: what they answer is checked before it reaches FFmpeg, and what they raise is passed on."""

import io
import mmap
import wave

import av
import numpy as np
import pytest

import clipx
from clipx.media.file_objects import CheckedFile
from clipx.media.sources import as_source

SPEC = clipx.WindowSpec(4, 2)


@pytest.fixture(scope="module")
def video():
    """More than FFmpeg reads at once, so that it comes back for more."""
    out, rng = io.BytesIO(), np.random.default_rng(0)
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 120, "yuv420p", 8_000_000
        for _ in range(12):
            picture = rng.integers(0, 256, (120, 160, 3), np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    assert len(out.getvalue()) > 150_000
    return out.getvalue()


@pytest.fixture(scope="module")
def sound():
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.random.default_rng(0).integers(-9999, 9999, 100_000).astype("<i2").tobytes())
    return out.getvalue()


def extract_clips(src, kind="video"):
    if kind == "video":
        return [clip.data.copy() for clip in clipx.video.clips(src, SPEC)]
    return [clip.data.copy() for clip in clipx.audio.clips(src, clipx.WindowSpec(1000))]


def same(got, wanted):
    assert len(got) == len(wanted) > 0
    assert all(np.array_equal(*pair) for pair in zip(got, wanted))


class File:
    """A file object of three methods, whose answers are changed from a number of calls on."""

    def __init__(self, data, after=0, **changes):
        self.file, self.calls, self.after = io.BytesIO(data), 0, after
        self.changes = changes

    def answer(self, name, value, *asked):
        self.calls += name == "read"
        change = self.changes.get(name)
        return value if change is None or self.calls <= self.after else change(value, *asked)

    def read(self, size=-1):
        return self.answer("read", self.file.read(size), size)

    def seek(self, offset, whence=0):
        return self.answer("seek", self.file.seek(offset, whence), offset, whence)

    def tell(self):
        return self.answer("tell", self.file.tell())


class Stream:
    """A file object that can only be read."""

    def __init__(self, data, after=0, **changes):
        self.read = File(data, after, **changes).read


def raises(error):
    def change(*_):
        raise error

    return change


class Own(bytes):
    def __bytes__(self):
        raise AssertionError("nothing of it is called")

    def __len__(self):
        return 5


MORE = "more than were asked for"
READS = {
    "more": (
        lambda data, size: data + b"x" * 100_000,
        clipx.MediaError,
        r"read\(\d+\) of .* gave \d+ bytes, more than",
    ),
    "one more": (lambda data, size: bytes(size + 1), clipx.MediaError, MORE),
    "bytearray of more": (lambda data, size: bytearray(size + 1), clipx.MediaError, MORE),
    "wide items": (
        lambda data, size: memoryview(np.zeros(size, np.int64)),
        clipx.MediaError,
        "more than were asked for",
    ),
    "hides more": (lambda data, size: Own(size + 1), clipx.MediaError, MORE),
    "None": (lambda data, size: None, TypeError, r"read\(\d+\) of .* gave None, but must give bytes"),
    "text": (lambda data, size: "x" * size, TypeError, "gave a str, but must give bytes"),
    "number": (lambda data, size: 5, TypeError, "gave a int, but must give bytes"),
    "truth": (lambda data, size: True, TypeError, "gave a bool, but must give bytes"),
    "list": (lambda data, size: [1, 2], TypeError, "gave a list, but must give bytes"),
    "OSError": (raises(OSError("the network is down")), OSError, "the network is down"),
    "ValueError": (raises(ValueError("closed")), ValueError, "closed"),
    "MemoryError": (raises(MemoryError("none left")), MemoryError, "none left"),
    "KeyboardInterrupt": (raises(KeyboardInterrupt("now")), KeyboardInterrupt, "now"),
    "SystemExit": (raises(SystemExit(3)), SystemExit, "3"),
    "StopIteration": (raises(StopIteration("over")), OSError, "StopIteration"),
    "own": (raises(type("Own", (BaseException,), {})("of ours")), BaseException, "of ours"),
}


@pytest.mark.parametrize("kind", ["video", "sound"])
@pytest.mark.parametrize("made", [File, Stream])
@pytest.mark.parametrize("after", [0, 1, 2, 4])
@pytest.mark.parametrize("name", READS)
def test_what_read_gives(video, sound, name, after, made, kind, capfd):
    """At the start and later; nothing is swallowed, and nothing printed."""
    change, error, text = READS[name]
    with pytest.raises(error, match=text):
        extract_clips(made(video if kind == "video" else sound, after, read=change), kind)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("give", [bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8), Own])
def test_kinds_of_bytes(video, give):
    same(extract_clips(File(video, read=lambda data, size: give(data))), extract_clips(video))


SEEKS = {
    "None": (lambda position, *_: None, None, ""),
    "numpy": (lambda position, *_: np.int64(position), None, ""),
    "float": (lambda position, *_: float(position), TypeError, "seek of .* gave a float, but must give a number"),
    "text": (lambda position, *_: str(position), TypeError, "seek of .* gave a str"),
    "truth": (lambda position, *_: True, TypeError, "seek of .* gave True, but must give a number"),
    "negative": (lambda position, *_: -5, clipx.MediaError, "seek of .* gave position -5, which is not possible"),
    "huge": (lambda position, *_: 2**70, clipx.MediaError, "which is not possible"),
    "OSError": (raises(OSError("cannot")), OSError, "cannot"),
    "KeyboardInterrupt": (raises(KeyboardInterrupt("now")), KeyboardInterrupt, "now"),
}


@pytest.mark.parametrize("name", SEEKS)
def test_what_seek_gives(video, name):
    change, error, text = SEEKS[name]
    if error is None:
        same(extract_clips(File(video, seek=change)), extract_clips(video))
    else:
        with pytest.raises(error, match=text):
            extract_clips(File(video, seek=change))


@pytest.mark.parametrize("name", ["float", "truth", "negative", "huge", "KeyboardInterrupt"])
def test_what_tell_gives(video, name):
    change, error, text = SEEKS[name]
    with pytest.raises(error, match=text.replace("seek", "tell")):
        extract_clips(File(video, -1, tell=change))


class WithoutTell:
    def __init__(self, data, position=0, reports_position=True):
        self.file, self.reports_position = io.BytesIO(data), reports_position
        self.file.seek(position)
        self.read = self.file.read

    def seek(self, offset, whence=0):
        position = self.file.seek(offset, whence)
        return position if self.reports_position else None


@pytest.mark.parametrize("kind", ["video", "sound"])
def test_without_tell(video, sound, kind):
    data = video if kind == "video" else sound
    same(extract_clips(WithoutTell(data), kind), extract_clips(data, kind))
    same(extract_clips(WithoutTell(b"before" + data, 6), kind), extract_clips(data, kind))
    if kind == "video":
        window = clipx.WindowSpec(3, num_clips=2)
        got = [clip.data for clip in clipx.video.clips(WithoutTell(data), window)]
        same(got, [clip.data for clip in clipx.video.clips(data, window)])
        same(extract_clips(WithoutTell(data, reports_position=False)), extract_clips(data))


def test_from_where_a_file_stands(video):
    for before in (0, 1, 77):
        file = File(bytes(before) + video)
        file.file.seek(before)
        same(extract_clips(file), extract_clips(video))


def test_a_tell_that_fails_means_no_seek(video):
    """As of pipes, whose methods are there."""
    fragments = io.BytesIO(video)

    class Pipe(io.RawIOBase):
        def readable(self):
            return True

        def read(self, size=-1):
            return fragments.read(size)

        seekable = None

    with pytest.raises(clipx.MediaError, match=r"moov.*cannot seek"):
        extract_clips(Pipe())


@pytest.mark.parametrize("kind", ["video", "sound"])
def test_buffers(video, sound, kind, tmp_path):
    data = video if kind == "video" else sound
    wanted = extract_clips(data, kind)
    spread = np.zeros((len(data), 2), np.uint8)
    spread[:, 0] = np.frombuffer(data, np.uint8)
    path = tmp_path / "x"
    path.write_bytes(data)
    sources = [bytearray(data), memoryview(data), memoryview(spread[:, 0]), np.frombuffer(data, np.uint8), spread[:, 0]]
    sources += [memoryview(b"ab" + data)[2:], np.frombuffer(data, np.int8)]
    for src in sources:
        same(extract_clips(src, kind), wanted)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        same(extract_clips(mapped, kind), wanted)
        mapped.seek(0)
        with memoryview(mapped) as view:
            same(extract_clips(view, kind), wanted)


def test_tensors(video):
    torch = pytest.importorskip("torch")
    tensor = torch.frombuffer(bytearray(video), dtype=torch.uint8)
    same(extract_clips(tensor), extract_clips(video))


@pytest.mark.parametrize(
    "src", [5, None, 1.5, object(), ["x"], np.zeros(5), np.zeros((2, 2), np.uint8), np.array(["a"], object), {"a": 1}]
)
def test_what_is_no_source(src):
    with pytest.raises(TypeError, match=r"src (is|has)"):
        extract_clips(src)
    with pytest.raises(TypeError, match=r"src (is|has)"):
        extract_clips(src, "sound")


def test_no_method():
    class Odd:
        read = 5

    with pytest.raises(TypeError, match="read that is not a method"):
        extract_clips(Odd())


def test_a_buffer_that_shrinks_while_it_is_cut(video):
    data = bytearray(video)
    clips = clipx.video.clips(data, SPEC)
    first = next(clips).data.copy()
    del data[1000:]
    same([first, *(clip.data for clip in clips)], extract_clips(video))


def test_positions():
    file = io.BytesIO(b"0123456789")
    file.seek(3)
    checked = as_source(file, "this")
    assert isinstance(checked, CheckedFile)
    assert as_source(checked, "other") is checked
    assert checked.tell() == 0
    assert checked.read(2) == b"34"
    assert checked.tell() == 2
    assert checked.seek(-1, io.SEEK_END) == 6
    assert checked.read() == b"9"
    assert checked.seek(-2, io.SEEK_CUR) == 5
    assert checked.read(100) == b"89"
    assert checked.seek(0) == 0
    assert checked.read() == b"3456789"
