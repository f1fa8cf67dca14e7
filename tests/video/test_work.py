"""Packets and frames that no clip needs are neither read nor decoded."""

import av
import numpy as np
import pytest
from helpers.media import remuxed
from helpers.videos import KINDS, MKV, MOV, WINDOWS, X265, N, check_slices

import clipx
from clipx.media import packet_index as index
from clipx.video.clips import clips


@pytest.mark.parametrize("kind", ["h264 b-frames", "h264 one gop", "h264 mkv"])
def test_frames_that_nothing_refers_to_are_not_decoded(make_video, kind):
    path = make_video(N, **KINDS[kind])
    extracted = clips(path, clipx.WindowSpec(4, dilation=8))
    assert len(list(extracted)) == (N - 25) // 32 + 1
    assert extracted.frames_skipped > 0
    assert extracted.frames_decoded < 0.75 * N


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
        check_slices(clips(path, spec, rng=1), frames, spec, rng=1)


@pytest.mark.parametrize("kind", ["vp8", "vp9", "av1", "ffv1", "hevc closed", "h264 short gop", "h264 fragments"])
def test_groups_of_pictures_that_no_clip_needs_are_not_decoded(make_video, whole, kind):
    path = make_video(N, **KINDS[kind])
    spec = clipx.WindowSpec(1, 60)
    extracted = clips(path, spec)
    check_slices(extracted, whole(path), spec)
    assert extracted.frames_decoded <= 21 + 4
    assert extracted.frames_skipped == N - extracted.frames_decoded


@pytest.mark.parametrize("container", [{}, MKV], ids=["mp4", "mkv"])
def test_sparse_clips_of_a_long_file_decode_little(make_video, whole, container):
    n = 1000
    path = make_video(n, bf="2", g="25", **container)
    spec = clipx.WindowSpec(4, num_clips=4)
    extracted = clips(path, spec)
    check_slices(extracted, whole(path), spec)
    # A group of pictures and a clip each, at most.
    assert extracted.frames_decoded <= 4 * (25 + 4)
    assert extracted.frames_skipped == n - extracted.frames_decoded


def test_a_file_whose_every_stretch_is_needed_is_opened_once(make_video, monkeypatch):
    opened, opens = [], av.open
    monkeypatch.setattr(av, "open", lambda *arguments, **rest: opened.append(1) or opens(*arguments, **rest))
    path = make_video(N, **KINDS["h264 one gop"])
    assert len(list(clips(path, clipx.WindowSpec(4, num_clips=1)))) == 1
    assert len(opened) == 1


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
    check_slices(clips(path, spec, rng=np.random.default_rng(3)), whole(path), spec, rng=3)
    assert 0 < len(added) <= n // 2


@pytest.mark.parametrize("kind", ["h264 open gop", "h264 intra refresh", "hevc", "av1 forward keys"])
def test_key_frames_that_do_not_start_anew_make_the_whole_index_be_read(make_video, whole, kind):
    path = make_video(400, **KINDS[kind])
    spec = clipx.WindowSpec(4, num_clips=3)
    check_slices(clips(path, spec), whole(path), spec)


def test_dense_clips_decode_everything_once(make_video):
    extracted = clips(make_video(N, bf="3", g="25"), clipx.WindowSpec(4, 2))
    assert len(list(extracted)) == 29
    assert (extracted.frames_decoded, extracted.frames_skipped) == (N, 0)
