"""Ctrl-C at any line: no thread, no slot and no lock is left, and it is never swallowed."""

import linecache
import os
import random
import signal
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from helpers.arrays import array
from helpers.loaders import PACKAGE, check_ended, clips_of, of_arrays, of_videos
from helpers.long import LONG
from helpers.processes import run_python
from helpers.threads import clipx_threads, wait_until

from clipx import memory, windows
from clipx._threads import call, each_on_a_thread

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


EACH_VARIETY = 30 if LONG else 4
"""Interrupts, at random lines, of each variety."""

SIGNALS = 50 if LONG else 4


class Interrupt:
    """Traces this thread, and raises KeyboardInterrupt at the n-th line of clipx that it runs."""

    def __init__(self, n=0):
        self.left, self.seen, self.where = n, 0, None

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        # No signal comes between where a lock is taken or given back, or before a plain return, but a tracer would.
        if event == "line" and not line.startswith(("with ", "return ready.batch")):
            self.seen += 1
            if self.seen == self.left:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
                sys.settrace(None)
                raise KeyboardInterrupt
        return self

    def run(self, action):
        """Whether `action` was interrupted; it is by KeyboardInterrupt alone that it ends early."""
        before = sys.gettrace()  # that of coverage.py
        try:
            sys.settrace(self)
            action()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def take(loader, count=4):
    for number, _batch in enumerate(loader):
        if number + 1 == count:
            break
    del _batch


def close(loader):
    take(loader)
    loader.close()


def drop(loader):
    iterator = iter(loader)
    next(iterator)
    del iterator


def use_with(loader):
    with loader:
        take(loader, 2)


def go_to_the_end(loader):
    for _ in loader:
        pass


def iterate_again(loader):
    take(loader, 2)
    take(loader, 2)


def save(loader):
    for _ in loader:
        loader.state_dict()


def go_on(loader):
    """From a state that held clips, which are cut again."""
    loader.load_state_dict(loader.saved)
    take(loader, 2)
    loader.close()


def tell_length(loader):
    len(loader)
    take(loader, 1)


def add_field(sample):
    return {**sample, "sum": int(sample["npy"].sum())}


VARIETIES = {
    "close": (close, {}),
    "close in order": (close, {"shuffle": False}),
    "drop": (drop, {}),
    "with": (use_with, {}),
    "end": (go_to_the_end, {"drop_last": False}),
    "again": (iterate_again, {"shuffle": False}),
    "map": (close, {"map": add_field}),
    "one thread": (close, {"threads": 1, "batches": 2}),
    "state_dict": (save, {}),
    "load_state_dict": (go_on, {}),
    "len": (tell_length, {"equal_batches": True}),
}


def make(make_loader, urls, changes):
    loader = make_loader(urls, **changes)
    iterator = iter(loader)
    next(iterator), next(iterator)
    loader.saved = loader.state_dict()
    iterator.close()
    return make_loader(urls, **changes), loader.saved


@pytest.mark.parametrize("variety", VARIETIES)
@pytest.mark.parametrize("kind", ["arrays", "videos"])
def test_at_random_lines(arrays, videos, kind, variety):
    """And the loader goes on as if nothing had been."""
    action, changes = VARIETIES[variety]
    if kind == "videos" and "map" in changes:
        changes = {"map": dict}
    urls, make_loader = (arrays[0], of_arrays) if kind == "arrays" else (videos[0], of_videos)
    field = "npy" if kind == "arrays" else "mp4"
    saved = make(make_loader, urls, changes)[1]

    def fresh():
        loader = make_loader(urls, **changes)
        loader.saved = saved
        return loader

    with fresh() as loader:
        loader.set_epoch(7)
        expected = clips_of(loader, field)
    counting = Interrupt()
    loader = fresh()
    assert not counting.run(lambda: action(loader))
    loader.close()
    rng = random.Random(f"{kind} {variety}")
    swallowed = []
    for _ in range(EACH_VARIETY):
        loader = fresh()
        interrupt = Interrupt(rng.randint(1, counting.seen))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "unraisablehook", swallowed.append)
            caught = interrupt.run(lambda loader=loader: action(loader))
        assert caught == (interrupt.where is not None)
        loader.close()
        assert wait_until(lambda: not clipx_threads(), 2), (interrupt.where, clipx_threads())
        loader.set_epoch(7)
        assert clips_of(loader, field) == expected, interrupt.where
        check_ended(loader)
    assert swallowed == []


@pytest.mark.parametrize("variety", ["close", "again", "map", "state_dict"])
def test_without_close(arrays, variety):
    """Where nobody closes anything, threads end when the iterator is gone."""
    action, changes = VARIETIES[variety]
    counting = Interrupt()
    loader = of_arrays(arrays[0], **changes)
    counting.run(lambda: action(loader))
    loader.close()
    rng = random.Random(variety)
    for _ in range(EACH_VARIETY):
        loader = of_arrays(arrays[0], **changes)
        interrupt = Interrupt(rng.randint(1, counting.seen))
        interrupt.run(lambda loader=loader: action(loader))
        assert wait_until(lambda: not clipx_threads(), 5), (interrupt.where, clipx_threads())
        check_ended(loader)


def test_a_state_is_not_behind_a_batch_that_nobody_got(arrays):
    """The state after an interrupt goes on with the batch that `next` was to give."""
    loader = of_arrays(arrays[0])
    expected = clips_of(loader)
    rng = random.Random(1)
    for _ in range(EACH_VARIETY):
        loader, got = of_arrays(arrays[0]), []
        iterator = iter(loader)

        def consume(iterator=iterator, got=got):
            for batch in iterator:
                got.extend(clips_of([batch]))

        # The lines of `next` alone: there are fewer than 40 a batch.
        interrupt = Interrupt(rng.randint(1, 150))
        interrupt.run(consume)
        state = loader.state_dict()
        assert len(got) == 4 * state["batch"]["count"], interrupt.where
        if not state["finished"]:
            other = of_arrays(arrays[0])
            other.load_state_dict(state)
            assert got + clips_of(other) == expected, interrupt.where
        del iterator, consume
        check_ended(loader)


def test_extract():
    frames, out = array(4000, shape=(32, 32, 3)), np.empty((999, 8, 32, 32, 3), np.uint8)
    counting = Interrupt()
    threads = {"num_threads": 4, "out": out}
    assert not counting.run(lambda: windows.extract(frames, 8, 4, **threads))
    before = threading.active_count()
    expected = out.copy()
    for n in range(1, counting.seen + 1, 1 if LONG else 3):
        Interrupt(n).run(lambda: windows.extract(frames, 8, 4, **threads))
        # Nothing is written any more.
        out[:] = 7
        assert (out == 7).all()
        assert threading.active_count() == before
    assert (windows.extract(frames, 8, 4, num_threads=4) == expected).all()


def test_meter():
    counting = Interrupt()

    def use():
        with memory.Meter(0.01):
            pass

    assert not counting.run(use)
    for n in range(1, counting.seen + 1):
        Interrupt(n).run(use)
        assert wait_until(lambda: not clipx_threads(), 2), n


def test_call():
    """It gives what the work gives or raises, and ends the work where it is interrupted."""
    assert call(lambda is_stopped: (is_stopped(), 7), "clipx-test") == (False, 7)
    with pytest.raises(KeyError, match="of the work"):
        call(lambda is_stopped: {}["of the work"], "clipx-test")
    stopped = []

    def work(is_stopped):
        while not is_stopped():
            time.sleep(0.005)
        stopped.append(True)

    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call(work, "clipx-test")
    timer.join()
    assert stopped == [True]


def test_each_on_a_thread():
    done = []
    each_on_a_thread([lambda i=i: done.append(i) for i in range(20)])
    assert sorted(done) == list(range(20))
    each_on_a_thread([])

    def fail(i):
        done.append(i)
        if i in (3, 5):
            raise ValueError(f"number {i}")

    done.clear()
    with pytest.raises(ValueError, match="number 3"):
        each_on_a_thread([lambda i=i: fail(i) for i in range(8)])
    assert sorted(done) == list(range(8))


CHILD = """
    import os, signal, sys, threading, time
    import numpy as np
    import clipx
    from clipx.loader import budget

    budget.DECODER_BYTES = 2_000
    urls, kind, what, after = sys.argv[1].split(), sys.argv[2], sys.argv[3], float(sys.argv[4])
    window = clipx.WindowSpec(4, 2)
    format = None if kind == "arrays" else clipx.ClipFormat(crop=(16, 16))

    def loaders():
        while True:
            equal = what == "len"
            yield clipx.Loader(urls, window, format, batch_size=4, memory="300kB", threads=3, equal_batches=equal)

    for batch in next(loaders()):
        pass
    print("ready", flush=True)
    threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        for loader in loaders():
            if what == "len":
                len(loader)
            elif what == "state":
                iterator = iter(loader)
                next(iterator)
                other = next(loaders())
                other.load_state_dict(loader.state_dict())
                del iterator
                next(iter(other))
            elif what == "drop":
                iterator = iter(loader)
                next(iterator)
                del iterator
            else:
                with loader:
                    for batch in loader:
                        pass
    except KeyboardInterrupt:
        loader.close()
        iterator = other = batch = None
        until = time.monotonic() + 5
        while time.monotonic() < until:
            left = [each.name for each in threading.enumerate() if each.name.startswith("clipx-")]
            if not left:
                break
            time.sleep(0.01)
        print("left", left, flush=True)
        raise
"""


@pytest.mark.parametrize("number", range(SIGNALS))
def test_signals_to_a_child(arrays, videos, tmp_path, number):
    """SIGINT at random times: a child ends at once, by KeyboardInterrupt, with no thread left."""
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD))
    rng = random.Random(number)
    kind = rng.choice(["arrays", "videos"])
    what = ["all", "drop", "state", "len"][number % 4]
    urls = (arrays if kind == "arrays" else videos)[0]
    child = run_python(script, " ".join(urls), kind, what, rng.uniform(0, 0.4))
    reported = (kind, what, child.stdout, child.stderr)
    assert child.stdout == "ready\nleft []\n", reported
    assert child.returncode == -signal.SIGINT, reported
    assert child.stderr.rstrip().endswith("KeyboardInterrupt"), reported
    assert "Exception ignored" not in child.stderr, reported
