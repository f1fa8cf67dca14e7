"""Colors: every matrix that a file may state, and matrices and ranges that change midway."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.pictures import resized, unclipped

import clipx
from clipx import wds
from clipx.video.clips import clips

SIZE = 48, 64
EACH = 6
# Kr and Kb of MatrixCoefficients, ITU-T H.273 table 4; what is not specified is BT.601.
WEIGHTS = {
    0: (0.299, 0.114),
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
NOT_CONVERTED = [8, 10, 11, 12, 13, 14]
LIMITED, FULL = 1, 2


def encoded(k, matrix, color_range, pix_fmt="yuv444p", codec="libx264"):
    """Packets of EACH pictures in one color space, beginning with a key frame and its headers."""
    context = av.CodecContext.create(codec, "w")
    context.height, context.width = SIZE
    context.pix_fmt, context.time_base, context.framerate = pix_fmt, Fraction(1, 25), Fraction(25)
    context.colorspace, context.color_range = matrix, color_range
    context.options = {"qp": "0", "bf": "0", "preset": "ultrafast"}
    rng = np.random.default_rng(k)
    packets = []
    for i in range(EACH):
        picture = rng.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
        frame.pts, frame.time_base = i, Fraction(1, 25)
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets + [bytes(packet) for packet in context.encode(None)]


def stream(colors, container="mpegts", **how):
    """A file whose colors change: EACH frames as each of (matrix, range) says."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        copy = target.add_stream("libx264", rate=25)
        copy.height, copy.width = SIZE
        copy.pix_fmt = how.get("pix_fmt", "yuv444p")
        target.start_encoding()
        at = 0
        for k, (matrix, color_range) in enumerate(colors):
            for i, data in enumerate(encoded(k, matrix, color_range, **how)):
                packet = av.Packet(data)
                packet.pts = packet.dts = at
                packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), copy, i == 0
                packet.duration = 1
                target.mux(packet)
                at += 1
    return out.getvalue()


def decoded(data):
    with av.open(io.BytesIO(data)) as container:
        return list(container.decode(video=0))


def plain(frame):
    """A frame with the same samples, whose format's name says nothing of their range."""
    same = {"src_colorspace": 5, "dst_colorspace": 5, "src_color_range": 2, "dst_color_range": 2}
    return frame.reformat(format=frame.format.name.replace("yuvj", "yuv"), **same)


def swscale(frame):
    """The picture by FFmpeg, told what the frame states; by itself it goes by the names of formats first."""
    copied = plain(frame)
    copied.colorspace, copied.color_range = frame.colorspace, frame.color_range
    return copied.to_ndarray(format="rgb24").astype(np.int16)


def converted(frame, matrix, color_range):
    """The picture of a 4:4:4 frame of 8 bits by the standard's formulas, unrounded, (height, width, 3)."""
    y, u, v = frame.to_ndarray().astype(np.float64)
    kr, kb = WEIGHTS[matrix]
    y, c = (y / 255, 255) if color_range == FULL else ((y - 16) / 219, 224)
    u, v = (u - 128) / c, (v - 128) / c
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(255 * np.stack([r, g, b], -1), 0, 255)


def check_resized(picture, whole):
    """A picture is the whole one resized, where that was not clipped."""
    size = picture.shape[:2]
    inside = unclipped(whole, size)
    assert inside.mean() > 0.1
    assert np.abs(picture - resized(whole, size))[inside].max() <= 2


CHANGES = [
    [(1, LIMITED), (6, LIMITED), (1, LIMITED)],
    [(7, LIMITED), (4, FULL), (9, FULL), (6, LIMITED), (7, FULL)],
    [(6, FULL), (6, LIMITED), (6, FULL)],
    [(5, LIMITED), (1, FULL)],
]


@pytest.mark.parametrize("container", ["h264", "mpegts", "matroska"])
@pytest.mark.parametrize("colors", CHANGES, ids=str)
def test_each_frame_is_converted_by_what_it_says(colors, container):
    data = stream(colors, container)
    frames = decoded(data)
    said = [(int(frame.colorspace), int(frame.color_range)) for frame in frames]
    assert said == [each for each in colors for _ in range(EACH)]
    pictures = [converted(frame, *each) for frame, each in zip(frames, said)]
    swscaled = [swscale(frame) for frame in frames]
    for window in ({"length": EACH + 1, "stride": 2}, {"length": 2, "stride": 7}, {"length": 3, "num_clips": 4}):
        spec = clipx.WindowSpec(**window)
        got = list(clips(data, spec))
        assert [clip.start for clip in got] == spec.starts(len(frames)).tolist()
        for clip in got:
            for picture, k in zip(clip.data, clip.frame_indices):
                assert np.abs(picture - pictures[k]).max() <= 1
                assert np.abs(picture - swscaled[k]).max() <= 3
    # Resized and in gray, too.
    for clip in clips(data, clipx.WindowSpec(1, 5), clipx.ClipFormat(resize=(24, 32))):
        check_resized(clip.data[0], converted(frames[clip.start], *said[clip.start]))
    for clip in clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(color="gray")):
        y = frames[clip.start].to_ndarray()[0].astype(np.float64)
        y = y if said[clip.start][1] == FULL else np.clip((y - 16) * 255 / 219, 0, 255)
        assert np.abs(clip.data[0, :, :, 0] - y).max() <= 1


def test_what_the_options_say_holds_for_all():
    data = stream([(1, LIMITED), (7, FULL), (8, LIMITED)])
    frames = decoded(data)
    options = clipx.VideoOptions(colorspace="fcc", color_range="limited")
    for clip in clips(data, clipx.WindowSpec(1), options=options):
        assert np.abs(clip.data[0] - converted(frames[clip.start], 4, LIMITED)).max() <= 1
    options = clipx.VideoOptions(colorspace="smpte240m")
    for clip in clips(data, clipx.WindowSpec(1), options=options):
        frame = frames[clip.start]
        assert np.abs(clip.data[0] - converted(frame, 7, frame.color_range)).max() <= 1
    for clip in clips(data, clipx.WindowSpec(1, 5), clipx.ClipFormat(resize=(24, 32)), options=options):
        check_resized(clip.data[0], converted(frames[clip.start], 7, frames[clip.start].color_range))


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
def test_every_matrix(matrix, color_range):
    data = stream([(matrix, color_range)])
    for clip, frame in zip(clips(data, clipx.WindowSpec(1)), decoded(data)):
        if frame.format.is_rgb:
            assert matrix == 0
            wanted = frame.to_ndarray(format="rgb24")
        else:
            assert int(frame.colorspace) == matrix
            wanted = converted(frame, matrix, color_range)
            assert np.abs(clip.data[0] - swscale(frame)).max() <= 3
        assert np.abs(clip.data[0] - wanted).max() <= 1


@pytest.mark.parametrize("matrix", NOT_CONVERTED)
def test_a_matrix_that_is_not_converted(matrix):
    """FFmpeg converts none of these either."""
    data = stream([(1, LIMITED), (matrix, LIMITED)])
    frames = decoded(data)
    with pytest.raises(av.FFmpegError):
        frames[-1].to_ndarray(format="rgb24")
    extracted, got = clips(data, clipx.WindowSpec(2), name="'a.ts'"), []
    with pytest.raises(
        clipx.MediaError, match=rf"'a.ts' has a frame at 0\.240 s .*\(matrix coefficients {matrix}\).*colorspace="
    ):
        got.extend(extracted)
    assert [clip.start for clip in got] == [0, 2, 4]
    gray = list(clips(data, clipx.WindowSpec(2), options=clipx.VideoOptions(color="gray")))
    assert len(gray) == EACH
    taken = list(clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(colorspace="bt709")))
    assert np.abs(taken[-1].data[0] - converted(frames[-1], 1, LIMITED)).max() <= 1
    sample = {"__key__": "a", "ts": data}
    assert (
        len(list(wds.clips(clipx.WindowSpec(2), handler=lambda _: True)([sample, {"__key__": "b", "ts": data}]))) == 6
    )


def test_a_pixel_format_that_changes_stays_an_error():
    data = stream([(1, LIMITED)]) + stream([(1, LIMITED)], pix_fmt="yuv420p")
    assert len({frame.format.name for frame in decoded(data)}) == 2
    got = []
    with pytest.raises(clipx.MediaError, match=r"changes midway from .*yuv444p.* to .*yuv420p"):
        got.extend(clips(data, clipx.WindowSpec(1)))
    assert len(got) == EACH


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
@pytest.mark.parametrize("first", [LIMITED, FULL])
def test_ranges_that_change_in_subsampled_pictures(pix_fmt, first):
    """One picture in both ranges, up to what its samples are rounded to."""
    colors = [(1, first), (1, LIMITED + FULL - first), (7, first)]
    data = stream(colors, "matroska", pix_fmt=pix_fmt)
    frames = decoded(data)
    for window in ({"length": 1}, {"length": 1, "stride": 8}):
        for clip in clips(data, clipx.WindowSpec(**window)):
            frame = frames[clip.start]
            shown = clip.data[0, 4::8, 4::8].astype(np.int16)
            y = frame.to_ndarray()[: SIZE[0]].astype(np.float64) if pix_fmt == "yuv420p" else None
            kr, kb = WEIGHTS[int(frame.colorspace)]
            luma = shown @ [kr, 1 - kr - kb, kb]
            if y is not None:
                y = y[4::8, 4::8]
                y = y if int(frame.color_range) == FULL else (y - 16) * 255 / 219
                inside = (shown.min(-1) > 0) & (shown.max(-1) < 255)
                assert inside.any()
                assert np.abs(luma - y)[inside].max() <= 2
            assert np.abs(clip.data[0] - swscale(frame)).mean() < 2
