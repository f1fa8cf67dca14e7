"""The specification of resizing against Pillow and torch."""

import numpy as np
import pytest
from helpers.pillow import resized
from helpers.resampled import rectangles
from reference_resampling import fine_weights, fold, of_dtype, resampled, taps

FILTERS = ("bilinear", "bicubic", "area")


@pytest.mark.parametrize("interpolation", FILTERS)
def test_bytes_are_those_of_pillow(interpolation):
    rng = np.random.default_rng(1)
    for size, box, wanted in rectangles(100, 2):
        picture = rng.choice([rng.integers(0, 256, size), 255 * rng.integers(0, 2, size)]).astype(np.uint8)
        got = resampled(picture, box, wanted, interpolation)
        np.testing.assert_array_equal(
            got, resized(picture, box, wanted, interpolation), err_msg=f"{size} {box} {wanted}"
        )


def test_nearest_is_that_of_pillow():
    for size, box, wanted in rectangles(100, 3, fractions=(1,)):
        picture = np.arange(np.prod(size), dtype=np.int32).reshape(size)
        centers = [start + (np.arange(n) + 0.5) * extent / n for start, extent, n in zip(box[:2], box[2:], wanted)]
        if all((np.abs(each - np.rint(each)) > 1e-9).all() for each in centers):  # between two, Pillow's sums decide
            np.testing.assert_array_equal(
                resampled(picture, box, wanted, "nearest", False), resized(picture, box, wanted, "nearest")
            )


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "u2"])
def test_numbers_are_those_of_torch(interpolation, antialias, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    for size, _, wanted in rectangles(40, 5):
        if antialias and wanted[1] == 1:
            continue  # torch 2.13 gives the first row again and again
        picture = (rng.random(size) * (65535 if dtype == "u2" else 1)).astype(dtype)
        source = torch.from_numpy(picture.astype("f4" if dtype == "u2" else dtype))[None, None]
        other = torch.nn.functional.interpolate(source, wanted, mode=interpolation, antialias=antialias)[0, 0].numpy()
        got = resampled(picture, (0, 0, *size), wanted, interpolation, antialias)
        top = 65535 if dtype == "u2" else 1
        np.testing.assert_allclose(got, other, rtol=0, atol=top * (1e-12 if dtype == "f8" else 1e-5))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(12, 18), (6, 9), (4, 6), (5, 12), (24, 27), (12, 31)])
def test_what_is_no_number_goes_where_it_goes_in_torch(size, interpolation):
    torch = pytest.importorskip("torch")
    for value in (np.inf, -np.inf, np.nan):
        picture = np.random.default_rng(0).random((12, 18))
        picture[[3, 7, 0], [4, 11, 17]] = value
        source = torch.from_numpy(picture)[None, None]
        other = torch.nn.functional.interpolate(source, size, mode=interpolation, antialias=True)[0, 0].numpy()
        got = resampled(picture, (0, 0, 12, 18), size, interpolation)
        np.testing.assert_allclose(got, other, rtol=0, atol=1e-12)


def test_nearest_and_area_are_those_of_torch():
    torch = pytest.importorskip("torch")
    for n, size in [(7, 3), (12, 4), (9, 9), (5, 11)]:
        row = np.random.default_rng(n).random((1, n))
        source = torch.from_numpy(row)[None]
        exact = torch.nn.functional.interpolate(source, size, mode="nearest-exact")[0].numpy()
        np.testing.assert_array_equal(resampled(row, (0, 0, 1, n), (1, size), "nearest", False), exact)
        np.testing.assert_array_equal(resampled(row, (0, 0, 1, n), (1, size), "area", False), exact)
        if n % size == 0:
            area = torch.nn.functional.interpolate(source, size, mode="area")[0].numpy()
            np.testing.assert_allclose(resampled(row, (0, 0, 1, n), (1, size), "area"), area, rtol=1e-14)


def test_weights_of_planes_add_up():
    for (n, _), (start, _, extent, _), (size, _) in rectangles(50, 6):
        for interpolation in FILTERS:
            luma = taps(n, start, extent, size, interpolation)
            for axis in (luma, fold(luma)):
                assert all(weights.sum() == 2**14 for _, weights in fine_weights(axis))


def test_folded_weights_are_those_of_repeated_numbers():
    numbers = np.random.default_rng(7).random(9)
    for n in (17, 18):
        axis = taps(n, 1.5, 14.25, 6, "bicubic")
        for (first, weights), (folded, whole) in zip(axis, fold(axis)):
            repeated = numbers.repeat(2)[first : first + len(weights)]
            assert np.isclose(weights @ repeated, whole @ numbers[folded : folded + len(whole)], rtol=0, atol=1e-14)


def test_numbers_become_those_of_a_dtype():
    numbers = np.array([-3.5, -0.5, 0.5, 1.5, 127.5, 254.5, 300.0, 1e30])
    assert of_dtype(numbers, "u1").tolist() == [0, 0, 0, 2, 128, 254, 255, 255]
    assert of_dtype(numbers, "i1").tolist() == [-4, 0, 0, 2, 127, 127, 127, 127]
    assert of_dtype(numbers, "i8").tolist() == [-4, 0, 0, 2, 128, 254, 300, 2**63 - 1]
