"""`map=`: its samples, their memory, and its exceptions."""

import dataclasses
import gc
import itertools
import threading

import numpy as np
import pytest
from helpers.loaders import WINDOW, Broken, check_ended, clips_of, digest, everything, expected, leased, of_arrays
from helpers.threads import clipx_threads, wait_until

import clipx
from clipx import wds

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


@pytest.mark.parametrize("shuffle", [False, True])
def test_map(arrays, shuffle):
    urls, samples = arrays
    seen = set()

    def change(sample):
        seen.add(threading.current_thread().name)
        assert sample["json"]["n"]
        return {"__key__": sample["__key__"], "x": sample["npy"].astype(np.float32) / 2, "y": sample["cls"] + 1}

    out = {}
    loader = of_arrays(urls, map=change, drop_last=False, shuffle=shuffle)
    for batch in loader:
        assert set(batch) == {"__key__", "x", "y"}
        assert batch["x"].dtype == np.float32
        out |= {key: digest((x * 2).astype(np.uint8)) for key, x in zip(batch["__key__"], batch["x"])}
        del batch
    assert out == expected(samples)
    assert all(name.startswith("clipx-extract-") for name in seen)
    check_ended(loader)


def test_map_that_changes_the_clip_in_place(arrays):
    urls, samples = arrays

    def change(sample):
        sample["npy"] ^= 255
        return sample

    out = {}
    for batch in of_arrays(urls, map=change, drop_last=False):
        out |= dict(zip(batch["__key__"], [digest(clip ^ 255) for clip in batch["npy"]]))
        del batch
    assert out == expected(samples)


def test_map_that_gives_a_part_of_the_clip(arrays):
    urls, samples = arrays
    loader = of_arrays(urls, map=lambda sample: {**sample, "npy": sample["npy"][::2, :, :, 1]}, drop_last=False)
    found = clips_of(loader)
    wanted = {}
    for sample in samples:
        for clip in wds.clips(WINDOW)([{"__key__": sample["__key__"], "npy": sample["npy"]}]):
            wanted[clip["__key__"]] = digest(clip["npy"][::2, :, :, 1])
    assert dict(found) == wanted
    check_ended(loader)


def test_map_that_adds_views_of_the_clip(arrays):
    """Two fields that are views of one slot leave no consumer without batches that holds only one."""
    urls, samples = arrays
    loader = of_arrays(urls, map=lambda sample: {**sample, "first": sample["npy"][0]}, drop_last=False)
    found = {}
    for batch in loader:
        np.testing.assert_array_equal(batch["first"], batch["npy"][:, 0])
        found |= {key: digest(clip) for key, clip in zip(batch["__key__"], list(batch["npy"]))}
    assert found == expected(samples)


@pytest.mark.parametrize("made", [None, ("a", "tuple"), 5])
def test_map_that_gives_no_sample(arrays, made):
    """Neither a silent end of each source nor an error from deep inside."""
    loader = of_arrays(arrays[0], map=lambda sample: made)
    with pytest.raises((TypeError, ValueError), match="map"):
        everything(loader)
    check_ended(loader)


def test_a_map_that_keeps_every_clip(arrays):
    """It says so, more than once if asked, and ends its threads."""
    kept = []
    loader = of_arrays(arrays[0], map=lambda sample: kept.append(sample["npy"]) or sample, memory="60kB")
    iterator = iter(loader)
    with pytest.raises(clipx.PoolExhausted):
        everything(iterator)
    assert wait_until(lambda: not clipx_threads()), clipx_threads()
    kept.clear()
    del iterator
    check_ended(loader)


def broken_map(after):
    counter = itertools.count()

    def work(sample):
        if next(counter) == after:
            raise Broken("in map")
        return sample

    return work


@pytest.mark.parametrize("after", [0, 1, 40])
def test_exception_in_map(arrays, after):
    loader = of_arrays(arrays[0], map=broken_map(after))
    with pytest.raises(Broken, match="in map") as caught:
        everything(loader)
    assert wait_until(lambda: not clipx_threads())
    del caught
    check_ended(loader)
    loader._config = dataclasses.replace(loader._config, map=None)
    assert len(everything(loader)) > 4


def test_exception_in_map_goes_to_the_handler(arrays):
    urls, samples = arrays

    def refuse(sample):
        if sample["__key__"].startswith("s1_2"):
            raise Broken(sample["__key__"])
        return sample

    loader = of_arrays(urls, map=refuse, handler=wds.log_and_continue, drop_last=False)
    assert dict(clips_of(loader)) == expected(each for each in samples if each["__key__"] != "s1_2")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError])
def test_grave_exceptions_in_map(arrays, kind):
    def refuse(sample):
        raise kind("no")

    loader = of_arrays(arrays[0], map=refuse, handler=lambda exn: True)
    with pytest.raises(kind):
        everything(loader)
    check_ended(loader)


def test_no_slot_is_left_in_an_error(arrays):
    """An error that has been dealt with leaves no cycle behind that holds slots."""
    loader = of_arrays(arrays[0], map=broken_map(20))
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Broken) as caught:
            everything(loader)
        del caught
        assert wait_until(lambda: not clipx_threads())
        assert leased(loader) == 0
    finally:
        gc.enable()


def test_map_errors_that_a_handler_keeps(arrays):
    """The frames of a kept error hold the clip that it was about; the pool must not run out of them."""
    urls, samples = arrays
    errors = []

    def refuse(sample):
        if sample["cls"] % 2:
            raise Broken(sample["__key__"])
        return sample

    loader = of_arrays(
        urls * 5, map=refuse, handler=lambda exn: errors.append(exn) or True, memory="60kB", drop_last=False
    )
    found = clips_of(loader)
    assert len(errors) == 30
    assert dict(found) == expected(sample for sample in samples if sample["cls"] % 2 == 0)
