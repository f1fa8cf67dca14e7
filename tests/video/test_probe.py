"""`clipx.video.probe`: facts of a video from its header, which are those of its clips."""

import io
import struct

import av
import numpy as np
import pytest
from helpers.media import OnlyRead
from helpers.videos import MKV

import clipx
from clipx.video.decoder import VideoDecoder


@pytest.fixture
def not_decoded(monkeypatch):
    """No frame is decoded."""
    monkeypatch.setattr(VideoDecoder, "frames", None)


def rotated(path, a, b, c, d):
    """The bytes of an MP4 with another matrix in its track header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", *(each << 16 for each in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    return bytes(data)


def with_sound(rate=16000, layout="stereo"):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        video, sound = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=rate, layout=layout)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        out.mux(video.encode())
        samples = np.zeros((sound.layout.nb_channels, rate // 2), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.rate = rate
        out.mux(sound.encode(frame))
        out.mux(sound.encode())
    return file.getvalue()


def test_an_mp4(make_video, not_decoded):
    info = clipx.video.probe(make_video(30, size=(48, 80), rate=10))
    assert info == clipx.video.VideoInfo(80, 48, 10.0, 30, 3.0, "h264", 0, False, None)
    with pytest.raises(AttributeError):
        info.width = 3


@pytest.mark.parametrize(
    ("matrix", "rotation", "mirrored"),
    [((0, -1, 1, 0), 90, False), ((-1, 0, 0, -1), 180, False), ((0, 1, -1, 0), 270, False), ((0, 1, 1, 0), 270, True)],
)
def test_a_rotated_file(make_video, not_decoded, matrix, rotation, mirrored):
    data = rotated(make_video(5, size=(48, 80)), *matrix)
    info = clipx.video.probe(data)
    assert (info.rotation, info.mirrored) == (rotation, mirrored)
    assert (info.width, info.height) == ((80, 48) if rotation == 180 else (48, 80))
    stored = clipx.video.probe(data, options=clipx.VideoOptions(rotate=False))
    assert (stored.width, stored.height, stored.rotation, stored.mirrored) == (80, 48, 0, False)


@pytest.mark.parametrize(
    "made",
    [
        {},
        MKV,
        {"codec": "libvpx-vp9", "container": "webm", "suffix": ".webm"},
        {"codec": "libvpx", "container": "webm", "suffix": ".webm"},
        {"codec": "ffv1", **MKV},
        {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "avi", "suffix": ".avi"},
        {"container": "mpegts", "suffix": ".ts"},
    ],
)
def test_facts_are_those_of_the_clips(make_video, made):
    path = make_video(12, size=(48, 80), **made)
    info = clipx.video.probe(path)
    [clip] = clipx.video.clips(path, clipx.WindowSpec(12))
    assert clip.data.shape == (12, info.height, info.width, 3)
    assert (clip.rotation, clip.mirrored, clip.source_fps) == (info.rotation, info.mirrored, info.fps)
    assert info.frames == (12 if made == {} else None)
    assert info.duration_seconds == pytest.approx(12 / 25, abs=0.05)
    assert info.sound is None


def test_sound(not_decoded):
    data = with_sound()
    info = clipx.video.probe(data)
    assert info.sound == clipx.video.SoundInfo(16000, 2, "aac")
    assert clipx.video.probe(with_sound(8000)).sound.sample_rate == 8000


def test_sound_is_that_of_the_clips():
    data = with_sound(layout="mono")
    info = clipx.video.probe(data)
    [clip] = clipx.video.clips(data, clipx.WindowSpec(10), audio=clipx.AudioFormat())
    assert clip.sample_rate == info.sound.sample_rate
    assert clip.audio.shape[0] == info.sound.channels


def test_any_source_and_its_position(make_video):
    path = make_video(8)
    data = path.read_bytes()
    wanted = clipx.video.probe(path)
    for src in (str(path), data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8)):
        assert clipx.video.probe(src) == wanted
    file = io.BytesIO(b"before" + data)
    file.seek(6)
    assert clipx.video.probe(file) == wanted
    assert file.tell() == 6
    with open(path, "rb") as file:
        assert clipx.video.probe(file) == wanted
        assert len(list(clipx.video.clips(file, clipx.WindowSpec(4)))) == 2


def test_a_file_object_that_is_no_video_is_left_where_it_was(make_video):
    for data in (b"garbage" * 100, make_video(8).read_bytes()[:-500]):
        file = io.BytesIO(b"before" + data)
        file.seek(6)
        with pytest.raises(clipx.MediaError):
            clipx.video.probe(file)
        assert file.tell() == 6
    file = io.BytesIO(make_video(8).read_bytes())
    with pytest.raises(clipx.MediaError, match="max_pixels"):
        clipx.video.probe(file, options=clipx.VideoOptions(max_pixels=9))
    assert file.tell() == 0


def test_a_source_that_cannot_seek(make_video):
    path = make_video(8, **MKV)
    assert clipx.video.probe(OnlyRead(path.read_bytes())) == clipx.video.probe(path)


def test_an_mp4_whose_size_is_not_known(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        out.mux(stream.encode())
    assert clipx.video.probe(path).frames == 1
    info = clipx.video.probe(OnlyRead(path.read_bytes()))
    assert (info.width, info.height, info.frames) == (64, 48, None)


def test_files_that_are_none(make_video, make_audio, tmp_path):
    data = make_video(8).read_bytes()
    for src in (b"", b"not a video", data[:200], data[: len(data) // 2]):
        with pytest.raises(clipx.MediaError):
            clipx.video.probe(src)
    with pytest.raises(clipx.MediaError, match="'there' has no video stream"):
        clipx.video.probe(make_audio(), name="'there'")
    with pytest.raises(FileNotFoundError):
        clipx.video.probe(tmp_path / "nowhere.mp4")
    with pytest.raises(TypeError, match="src is a int"):
        clipx.video.probe(3)
    with pytest.raises(TypeError, match="options"):
        clipx.video.probe(data, options={"fps": 3})
    with pytest.raises(clipx.MediaError, match="max_pixels is 100"):
        clipx.video.probe(data, options=clipx.VideoOptions(max_pixels=100))
