"""Short runs of the soak: its clips are right, slots come back, and what grows is seen."""

import dataclasses
import subprocess
import sys

import pytest
from helpers.torchless import WITHOUT_TORCH

from soak import epochs, measuring, small_clips
from soak.measuring import Measurement, Trace


def test_small_clips():
    trace = small_clips.run(20_000, count=20)
    assert [each.done for each in trace.measurements] == list(range(1000, 20_001, 1000))
    assert {each.slots for each in trace.measurements} == {small_clips.SLOTS}
    assert not trace.problems(0.1)


def test_epochs():
    trace = epochs.run(12, count=12, workers=False)
    assert [each.done for each in trace.measurements] == list(range(1, 13))
    assert not trace.problems(0.3)


def trace_of(**last):
    trace = Trace("clips", 100, 20)
    usual = Measurement(1.0, 5, 100_000_000, 50_000_000, 8, 2, 0, 0, 4, 4)
    trace.measurements = [usual] * 18 + [dataclasses.replace(usual, **last)] * 2
    return trace


@pytest.mark.parametrize(
    ("last", "problems"),
    [
        ({}, []),
        ({"rss": 100_900_000}, []),
        ({"rss": 101_100_000}, ["RSS drifts by +1.10%, more than 1%"]),
        ({"uss": 60_000_000}, ["USS drifts by +20.00%, more than 1%"]),
        ({"descriptors": 9, "rss": 1}, ["descriptors grow from 8 to 9"]),
        ({"children": 1}, ["children grow from 0 to 1"]),
    ],
)
def test_what_grows_is_seen(last, problems):
    assert trace_of(**last).problems(measuring.MOST_DRIFT) == problems


def test_command(tmp_path):
    pytest.importorskip("matplotlib")
    command = [
        sys.executable,
        "-m",
        "soak",
        "clips",
        "--clips",
        "20000",
        "--measurements",
        "10",
        "--drift",
        "9",
        "--plot",
        "soak.svg",
    ]
    env = {"PYTHONPATH": ":".join([WITHOUT_TORCH, *sys.path])}
    shown = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert "20,000 clips in " in shown.stdout, shown.stderr
    assert (tmp_path / "soak.svg").read_text().count("20,000 clips") == 1
