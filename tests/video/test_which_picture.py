"""Which stream is the video, and pictures one behind the other without a container."""

import io
import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Disposition

import clipx
from clipx import wds
from clipx.media.opening import best_video, open_media, videos
from clipx.video.clips import clips

N = 12


PLAIN, DEFAULT_ONE, PICTURE = Disposition(0), Disposition.default, Disposition.attached_pic


def pictures(n, size, seed=0):
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, (n, size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return made.repeat(8, 1).repeat(8, 2)


def cover(size=(32, 32), codec="mjpeg", pix_fmt="yuvj420p"):
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = size
    context.pix_fmt, context.time_base = pix_fmt, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pictures(1, size, 9)[0], format="rgb24").reformat(format=pix_fmt)
    frame.pts = 0
    return bytes(context.encode(frame)[0])


def made(container, streams, sound=None):
    """A file of streams: "cover" or "video", size, and whether it is marked as the default."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        added = []
        for which in streams:
            kind, size, default = which
            if kind == "cover" and container == "matroska":
                added.append(target.add_attachment("cover.jpg", "image/jpeg", cover(size)))
                continue
            stream = target.add_stream("mjpeg" if kind == "cover" else "mpeg4", rate=25)
            stream.height, stream.width = size
            stream.pix_fmt = "yuvj420p" if kind == "cover" else "yuv420p"
            stream.disposition = (Disposition.attached_pic if kind == "cover" else Disposition(0)) | (
                Disposition.default if default else Disposition(0)
            )
            added.append(stream)
        if sound is not None:
            audio = target.add_stream(sound, rate=44100, layout="mono")
        target.start_encoding()
        for (kind, size, _), stream in zip(streams, added):
            if kind == "cover" and container != "matroska":
                packet = av.Packet(cover(size))
                packet.pts = packet.dts = 0
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
                target.mux(packet)
        for k in range(N):
            for number, ((kind, size, _), stream) in enumerate(zip(streams, added)):
                if kind == "video":
                    frame = av.VideoFrame.from_ndarray(pictures(N, size, number)[k], format="rgb24")
                    frame.pts, frame.time_base = k, Fraction(1, 25)
                    target.mux(stream.encode(frame))
            if sound is not None:
                samples = np.zeros((1, 1764), np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.rate, frame.pts, frame.time_base = 44100, 1764 * k, Fraction(1, 44100)
                target.mux(audio.encode(frame))
        for (kind, _, _), stream in zip(streams, added):
            if kind == "video":
                target.mux(stream.encode(None))
        if sound is not None:
            target.mux(audio.encode(None))
    return out.getvalue()


VIDEO, SECOND, COVER = ("video", (48, 64), False), ("video", (64, 80), False), ("cover", (32, 32), False)
DEFAULT = {each: (*each[:2], True) for each in (VIDEO, SECOND, COVER)}


def full(data, index):
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams[index])]


def sized(data, **options):
    """Height and width of the clips, and the number of frames."""
    extracted = clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(**options))
    found = [clip.data.shape[1:3] for clip in extracted]
    assert len(set(found)) == 1
    return found[0], len(found)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize(
    "streams",
    [
        [COVER, VIDEO],
        [VIDEO, COVER],
        [COVER, COVER, DEFAULT[VIDEO]],
        [VIDEO, COVER, DEFAULT[SECOND]],
        [COVER, VIDEO, SECOND],
    ],
    ids=str,
)
def test_cover_art_is_never_the_video(container, streams):
    data = made(container, streams)
    with av.open(io.BytesIO(data)) as opened:
        art = [bool(each.disposition & Disposition.attached_pic) for each in opened.streams.video]
        best = opened.streams.best("video").index
    assert sum(art) == sum(kind == "cover" for kind, _, _ in streams)
    assert not art[best]
    others = [index for index, is_art in enumerate(art) if not is_art]
    expected = full(data, best)
    extracted = list(clips(data, clipx.WindowSpec(2)))
    assert len(extracted) == len(expected) // 2 == N // 2
    for clip in extracted:
        assert clip.data.shape[1:] == expected[0].shape
        assert np.abs(clip.data.astype(np.int16) - expected[2 * clip.index]).mean() < 60
    for number, index in enumerate(others):
        assert sized(data, stream=number) == (full(data, index)[0].shape[:2], N)
    with pytest.raises(clipx.MediaError, match=rf"stream is {len(others)}, but .* has {len(others)} video streams"):
        clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(stream=len(others)))


@pytest.mark.parametrize(("container", "sound"), [("mp3", "libmp3lame"), ("mp4", "aac"), ("flac", "flac")])
def test_a_file_with_nothing_but_cover_art(container, sound):
    data = made(container, [COVER], sound)
    with av.open(io.BytesIO(data)) as opened:
        assert [bool(each.disposition & Disposition.attached_pic) for each in opened.streams.video] == [True]
    for options in ({}, {"stream": 0}):
        with pytest.raises(clipx.MediaError, match="has no video stream but cover art"):
            clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(**options))
    assert len(list(clipx.audio.clips(data, clipx.WindowSpec(4410)))) >= 4
    samples = [{"__key__": "a", "mp4": data}, {"__key__": "b", "mp4": made("mp4", [VIDEO])}]
    given = [out["__key__"] for out in wds.clips(clipx.WindowSpec(N), handler=lambda _: True)(samples)]
    assert given == ["b_000000"]


@pytest.mark.parametrize("container", ["mp4", "matroska", "nut"])
def test_the_best_is_the_default_one(container):
    data = made(container, [VIDEO, DEFAULT[SECOND]])
    with av.open(io.BytesIO(data)) as opened:
        best = opened.streams.best("video")
        assert best_video(opened).index == best.index
        size = best.height, best.width
    if container != "nut":
        assert size == (64, 80)
    assert sized(data) == sized(data, stream="best") == (size, N)
    assert sized(data, stream=0) == ((48, 64), N)
    assert sized(data, stream=1) == ((64, 80), N)


def test_cover_art_is_not_held_to_the_largest_picture():
    data = made("mp4", [("cover", (1200, 1200), False), VIDEO])
    assert sized(data, max_pixels=10**6) == ((48, 64), N)
    with open_media(data, "a", max_pixels=10**6) as opened:
        assert best_video(opened).width == 64
        assert len(videos(opened)) == 1


class Streams:
    """Stands for a container in which FFmpeg chose the stream `chosen`; dispositions of its video streams."""

    def __init__(self, chosen, *dispositions):
        self.streams = self
        self.video = [SimpleNamespace(index=k, disposition=each) for k, each in enumerate(dispositions)]
        self.best = lambda kind: self.video[chosen] if kind == "video" and self.video else None


@pytest.mark.parametrize(
    ("chosen", "dispositions", "expected"),
    [
        (0, [PICTURE | DEFAULT_ONE, PLAIN, DEFAULT_ONE], 2),
        (0, [PICTURE | DEFAULT_ONE, PLAIN, PLAIN], 1),
        (1, [DEFAULT_ONE, PLAIN], 1),
        (0, [PICTURE], None),
        (0, [], None),
    ],
)
def test_cover_art_that_is_marked_as_the_default(chosen, dispositions, expected):
    best = best_video(Streams(chosen, *dispositions))
    assert (None if best is None else best.index) == expected


JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00"
EXIF = b"Exif\0\0II*\0" + struct.pack("<IHHHIHxxI", 8, 1, 0x0112, 3, 1, 1, 0)
HEADS = {"bare": b"", "JFIF": JFIF, "Exif": b"\xff\xe1" + (len(EXIF) + 2).to_bytes(2, "big") + EXIF}


def stills(codec, pix_fmt, n=N, size=(48, 64)):
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = size
    context.pix_fmt, context.time_base = pix_fmt, Fraction(1, 25)
    found = []
    for k, picture in enumerate(pictures(n, size)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
        frame.pts = k
        found += [bytes(packet) for packet in context.encode(frame)]
    return found + [bytes(packet) for packet in context.encode(None)]


def check_raw(data, rate=25):
    with av.open(io.BytesIO(data)) as opened:
        frames = list(opened.decode(video=0))
        expected = [frame.to_ndarray(format="rgb24") for frame in frames]
        times = []
        for frame in frames:
            # A frame without a time of its own follows the one before at once.
            following = times[-1] + 1 / rate if times else 0.0
            times.append(following if frame.pts is None else float(frame.pts * frame.time_base))
    for window in ({"length": 1}, {"length": 2, "stride": 3}, {"length": 2, "num_clips": 3}):
        spec = clipx.WindowSpec(**window)
        got = list(clips(data, spec))
        assert [clip.start for clip in got] == spec.starts(len(expected)).tolist()
        for clip in got:
            assert clip.source_fps == pytest.approx(rate)
            np.testing.assert_allclose(clip.pts_seconds, [times[k] for k in clip.frame_indices], atol=1e-4)
            for picture, k in zip(clip.data, clip.frame_indices):
                assert np.abs(picture.astype(np.int16) - expected[k]).mean() < 4
    return len(expected)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("n", [1, 2, N])
def test_raw_motion_jpeg(head, n):
    data = b"".join(each[:2] + HEADS[head] + each[2:] for each in stills("mjpeg", "yuvj420p", n))
    assert check_raw(data) == n


def test_raw_motion_jpeg_of_several_heads():
    heads = [*HEADS.values()] * N
    data = b"".join(each[:2] + head + each[2:] for each, head in zip(stills("mjpeg", "yuvj422p"), heads))
    assert check_raw(data) == N


def test_raw_motion_jpeg_is_held_to_the_largest_picture():
    data = b"".join(each[:2] + JFIF + each[2:] for each in stills("mjpeg", "yuvj420p", 3, (480, 640)))
    with pytest.raises(clipx.MediaError):
        list(clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(max_pixels=1000)))
    small = b"".join(each[:2] + JFIF + each[2:] for each in stills("mjpeg", "yuvj420p", 3))
    got = []
    with pytest.raises(clipx.MediaError):
        got.extend(clips(small + data, clipx.WindowSpec(1), options=clipx.VideoOptions(max_pixels=48 * 64)))
    assert len(got) == 3


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [
        ("png", "rgb24"),
        ("bmp", "bgr24"),
        ("ppm", "rgb24"),
        ("jpegls", "rgb24"),
        ("qoi", "rgb24"),
        ("libwebp", "yuv420p"),
    ],
)
def test_other_pictures_one_behind_the_other(codec, pix_fmt):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    assert check_raw(b"".join(stills(codec, pix_fmt))) == N


RAW = {
    "h264": ("libx264", {"bf": "2", "g": "5"}),
    "hevc": ("libx265", {"x265-params": "log-level=none:keyint=5"}),
    "m4v": ("mpeg4", {}),
    "mpeg1video": ("mpeg1video", {}),
    "mpeg2video": ("mpeg2video", {}),
    "mjpeg": ("mjpeg", {}),
    "ivf": ("libvpx", {}),
    "obu": ("libsvtav1", {}),
}


@pytest.mark.parametrize("format", RAW)
def test_bare_streams(make_video, format):
    codec, options = RAW[format]
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    path = make_video(N, size=(64, 64), codec=codec, pix_fmt=pix_fmt, container=format, suffix=".raw", **options)
    data = path.read_bytes()
    assert check_raw(data) >= N - 1
    sample = {"__key__": "a", "mp4": data}
    assert len(list(wds.clips(clipx.WindowSpec(4))([sample]))) >= (N - 1) // 4


CONTAINERS = {
    "gxf": ("mpeg2video", (576, 720)),
    "rm": ("rv10", (144, 176)),
    "swf": ("flv1", (64, 64)),
    "wtv": ("mpeg2video", (64, 64)),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_that_open_nothing_else(make_video, container):
    codec, size = CONTAINERS[container]
    path = make_video(N, size=size, codec=codec, container=container, suffix=".bin")
    assert check_raw(path.read_bytes()) >= N - 1


@pytest.mark.parametrize("stream", ["worst", "1", 1.5, True, None, b"best"])
def test_a_stream_that_is_none(stream):
    with pytest.raises(TypeError, match="stream is"):
        clipx.VideoOptions(stream=stream)
