"""Damaged videos: the clips before the damage, then MediaError; never anything else, and no other sample is lost."""

import io
import logging

import av
import numpy as np
import pytest
from helpers.long import LONG
from helpers.media import remuxed
from helpers.videos import MKV

import clipx
from clipx import wds
from clipx.video.clips import clips

N = 30
SMALL = {"size": (32, 48)}
KINDS = {
    "mp4": {"bf": "2", "g": "8", **SMALL},
    "fragments": {"bf": "2", "g": "8", "container": "ismv", "suffix": ".mp4", **SMALL},
    "mkv": {"bf": "2", "g": "8", **MKV, **SMALL},
    "mpegts": {"bf": "2", "g": "8", "container": "mpegts", "suffix": ".ts", **SMALL},
    "hevc": {"codec": "libx265", "x265-params": "log-level=none:keyint=8:open-gop=0:pools=1"},
    "vp9": {"codec": "libvpx-vp9", "g": "8", "cpu-used": "8", "container": "webm", "suffix": ".webm", **SMALL},
    "av1": {"codec": "libsvtav1", "preset": "12", "g": "8", "size": (64, 64)},
    "mjpeg avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p", "container": "avi", "suffix": ".avi", **SMALL},
    "mpeg4 avi": {"codec": "mpeg4", "g": "8", "container": "avi", "suffix": ".avi", **SMALL},
    "ffv1": {"codec": "ffv1", "g": "4", **MKV, **SMALL},
    "prores": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "container": "mov", "suffix": ".mov", **SMALL},
}
WINDOWS = [
    clipx.WindowSpec(4),
    clipx.WindowSpec(3, dilation=4, policy="wrap"),
    clipx.WindowSpec(3, num_clips=3, policy="repeat_last"),
    clipx.WindowSpec(5, 3, policy="backpad"),
]


def clips_until_error(data, window):
    """The clips that come, and the error that ends them, if one does."""
    got = []
    try:
        for clip in clips(data, window):
            got.append(clip)
    except clipx.MediaError as exn:
        return got, exn
    return got, None


@pytest.mark.parametrize("kind", KINDS)
def test_truncated(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    frames, data = whole(path), path.read_bytes()
    whole_clips = {window: list(clips(data, window)) for window in WINDOWS}
    clean, failed = 0, 0
    for end in np.linspace(0, len(data) - 1, 40 if LONG else 15).astype(int).tolist():
        for window in WINDOWS:
            got, error = clips_until_error(data[:end], window)
            failed += error is not None
            assert len(got) <= len(whole_clips[window])
            for clip in got:
                assert clip.data.shape == (window.length, *frames.shape[1:])
                clean += 1
            if window == WINDOWS[0]:
                # All that was read in full is as it was; a codec may conceal the loss in its last frames.
                for clip in got[:-1]:
                    np.testing.assert_array_equal(clip.data, frames[clip.frame_indices])
    assert failed > 0
    # Where what a decoder needs stands at the end of the file, nothing can be read without it.
    assert clean > 0 or kind in ("mp4", "hevc", "av1", "prores")


@pytest.mark.parametrize("kind", ["mp4", "hevc", "prores"])
def test_truncated_with_its_header_in_front(make_video, whole, tmp_path, kind):
    path, front = make_video(N, **KINDS[kind]), tmp_path / "front.mov"
    data = remuxed(path, "mov", to=front, options={"movflags": "faststart"})
    assert data.index(b"moov") < data.index(b"mdat")
    frames, begin = whole(path), data.index(b"mdat") + 4
    # One clip more, the later the end.
    counts = []
    for end in np.linspace(begin + 1, len(data) - 1, 25 if LONG else 12).astype(int).tolist():
        got, error = clips_until_error(data[:end], WINDOWS[0])
        assert error is not None
        counts.append(len(got))
        assert [clip.start for clip in got] == [4 * i for i in range(len(got))]
        for clip in got:
            np.testing.assert_array_equal(clip.data, frames[clip.frame_indices])
        for window in WINDOWS[1:]:
            for clip in clips_until_error(data[:end], window)[0]:
                np.testing.assert_array_equal(clip.data, frames[clip.frame_indices])
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] >= 5
    assert len(set(counts)) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bytes(make_video, kind):
    data = bytearray(make_video(N, **KINDS[kind]).read_bytes())
    rng = np.random.default_rng(1)
    failed, flips = 0, 200 if LONG else 60
    for number, at in enumerate(rng.integers(0, len(data), flips).tolist()):
        before = data[at]
        data[at] ^= int(rng.integers(1, 256))
        window = WINDOWS[number % len(WINDOWS)]
        got, error = clips_until_error(bytes(data), window)
        data[at] = before
        failed += error is not None
        starts = [clip.start for clip in got]
        assert starts == sorted(starts)
        for clip in got:
            assert len(clip.data) == window.length
            assert (clip.frame_indices >= 0).all()
    assert failed < flips
    assert failed > 0 or kind == "ffv1"  # of which few bytes are checked


@pytest.mark.parametrize("kind", KINDS)
def test_a_stretch_of_noise(make_video, kind):
    whole_file = make_video(N, **KINDS[kind]).read_bytes()
    rng = np.random.default_rng(2)
    failed = 0
    for number in range(24):
        data = bytearray(whole_file)
        at, size = (int(rng.integers(most)) for most in (len(data), len(data) // 4))
        data[at : at + size] = rng.bytes(len(data[at : at + size]))
        failed += clips_until_error(bytes(data), WINDOWS[number % len(WINDOWS)])[1] is not None
    assert failed > 0


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_left_out(make_video, kind):
    whole_file = make_video(N, **KINDS[kind]).read_bytes()
    rng = np.random.default_rng(3)
    failed = 0
    for number in range(24):
        at, size = (int(rng.integers(most)) for most in (len(whole_file), len(whole_file) // 8))
        data = whole_file[:at] + whole_file[at + size :]
        failed += clips_until_error(data, WINDOWS[number % len(WINDOWS)])[1] is not None
    assert failed > 0


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_damage_in_the_middle(make_video, whole, window, num_threads):
    """Frames that are stored by themselves: what lies before the damage is as it was."""
    path = make_video(N, codec="mjpeg", pix_fmt="yuvj420p", container="mov", suffix=".mov")
    frames, data = whole(path), bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    at, size = packets[17]
    data[at : at + size] = bytes(size)
    got, error = [], None
    try:
        for clip in clips(bytes(data), window, options=clipx.VideoOptions(num_threads=num_threads)):
            got.append(clip)
    except clipx.MediaError as exn:
        error = exn
    rows = window.indices(N)
    needed = [17 in row for row in rows.tolist()]
    if not any(needed):
        assert error is None
        assert len(got) == len(rows)
    else:
        assert error is not None
        assert isinstance(error.__cause__, av.FFmpegError)
        before = needed.index(True) if window.dilation > 1 else sum(row.max() < 17 for row in rows)
        assert len(got) == before
    for clip, row in zip(got, rows):
        np.testing.assert_array_equal(clip.data, frames[row])


def parts(make_video):
    """What is no video, though it begins like one."""
    mp4 = make_video(N, **KINDS["mp4"]).read_bytes()
    webm = make_video(N, **KINDS["vp9"]).read_bytes()
    mkv = make_video(N, **KINDS["mkv"]).read_bytes()
    moov = mp4.index(b"moov") - 4
    return {
        "empty": b"",
        "one byte": b"\0",
        "only ftyp": mp4[: int.from_bytes(mp4[:4], "big")],
        "only moov": mp4[: int.from_bytes(mp4[:4], "big")] + mp4[moov:],
        "no moov": mp4[:moov],
        "header of webm": webm[: webm.index(b"\x1f\x43\xb6\x75")],
        "header of mkv": mkv[: mkv.index(b"\x1f\x43\xb6\x75")],
        "zeros": bytes(5000),
        "text": b"once upon a time " * 99,
        "noise": np.random.default_rng(0).bytes(20000),
        "sync bytes": b"G" * 188 * 20,
    }


PARTS = [
    "empty",
    "one byte",
    "only ftyp",
    "only moov",
    "no moov",
    "header of webm",
    "header of mkv",
    "zeros",
    "text",
    "noise",
    "sync bytes",
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("part", PARTS)
def test_no_frames(make_video, part, window, tmp_path):
    data = parts(make_video)[part]
    got, error = clips_until_error(data, window)
    assert got == []
    assert error is not None
    (tmp_path / "part.mp4").write_bytes(data)
    got, error = clips_until_error(tmp_path / "part.mp4", window)
    assert got == []
    assert "part.mp4" in str(error)


def test_only_sound(make_audio):
    for window in WINDOWS:
        got, error = clips_until_error(make_audio(), window)
        assert got == []
        assert "no video stream" in str(error)


def joined(make_video, kind, first, second):
    """Two videos in one stream; raw H.264 or MPEG-TS, which are joined by joining their bytes."""
    datas = []
    for size, pix_fmt in (first, second):
        path = make_video(N, size=size, pix_fmt=pix_fmt, bf="0", g="10", container=kind, suffix=".bin")
        datas.append(path.read_bytes())
    return b"".join(datas)


@pytest.mark.parametrize(
    "second", [((48, 32), "yuv420p"), ((64, 96), "yuv420p"), ((32, 48), "yuv444p")], ids=["turned", "larger", "format"]
)
@pytest.mark.parametrize("kind", ["h264", "mpegts"])
@pytest.mark.parametrize("resize", [None, (20, 30)])
def test_a_stream_that_changes_midway(make_video, kind, second, resize):
    data = joined(make_video, kind, ((32, 48), "yuv420p"), second)
    window = clipx.WindowSpec(4)
    alone = list(clips(make_video(N, size=(32, 48), bf="0", g="10", container=kind, suffix=".bin"), window))
    got, pool = [], clipx.ClipPool(3, (4, *(resize or (32, 48)), 3))
    format = clipx.ClipFormat(resize=resize)
    # Joined transport streams break its count of packets as well.
    reported = "changes midway" if kind == "h264" else "changes midway|is damaged"
    with pytest.raises(clipx.MediaError, match=reported):  # noqa: PT012
        for clip in clips(data, window, format, pool=pool):
            got.append(clip.data.copy())
            del clip
    assert len(got) == N // 4
    if resize is None:
        for mine, clip in zip(got, alone):
            np.testing.assert_array_equal(mine, clip.data)
    assert pool.stats().free == 3


def broken(make_video):
    mjpeg = bytearray(make_video(N, codec="mjpeg", pix_fmt="yuvj420p", container="mov", suffix=".mov").read_bytes())
    mjpeg[len(mjpeg) // 2 : len(mjpeg) // 2 + 2000] = bytes(2000)
    mpegts = make_video(N, **KINDS["mpegts"]).read_bytes()
    return {
        "empty": ("mp4", b""),
        "text": ("mp4", b"once upon a time " * 99),
        "cut": ("mp4", make_video(N, **KINDS["mp4"]).read_bytes()[:-500]),
        "hole": ("mov", bytes(mjpeg)),
        "size": ("ts", mpegts + make_video(N, **{**KINDS["mpegts"], "size": (64, 64)}).read_bytes()),
    }


@pytest.mark.parametrize("window", [clipx.WindowSpec(4), clipx.WindowSpec(4, dilation=2, policy="wrap")], ids=str)
@pytest.mark.parametrize("kind", ["empty", "text", "cut", "hole", "size"])
def test_no_other_sample_is_lost(make_video, caplog, kind, window):
    field, data = broken(make_video)[kind]
    good = make_video(N, **KINDS["mp4"]).read_bytes()
    samples = [{"__key__": "a", "mp4": good}, {"__key__": "b", field: data}, {"__key__": "c", "mp4": good}]
    with caplog.at_level(logging.WARNING, "clipx"):
        outs = list(wds.clips(window, handler=wds.log_and_continue)(samples))
    count = window.count(N)
    keys = [out["__key__"] for out in outs]
    assert keys[:count] == [f"a_{i:06d}" for i in range(count)]
    assert keys[-count:] == [f"c_{i:06d}" for i in range(count)]
    between = keys[count:-count]
    assert between == [f"b_{i:06d}" for i in range(len(between))]
    assert (len(between) > 0) == (kind in ("hole", "size"))
    (record,) = caplog.records
    assert record.getMessage().startswith("MediaError: field")
    assert "sample 'b'" in record.getMessage()


def test_flipped_samples_in_one_stream(make_video, caplog):
    good = make_video(N, **KINDS["mpegts"]).read_bytes()
    rng = np.random.default_rng(4)
    samples = []
    for number in range(40):
        data = bytearray(good)
        for at in rng.integers(0, len(data), 20):
            data[at] ^= int(rng.integers(1, 256))
        samples += [{"__key__": f"bad{number}", "ts": bytes(data)}, {"__key__": f"good{number}", "ts": good}]
    pool = clipx.ClipPool(4, (4, 32, 48, 3))
    whole_ones = 0
    with caplog.at_level(logging.WARNING, "clipx"):
        for out in wds.clips(clipx.WindowSpec(4, 3), pool=pool, handler=wds.log_and_continue)(samples):
            whole_ones += out["__key__"].startswith("good")
            del out
    assert whole_ones == 40 * clipx.WindowSpec(4, 3).count(N)
    assert len(caplog.records) > 20
    assert pool.stats().free == 4


@pytest.mark.parametrize("crop", [65, (49, 64), (0, 0, 48, 65), (40, 0, 9, 9)], ids=str)
@pytest.mark.parametrize("window", [WINDOWS[0], WINDOWS[2]], ids=str)
def test_crop_outside_the_picture(make_video, caplog, crop, window):
    path = make_video(N, bf="2", g="10")
    format = clipx.ClipFormat(crop=crop)
    with pytest.raises(ValueError, match=r"crop is .*, but the picture is 48 by 64") as caught:
        list(clips(path, window, format))
    assert not isinstance(caught.value, clipx.MediaError)
    larger = make_video(N, size=(96, 96)).read_bytes()
    samples = [{"__key__": "a", "mp4": path.read_bytes()}, {"__key__": "b", "mp4": larger}]
    with caplog.at_level(logging.WARNING, "clipx"):
        outs = list(wds.clips(window, format, handler=wds.log_and_continue)(samples))
    assert [out["__key__"] for out in outs] == [f"b_{i:06d}" for i in range(window.count(N))]
    assert "crop is" in caplog.records[0].getMessage()


@pytest.mark.parametrize("change", ["zeros", "shorter"])
@pytest.mark.parametrize("window", [WINDOWS[1], WINDOWS[2]], ids=str)
@pytest.mark.parametrize("kind", ["mp4", "mkv", "ffv1"])
def test_a_file_that_changes_between_two_passes(make_video, kind, window, change):
    """The packets are no longer those of the index."""
    data = make_video(N, **{**KINDS[kind], "size": (240, 320), "qp": "4"}).read_bytes()
    half = len(data) // 3
    assert half > 2**16  # more than is read ahead
    file = io.BytesIO(data)
    extracted = clips(file, window)
    if change == "zeros":
        file.getbuffer()[half:] = bytes(len(data) - half)
    else:
        file.truncate(half)
    with pytest.raises(clipx.MediaError):
        list(extracted)
