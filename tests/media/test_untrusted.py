"""Opening what comes from strangers: no other file or address is touched, and memory does not follow a header."""

import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.format import ContainerFormat
from helpers.media import OnlyRead, Watch

import clipx
from clipx.media import opening as media
from clipx.media.opening import failures, limit_pixels, open_media

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify and /proc")


class Server:
    """Takes connections, counts them and answers nothing."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.seen, self.last = 0, None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            connection, peer = self.socket.accept()
            connection.close()
            if peer == self.last:
                return
            self.seen += 1

    def close(self):
        """Everything that connected before this has been counted when it returns."""
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            self.last = last.getsockname()
            last.connect(("127.0.0.1", self.port))
            self.thread.join()
        self.socket.close()


class Named(io.BytesIO):
    name = "list.m3u8"


class Addressed(OnlyRead):
    """A file object that cannot seek, and whose name is an address."""

    name = "http://127.0.0.1:9/list.m3u8"


@pytest.fixture
def bait(tmp_path, monkeypatch, make_video):
    """A folder to work in, with a good video that nothing should open."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(make_video(5), "bait.mp4")
    return Watch("bait.mp4")


@pytest.fixture
def server():
    server = Server()
    yield server
    if server.last is None:
        server.close()


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {1} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
MPD = (
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation '
    'id="1" bandwidth="1"><BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period></MPD>\n'
)
LISTS = {
    "list.ffconcat": "ffconcat version 1.0\nfile '{0}'\n",
    "list.m3u8": HLS,
    "list.sdp": SDP,
    "list.mpd": MPD,
    "list.mp4": HLS,
}


def sources(name, data):
    Path(name).write_bytes(data)
    yield data
    yield bytearray(data)
    yield name
    yield Path(name).resolve()
    with open(name, "rb") as file:
        yield file
    yield Named(data)
    yield Addressed(data)


@linux
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("address", ["bait.mp4", "file:bait.mp4", "{folder}/bait.mp4", "http://127.0.0.1:{port}/x.mp4"])
def test_lists_are_refused_and_nothing_in_them_is_touched(bait, server, name, address):
    address = address.format(folder=Path.cwd(), port=server.port)
    for src in sources(name, LISTS[name].format(address, server.port).encode()):
        with pytest.raises(clipx.MediaError) as caught:
            open_media(src, "this")
        assert isinstance(caught.value.__cause__, av.FFmpegError), src
        if name == "list.ffconcat":  # The others are not even known for what they are, without their names.
            assert "trusted=True" in str(caught.value)
    server.close()
    assert not bait.opened()
    assert server.seen == 0


@linux
def test_plain_av_opens_and_connects(bait, server):
    """The tests above can fail."""
    Path("list.ffconcat").write_text(LISTS["list.ffconcat"].format("bait.mp4"))
    with av.open("list.ffconcat") as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
    assert bait.opened()
    with pytest.raises(av.FFmpegError):
        av.open(Named(HLS.format(f"http://127.0.0.1:{server.port}/x.mp4").encode()))
    server.close()
    assert server.seen > 0


@linux
def test_a_path_that_the_user_trusts_may_be_a_list(bait):
    Path("list.ffconcat").write_text(LISTS["list.ffconcat"].format("bait.mp4"))
    with open_media("list.ffconcat", "this", trusted=True) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
    assert bait.opened()
    with open_media("concat:bait.mp4", "this", trusted=True) as container:
        assert len(container.streams.video) == 1
    with pytest.raises(clipx.MediaError):
        open_media("nothing.mp4", "this", trusted=True)


@linux
def test_a_path_is_a_file_and_no_address(bait, server, make_video):
    for address in (
        f"http://127.0.0.1:{server.port}/x.mp4",
        f"tcp://127.0.0.1:{server.port}",
        "concat:bait.mp4|bait.mp4",
        "subfile,,start,0,end,0,,:bait.mp4",
        "file:bait.mp4",
        "async:bait.mp4",
        "cache:bait.mp4",
    ):
        with pytest.raises(FileNotFoundError):
            open_media(address, "this")
    # Nor where a file has that name.
    for name in ("concat:bait.mp4|bait.mp4", "file:bait.mp4", "subfile,,start,0,end,0,,:bait.mp4", "-", "pipe:0"):
        shutil.copy(make_video(7), name)
        with open_media(name, "this") as container:
            assert sum(1 for _ in container.decode(video=0)) == 7
    server.close()
    assert not bait.opened()
    assert server.seen == 0


@linux
def test_image_patterns_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with av.open("img%03d.png", "w") as out:
        stream = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame(16, 16, "rgb24")))
        out.mux(stream.encode())
    images = sorted(tmp_path.glob("img0*.png"))
    assert len(images) == 3
    watch = Watch(*images)
    pattern = tmp_path / "img%03d.png"
    with pytest.raises(FileNotFoundError):
        open_media("img%03d.png", "this")
    pattern.write_bytes(b"")
    for src in ("img%03d.png", pattern):
        with pytest.raises(clipx.MediaError, match=r"format.*trusted=True"):
            open_media(src, "this")
    assert not watch.opened()
    with open_media("img%03d.png", "this", trusted=True) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert watch.opened()


def external(data, path):
    """An mp4 whose frames lie, as its header says, in another file: its data reference becomes an alias of `path`."""
    path = os.fsencode(path)
    alias = bytes(10) + bytes([1]) + bytes(27) + bytes(12) + bytes([1]) + bytes(63) + bytes(16)
    alias += struct.pack(">HH", 1, 1) + bytes(16) + struct.pack(">HH", 2, len(path)) + path + bytes(len(path) % 2)
    alias = b"alis" + bytes(4) + alias + b"\xff\xff\0\0"
    entry = struct.pack(">I", len(alias) + 4) + alias
    was = data.index(b"\0\0\0\x0curl \0\0\0\1")
    more = len(entry) - 12
    out = bytearray(data[:was] + entry + data[was + 12 :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = data.rindex(box, 0, was) - 4
        struct.pack_into(">I", out, at, struct.unpack_from(">I", out, at)[0] + more)
    return bytes(out)


@linux
def test_data_references_of_mov_are_not_followed(bait, make_video):
    data = external(Path(make_video(5)).read_bytes(), Path("bait.mp4").resolve())
    for src in sources("outside.mov", data):
        with failures("this", "decoded"), open_media(src, "this") as container:
            assert list(container.decode(video=0)) == []
    assert not bait.opened()
    follow = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open("outside.mov", options=follow) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
    assert bait.opened()


def test_formats_exist():
    for name in f"{media.FORMATS},{media.LATE_FORMATS}".split(","):
        assert ContainerFormat(name, "r").is_input


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {"bf": "3"}),
        ("libx264", "matroska", {"bf": "3"}),
        ("libx264", "mpegts", {"bf": "3"}),
        ("libx264", "mpeg", {"bf": "3"}),
        ("libx264", "flv", {"bf": "3"}),
        ("mpeg2video", "mpegts", {"bf": "2"}),
        ("mpeg2video", "mpeg", {"bf": "2"}),
        ("mpeg4", "avi", {"bf": "2"}),
        ("mjpeg", "avi", {}),
        ("libx264", "h264", {"bf": "3"}),
        ("ffv1", "nut", {}),
    ],
)
def test_what_is_allowed_reads_as_with_plain_av(make_video, codec, container, options):
    def frames(opened):
        with opened:
            return [(frame.pts, frame.to_ndarray().tobytes()) for frame in opened.decode(video=0)]

    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(40, codec=codec, container=container, suffix="." + container, pix_fmt=pix_fmt, **options)
    data, expected = path.read_bytes(), frames(av.open(str(path)))
    assert len(expected) == 40
    assert frames(open_media(path, "this")) == expected
    assert frames(open_media(data, "this")) == expected
    assert frames(open_media(Named(data), "this")) == expected
    piped, plain = frames(open_media(Addressed(data), "this")), frames(av.open(Addressed(data)))
    assert [picture for _, picture in piped] == [picture for _, picture in plain]
    # What a pipe of this format does not say about times is guessed before the first picture has been decoded.
    assert piped == plain or (codec, container) == ("mpeg2video", "mpeg")


# Absurd headers.


def encoded(codec, n, pix_fmt, **options):
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt, context.options = 64, 48, pix_fmt, options
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    packets = []
    for k in range(n):
        noise = np.random.default_rng(k).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pix_fmt)
        frame.pts = k
        packets += context.encode(frame)
    return [bytes(packet) for packet in packets + context.encode(None)]


def jpeg(size):
    """JPEG pictures whose frame header says `size` by `size`."""
    for packet in encoded("mjpeg", 6, "yuvj420p"):
        at = packet.index(b"\xff\xc0") + 5
        yield packet[:at] + struct.pack(">HH", size, size) + packet[at + 4 :]


def sps(size):
    """An H.264 sequence parameter set, of the baseline profile at level 6.2, of `size` by `size`."""

    def golomb(value):
        text = format(value + 1, "b")
        return "0" * (len(text) - 1) + text

    bits = "".join(map(golomb, (0, 0, 2, 1))) + "0" + golomb(size // 16 - 1) * 2 + "110" + "01"
    bits += "0" * (-len(bits) % 8)
    raw, escaped = b"\x42\xc0\x3e" + int(bits, 2).to_bytes(len(bits) // 8, "big"), b""
    for byte in raw:
        escaped += b"\3" * (escaped.endswith(b"\0\0") and byte <= 3) + bytes([byte])
    return b"\x67" + escaped


def h264(size):
    for packet in encoded("libx264", 6, "yuv420p", profile="baseline", tune="zerolatency"):
        units = packet.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
        kept = (sps(size) if unit[0] & 31 == 7 else unit for unit in units if unit[0] & 31 != 6)
        yield b"".join(b"\0\0\0\1" + unit for unit in kept)


def muxed(codec, packets, container, size):
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = file.add_mux_stream(codec, 25, width=size, height=size)
        for k, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), k, k
            packet.is_keyframe = k == 0
            file.mux(packet)
    return out.getvalue()


def late(size):
    """An MPEG transport stream with a small video at first, in which a second, huge one begins afterwards."""
    first = muxed("mpeg2video", encoded("mpeg2video", 6, "yuv420p"), "mpegts", 64)
    out = io.BytesIO()
    options = {"mpegts_start_pid": "0x200", "mpegts_pmt_start_pid": "0x1100", "mpegts_service_id": "5"}
    with av.open(out, "w", format="mpegts", options={**options, "tables_version": "3"}) as file:
        stream = file.add_mux_stream("h264", 25, width=64, height=64)
        for k, data in enumerate(h264(size)):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1, 25), k, k
            file.mux(packet)
    return first + out.getvalue() + first


def absurd(size):
    for container in ("mp4", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "nut", "h264"):
        for said in (size, 64):
            yield f"h264.{said}.{container}", muxed("h264", h264(size), container, said)
    for container in ("mp4", "matroska", "avi", "mjpeg"):
        yield f"mjpeg.{container}", muxed("mjpeg", jpeg(size), container, size)
    y4m = f"YUV4MPEG2 W{size} H{size} F25:1 Ip A1:1 C420\nFRAME\n".encode()
    yield "video.y4m", y4m + bytes(20000)
    yield "late.ts", late(size)


READ = """
import json, sys
from clipx import MediaError
from clipx.media.opening import failures, open_media

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1000

before, results = peak(), []
for path in sys.argv[2:]:
    n, message = 0, None
    try:
        with failures(path, "decoded"), open_media(path, path, max_pixels=int(sys.argv[1])) as container:
            for stream in container.streams.video:
                container.seek(0)
                for frame in container.decode(stream):
                    n += 1
    except MediaError as exn:
        message = str(exn)
    results.append((n, message, peak() - before))
print(json.dumps(results))
"""


def read_elsewhere(paths, max_pixels=2**26):
    """(frames, message, megabytes above the start so far) of each file, read by a process of its own."""
    command = [sys.executable, "-c", READ, str(max_pixels), *map(str, paths)]
    root = str(Path(clipx.__file__).resolve().parents[1])
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@linux
@pytest.mark.skipif(int(av.__version__.split(".")[0]) < 18, reason="PyAV 17 cannot write these headers")
@pytest.mark.parametrize("size", [16000, 65535])
def test_memory_does_not_follow_the_header(tmp_path, size):
    paths = []
    for name, data in absurd(size):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    for path, (n, message, megabytes) in zip(paths, read_elsewhere(paths)):
        assert megabytes < 110, path
        if path.name == "late.ts" and size == 65535:
            continue  # FFmpeg itself drops the second stream, and the first is a good one.
        assert n == 0, path
        assert message is not None, path
        if size == 16000 and path.suffix != ".mjpeg":
            assert "16000 by 16000, 256000000 pixels, but max_pixels is 67108864" in message, path


@linux
def test_without_the_limit_memory_follows(tmp_path):
    """The test above can fail."""
    path = tmp_path / "video.h264"
    path.write_bytes(b"".join(h264(8000)))
    assert read_elsewhere([path], 2**30)[0][2] > 250


@linux
@pytest.mark.parametrize("container", ["h264", "mpegts", "flv", "avi"])
def test_a_stream_that_grows_midway_fails(tmp_path, container):
    path = tmp_path / "video"
    packets = [*h264(64), *h264(16000)]
    path.write_bytes(muxed("h264", packets, container, 64))
    [(n, message, megabytes)] = read_elsewhere([path])
    assert n <= 6
    assert message is not None
    assert megabytes < 110


def test_limit_pixels(make_video):
    data = make_video(5).read_bytes()
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"flags2": "+showall"}
        limit_pixels(stream, 48 * 64 - 1)
        assert stream.codec_context.options["flags2"] == "+showall"
        with pytest.raises(av.FFmpegError):
            list(container.decode(stream))
    for max_pixels in (48 * 64, 2**40):
        with open_media(data, "this", max_pixels=max_pixels) as container:
            assert sum(1 for _ in container.decode(video=0)) == 5


def test_max_pixels_names_the_size_and_the_limit(make_video):
    path = make_video(5)
    for trusted in (False, True):
        for src in (path, path.read_bytes(), Named(path.read_bytes())):
            with pytest.raises(clipx.MediaError, match=r"this .*64 by 48, 3072 pixels, but max_pixels is 3071"):
                open_media(src, "this", max_pixels=3071, trusted=trusted)


# What is no video.


def test_truncated_files(make_video):
    for container in ("mp4", "matroska", "avi", "mpegts", "flv", "nut"):
        data = make_video(12, container=container, suffix="." + container).read_bytes()
        for end in [*range(0, 64, 3), *np.linspace(64, len(data) - 1, 30, dtype=int)]:
            n = 0
            try:
                with failures("this", "decoded"), open_media(data[:end], "this") as opened:
                    # PyAV 17 crashes where nothing can decode a stream, which clips find out beforehand.
                    videos = [each for each in opened.streams.video if each.codec_context is not None]
                    for _ in opened.decode(videos) if videos else ():
                        n += 1
            except clipx.MediaError:
                continue
            assert n <= 12


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"hello, world\n" * 50, b"\0" * 5000, b"PK\3\4" + bytes(100), b"%PDF-1.4\n" + bytes(100), b"{}" * 99],
)
def test_what_is_no_media(data, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    for src in (data, path, Named(data), Addressed(data)):
        with pytest.raises(clipx.MediaError, match="this "):
            open_media(src, "this")


def test_other_things_are_no_sources(tmp_path):
    with pytest.raises(TypeError, match="src is a int"):
        open_media(3, "this")
    with pytest.raises(FileNotFoundError):
        open_media(tmp_path / "none.mp4", "this")
    with pytest.raises(clipx.MediaError):
        open_media(tmp_path, "this")


def test_a_file_object_is_left_where_reading_began_to_go_on(make_video):
    """Probing twice, and looking at the header alone, disturbs neither the frames nor what is kept of a pipe."""
    data = make_video(30, container="mpegts", suffix=".ts").read_bytes()
    with open_media(Addressed(data), "this") as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
    padded = io.BytesIO(b"junk" + data)
    padded.seek(4)
    with open_media(padded, "this") as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
