"""State that threads share, where they are switched at any bytecode or run at the same time."""

import random
import sysconfig
import threading
from functools import partial
from textwrap import dedent

import numpy as np
import pytest
from helpers.arrays import address
from helpers.long import LONG
from helpers.processes import run_python
from helpers.switching import switched, together

import clipx
from clipx._lazy import lazy
from clipx._registry import Registry
from clipx.datasets.remote.per_process import PerProcess
from clipx.media.kept_container import KeptContainer

TIMES = 20 if LONG else 1
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

IMPORTS = """
    import sys
    import clipx._kernel.callbacks, clipx._kernel.packets
    assert not sys._is_gil_enabled(), "clipx._kernel"
    import clipx
    for name in clipx.__all__:
        if name not in ("jobs", "ray"):  # which import what else is installed
            getattr(clipx, name)
            assert not sys._is_gil_enabled(), name
"""


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL")
def test_the_gil_stays_off():
    """Neither a module of clipx turns it on, nor one of the packages that clipx depends on."""
    ran = run_python("-c", dedent(IMPORTS), PYTHON_GIL="")
    assert ran.returncode == 0, ran.stderr


def test_names_are_loaded_by_several_threads():
    """Of modules that need each other, no thread finds one that is not complete."""
    code = """
        import threading
        import clipx
        begin, errors = threading.Barrier(4), []
        def load(name):
            begin.wait()
            try:
                getattr(clipx, name)
            except BaseException as exn:
                errors.append(exn)
        names = ("Loader", "ClipDataset", "Files", "wds")
        threads = [threading.Thread(target=load, args=(name,)) for name in names]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        print(errors)
    """
    ran = run_python("-c", dedent(code))
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr


def test_a_pool_that_takes_the_shape_of_its_first_clip():
    for seed in range(10 * TIMES):
        pool = clipx.ClipPool.of_bytes("64kB")
        with switched("pool.py", seed=seed):
            found = together(partial(pool.acquire, (10, 10)), pool.stats, partial(repr, pool), times=3)
        clips = [each for each in found if isinstance(each, np.ndarray)]
        assert len({address(clip) for clip in clips}) == len(clips) == 3
        assert pool.stats().leased == pool.stats().peak_leased == 3
        assert pool.stats().slots == 64000 // 128


def test_views_are_dropped_by_other_threads():
    """A slot is written again only once the last view is gone, whoever drops it."""
    pool, rounds, threads = clipx.ClipPool(8, (64,), "int64"), 150 * TIMES, 4
    places = [[None] for _ in range(6)]

    def work(number):
        rng = random.Random(number)
        for i in range(rounds):
            clip = pool.acquire(timeout=60)
            tag = number * rounds + i
            clip[:] = tag
            views = [clip[:3], clip[5:].reshape(-1, 1), memoryview(clip)]
            del clip
            # Each view goes to a place, from which it pushes another thread's.
            for view in views:
                place = rng.choice(places)
                before, place[0] = place[0], (view, tag)
                if before is not None:
                    assert np.all(np.asarray(before[0]) == before[1]), (number, i)
                del before, view
            del views

    with switched("pool.py", share=0.02):
        together(*(lambda number=number: work(number) for number in range(threads)))
    places.clear()
    assert pool.stats().free == 8
    assert pool.stats().peak_leased <= 8


@pytest.mark.parametrize("format", [None, clipx.ClipFormat(scale=2.0, dtype="float32")])
@pytest.mark.parametrize("slots", [0, 8])
def test_clips_of_an_array_are_shared_out(format, slots):
    """Each is given once, to one thread, whole."""
    frames = np.random.default_rng(0).integers(0, 255, (200, 6, 8, 3), np.uint8)
    pool = clipx.ClipPool(slots, (5, 6, 8, 3), "uint8" if format is None else "float32") if slots else None
    clips = clipx.windows.iterate(frames, 5, 3, format=format, pool=pool)
    expected = clipx.windows.extract(frames, 5, 3, format=format)

    def work():
        return [clip.tobytes() for clip in clips]

    with switched("arrays/", share=0.05):
        found = together(work, times=4)
    assert sorted(clip for each in found for clip in each) == sorted(clip.tobytes() for clip in expected)


def test_an_array_is_extracted_from_by_several_threads():
    frames = np.random.default_rng(0).integers(0, 255, (60, 24, 20, 3), np.uint8)
    format = clipx.ClipFormat(resize=(17, 19), crop=(12, 16), flip=0.5, dtype="float32", order="CTHW")

    def work():
        return clipx.windows.extract(frames, 8, 4, format=format, num_threads=2, rng=7)

    expected = work()
    for found in together(work, times=4):
        np.testing.assert_array_equal(found, expected)


def test_videos_in_threads(make_video):
    """The same file, and others, into slots of one pool."""
    paths = [make_video(n=24), make_video(n=31)]
    spec, format = clipx.WindowSpec(5, 3), clipx.ClipFormat(resize=(20, 24))
    pool = clipx.ClipPool(64, (5, 20, 24, 3))

    def work(path):
        return [clip.data.tobytes() for clip in clipx.video.clips(path, spec, format, pool=pool)]

    expected = [work(path) for path in paths]
    with switched("pool.py", "video/", "media/", share=0.001):
        found = together(*(lambda path=path: work(path) for path in paths), times=2)
    assert found == expected * 2
    assert pool.stats().free == 64


class Container:
    """Counts how often it is closed."""

    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_a_container_is_kept_for_one_thread():
    """A container is somebody's alone, or closed once; none is left open behind `close`."""
    for seed in range(20 * TIMES):
        kept, made, users = KeptContainer(), [], []

        def work(kept=kept, made=made, users=users):
            for _ in range(10):
                found = kept.take("key")
                if found is None:
                    made.append(container := Container())
                else:
                    container = found[0]
                assert container not in users
                users.append(container)
                users.remove(container)
                kept.give("key", container, None)

        with switched("media/kept_container.py", seed=seed):
            together(work, work, work, kept.close)
        kept.close()
        assert [each.closed for each in made] == [1] * len(made)


def test_registry_lazy_and_values_of_a_process():
    class Value:
        @lazy
        def found(self):
            return object()

    gone = []
    registry, values = Registry(gone.append), PerProcess(object)

    def work():
        for i in range(40):
            value = Value()
            registry.add(value, (threading.get_ident(), i))
            assert any(each is value for each in registry)
            del value
        return shared.found, values.get()

    shared = Value()
    with switched("_registry.py", "_lazy.py", "datasets/remote/per_process.py", share=0.05):
        found = together(work, times=3)
    registry.sweep()
    assert len(set(found)) == 1
    assert len(set(gone)) == len(gone) == 120
    assert list(registry) == []


def test_switching_finds_a_race():
    """The tests above would fail for state that is not guarded."""

    class Counter:
        count = 0

    namespace = {"counter": Counter}
    code = "def add():\n    for _ in range(200):\n        counter.count = counter.count + 1\n"
    exec(compile(code, clipx.__file__, "exec"), namespace)
    with switched("__init__.py"):
        together(namespace["add"], times=3)
    assert Counter.count < 600
