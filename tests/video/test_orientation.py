"""Orientation: track matrices, orientations in the stream itself, and Exif, each the same for every clip of a file."""

import io
import json
import struct
from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest
from helpers.long import some
from helpers.media import Pipe, remuxed
from helpers.videos import MKV

import clipx
from clipx import wds
from clipx.plan import Selection
from clipx.video.clips import clips, selected_clips

N = 40
# a, b, c, d of the matrix (ISO/IEC 14496-12, 8.3.2): the point (x, y) goes to (a x + c y, b x + d y), y downwards.
MATRICES = {
    "as it is": (1, 0, 0, 1),
    "90 to the left": (0, -1, 1, 0),
    "180": (-1, 0, 0, -1),
    "90 to the right": (0, 1, -1, 0),
    "left to right": (-1, 0, 0, 1),
    "top to bottom": (1, 0, 0, -1),
    "main diagonal": (0, 1, 1, 0),
    "other diagonal": (0, -1, -1, 0),
}
FACTS = {
    "as it is": (0, False),
    "90 to the left": (90, False),
    "180": (180, False),
    "90 to the right": (270, False),
    "left to right": (0, True),
    "top to bottom": (180, True),
    "main diagonal": (270, True),
    "other diagonal": (90, True),
}
WINDOWS = [
    {"length": 4},
    {"length": 3, "stride": 9},
    {"length": 2, "dilation": 5, "stride": 7},
    {"length": 2, "num_clips": 3},
]


def moved(frames, matrix):
    """Frames (n, height, width, channels) whose every pixel has gone where the matrix takes it."""
    a, b, c, d = matrix
    height, width = frames.shape[1:3]
    y, x = np.mgrid[:height, :width]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    out = np.zeros((len(frames), to_y.max() + 1, to_x.max() + 1, frames.shape[3]), frames.dtype)
    out[:, to_y, to_x] = frames
    return out


def with_matrix(path, matrix, scale=1 << 16):
    """An MP4 with that matrix in its track's header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    assert data[at - 40] == 0  # version
    a, b, c, d = (round(each * scale) for each in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return bytes(data)


def check(extracted, frames, spec):
    """Every clip holds the frames that its facts name, and the clips are those of the plan."""
    got = list(extracted)
    assert [clip.start for clip in got] == spec.starts(len(frames)).tolist()
    for clip in got:
        np.testing.assert_array_equal(clip.data, frames[clip.frame_indices])
    return got


@pytest.mark.parametrize("name", MATRICES)
def test_track_matrices(make_video, whole, name):
    path = make_video(N, size=(48, 80), bf="2", g="8")
    data, plain = with_matrix(path, MATRICES[name]), whole(path)
    expected = moved(plain, MATRICES[name])
    gray = moved(whole(path, options=clipx.VideoOptions(color="gray")), MATRICES[name])
    for window in WINDOWS:
        spec = clipx.WindowSpec(**window)
        for clip in check(clips(data, spec), expected, spec):
            assert (clip.rotation, clip.mirrored) == FACTS[name]
            assert ("mirrored" in clip.facts()) == FACTS[name][1]
        check(clips(data, spec, options=clipx.VideoOptions(color="gray")), gray, spec)
        for clip in check(clips(data, spec, options=clipx.VideoOptions(rotate=False)), plain, spec):
            assert (clip.rotation, clip.mirrored) == (0, False)


@pytest.mark.parametrize("name", MATRICES)
def test_crops_and_flips_are_of_the_picture_that_is_shown(make_video, whole, name):
    path = make_video(N, size=(48, 80), bf="2", g="8")
    sideways = FACTS[name][0] in (90, 270)
    format = clipx.ClipFormat(resize=(40, 28), crop=(3, 2, 30, 20), flip=True)
    stored = whole(path, clipx.ClipFormat(resize=(28, 40) if sideways else (40, 28)))
    expected = moved(stored, MATRICES[name])[:, 3:33, 2:22][:, :, ::-1]
    spec = clipx.WindowSpec(4, dilation=3)
    check(clips(with_matrix(path, MATRICES[name]), spec, format), expected, spec)


@pytest.mark.parametrize(
    ("matrix", "nearest"), [((2, 0, 0, -0.5), "top to bottom"), ((0.2, -1, -1, -0.1), "other diagonal")]
)
def test_a_matrix_is_taken_for_the_nearest(make_video, whole, matrix, nearest):
    path = make_video(N, size=(48, 80), bf="2", g="8")
    spec = clipx.WindowSpec(5)
    check(clips(with_matrix(path, matrix), spec), moved(whole(path), MATRICES[nearest]), spec)


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0)])
def test_a_matrix_that_is_none_is_passed_over(make_video, whole, matrix):
    path = make_video(N, size=(48, 80), bf="2", g="8")
    spec = clipx.WindowSpec(5)
    check(clips(with_matrix(path, matrix), spec), whole(path), spec)


def test_the_stage_says_what_is_mirrored(make_video):
    path = make_video(N, size=(48, 80), bf="2", g="8")
    samples = [{"__key__": name, "mp4": with_matrix(path, MATRICES[name])} for name in MATRICES]
    for out in wds.clips(clipx.WindowSpec(N))(samples):
        facts = json.loads(json.dumps(out["clip.json"]))
        rotation, mirrored = FACTS[out["__key__"].rpartition("_")[0]]
        assert (facts["rotation"], facts.get("mirrored", False)) == (rotation, mirrored)


def orientation_sei(codec, rotation, horizontal, vertical):
    """An SEI unit that asks for an orientation (ITU-T H.264 D.1.27, H.265 D.2.17), without its start."""
    bits = f"0{horizontal:d}{vertical:d}{rotation * 65536 // 360:016b}" + ("1" if codec == "h264" else "0") + "0"
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = b"\x06" if codec == "h264" else b"\x4e\x01"
    unit = header + bytes([47, len(payload)]) + payload + b"\x80"
    assert b"\0\0\0" not in unit
    return unit.replace(b"\0\0\1", b"\0\0\3\1").replace(b"\0\0\2", b"\0\0\3\2")


def with_units(path, container, units):
    """The file, in a container, with a unit before the pictures of each packet in `units`, by its number."""

    def change(k, packet):
        unit = units.get(k, b"")
        return (len(unit).to_bytes(4, "big") + unit if unit else b"") + bytes(packet)

    return remuxed(path, container, change)


def stated(data):
    """The matrix with each frame of a full decode, or None."""
    found = []
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(video=0):
            every = [frame.side_data[i] for i in range(len(frame.side_data))]
            here = [bytes(each) for each in every if each.type.name == "DISPLAYMATRIX"]
            found.append(tuple(np.sign(np.frombuffer(here[0], np.int32)[[0, 1, 3, 4]]).tolist()) if here else None)
    return found


H264 = {"bf": "2", "g": "8"}
HEVC = {"codec": "libx265", "x265-params": "keyint=8:bframes=0:log-level=none"}
ORIENTED = [(90, False, False), (0, True, False), (0, False, True), (180, False, False), (270, True, False)]


@pytest.mark.parametrize(
    ("oriented", "codec", "container"),
    some(product(ORIENTED, ["h264", "hevc"], ["mp4", "matroska", "mpegts"]), 5),
    ids=str,
)
def test_an_orientation_in_the_stream(make_video, whole, codec, container, oriented):
    """FFmpeg gives it with the frames that bring it alone; it is that of all."""
    path = make_video(N, size=(48, 80), **(H264 if codec == "h264" else HEVC))
    data = with_units(path, container, {0: orientation_sei(codec, *oriented)})
    matrix, *others = stated(data)
    assert matrix not in (None, (1, 0, 0, 1))
    assert set(others) <= {None, matrix}
    expected = moved(whole(path), matrix)
    for window in WINDOWS:
        spec = clipx.WindowSpec(**window)
        check(clips(data, spec), expected, spec)
        check(clips(Pipe(data), spec), expected, spec)
    info, clip = clipx.video.probe(data), next(clips(data, clipx.WindowSpec(1)))
    assert (info.rotation, info.mirrored) == (clip.rotation, clip.mirrored)
    assert (info.height, info.width) == clip.data.shape[1:3]
    first = 3 if container == "mpegts" else 17
    begin = {"mpegts": 7.5 / 25 if codec == "hevc" else 12 / 25}.get(container, 17 / 25)
    for options in ({"start_seconds": begin}, {"start_seconds": begin, "fps": 5}):
        for clip in clips(data, clipx.WindowSpec(2), options=clipx.VideoOptions(**options)):
            assert clip.frame_indices[0] >= first
            np.testing.assert_array_equal(clip.data, expected[clip.frame_indices])
    spec = clipx.WindowSpec(3, 4)
    for selection in (Selection((), 5), Selection((2, 6), None), Selection((6,), 8)):
        extracted = selected_clips(data, spec, name="", selection=selection)
        for clip in extracted:
            np.testing.assert_array_equal(clip.data, expected[clip.frame_indices])


@pytest.mark.parametrize("at", [3, 16, 19])
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_an_orientation_that_comes_later_is_not_that_of_the_file(make_video, whole, container, at):
    path = make_video(N, size=(48, 80), **H264)
    data = with_units(path, container, {at: orientation_sei("h264", 90, False, False)})
    found = stated(data)
    assert found[0] is None
    assert (0, -1, 1, 0) in found
    expected = whole(path)
    for window in WINDOWS:
        spec = clipx.WindowSpec(**window)
        check(clips(data, spec), expected, spec)
    for begin in range(14, 22):
        clip = next(clips(data, clipx.WindowSpec(2), options=clipx.VideoOptions(start_seconds=Fraction(begin, 25))))
        np.testing.assert_array_equal(clip.data, expected[[begin, begin + 1]])


def test_an_orientation_that_comes_later_leaves_the_track_its_own(make_video, whole):
    path = make_video(N, size=(48, 80), **H264)
    units = {at: orientation_sei("h264", 180, False, False) for at in (8, 16, 24)}
    with_sei = with_units(path, "mp4", units)
    at = bytearray(with_sei).index(b"tkhd") + 44
    data = with_sei[:at] + struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30) + with_sei[at + 36 :]
    assert stated(data)[0] == (0, 1, -1, 0)
    expected = moved(whole(path), (0, 1, -1, 0))
    for window in [*WINDOWS, {"length": 1, "stride": 8}]:
        spec = clipx.WindowSpec(**window)
        check(clips(data, spec), expected, spec)
    for begin in range(7, 33):
        clip = next(clips(data, clipx.WindowSpec(1), options=clipx.VideoOptions(start_seconds=Fraction(begin, 25))))
        np.testing.assert_array_equal(clip.data, expected[[begin]])


# Orientation of Exif (JEITA CP-3451, table 6), as the matrix that undoes it.
EXIF = {
    1: "as it is",
    2: "left to right",
    3: "180",
    4: "top to bottom",
    5: "main diagonal",
    6: "90 to the right",
    7: "other diagonal",
    8: "90 to the left",
}


@pytest.mark.parametrize(("where", "number"), [*((0, number) for number in EXIF), (5, 6), (5, 2)])
def test_exif_of_motion_jpeg(make_video, whole, where, number):
    """One picture's Exif, of the first or of a later one: the first's is that of the file."""
    path = make_video(12, size=(48, 80), codec="mjpeg", pix_fmt="yuvj420p", **MKV)
    tiff = b"II*\0" + struct.pack("<IHHHIHxxI", 8, 1, 0x0112, 3, 1, number, 0)
    exif = b"Exif\0\0" + tiff

    def change(k, packet):
        data = bytes(packet)
        return data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:] if k == where else data

    data = remuxed(path, "matroska", change)
    with av.open(io.BytesIO(data)) as container:
        if not [*container.decode(video=0)][5 if where else 0].rotation and number in (2, 3, 5, 6, 7, 8):
            pytest.skip("this FFmpeg does not read Exif")
    expected = moved(whole(path), MATRICES["as it is" if where else EXIF[number]])
    for window in WINDOWS:
        spec = clipx.WindowSpec(**window)
        check(clips(data, spec), expected, spec)
    for begin in range(4, 8):
        clip = next(clips(data, clipx.WindowSpec(2), options=clipx.VideoOptions(start_seconds=Fraction(begin, 25))))
        np.testing.assert_array_equal(clip.data, expected[[begin, begin + 1]])
