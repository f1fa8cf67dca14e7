"""Clips of mapped arrays: equal to slicing, whatever was written into the mapping."""

import numpy as np
import pytest
from helpers.shards import write_tar

import clipx
from clipx import WindowSpec, mapped, wds, windows
from clipx.arrays import pages


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """An array of 4 MB, and the paths of its file and of a tar file in which it stands at an odd offset."""
    array = np.random.default_rng(1).integers(0, 256, (130, 32, 64, 4), dtype=np.uint8)
    path = tmp_path_factory.mktemp("numbers") / "x.npy"
    np.save(path, array)
    return array, path, write_tar(path.with_suffix(".tar"), {"a.txt": b"123", "x.npy": path.read_bytes()})


SEEN = {
    "all": lambda x: x,
    "offset": lambda x: x[37:101],
    "every third": lambda x: x[1::3],
    "reversed": lambda x: x[::-1],
    "frames reversed": lambda x: x[:, ::-1, :, ::-1],
    "crop": lambda x: x[10:, 5:9, 3:57],
    "turned": lambda x: x.transpose(2, 0, 1, 3),
    "last first": lambda x: np.moveaxis(x, -1, 0)[:, 3:],
    "sliding": lambda x: np.moveaxis(np.lib.stride_tricks.sliding_window_view(x, 8, axis=0), -1, 1)[::2],
    "repeated": lambda x: np.broadcast_to(x[5], (20, *x.shape[1:])),
    "shorts": lambda x: x.view("<u2"),
    "flat": lambda x: x.reshape(-1, 1000 if x.size % 1000 == 0 else 512),
    "asarray": np.asarray,
    "memoryview": memoryview,
}


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("pool", [False, True])
def test_clips_of_views_equal_slicing(numbers, seen, pool):
    array, path, tar = numbers
    windows_of = [
        {"length": 4, "stride": 1, "num_clips": None},
        {"length": 4, "stride": 9},
        {"length": 3, "dilation": 5, "stride": 2, "policy": "reflect"},
        {"length": 16, "policy": "wrap", "stride": 13},
        {"length": 4, "policy": "constant", "fill_value": 7, "stride": 3},
        {"length": 2, "policy": "backpad", "stride": 3},
        {"length": 3, "num_clips": 9, "sampling": "random", "rng": 4},
    ]
    wanted = SEEN[seen](array)
    for x in (mapped.open(path), mapped.open(tar, "x.npy")):
        view = SEEN[seen](x)
        for window in windows_of:
            expected = windows.extract(wanted, **window)
            rest = {}
            if pool:
                rest["pool"] = clipx.ClipPool(32, expected.shape[1:], expected.dtype)
            count = 0
            for clip, data in zip(windows.iterate(view, **window, **rest), expected, strict=True):
                np.testing.assert_array_equal(clip, data)
                count += 1
            assert count
            np.testing.assert_array_equal(np.asarray(view), wanted)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_time_axes(numbers, axis):
    array, path, _ = numbers
    x = mapped.open(path)
    for clip, data in zip(windows.iterate(x, 2, 3, axis=axis), windows.extract(array, 2, 3, axis=axis), strict=True):
        np.testing.assert_array_equal(clip, data)


@pytest.mark.parametrize("policy", ["drop", "wrap", "reflect", "constant"])
def test_formatted_clips(numbers, policy):
    array, path, tar = numbers
    array = array[..., :3]
    format = clipx.ClipFormat(crop=("random", 20), flip=0.5, dtype="float32", scale=1 / 255, order="CTHW")
    arguments = {"length": 5, "stride": 11, "policy": policy, "format": format, "rng": 3}
    for x in (mapped.open(path), mapped.open(tar, "x.npy")):
        expected = windows.extract(array, **arguments)
        for clip, data in zip(windows.iterate(x[..., :3], **arguments), expected, strict=True):
            np.testing.assert_array_equal(clip, data)


def test_fortran_order_keeps_its_clips(tmp_path):
    array = np.random.default_rng(2).integers(0, 256, (300, 40, 50), dtype=np.uint8)
    np.save(tmp_path / "x.npy", np.asfortranarray(array))
    x = mapped.open(tmp_path / "x.npy")
    assert x.flags.f_contiguous
    for clip, data in zip(windows.iterate(x, 7, 5), windows.extract(array, 7, 5), strict=True):
        np.testing.assert_array_equal(clip, data)


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_was_written_into_a_mapping_is_never_lost(numbers, tmp_path, mode):
    array, path, _ = numbers
    copy = tmp_path / "x.npy"
    copy.write_bytes(path.read_bytes())
    x = np.load(copy, mmap_mode=mode)
    x[::3] = 255 - x[::3]
    changed = array.copy()
    changed[::3] = 255 - changed[::3]
    format = clipx.ClipFormat(crop=(20, 20), dtype="float32")
    for seen in (x, x[3:], x[::2], np.asarray(x), x.view(), x.transpose(1, 0, 2, 3)):
        list(windows.iterate(seen, 4, 3))
        list(windows.iterate(seen, 2, 9, policy="reflect"))
    list(windows.iterate(x[..., :3], 4, 3, format=format))
    list(wds.clips(WindowSpec(4))([{"__key__": "k", "npy": x}]))
    np.testing.assert_array_equal(x, changed)


def test_private_pages_behind_a_read_only_view_are_kept(numbers):
    array, path, _ = numbers
    x = np.load(path, mmap_mode="c")
    x[5:9] = 1
    seen = x.view()
    seen.flags.writeable = False
    assert not pages.Pages(seen)
    list(windows.iterate(seen, 4, 3))
    assert (x[5:9] == 1).all()
    np.testing.assert_array_equal(x[9:], array[9:])


def test_clips_outlive_the_mapping(numbers):
    array, path, _ = numbers
    x = mapped.open(path)
    clips = list(windows.iterate(x, 4, 40))
    before = [clip.copy() for clip in clips]
    clips[0][:] = 0
    np.testing.assert_array_equal(x, array)
    del x
    np.testing.assert_array_equal(clips[1:], before[1:])
    assert all(clip.flags.owndata or clip.base is not None for clip in clips)
    assert all(clip.flags.writeable for clip in clips)


def test_two_iterators_over_one_mapping(numbers):
    array, path, _ = numbers
    x = mapped.open(path)
    pairs = zip(windows.iterate(x, 4, 2), windows.iterate(x[20:], 4, 2), windows.extract(array, 4, 2))
    for i, (one, other, data) in enumerate(pairs):
        np.testing.assert_array_equal(one, data)
        np.testing.assert_array_equal(other, array[20 + 2 * i : 24 + 2 * i])
