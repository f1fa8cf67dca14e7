"""Files that are opened without decoding: their facts, packets and frames are those of files that are probed."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.media import remuxed
from helpers.videos import KINDS, N

import clipx
from clipx.media.sources import as_source
from clipx.video import file
from clipx.video.clips import clips
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions

KNOWN = [
    "h264 b-frames",
    "h264 short gop",
    "h264 open gop",
    "h264 no b-frames",
    "h264 odd",
    "h264 10 bits",
    "h264 gray",
]


def is_unprobed(opened):
    """True if no decoder has run, which is when the pixel format of H.264 is found."""
    return opened.stream.codec_context.format is None  # PyAV 17 crashes on its pix_fmt


def facts(opened):
    stream, context = opened.stream, opened.stream.codec_context
    rates = stream.average_rate, stream.guessed_rate, opened.rate, opened.grace, opened.frame_ticks
    times = stream.start_time, stream.duration, opened.time_base, opened.container.duration
    return rates, times, (context.width, context.height, opened.announced, opened.codec, bytes(context.extradata))


def frames(opened):
    found = []
    for packet in opened.packets():
        found.append((packet.pts, packet.dts, packet.duration, packet.is_keyframe, packet.size))
        for image in opened.stream.codec_context.decode(packet):
            stated = image.format.name, int(image.colorspace), int(image.color_range)
            found.append((image.pts, image.duration, *stated, [bytes(plane) for plane in image.planes]))
    return found


@pytest.mark.parametrize("options", [VideoOptions(), VideoOptions(fps=7)], ids=["", "fps"])
@pytest.mark.parametrize("kind", KNOWN)
def test_all_is_as_if_it_had_been_probed(make_video, kind, options):
    path = make_video(N, **KINDS[kind])
    for src in (path, path.read_bytes()):
        quick, plain = VideoFile(src, "it", options, probes=False), VideoFile(src, "it", options)
        assert is_unprobed(quick)
        assert not is_unprobed(plain)
        for _ in range(2):
            assert facts(quick) == facts(plain)
            assert frames(quick) == frames(plain)
            quick.rewind()
            plain.rewind()
            assert is_unprobed(quick)


@pytest.mark.parametrize("kind", ["h264 mkv", "h264 avi", "h264 fragments", "vp9", "ffv1"])
def test_other_containers_are_probed(make_video, kind):
    assert not is_unprobed(VideoFile(make_video(N, **KINDS[kind]), "it", VideoOptions(), probes=False))


def test_files_that_are_probed(make_video):
    path = make_video(N, **KINDS["h264 b-frames"])
    assert is_unprobed(VideoFile(path, "it", VideoOptions(max_pixels=48 * 64), probes=False))
    with path.open("rb") as opened:
        assert not is_unprobed(VideoFile(as_source(opened, "it"), "it", VideoOptions(), probes=False))
    uneven = make_video(N, pts=tuple(40 * k + k % 3 for k in range(N)), time_base=Fraction(1, 1000), rate=1000)
    assert is_unprobed(VideoFile(uneven, "it", VideoOptions(), probes=False))
    assert not is_unprobed(VideoFile(uneven, "it", VideoOptions(fps=7), probes=False))


def test_frames_that_are_too_large_are_named(make_video):
    path = make_video(N, **KINDS["h264 b-frames"])
    with pytest.raises(clipx.MediaError, match="64 by 48, 3072 pixels, but max_pixels is 3071"):
        VideoFile(path, "it", VideoOptions(max_pixels=3071), probes=False)


def sets_of(path):
    """The parameter sets of a file's header, as they stand in packets (ISO/IEC 14496-15 5.3.3.1)."""
    with av.open(str(path)) as container:
        file = io.BytesIO(bytes(container.streams.video[0].codec_context.extradata)[5:])
    found = b""
    for _ in range(2):
        for _ in range(file.read(1)[0] & 31):
            size = file.read(2)
            found += b"\0\0" + size + file.read(int.from_bytes(size, "big"))
    return found


@pytest.mark.parametrize("at", [0, 10, 20])
def test_colors_of_sets_between_the_packets(make_video, monkeypatch, at):
    """A decoder keeps the colors that a set between the packets states for later ones that state none."""
    how = {"bf": "2", "g": "10", "size": (48, 64), "crf": "20"}
    plain, stated = make_video(30, **how), make_video(30, color=(1, 2), **how)
    sets = {at: sets_of(stated), at + 10: sets_of(plain)}
    data = remuxed(plain, "mp4", lambda number, packet: sets[number] + bytes(packet) if number in sets else None)
    assert is_unprobed(VideoFile(data, "it", VideoOptions(), probes=False))
    specs = [clipx.WindowSpec(1), *(clipx.FrameList([start, start + 1]) for start in range(0, 28, 3))]

    def every():
        return [[clip.data for clip in clips(data, spec)] for spec in specs]

    quick = every()
    monkeypatch.setattr(file, "is_known", lambda *args, **rest: False)
    for one, other in zip(quick, every(), strict=True):
        assert np.array_equal(one, other)
    if at == 0:
        assert np.array_equal(np.concatenate(quick[0][15:17]), quick[6][0])
