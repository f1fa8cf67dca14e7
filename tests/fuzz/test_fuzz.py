"""A short run of the fuzzer: no input ends its process, hangs, takes much memory, or raises what is not documented."""

import os
import re
import subprocess
import sys

import pytest
from helpers.torchless import WITHOUT_TORCH

from fuzz import running

INPUTS = int(os.environ.get("CLIPX_FUZZ_INPUTS", "25"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", running.KINDS)
def test_mutated_inputs(kind, tmp_path):
    report = running.run(kind, 0, INPUTS, running.Bounds(seconds=60), tmp_path)
    assert report.inputs == INPUTS
    assert not report.failed, f"{report}\n" + "\n".join(
        f"{kind} {number}: {text}" for number, text in report.failed[:5]
    )


@pytest.mark.parametrize(
    ("kind", "number"),
    [("ts", 792), ("npy", 12771), ("state", 2787), ("state", 3111), ("state", 15961), ("tar", 74032)],
)
def test_inputs_that_failed_once(kind, number):
    assert running.use(kind, number, running.make(kind, number)) is None


def test_an_input_is_made_again_by_its_number():
    """Another process makes it."""
    show = "from fuzz.running import KINDS, make; print([hash((k, make(k, n))) for k in KINDS for n in range(8)])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([WITHOUT_TORCH, *running.FOLDERS]), "PYTHONHASHSEED": "0"}
    shown = [subprocess.check_output([sys.executable, "-c", show], env=env, text=True) for _ in range(2)]
    assert shown[0] == shown[1]
    assert len(set(shown[0].split(","))) > 60


def run_of(monkeypatch, tmp_path, body, **bounds):
    """A run of two inputs of a kind whose use is `body`, a line of Python."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if '--child' in sys.orig_argv:\n"
        "    from fuzz import running\n"
        f"    running.KINDS['mp4'] = running.KINDS['mp4'][0], lambda data, random, documented: {body}\n"
    )
    monkeypatch.setattr(running, "FOLDERS", [str(tmp_path), *running.FOLDERS])
    return running.run("mp4", 0, 2, running.Bounds(**bounds), tmp_path / "failures")


@pytest.mark.parametrize(
    ("body", "bounds", "counts", "words"),
    [
        ("os.abort()", {}, (2, 0, 0), "the process ended with status -6"),
        ("__import__('time').sleep(60)", {"seconds": 0.5}, (0, 2, 0), "it takes longer than 0.5 s"),
        ("len(bytearray(900_000_000))", {"memory": 800_000_000}, (0, 2, 0), "memory grew to|it takes"),
        ("{}['x']", {}, (0, 0, 2), "KeyError: 'x'"),
        ("__import__('warnings').warn('odd')", {}, (0, 0, 2), "UserWarning in .*: odd"),
        ("None", {}, (0, 0, 0), ""),
    ],
)
def test_what_an_input_does_is_seen(monkeypatch, tmp_path, body, bounds, counts, words):
    report = run_of(monkeypatch, tmp_path, body, **bounds)
    assert (report.inputs, report.crashes, report.hangs, report.errors) == (2, *counts)
    assert [number for number, _ in report.failed] == ([0, 1] if any(counts) else [])
    for number, text in report.failed:
        assert re.search(words, text)
        assert (tmp_path / "failures" / f"mp4-{number}.bin").read_bytes() == running.make("mp4", number)
        assert (tmp_path / "failures" / f"mp4-{number}.txt").read_text() == text
