"""The line that shows how an epoch goes on, on a terminal and elsewhere."""

import io
import re
import sys
from importlib import import_module

import pytest
from helpers.loaders import check_ended, of_arrays
from helpers.processes import in_child

from clipx.loader import progress_line
from clipx.loader.progress_line import line_of
from clipx.loader.stats import LoaderStats

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")

HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def as_terminal(monkeypatch):
    """Standard error, as a terminal. Not a fixture: pytest sets standard error anew for the test itself."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress_line, "REFRESH_SECONDS", 0.01)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    return sys.stderr


def test_the_line():
    stats = LoaderStats(3, 60.0, 100, 1600, 26.67, 32.0, 15.0, held_bytes=10**9, memory_bytes=2 * 10**9)
    end = "1 GB of 2 GB  waited 25%"
    assert line_of(stats, 140, 0) == f"epoch 3: 140 batches  32.0 clips/s  0:01:00  {end}"
    assert line_of(stats, 140, 1340) == f"epoch 3: 140/1,340 batches  32.0 clips/s  0:10:00 left  {end}"
    assert line_of(stats, 1340, 1340) == f"epoch 3: 1,340/1,340 batches  32.0 clips/s  0:01:00  {end}"
    broken = LoaderStats(0, errors={"error": 2, "damage": 1})
    assert (
        line_of(broken, 0, 9) == "epoch 0: 0/9 batches  0.0 clips/s  0:00:00  0 bytes of 0 bytes  waited 0%  3 errors"
    )


def test_elsewhere(arrays, monkeypatch):
    """A plain line at the end of each epoch, and now and then before; the number of batches as far as it is known."""
    monkeypatch.setattr(sys, "stderr", elsewhere := io.StringIO())
    loader = of_arrays(arrays[0], progress=True)
    batches = sum(1 for _ in loader)
    assert re.fullmatch(rf"epoch 0: {batches} batches  [\d,.]+ clips/s  0:00:0\d  .*\n", elsewhere.getvalue())
    monkeypatch.setattr(progress_line, "PLAIN_SECONDS", 0.001)
    assert sum(1 for _ in loader) == batches
    _, *lines = elsewhere.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("epoch 1: ") and f"/{batches} batches" in line for line in lines)
    assert lines[-1].startswith(f"epoch 1: {batches}/{batches} batches")
    check_ended(loader)


def test_nothing_else_is_printed(arrays, monkeypatch, capfd):
    """Without `progress`, on other ranks, and in DataLoader workers."""
    terminal = as_terminal(monkeypatch)
    assert sum(1 for _ in of_arrays(arrays[0]))
    with monkeypatch.context() as context:
        context.setenv("RANK", "1")
        context.setenv("WORLD_SIZE", "2")
        assert sum(1 for _ in of_arrays(arrays[0], progress=True))
    monkeypatch.setattr(import_module("clipx.loader.loader"), "in_worker", lambda: True)
    assert sum(1 for _ in of_arrays(arrays[0], progress=True))
    assert terminal.getvalue() == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["all", "close", "drop", "error"])
def test_a_terminal(arrays, monkeypatch, end):
    """However an epoch ends, its last line stays, and the cursor is back."""
    terminal, loader, taken = as_terminal(monkeypatch), of_arrays(arrays[0], progress=True), 0
    try:
        for batch in (batches := iter(loader)):
            del batch
            taken += 1
            if end == "error" and taken == 2:
                raise KeyboardInterrupt
            if end != "all" and taken == 2:
                break
    except KeyboardInterrupt:
        loader.close()
    if end == "close":
        loader.close()
    del batches
    check_ended(loader)
    text = terminal.getvalue()
    assert text.count(HIDDEN) == text.count(SHOWN) == 1
    *_, last = re.findall(r"epoch 0: (\d+) batches", text)
    assert int(last) == taken


def test_several_at_a_time(arrays, monkeypatch):
    """Their lines share one display, which ends with the last of them; a forked process has one of its own."""
    terminal = as_terminal(monkeypatch)
    first, second = (of_arrays(arrays[0], progress=True, batch_size=size) for size in (4, 8))
    begun = iter(first)
    next(begun)
    batches = sum(1 for _ in second)
    assert SHOWN not in terminal.getvalue()

    def of_child():
        sys.stderr = Terminal()
        return sum(1 for _ in of_arrays(arrays[0], progress=True)), sys.stderr.getvalue()

    count, text = in_child(of_child)
    assert text.count(HIDDEN) == text.count(SHOWN) == 1
    assert 1 + sum(1 for _ in begun) == count
    text = terminal.getvalue()
    assert text.count(HIDDEN) == text.count(SHOWN) == 1
    for line in (f"epoch 0: {count} batches", f"epoch 0: {batches} batches"):
        assert line in text


def test_standard_error_that_is_closed(arrays, monkeypatch):
    file = io.StringIO()
    file.close()
    monkeypatch.setattr(sys, "stderr", file)
    loader = of_arrays(arrays[0], progress=True)
    assert sum(1 for _ in loader)
    check_ended(loader)
    monkeypatch.setattr(sys, "stderr", None)
    assert sum(1 for _ in loader)


def test_a_state_does_not_know_of_it(arrays):
    shown, hidden = (of_arrays(arrays[0], progress=progress) for progress in (True, False))
    next(iter(shown))
    hidden.load_state_dict(shown.state_dict())
    next(iter(hidden))
    with pytest.raises(TypeError, match="progress is 1, but must be"):
        of_arrays(arrays[0], progress=1)
