"""Numbered pictures of a sample as a source of frames for the stage."""

import io
import json
import struct
import sys
import zlib
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("PIL")
from helpers.numbered import (
    clip_json,
    decoded,
    encoded,
    frames_of,
    numbered,
    picture_sample,
    random_pictures,
)
from PIL import Image, PngImagePlugin

import clipx
from clipx.datasets.origins import origin_of

SPEC = clipx.WindowSpec(4, 3)


def clips_of(sample, spec=SPEC, format=None, **options):
    return list(clipx.wds.clips(spec, format, **options)([{"__url__": "a.tar", **sample}]))


def error_of(sample, spec=SPEC, format=None, **options):
    errors = []
    given = clipx.wds.clips(spec, format, handler=lambda exn: errors.append(exn) or True, **options)
    fine = picture_sample("fine", 4, **{"clip.json": clip_json([0, 0.25, 0.5, 0.75])})
    keys = [clip["__key__"].partition("_")[0] for clip in given([{"__url__": "a.tar", **sample}, fine])]
    assert keys.count("fine") == 1  # other samples go on
    (error,) = errors
    return error, keys.count(sample["__key__"])


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        clipx.WindowSpec(4, 3, policy="wrap"),
        clipx.WindowSpec(4, 3, policy="reflect"),
        clipx.WindowSpec(4, 3, policy="backpad"),
        clipx.WindowSpec(4, 3, policy="constant", fill_value=9),
        clipx.WindowSpec(3, 4, dilation=2, policy="repeat_last"),
        clipx.UniformSpec(5),
        clipx.FrameList(frames=[9, 0, 4, 4]),
    ],
    ids=lambda spec: getattr(spec, "policy", type(spec).__name__),
)
def test_clips_equal_those_of_the_decoded_array(extension, spec):
    sample = picture_sample("a", 10, extension, **{"caption.txt": b"one"})
    clips = clips_of(sample, spec)
    wanted = clipx.windows.extract(frames_of(sample, extension), spec)
    assert [clip["__key__"] for clip in clips] == [f"a_{i:06}" for i in range(len(wanted))]
    assert all(clip["caption.txt"] == b"one" and f"000.{extension}" not in clip for clip in clips)
    assert all(np.array_equal(clip[extension], each) for clip, each in zip(clips, wanted, strict=True))


@pytest.mark.parametrize(
    "format",
    [
        clipx.ClipFormat(resize=(8, 13)),
        clipx.ClipFormat(resize=12, crop=10, dtype="float32", mean="imagenet", order="CTHW"),
        clipx.ClipFormat(crop=("random", 9), flip=0.5),
        clipx.ClipFormat(crop=clipx.RandomResizedCrop(8), order="TCHW"),
        clipx.ClipFormat(crop=("three", 10), dtype="float16"),
    ],
)
def test_formats_are_those_of_arrays(format):
    # PNG with alpha and without: lines of both go to the kernel as they are decoded.
    pictures = random_pictures(7)
    alpha = [np.concatenate([each, each[..., :1]], axis=2) for each in pictures]
    sample = {"__key__": "a", **numbered([*pictures[:3], *alpha[3:]], "png")}
    clips = clips_of(sample, format=format, seed=3)
    wanted = list(clipx.wds.clips(SPEC, format, seed=3)([{"__key__": "a", "npy": pictures}]))
    for clip, each in zip(clips, wanted, strict=True):
        assert np.array_equal(clip["png"], each["npy"])
        assert clip["clip.json"].get("crop") == each["clip.json"].get("crop")


def pngs_of_16_bits():
    values = np.linspace(0, 65535, 18 * 26, dtype=np.uint16).reshape(18, 26)
    colors = np.stack([values, values[::-1], values // 2], axis=2)
    header = struct.pack(">IIBBBBB", 26, 18, 16, 2, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in colors)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return {
        "gray": (encoded(Image.fromarray(values), "png"), np.repeat((values >> 8)[..., None], 3, axis=2)),
        "rgb": (b"\x89PNG\r\n\x1a\n" + b"".join(parts), colors >> 8),
    }


@pytest.mark.parametrize("kind", ["gray", "rgb"])
def test_of_16_bits_the_high_byte_counts(kind):
    file, wanted = pngs_of_16_bits()[kind]
    (clip,) = clips_of({"__key__": "a", **numbered([file, file], "png")}, clipx.WindowSpec(2))
    assert np.array_equal(clip["png"], np.stack([wanted, wanted]))


def modes():
    picture = Image.fromarray(random_pictures(1)[0])
    palette = picture.convert("P")
    clear = palette.copy()
    clear.info["transparency"] = bytes(range(256))
    animated = io.BytesIO()
    picture.save(animated, "WEBP", save_all=True, append_images=[picture.convert("L").convert("RGB")], lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated
    yield "gray jpg", encoded(picture.convert("L"))
    yield "cmyk jpg", encoded(picture.convert("CMYK"))
    yield "progressive jpg", encoded(picture, progressive=True)
    yield "4:4:4 jpg", encoded(picture, subsampling=0, quality=100)
    yield "jpg with an orientation", encoded(picture, exif=exif)
    yield "gray png", encoded(picture.convert("L"), "png")
    yield "gray png with alpha", encoded(picture.convert("LA"), "png")
    yield "png of 1 bit", encoded(picture.convert("1"), "png")
    yield "palette", encoded(palette, "png")
    yield "palette with alpha", encoded(clear, "png")
    yield "png with a transparent color", encoded(picture, "png", transparency=(1, 2, 3))
    yield "png with alpha", encoded(picture.convert("RGBA"), "png")
    yield "webp with alpha", encoded(picture.convert("RGBA"), "webp", lossless=True)
    yield "animated webp", animated.getvalue()


@pytest.mark.parametrize(("name", "file"), list(modes()), ids=lambda each: each if isinstance(each, str) else "")
@pytest.mark.filterwarnings("ignore:Palette images:UserWarning")
def test_every_mode_is_that_of_pillow(name, file):
    # By what a file is, and not by its name.
    (clip,) = clips_of({"__key__": "a", **numbered([file, file], "png")}, clipx.WindowSpec(2))
    assert np.array_equal(clip["png"], np.stack([decoded(file)] * 2))
    gray = clips_of({"__key__": "a", "0.jpg": file}, clipx.WindowSpec(1), options=clipx.VideoOptions(color="gray"))
    with Image.open(io.BytesIO(file)) as picture:
        assert np.array_equal(gray[0]["jpg"][0, ..., 0], np.asarray(picture.convert("L")))


def test_each_needed_picture_is_decoded_once(monkeypatch):
    taken = []
    decode = clipx.datasets.pictures.decode
    monkeypatch.setattr(
        "clipx.datasets.pictures.decode", lambda data, name, **how: taken.append(name) or decode(data, name, **how)
    )
    clips_of(picture_sample("a", 13), clipx.WindowSpec(4, 2))
    clips_of(picture_sample("b", 9), clipx.FrameList(frames=[8, 2, 2]))
    assert taken == [*(f"{i:03}.jpg" for i in range(12)), "002.jpg", "008.jpg"]


# Which fields


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (["000.jpg", "001.jpg"], ["jpg"]),
        (["1.jpg", "2.jpg", "10.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg", "7.jpg", "8.jpg", "9.jpg"], ["jpg"]),
        (["000.jpeg"], ["jpeg"]),
        (["a.front.0.png", "a.front.1.png"], ["a.front.png"]),
        (["front.0.jpg", "front.1.jpg", "rear.0.png", "rear.1.png", "0.webp"], ["front.jpg", "rear.png"]),
    ],
)
def test_groups_are_found(fields, found):
    sample = {"__key__": "a", **dict.fromkeys(fields, encoded(random_pictures(1)[0]))}
    (clip, *_) = clips_of(sample, clipx.WindowSpec(1))
    assert [name for name in clip if isinstance(clip[name], np.ndarray)] == found


@pytest.mark.parametrize("beside", ["npy", "wav", "mp4"])
def test_other_sources_come_first(beside):
    sample = {"__key__": "a", beside: b"", "000.jpg": b"1", "001.jpg": b"2"}
    fields = clipx.wds.clips(SPEC)._clips.fields(sample)
    assert fields == {beside: beside}
    assert clipx.wds.clips(SPEC, keys="jpg;mp4")._clips.fields(sample) == {"jpg": "jpg"}


def test_a_picture_that_is_not_numbered_is_a_field():
    (clip,) = clips_of({"__key__": "a", "npy": np.zeros((4, 2, 2, 3), np.uint8), "jpg": b"x", "thumb.jpg": b"y"})
    assert clip["jpg"] == b"x"
    assert clip["thumb.jpg"] == b"y"
    error, _ = error_of({"__key__": "a", "front.0.jpg": b"x"})
    assert "no field of front.0.jpg to take clips from" in str(error)


def test_decoded_pictures_are_refused():
    sample = {"__key__": "a", "000.jpg": np.zeros((4, 4, 3), np.uint8), "001.jpg": np.zeros((4, 4, 3), np.uint8)}
    error, _ = error_of(sample, keys="jpg")
    assert "picture '000.jpg' is decoded" in str(error)
    assert "before .decode()" in str(error)


def test_groups_of_one_plan_must_have_the_same_number():
    sample = {"__key__": "a", **numbered(random_pictures(4), prefix="front."), **numbered(random_pictures(5), "png")}
    error, given = error_of(sample)
    assert "front.jpg: 4, png: 5" in str(error)
    assert given == 1
    (clip,) = clips_of(sample, keys={"view": "front.jpg"})
    assert np.array_equal(clip["view"], frames_of({n: v for n, v in sample.items() if n.startswith("front")}))
    assert "000.png" in clip


# Times

AT_30 = [3 + k * 1001 / 30000 for k in range(12)]


def test_specs_and_segments_in_seconds():
    sample = picture_sample("a", 12, **{"clip.json": clip_json(AT_30, 30000 / 1001, key="v_000000")})
    pictures = frames_of(sample)
    segments = [(AT_30[2], AT_30[5]), clipx.Segment(6, 9, unit="frames"), (90, 91)]
    errors = []
    stage = clipx.wds.clips(clipx.WindowSpec(3), segments=segments, handler=lambda exn: errors.append(exn) or True)
    first, second = stage([sample])
    assert np.array_equal(first["jpg"], pictures[2:5])
    assert np.array_equal(second["jpg"], pictures[6:9])
    facts = first["clip.json"]
    assert facts["pts_seconds"] == AT_30[2:5]
    assert facts["frame_indices"] == [2, 3, 4]
    assert facts["source_fps"] == 30000 / 1001
    assert facts["key"] == "a"
    assert json.loads(first["source.clip.json"])["key"] == "v_000000"
    assert "starts at 90 s" in str(errors[0])
    # Half of the rate: every other picture.
    (clip, *_) = clips_of(sample, clipx.WindowSpec(4), options=clipx.VideoOptions(fps=Fraction(15000, 1001)))
    assert np.array_equal(clip["jpg"], pictures[:8:2])
    (clip,) = clips_of(sample, clipx.FrameList(seconds=[AT_30[7], AT_30[1]]))
    assert np.array_equal(clip["jpg"], pictures[[7, 1]])
    (clip,) = clips_of(
        sample, clipx.WindowSpec(3), options=clipx.VideoOptions(start_seconds=AT_30[8], end_seconds=AT_30[11])
    )
    assert clip["clip.json"]["pts_seconds"] == AT_30[8:11]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (clipx.WindowSpec(3, 2), clipx.VideoOptions(fps=8)),
        (clipx.WindowSpec(3, 2), clipx.VideoOptions(start_seconds=0.21, end_seconds=1)),
        (clipx.RateSpec(10, max_frames=20), clipx.VideoOptions(fps=12, start_seconds=0.1, at_start="shown")),
        (clipx.RateSpec(7, max_frames=20), None),
        (clipx.FrameList(seconds=[0.9, 0.13]), None),
    ],
)
def test_pictures_of_a_whole_video_stand_for_it(make_video, suffix, spec, options):
    container = {".mp4": "mp4", ".mkv": "matroska"}[suffix]
    video = make_video(40, container=container, suffix=suffix, rate=Fraction(30000, 1001)).read_bytes()
    (whole,) = clipx.video.clips(video, clipx.WindowSpec(40))
    facts = {"clip.json": json.dumps(whole.facts()).encode()}
    sample = {"__key__": "v", **numbered(whole.data, "png"), **facts}
    for segments in (None, [(0.3, 0.9), (whole.pts_seconds[7], whole.pts_seconds[21])]):
        if segments and isinstance(spec, clipx.FrameList):
            continue
        clips = clips_of(sample, spec, options=options, segments=segments)
        wanted = list(clipx.video.clips(video, spec, options=options, segments=segments))
        for clip, each in zip(clips, wanted, strict=True):
            assert np.array_equal(clip["png"], each.data)
            given = {name: fact for name, fact in clip["clip.json"].items() if name not in ("key", "url")}
            assert given == {name: fact for name, fact in each.facts().items() if name != "rotation"}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (None, "no field 'clip.json'"),
        (b"{", "does not say them"),
        (b"[1]", "not an object"),
        (b"{}", "no pts_seconds"),
        (clip_json([0, 1, 2]), "3 numbers, but there are 4 pictures"),
        (clip_json([0, 1, 1, 2]), "not ascending"),
        (b'{"pts_seconds": [0, 1, NaN, 3]}', "not all numbers of seconds"),
        (b'{"pts_seconds": [0, 1, null, 3]}', "not all numbers"),
        (b"[" * 100_000, "does not say them"),
        (b"[" + b"[]," * 500_000 + b"[]]", "1500004 bytes, of which at most 1049600 are read"),
    ],
)
def test_without_times_seconds_are_an_error(facts, reason):
    sample = picture_sample("a", 4, **({} if facts is None else {"clip.json": facts}))
    for spec, how in (
        (SPEC, {"segments": [(0, 1)]}),
        (SPEC, {"options": clipx.VideoOptions(fps=4)}),
        (clipx.FrameList(seconds=[0.5]), {}),
    ):
        error, given = error_of(sample, spec, **how)
        assert reason in str(error)
        assert "have no times" in str(error)
        assert given == 0
    (clip,) = clips_of(sample, segments=[clipx.Segment(0, 4, unit="frames")])
    assert "pts_seconds" not in clip["clip.json"]


# Bad input


def test_what_a_png_may_unpack_is_left_to_pillow(monkeypatch):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * 5000, zip=True)
    file = encoded(Image.fromarray(random_pictures(1)[0]), "png", pnginfo=info)
    assert b"zTXt" in file
    monkeypatch.setattr("clipx.pictures.decoding._decode_plain", None)
    (clip,) = clips_of({"__key__": "a", "0.png": file}, clipx.WindowSpec(1))
    assert np.array_equal(clip["png"][0], decoded(file))


def test_pillow_is_named_where_it_is_missing(monkeypatch):
    sample = picture_sample("a", 4)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"clipx-data\[pictures\]"):
        clips_of(sample)


def bomb():
    """A PNG of some bytes whose header claims a billion pixels."""
    data = bytearray(encoded(random_pictures(1)[0], "png"))
    data[16:24] = struct.pack(">II", 40_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def broken_files():
    picture = random_pictures(1)[0]
    for extension in ("jpg", "png", "webp"):
        file = encoded(picture, extension)
        yield f"half a {extension}", file[: len(file) // 2], "picture"
        yield f"the head of a {extension}", file[:20], "picture"
    yield "half a progressive jpg", encoded(picture, progressive=True)[:600], "picture"
    yield "a bomb", bomb(), "40000 x 30000 pixels, more than"
    yield "no bytes", b"", "no bytes"
    yield "a gif", b"GIF89a" + bytes(30), "not a JPEG, PNG or WebP"
    yield "another size", encoded(picture[:, :20]), "'000.jpg' is 26 x 18, '005.jpg' 20 x 18"


@pytest.mark.parametrize(("name", "file", "reason"), list(broken_files()), ids=lambda each: str(each)[:30])
def test_a_broken_picture_ends_its_sample(name, file, reason):
    sample = {**picture_sample("a", 12), "005.jpg": file}
    error, given = error_of(sample)
    assert isinstance(error, clipx.MediaError)
    assert reason in str(error)
    assert origin_of(error).key == "a"
    assert "005.jpg" in str(error)
    assert origin_of(error).clips == given == 1
    if name != "another size":
        assert origin_of(error).field == "005.jpg"
        stage = clipx.wds.clips(SPEC, options=clipx.VideoOptions(damage="skip"))
        indices = [clip["clip.json"]["index"] for clip in stage([sample])]
        assert indices == [0, 2]  # frames 3 to 6 are left out
        assert stage.errors.counts["damage"] == 1


def test_every_truncation_is_an_error():
    # Never a picture that is gray from some line on.
    file = encoded(random_pictures(1, (40, 48))[0], quality=90)
    whole = decoded(file)
    for end in range(200, len(file), 37):
        sample = {"__key__": "a", "0.jpg": file[:end]}
        try:
            (clip,) = clips_of(sample, clipx.WindowSpec(1))
        except clipx.MediaError:
            continue
        assert np.array_equal(clip["jpg"][0], whole)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["000.jpg", "002.jpg"], "lack number 1: after '000.jpg' comes '002.jpg'"),
        (["0.jpg", "000.jpg"], "pictures '0.jpg' and '000.jpg' of 'jpg' have one number"),
        (["5.jpg", "6.jpg"], "begin with '5.jpg', but must with number 0 or 1"),
    ],
)
def test_wrong_numbers_are_refused(names, reason):
    error, given = error_of({"__key__": "a", **dict.fromkeys(names, encoded(random_pictures(1)[0]))})
    assert reason in str(error)
    assert origin_of(error).field == "jpg"
    assert given == 0


def test_max_pixels():
    sample = picture_sample("a", 4)
    with pytest.raises(clipx.MediaError, match="26 x 18 pixels, more than the 100"):
        clips_of(sample, options=clipx.VideoOptions(max_pixels=100))


def test_the_format_is_checked():
    with pytest.raises(ValueError, match="300"):
        clips_of(picture_sample("a", 4), format=clipx.ClipFormat(crop=300))
