"""Decoded pictures through the kernel: against the float64 formula in every layout."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
import reference
from helpers.guards import CACHED, STREAMING, fenced, guarded
from helpers.long import LONG
from helpers.pictures import ENCODINGS, NUMBERS, PACKED, PLANAR, Writer, random_planes, stored
from helpers.processes import check_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import clipx
from clipx.video.color import COLORSPACES, RANGES, color_numbers, matrix


def convert(
    planes,
    layout,
    crop=None,
    color=("bt601", "limited"),
    bits=8,
    high_bits=False,
    chroma_rows=False,
    flip=False,
    channels=3,
    offsets=(0, 1, 2),
    padding=0,
    footprint=0,
    count=1,
    offset=0,
):
    """What the kernel makes of a picture, the same in each of `count` targets, with nothing else written."""
    size = planes[0].shape[:2]
    crop = (0, 0, *size) if crop is None else crop
    sample_bytes = planes[0].shape[2] if layout == "packed" else bits // 8 + bool(bits % 8)
    numbers = color_numbers(*color, bits, high_bits)
    writer = Writer(layout, sample_bytes, offsets, chroma_rows, size, crop, flip, channels, numbers)
    buffers = [stored(each, bits, high_bits, padding + 3 * i) for i, each in enumerate(planes)]
    before = [plane.tobytes() for plane, _ in buffers]
    targets = [guarded(crop[2] * crop[3] * channels, offset + 7 * i) for i in range(count)]
    writer.write(
        [plane for plane, _ in buffers], [line for _, line in buffers], [each for each, _ in targets], footprint
    )
    assert [plane.tobytes() for plane, _ in buffers] == before
    for target, check in targets:
        check()
        assert (target == targets[0][0]).all()
    return targets[0][0].reshape(crop[2], crop[3], channels)


def within_one(out, wanted):
    """Equal up to 1, and mostly equal: of sums within 0.11 of the formula's, at most 0.11 round to another byte."""
    difference = np.abs(out.astype(np.int16) - wanted)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 0.11 * difference.size


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("color_range", RANGES)
@pytest.mark.parametrize("colorspace", COLORSPACES)
def test_matrix_turns_the_standard_round(colorspace, color_range, bits):
    known = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
    kr, kb = {**known, "fcc": (0.30, 0.11), "smpte240m": (0.212, 0.087)}[colorspace]  # ITU-T H.273, table 4
    scale, top = 2.0 ** (bits - 8), 2**bits - 1
    y_range, y_offset, c_range = (top, 0, top) if color_range == "full" else (219 * scale, 16 * scale, 224 * scale)
    m = matrix(colorspace, color_range, bits)
    for r, g, b in np.random.default_rng(0).random((50, 3)).tolist() + np.eye(3).tolist() + [[0, 0, 0], [1, 1, 1]]:
        luma = kr * r + (1 - kr - kb) * g + kb * b
        y = luma * y_range + y_offset - m.offset
        u, v = (b - luma) / (2 * (1 - kb)) * c_range, (r - luma) / (2 * (1 - kr)) * c_range
        back = m.y * y + m.rv * v, m.y * y + m.gu * u + m.gv * v, m.y * y + m.bu * u
        assert np.allclose(back, (255 * r, 255 * g, 255 * b), rtol=0, atol=1e-9)


def values(bits):
    """Coarsely all of (y, u, v), and each plane of two of them exhaustively, as three rows of a picture."""
    top, step = 2**bits - 1, 2 ** (bits - 8) * 8 - 1
    coarse = np.unique(np.append(np.arange(0, top, step), [top // 2, top // 2 + 1, top]))
    whole, third = np.arange(top + 1), top // 3
    planes = [np.meshgrid(*each, indexing="ij") for each in ([coarse] * 3, [whole, whole, [third]])]
    y, u, v = (np.concatenate([a.ravel() for a in each]) for each in zip(*planes))
    a, b, c = (each.ravel() for each in planes[1])
    return np.concatenate([[y, u, v], [a, c, b], [c, a, b]], axis=1)


# Values of 10 bits are a million.
@pytest.mark.parametrize(
    ("colorspace", "color_range", "encoding"),
    [each for each in product(COLORSPACES, RANGES, ENCODINGS) if LONG or each[0] == "bt709" or each[2] == "8 bits"],
)
def test_every_value(colorspace, color_range, encoding):
    bits, high_bits = ENCODINGS[encoding]
    planes = [each[None] for each in values(bits)]
    crop = (0, 0, 1, planes[0].size)
    out = convert(planes, "full", color=(colorspace, color_range), bits=bits, high_bits=high_bits)
    within_one(out, reference.picture(planes, "full", crop, matrix(colorspace, color_range, bits), bits))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("color_range", RANGES)
def test_every_luma(color_range, encoding):
    bits, high_bits = ENCODINGS[encoding]
    planes = [np.arange(2**bits)[None]]
    wanted = reference.picture(planes, "gray", (0, 0, 1, 2**bits), matrix("bt709", color_range, bits), bits)
    for channels in (1, 3):
        options = {"color": ("bt709", color_range), "bits": bits, "high_bits": high_bits, "channels": channels}
        within_one(convert(planes, "gray", **options), wanted[..., :channels])
    black, white = (0, 2**bits - 1) if color_range == "full" else (16 * 2 ** (bits - 8), 235 * 2 ** (bits - 8))
    assert convert(planes, "gray", **options)[0, [black, white]].tolist() == [[0, 0, 0], [255, 255, 255]]


@st.composite
def pictures(draw):
    """Arguments of `convert` and those of the reference for a picture of any layout and size, and any crop of it."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 140))
    bits, high_bits = draw(st.sampled_from(list(ENCODINGS.values())))
    seed, color = draw(st.integers(0, 9)), (draw(st.sampled_from(list(COLORSPACES))), draw(st.sampled_from(RANGES)))
    layout, chroma_rows = draw(st.sampled_from([*PLANAR, ("packed", False)]))
    options = {"chroma_rows": chroma_rows, "flip": draw(st.booleans())}
    if layout == "packed":
        pixel, options["offsets"] = draw(st.sampled_from(list(PACKED.values())))
        bits, high_bits, planes = 8, False, random_planes(layout, False, (height, width), 8 * pixel, seed)
    else:
        options["channels"] = draw(st.sampled_from([1, 3]))
        planes = random_planes(layout, chroma_rows, (height, width), bits, seed)
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    crop = (y, x, draw(st.integers(1, height - y)), draw(st.integers(1, width - x)))
    options |= {"bits": bits, "crop": draw(st.sampled_from([crop, (0, 0, height, width)]))}
    how = {"color": color, "high_bits": high_bits, "padding": draw(st.sampled_from([0, 0, 1, 2, 31, 64]))}
    return planes, layout, options, how


@settings(deadline=None, max_examples=500 if LONG else 200)
@given(picture=pictures(), offset=st.integers(0, 70), count=st.integers(1, 4))
def test_against_reference(picture, offset, count):
    planes, layout, options, how = picture
    wanted = reference.picture(planes, layout, matrix=matrix(*how["color"], options["bits"]), **options)
    outs = [
        convert(planes, layout, **options, **how, footprint=footprint, count=each, offset=offset)
        for footprint in (0, CACHED, STREAMING)
        for each in (1, count)
    ]
    assert all((out == outs[0]).all() for out in outs)
    if layout == "packed":
        assert (outs[0] == wanted).all()
    else:
        assert np.abs(outs[0].astype(np.int16) - wanted).max() <= 1


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("layout", "chroma_rows"), PLANAR)
def test_widths(layout, chroma_rows, encoding):
    bits, high_bits = ENCODINGS[encoding]
    planes = random_planes(layout, chroma_rows, (5, 130), bits)
    options = {"bits": bits, "high_bits": high_bits, "chroma_rows": chroma_rows}
    whole = convert(planes, layout, **options)
    within_one(
        whole, reference.picture(planes, layout, (0, 0, 5, 130), matrix("bt601", "limited", bits), bits, chroma_rows)
    )
    for width in range(1, 131):
        # A plane of its own for each: what stands at the end of a line must not depend on what follows.
        narrow = [planes[0][:, :width]] + [
            each[:, : width if layout == "full" else (width + 1) // 2] for each in planes[1:]
        ]
        assert (convert(narrow, layout, **options, padding=width % 3) == whole[:, :width]).all()


@pytest.mark.parametrize("name", PACKED)
def test_packed_widths(name):
    pixel, offsets = PACKED[name]
    pixels = random_planes("packed", False, (5, 130), 8 * pixel)[0]
    channels = [name.index(each) for each in "rgb"]
    for width in range(1, 131):
        out = convert([pixels[:, :width]], "packed", offsets=offsets, padding=width % 3)
        assert (out == pixels[:, :width, channels]).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("layout", "chroma_rows"), [*PLANAR, ("packed", False)])
def test_crop_is_a_part_of_the_whole(layout, chroma_rows, flip):
    height, width = 11, 75
    planes = random_planes(layout, chroma_rows, (height, width), 24 if layout == "packed" else 8)
    whole = convert(planes, layout, chroma_rows=chroma_rows)
    for y, x in ((0, 0), (1, 1), (2, 2), (0, 3), (5, 0), (10, 74), (10, 0), (0, 74)):
        for h, w in {
            (height - y, width - x),
            (1, 1),
            (1, width - x),
            (height - y, 1),
            (height - y, (width - x + 1) // 2),
        }:
            wanted = whole[y : y + h, x : x + w]
            out = convert(planes, layout, (y, x, h, w), chroma_rows=chroma_rows, flip=flip)
            assert (out == (wanted[:, ::-1] if flip else wanted)).all()


@pytest.mark.parametrize("layout", ["full", "paired", "interleaved"])
def test_one_channel_is_the_luma(layout):
    planes = random_planes(layout, True, (9, 67), 8)
    gray = convert(planes[:1], "gray")
    assert (convert(planes, layout, channels=1, chroma_rows=True) == gray[..., :1]).all()
    assert (gray == gray[..., :1]).all()


# Lines longer than what is packed at a time, or than what is copied to each target at a time; many short lines.
@pytest.mark.parametrize("size", [(3, 2731), (7, 8195), (2, 90_001), (700, 21), (2000, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_large_pictures(size, channels):
    planes = random_planes("paired", True, size, 8)
    wanted = reference.picture(
        planes, "paired", (0, 0, *size), matrix("bt601", "limited", 8), chroma_rows=True, channels=channels
    )
    options = {"chroma_rows": True, "channels": channels, "padding": 5}
    outs = [
        convert(planes, "paired", **options, footprint=footprint, count=count, offset=offset)
        for footprint in (CACHED, STREAMING)
        for count, offset in ((1, 0), (1, 33), (3, 32))
    ]
    within_one(outs[0], wanted)
    assert all((out == outs[0]).all() for out in outs)


def test_more_planes_than_are_read():
    planes = [stored(each, 8, False) for each in random_planes("paired", True, (8, 16), 8)]
    out = np.zeros((2, 8, 16, 3), np.uint8)
    writer = Writer("gray", 1, (0, 0, 0), False, (8, 16), (0, 0, 8, 16), False, 3, NUMBERS)
    writer.write([plane for plane, _ in planes], [line for _, line in planes], [out[0]])
    writer.write([plane for plane, _ in planes[:1]], [line for _, line in planes[:1]], [out[1]])
    assert (out[0] == out[1]).all()
    assert out.any()


def test_no_targets():
    writer = Writer("gray", 1, (0, 0, 0), False, (8, 16), (0, 0, 8, 16), False, 3, NUMBERS)
    assert writer.write([bytes(128)], [16], []) is None
    with pytest.raises(ValueError, match="plane 0 has 127 bytes"):
        writer.write([bytes(127)], [16], [])


def test_threads_share_a_picture():
    size = (300, 500)
    writer = Writer("paired", 1, (0, 0, 0), True, size, (0, 0, *size), True, 3, NUMBERS)
    sources = [[stored(p, 8, False)[0] for p in random_planes("paired", True, size, 8, seed)] for seed in range(8)]

    def write(planes):
        out = np.empty((*size, 3), np.uint8)
        writer.write(planes, [500, 250, 250], [out])
        return out

    alone = [write(each) for each in sources]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(4):
            assert all((a == b).all() for a, b in zip(alone, threads.map(write, sources)))


def show_digest():
    """Print a digest of pictures of all kinds, every byte random, between pages that nobody may touch."""
    rng, seen = np.random.default_rng(5), hashlib.sha256()
    kinds = [(*each, *encoding, 3, (0, 1, 2)) for each in PLANAR for encoding in ENCODINGS.values()]
    kinds += [("gray", False, 8, False, 1, (0, 1, 2))]
    kinds += [("packed", False, 8 * pixel, False, 3, offsets) for pixel, offsets in PACKED.values()]
    height, largest = 3, 140 * 4 * 3
    rooms = [fenced(largest) for _ in range(4)]
    for room in rooms[:3]:
        room[:] = rng.integers(0, 256, largest, dtype=np.uint8)
    for width in range(1, 131):
        for layout, chroma_rows, bits, high_bits, channels, offsets in kinds:
            color = list(COLORSPACES)[width % 3], RANGES[width // 3 % 2]
            numbers = color_numbers(*color, 8 if layout == "packed" else bits, high_bits)
            shapes = [each.shape for each in random_planes(layout, chroma_rows, (height, width), bits)]
            sample_bytes = bits // 8 if layout == "packed" else bits // 8 + bool(bits % 8)
            lines = [int(np.prod(each[1:])) * (1 if layout == "packed" else sample_bytes) for each in shapes]
            planes = [room[-line * shape[0] :] for room, line, shape in zip(rooms, lines, shapes)]
            target, crop = rooms[3][-height * width * channels :], (0, 0, height, width)
            writer = Writer(
                layout, sample_bytes, offsets, chroma_rows, (height, width), crop, width % 2 == 0, channels, numbers
            )
            writer.write(planes, lines, [target], STREAMING if width % 5 == 0 else CACHED)
            seen.update(target)
    print(clipx.simd, seen.hexdigest())


def test_every_implementation_gives_the_same_bits():
    check_same_bits(__file__)


if __name__ == "__main__":
    show_digest()
