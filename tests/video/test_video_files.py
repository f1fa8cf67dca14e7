"""Videos of many kinds to clips, against decoding every frame and slicing."""

import contextlib
import io
import json
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from helpers.media import Pipe, remuxed, rotated

import clipx
from clipx import wds
from clipx.media import packet_index as index
from clipx.video.clips import clips
from clipx.video.color import matrix

X265 = {"codec": "libx265", "x265-params": "log-level=none:keyint=20:pools=1"}
MKV = {"container": "matroska", "suffix": ".mkv"}
MOV = {"container": "mov", "suffix": ".mov"}
KINDS = {
    "h264 b-frames": {"bf": "3", "g": "25", "x264-params": "b-pyramid=normal"},
    "h264 short gop": {"bf": "2", "g": "5"},
    "h264 one gop": {"bf": "3", "g": "500"},
    "h264 open gop": {"x264-params": "open-gop=1:keyint=12:min-keyint=2:bframes=3:scenecut=0"},
    "h264 open gop mkv": {"x264-params": "open-gop=1:keyint=12:min-keyint=2:bframes=3:scenecut=0", **MKV},
    "h264 intra refresh": {"x264-params": "intra-refresh=1:keyint=10:bframes=0"},
    "h264 intra": {"g": "1"},
    "h264 no b-frames": {"bf": "0", "g": "10"},
    "h264 mkv": {"bf": "3", "g": "12", **MKV},
    "h264 mpegts": {"bf": "2", "g": "12", "container": "mpegts", "suffix": ".ts"},
    "h264 avi": {"bf": "0", "container": "avi", "suffix": ".avi"},
    "h264 fragments": {"bf": "2", "g": "12", "container": "ismv", "suffix": ".mp4"},
    "h264 odd": {"size": (33, 47), "pix_fmt": "yuv444p"},
    "vp9 odd": {"size": (47, 33), "codec": "libvpx-vp9", "container": "webm", "suffix": ".webm", "g": "20"},
    "h264 nv12": {"pix_fmt": "nv12"},
    "h264 yuvj420p": {"pix_fmt": "yuvj420p"},
    "h264 10 bits": {"pix_fmt": "yuv420p10le"},
    "h264 422": {"pix_fmt": "yuv422p"},
    "h264 422 10 bits": {"pix_fmt": "yuv422p10le"},
    "h264 444": {"pix_fmt": "yuv444p"},
    "h264 gray": {"pix_fmt": "gray"},
    "h264 rgb": {"codec": "libx264rgb", "pix_fmt": "rgb24"},
    "hevc": {**X265},
    "hevc mkv": {**X265, **MKV},
    "hevc closed": {**X265, "x265-params": "log-level=none:keyint=20:open-gop=0:bframes=4:pools=1"},
    "hevc layers": {**X265, "x265-params": "log-level=none:keyint=20:open-gop=0:temporal-layers=3:pools=1"},
    "hevc 10 bits": {**X265, "pix_fmt": "yuv420p10le"},
    "vp8": {"codec": "libvpx", "container": "webm", "suffix": ".webm", "g": "20", "deadline": "realtime"},
    "vp9": {"codec": "libvpx-vp9", "container": "webm", "suffix": ".webm", "g": "20", "cpu-used": "8"},
    "av1": {"codec": "libsvtav1", "container": "webm", "suffix": ".webm", "g": "20", "preset": "12"},
    "av1 forward keys": {
        "codec": "libsvtav1",
        "preset": "12",
        "svtav1-params": "irefresh-type=1:keyint=16:lp=1",
        "size": (64, 64),
    },
    "prores": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", **MOV},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj422p", **MOV},
    "mjpeg avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "avi", "suffix": ".avi"},
    "ffv1": {"codec": "ffv1", "g": "10", **MKV},
    "ffv1 gray": {"codec": "ffv1", "pix_fmt": "gray", **MKV},
    "raw nv12": {"codec": "rawvideo", "pix_fmt": "nv12", "container": "avi", "suffix": ".avi"},
    "ffv1 bgr0": {"codec": "ffv1", "pix_fmt": "bgr0", "size": (33, 47), **MKV},
    "ffv1 bgra": {"codec": "ffv1", "pix_fmt": "bgra", **MKV},
    "ffv1 16 bits": {"codec": "ffv1", "pix_fmt": "yuv420p16le", **MKV},
    "ffv1 411": {"codec": "ffv1", "pix_fmt": "yuv411p", **MKV},
    "raw rgb": {"codec": "rawvideo", "pix_fmt": "bgr24", "container": "avi", "suffix": ".avi"},
    "png": {"codec": "png", "pix_fmt": "rgb24", **MOV},
    "qtrle": {"codec": "qtrle", "pix_fmt": "rgb24", **MOV},
    "mpeg4": {"codec": "mpeg4", "bf": "0", "container": "avi", "suffix": ".avi"},
    "mpeg4 b-frames": {"codec": "mpeg4", "bf": "2", "g": "12", "container": "avi", "suffix": ".avi"},
    "mpeg2": {"codec": "mpeg2video", "bf": "2", "container": "mpegts", "suffix": ".ts"},
}
REAL = ["carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4"]
N = 61
WINDOWS = [
    {"length": 8, "stride": 3},
    {"length": 4, "dilation": 4, "stride": 8},
    {"length": 3, "dilation": 8, "stride": 16, "policy": "repeat_last"},
    {"length": 3, "stride": 29, "policy": "wrap"},
    {"length": 6, "dilation": 2, "stride": 5, "policy": "backpad"},
    {"length": 5, "stride": 29, "policy": "constant", "fill_value": 9},
    {"length": 7, "stride": 9, "dilation": 3, "policy": "reflect"},
    {"length": 4, "num_clips": 3},
    {"length": 4, "dilation": 2, "num_clips": 4, "sampling": "random"},
]


def check(cut, frames, spec, rng=None):
    """Clips equal slicing `frames`; returns them."""
    got = list(cut)
    rows = spec.indices(len(frames), rng)
    assert [clip.start for clip in got] == spec.starts(len(frames), rng).tolist()
    assert [clip.index for clip in got] == list(range(len(rows)))
    assert cut.num_frames == len(frames)
    for clip, row in zip(got, rows):
        np.testing.assert_array_equal(clip.frame_indices, row)
        assert clip.data.shape == (spec.length, *frames.shape[1:])
        for place, k in zip(clip.data, row):
            assert np.array_equal(place, np.full_like(place, spec.fill_value) if k < 0 else frames[k])
        np.testing.assert_array_equal(np.isnan(clip.pts_seconds), row < 0)
    return got


def check_work(cut, n):
    """What the run decoded and what it did not are all frames, some of them twice."""
    assert cut.frames_decoded + cut.frames_skipped >= n
    assert cut.frames_decoded > 0
    assert 0 <= cut.frames_skipped < n


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    assert len({each.tobytes() for each in frames}) == N
    for window in WINDOWS:
        spec = clipx.WindowSpec(**window)
        cut = clips(path, spec, rng=3)
        check(cut, frames, spec, rng=3)
        check_work(cut, N)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_those_that_pyav_makes(make_video, kind):
    path = make_video(N, **KINDS[kind])
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    (clip,) = clips(path, clipx.WindowSpec(4, num_clips=1))
    for place, k in zip(clip.data, clip.frame_indices):
        # Of other chroma, edges differ; of another frame, matrix or order of channels, everything.
        right, wrong = (np.mean(np.abs(place.astype(int) - expected[each])) for each in (k, k - 3))
        assert right < 12
        assert right < wrong / 2


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("window", [WINDOWS[2], WINDOWS[4], WINDOWS[8]], ids=str)
def test_real_files(real_video, whole_real, name, window):
    path, frames = real_video(name), whole_real(name)
    spec = clipx.WindowSpec(**window)
    cut = clips(path, spec, rng=5)
    check(cut, frames, spec, rng=5)
    check_work(cut, len(frames))


@pytest.fixture(scope="module")
def whole_real(real_video, whole):
    kept = {}

    def decode(name):
        if name not in kept:
            kept.clear()
            kept[name] = whole(real_video(name))
        return kept[name]

    return decode


@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 one gop", "h264 mkv"])
def test_frames_that_nothing_refers_to_are_not_decoded(make_video, kind):
    path = make_video(N, **KINDS[kind])
    cut = clips(path, clipx.WindowSpec(4, dilation=8))
    assert len(list(cut)) == (N - 25) // 32 + 1
    assert cut.frames_skipped > 0
    assert cut.frames_decoded < 0.75 * N


def test_packets_that_show_nothing(make_video, whole, tmp_path):
    """VP8 has packets of frames that are only referred to: packets and frames are not the same."""
    path = tmp_path / "hidden.webm"

    def change(k, packet):
        data = bytearray(packet)
        if k in (7, 8, 31):
            data[0] &= ~16  # show_frame
        return bytes(data)

    remuxed(make_video(N, **KINDS["vp8"]), "webm", change, to=path)
    frames = whole(path)
    assert len(frames) == N - 3
    for window in WINDOWS:
        spec = clipx.WindowSpec(**window)
        check(clips(path, spec, rng=1), frames, spec, rng=1)


@pytest.mark.parametrize("kind", ["vp8", "vp9", "av1", "ffv1", "hevc closed", "h264 short gop", "h264 fragments"])
def test_groups_of_pictures_that_no_clip_needs_are_not_decoded(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    spec = clipx.WindowSpec(1, 60)
    cut = clips(path, spec)
    check(cut, whole(path), spec)
    assert cut.frames_decoded <= 21 + 4
    assert cut.frames_skipped == N - cut.frames_decoded


@pytest.mark.parametrize("container", [{}, MKV], ids=["mp4", "mkv"])
def test_sparse_clips_of_a_long_file_decode_little(make_video, whole, container):
    n = 1000
    path = make_video(n, bf="2", g="25", **container)
    spec = clipx.WindowSpec(4, num_clips=4)
    cut = clips(path, spec)
    check(cut, whole(path), spec)
    # A group of pictures and a clip each, at most.
    assert cut.frames_decoded <= 4 * (25 + 4)
    assert cut.frames_skipped == n - cut.frames_decoded


PARTLY_READ = {
    "h264": {"bf": "2", "g": "20"},
    "h264 mov": {"bf": "3", "g": "20", **MOV},
    "h264 short gop": {"bf": "2", "g": "7"},
    "hevc closed": {**X265, "x265-params": "log-level=none:keyint=20:open-gop=0:bframes=4:pools=1"},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj422p", **MOV},
}


@pytest.mark.parametrize(
    "window",
    [
        {"num_clips": 3},
        {"num_clips": 1, "policy": "wrap"},
        {"num_clips": 3, "sampling": "random"},
        {"stride": 150},
        {"stride": 130, "policy": "reflect"},
        {"stride": 130, "policy": "wrap"},
        {"stride": 170, "policy": "backpad"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", PARTLY_READ)
def test_packets_that_no_clip_needs_are_not_read(make_video, whole, monkeypatch, kind, window):
    n = 400
    path = make_video(n, **PARTLY_READ[kind])
    spec = clipx.WindowSpec(4, **window)
    added = []
    add = index._StretchReader.add
    monkeypatch.setattr(index._StretchReader, "add", lambda self, packet: added.append(packet.pts) or add(self, packet))
    check(clips(path, spec, rng=np.random.default_rng(3)), whole(path), spec, rng=3)
    assert 0 < len(added) <= n // 2


@pytest.mark.parametrize("kind", ["h264 open gop", "h264 intra refresh", "hevc", "av1 forward keys"])
def test_key_frames_that_do_not_start_anew_make_the_whole_index_be_read(make_video, whole, kind):
    path = make_video(400, **KINDS[kind])
    spec = clipx.WindowSpec(4, num_clips=3)
    check(clips(path, spec), whole(path), spec)


def test_dense_clips_decode_everything_once(make_video):
    cut = clips(make_video(N, bf="3", g="25"), clipx.WindowSpec(4, 2))
    assert len(list(cut)) == 29
    assert (cut.frames_decoded, cut.frames_skipped) == (N, 0)


@pytest.mark.parametrize("policy", ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"])
@pytest.mark.parametrize(
    "window", [{"stride": 7}, {"stride": 5, "dilation": 3}, {"num_clips": 4}, {"stride": 70, "dilation": 12}], ids=str
)
@pytest.mark.parametrize("kind", ["h264 mkv", "h264 mpegts", "mjpeg avi"])
def test_sources_that_cannot_seek(make_video, whole, kind, window, policy):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    spec = clipx.WindowSpec(6, policy=policy, fill_value=200, **window)
    check(clips(Pipe(path.read_bytes()), spec), frames, spec)


@pytest.mark.parametrize("policy", ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"])
def test_sources_that_cannot_seek_and_end_early(make_video, whole, policy):
    path = make_video(5, **MKV)
    spec = clipx.WindowSpec(9, 4, policy=policy, fill_value=200)
    check(clips(Pipe(path.read_bytes()), spec), whole(path), spec)


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("dilation", [1, 3])
def test_error_policy(make_video, seekable, dilation):
    data = make_video(N, **KINDS["h264 mkv"]).read_bytes()
    spec = clipx.WindowSpec(8, 8, dilation, policy="error")
    got = []
    with pytest.raises(ValueError, match="policy is 'error'"):
        got.extend(clip.start for clip in clips(io.BytesIO(data) if seekable else Pipe(data), spec))
    got = []
    with contextlib.suppress(ValueError):
        for clip in clips(io.BytesIO(data) if seekable else Pipe(data), spec):
            got.append(clip.start)
    assert got == clipx.WindowSpec(8, 8, dilation).starts(N).tolist()


def test_random_windows(make_video, whole):
    paths = [make_video(N, **KINDS[kind]) for kind in ("h264 b-frames", "h264 short gop", "hevc closed", "vp9")]
    wholes = [whole(path) for path in paths]
    rng = np.random.default_rng(11)
    policies = ["drop", "repeat_last", "wrap", "reflect", "constant", "backpad"]
    for _ in range(120):
        length, dilation, stride = (int(rng.integers(1, most)) for most in (9, 12, 40))
        window = {"length": length, "dilation": dilation, "policy": str(rng.choice(policies))}
        if rng.random() < 0.3:
            window |= {"num_clips": int(rng.integers(1, 6)), "sampling": "random"}
        else:
            window["stride"] = stride
        spec = clipx.WindowSpec(**window)
        which = int(rng.integers(len(paths)))
        check(clips(paths[which], spec, rng=7), wholes[which], spec, rng=7)


CROPS = [(20, None), ((16, 31), None), ((3, 5, 20, 21), None), (None, True), ((1, 0, 47, 63), True), (1, True)]


@pytest.mark.parametrize(("crop", "flip"), CROPS, ids=str)
@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 422", "ffv1 bgra", "hevc 10 bits"])
def test_crop_and_flip_slice_the_whole(make_video, whole, kind, crop, flip):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    y, x, h, w, _ = clipx.ClipFormat(crop=crop).view(*frames.shape[1:3])
    frames = frames[:, y : y + h, x : x + w]
    spec = clipx.WindowSpec(4, num_clips=3)
    check(clips(path, spec, clipx.ClipFormat(crop=crop, flip=bool(flip))), frames[:, :, ::-1] if flip else frames, spec)


@pytest.mark.parametrize(
    ("resize", "size"), [(68, (68, 160)), ((120, 100), (120, 100)), ((300, 700), (300, 700)), ((33, 47), (33, 47))]
)
def test_resize_is_like_pyavs(real_video, resize, size):
    path = real_video("bikes.mp4")
    (clip,) = clips(path, clipx.WindowSpec(3, num_clips=1), clipx.ClipFormat(resize=resize))
    assert clip.data.shape == (3, *size, 3)
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        frames = {k: frame for k, frame in enumerate(container.decode(video=0)) if k in clip.frame_indices}
        for place, k in zip(clip.data, clip.frame_indices):
            scaled = reformatter.reformat(
                frames[k], size[1], size[0], "rgb24", interpolation=av.video.reformatter.Interpolation.BICUBIC
            ).to_ndarray()
            assert np.mean(np.abs(place.astype(int) - scaled)) < 3


def test_resize_then_crop_then_flip(make_video, whole):
    path = make_video(N, **KINDS["h264 b-frames"])
    frames = whole(path, clipx.ClipFormat(resize=30))
    assert frames.shape == (N, 30, 40, 3)
    format = clipx.ClipFormat(resize=30, crop=(2, 3, 20, 30), flip=True)
    spec = clipx.WindowSpec(4, dilation=3)
    check(clips(path, spec, format), frames[:, 2:22, 3:33][:, :, ::-1], spec)


@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 gray", "h264 444", "ffv1 bgr0", "prores", "h264 10 bits"])
def test_gray_is_the_luma(make_video, kind):
    path = make_video(N, **KINDS[kind])
    (clip,) = clips(path, clipx.WindowSpec(3, num_clips=1), options=clipx.VideoOptions(color="gray"))
    (colored,) = clips(path, clipx.WindowSpec(3, num_clips=1))
    assert clip.data.shape == (*colored.data.shape[:3], 1)
    luma = colored.data @ np.array([0.299, 0.587, 0.114])
    # Colors outside the cube were cut off at 0 and 255.
    inside = ((colored.data > 0) & (colored.data < 255)).all(-1)
    assert inside.mean() > 0.2
    assert np.abs(clip.data[..., 0] - luma)[inside].max() < 2.5


@pytest.mark.parametrize("colorspace", [None, "bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("color_range", [None, "limited", "full"])
@pytest.mark.parametrize("stated", [None, (1, 1), (9, 2), (6, 1)], ids=str)
def test_colorspace_and_range(make_video, stated, colorspace, color_range):
    path = make_video(4, g="2", color=stated)
    options = clipx.VideoOptions(colorspace=colorspace, color_range=color_range)
    (clip,) = clips(path, clipx.WindowSpec(4), options=options)
    space = colorspace or {None: "bt601", (1, 1): "bt709", (9, 2): "bt2020", (6, 1): "bt601"}[stated]
    m = matrix(space, color_range or ("full" if stated == (9, 2) else "limited"), 8)
    with av.open(str(path)) as container:
        for frame, place in zip(container.decode(video=0), clip.data):
            planes = frame.to_ndarray(format=frame.format.name)
            y, u, v = planes[:48], planes[48:60].reshape(24, 32), planes[60:].reshape(24, 32)
            y, u, v = y - float(m.offset), *(each.repeat(2, 0).repeat(2, 1) - 128.0 for each in (u, v))
            rgb = np.stack([m.y * y + m.rv * v, m.y * y + m.gu * u + m.gv * v, m.y * y + m.bu * u], -1)
            assert np.abs(place - np.clip(np.rint(rgb), 0, 255)).max() <= 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("format", [None, clipx.ClipFormat(resize=(20, 36), crop=(1, 2, 17, 30), flip=True)], ids=str)
def test_rotation(make_video, whole, degrees, format):
    path = make_video(N, **KINDS["h264 b-frames"])
    data = rotated(path, degrees)
    upright = np.rot90(whole(path), -degrees // 90, axes=(1, 2))
    spec = clipx.WindowSpec(4, dilation=4)
    if format is not None:
        sideways = degrees in (90, 270)
        resized = whole(path, clipx.ClipFormat(resize=(36, 20) if sideways else (20, 36)))
        upright = np.rot90(resized, -degrees // 90, axes=(1, 2))[:, 1:18, 2:32][:, :, ::-1]
    got = check(clips(data, spec, format), upright, spec)
    assert {clip.rotation for clip in got} == {-degrees % 360}
    left = clips(data, spec, options=clipx.VideoOptions(rotate=False))
    assert {clip.rotation for clip in check(left, whole(path), spec)} == {0}


def test_rotation_in_the_stage(make_video):
    path = make_video(N, **KINDS["h264 b-frames"])
    sample = {"__key__": "a", "mp4": rotated(path, 90)}
    outs = list(wds.clips(clipx.WindowSpec(16))([sample]))
    assert len(outs) == 3
    for out in outs:
        assert out["mp4"].shape == (16, 64, 48, 3)
        assert out["clip.json"]["rotation"] == 270
    kept = list(wds.clips(clipx.WindowSpec(16), options=clipx.VideoOptions(rotate=False))([sample]))
    assert [out["clip.json"]["rotation"] for out in kept] == [0, 0, 0]
    np.testing.assert_array_equal(outs[0]["mp4"], np.rot90(kept[0]["mp4"], -1, axes=(1, 2)))


@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 short gop", "hevc", "vp9", "av1", "ffv1", "mjpeg"])
def test_threads_of_the_decoder_change_nothing(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    frames = whole(path)
    for window in WINDOWS[:3] + WINDOWS[-2:]:
        spec = clipx.WindowSpec(**window)
        check(clips(path, spec, options=clipx.VideoOptions(num_threads=2), rng=1), frames, spec, rng=1)


def test_two_videos_in_two_threads_with_one_pool(make_video, whole):
    paths = [make_video(N, **KINDS[kind]) for kind in ("h264 b-frames", "vp9")]
    spec = clipx.WindowSpec(8, 3)
    pool = clipx.ClipPool(2 * spec.slots(), (8, 48, 64, 3))
    wholes = [whole(path) for path in paths]

    def cut(which):
        for _ in range(5):
            count = 0
            for clip in clips(paths[which], spec, pool=pool):
                np.testing.assert_array_equal(clip.data, wholes[which][clip.start : clip.start + 8])
                count += 1
                del clip
            assert count == spec.count(N)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(cut, which) for which in (0, 1)]:
            done.result()
    assert pool.stats().free == pool.slots


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_pool_as_small_as_may_be(make_video, whole, window):
    path = make_video(N, **KINDS["h264 b-frames"])
    frames = whole(path)
    spec = clipx.WindowSpec(**window)
    starts = spec.starts(N, rng=2)
    pool = clipx.ClipPool(spec.slots(starts if spec.num_clips else None), (spec.length, 48, 64, 3))
    for _ in range(2):
        count = 0
        for clip, row in zip(clips(path, spec, pool=pool, rng=2), spec.indices(N, rng=2)):
            for place, k in zip(clip.data, row):
                assert np.array_equal(place, frames[k] if k >= 0 else np.full_like(place, spec.fill_value))
            count += 1
            del clip, place
        assert count == len(starts)
        assert pool.stats().free == pool.slots


def two_streams(first, second):
    """A file with the packets of two videos."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as target, av.open(str(first)) as a, av.open(str(second)) as b:
        packets = []
        for source in (a, b):
            stream = target.add_stream_from_template(source.streams.video[0])
            for number, packet in enumerate(source.demux(video=0)):
                if packet.size:
                    packets.append((number, stream, packet))
        for _, stream, packet in sorted(packets, key=lambda each: each[0]):
            packet.stream = stream
            target.mux(packet)
    return out.getvalue()


def test_the_stream_that_was_asked_for(make_video, whole):
    first = make_video(N, **KINDS["h264 mkv"])
    second = make_video(40, size=(32, 96), bf="2", g="10", **MKV)
    data = two_streams(first, second)
    for number, path in enumerate([first, second]):
        frames = whole(path)
        for window in WINDOWS:
            spec = clipx.WindowSpec(**window)
            check(clips(data, spec, options=clipx.VideoOptions(stream=number), rng=1), frames, spec, rng=1)
    with pytest.raises(clipx.MediaError, match=r"stream is 2, but .* has 2 video streams"):
        clips(data, clipx.WindowSpec(4), options=clipx.VideoOptions(stream=2))


def test_the_stage_takes_format_and_options(make_video, whole):
    path = make_video(N, **KINDS["h264 b-frames"])
    samples = [{"__key__": "a", "mp4": path.read_bytes(), "cls": 1}, {"__key__": "b", "mp4": path.read_bytes()}]
    format = clipx.ClipFormat(crop=(1, 2, 30, 40), flip=True)
    options = clipx.VideoOptions(color="gray", start_seconds=0.4, fps=12.5)
    window = clipx.WindowSpec(5, 4, policy="constant", fill_value=3)
    pool = clipx.ClipPool(8, (5, 30, 40, 1))
    frames = whole(path, format, options)
    # From frame 10 on, every second: 26 of them.
    rows = np.array([[s + i if s + i < 26 else -1 for i in range(5)] for s in range(0, 25, 4)])
    seen = []
    for out in wds.clips(window, format, options=options, pool=pool)(samples):
        key, _, number = out["__key__"].rpartition("_")
        facts = json.loads(json.dumps(out["clip.json"]))
        row = rows[int(number)]
        expected = np.where(row < 0, -1, 10 + 2 * row)
        assert set(facts) == {
            "index",
            "start",
            "valid",
            "frame_indices",
            "pts_seconds",
            "duration_seconds",
            "source_fps",
            "rotation",
        }
        assert (facts["index"], facts["start"]) == (int(number), 4 * int(number))
        assert facts["valid"] == np.count_nonzero(row >= 0)
        assert facts["frame_indices"] == expected.tolist()
        assert facts["pts_seconds"] == [None if k < 0 else pytest.approx(k / 25) for k in expected]
        assert facts["duration_seconds"] == [None if k < 0 else pytest.approx(1 / 25) for k in expected]
        assert (facts["source_fps"], facts["rotation"]) == (25.0, 0)
        assert out.get("cls") == (1 if key == "a" else None)
        for place, k in zip(out["mp4"], expected):
            assert np.array_equal(place, np.full_like(place, 3) if k < 0 else frames[k])
        seen.append(key)
        del out, place
    assert seen == ["a"] * len(rows) + ["b"] * len(rows)
    assert pool.stats().free == 8
