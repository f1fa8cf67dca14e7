"""Inputs in child processes, within bounds of time and memory; what fails is kept."""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import selectors
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import psutil
from helpers.torchless import WITHOUT_TORCH

import clipx
from fuzz import arrays, media, sounds, states, tables, tars, ts, use_arrays, use_media

KINDS: dict[str, tuple[Any, Any]] = {
    "mp4": (media.mp4, use_media.use_video),
    "mkv": (media.mkv, use_media.use_video),
    "avi": (media.avi, use_media.use_video),
    "ts": (ts.ts, use_media.use_video),
    "wav": (sounds.wav, use_media.use_sound),
    "flac": (sounds.flac, use_media.use_sound),
    "mp3": (sounds.mp3, use_media.use_sound),
    "ogg": (sounds.ogg, use_media.use_sound),
    "npy": (arrays.npy, use_arrays.use_npy),
    "npz": (arrays.npz, use_arrays.use_npz),
    "tar": (tars.tar, use_arrays.use_tar),
    "table": (tables.table, tables.use_table),
    "state": (states.state, states.use_state),
}

DOCUMENTED = (ValueError, OSError, EOFError, clipx.PoolExhausted, tarfile.TarError, zipfile.BadZipFile)
"""What clips, the stage and the Loader raise or hand to `handler`; MediaError and PoolTooSmall are ValueErrors."""


FOLDERS = [str(Path(each).resolve().parents[1]) for each in (__file__, clipx.__file__)]
"""Where a child finds this package and clipx."""


@dataclass(frozen=True)
class Bounds:
    """Of one input: seconds, and bytes of a child that has been through any number of them."""

    seconds: float = 20.0
    memory: int = 1 << 30


@dataclass
class Report:
    """What a run of inputs of a kind came to."""

    kind: str
    inputs: int = 0
    crashes: int = 0
    hangs: int = 0
    errors: int = 0
    most_memory: int = 0
    most_seconds: float = 0.0
    seconds: float = 0.0
    failed: list[tuple[int, str]] = field(default_factory=list)
    done: set[int] = field(default_factory=set)

    def add(self, other: Report) -> None:
        for name in ("inputs", "crashes", "hangs", "errors"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_memory = max(self.most_memory, other.most_memory)
        self.most_seconds = max(self.most_seconds, other.most_seconds)
        self.seconds = max(self.seconds, other.seconds)
        self.failed += other.failed
        self.done |= other.done

    def __str__(self) -> str:
        return (
            f"{self.kind}: {self.inputs} inputs, {self.crashes} crashes, {self.hangs} hangs or too much memory, "
            f"{self.errors} undocumented errors or warnings; {self.seconds:.0f} s, slowest {self.most_seconds:.1f} s, "
            f"most memory {self.most_memory / 1e6:.0f} MB"
        )


def make(kind: str, number: int) -> bytes:
    return KINDS[kind][0](random.Random(f"{kind} {number}"))


def use(kind: str, number: int, data: bytes) -> str | None:
    """Use an input; a text where it does what it should not."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            KINDS[kind][1](data, random.Random(f"use {number}"), DOCUMENTED)
        except Exception:
            return traceback.format_exc()
    for each in warned:
        if issubclass(each.category, ResourceWarning) and ".tar'" in str(each.message):
            continue  # webdataset leaves shards to the garbage collector
        if each.category is DeprecationWarning and str(each.message).startswith("Data type alias"):
            continue  # NumPy's word to whoever wrote the file, whose array is read
        return f"{each.category.__name__} in {each.filename}:{each.lineno}: {each.message}"
    return None


def child(kind: str, first: int, inputs: int) -> None:
    """Use so many inputs, and say on stdout what comes of each, one JSON line before and one after."""
    logging.disable(logging.CRITICAL)
    av.logging.set_level(None)
    for number in range(first, first + inputs):
        print(json.dumps({"begun": number}), flush=True)
        error = use(kind, number, make(kind, number))
        print(json.dumps({"done": number, "error": error, "memory": most_memory()}), flush=True)


def most_memory() -> int:
    """The most resident memory of this process so far, in bytes."""
    # Linux counts what the process had that started this one as resource usage, too, but not here.
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def lines(process: subprocess.Popen[bytes], seconds: float) -> Iterator[dict[str, Any] | None]:
    """What a child says; None for each part of a second in which it says nothing."""
    assert process.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(seconds):
                yield None
                continue
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            *whole, pending = (pending + data).split(b"\n")
            for line in whole:
                if line.startswith(b"{"):
                    yield json.loads(line)


def run(kind: str, first: int, inputs: int, bounds: Bounds, failures: Path | None = None) -> Report:
    """Use inputs from number `first` on, in as many children as it takes."""
    report, end, started = Report(kind), first + inputs, time.monotonic()
    while first < end:
        first = _run_child(report, kind, first, end, bounds, failures)
    report.seconds = time.monotonic() - started
    return report


def _start(kind: str, first: int, end: int, errors: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-X", "faulthandler", "-m", "fuzz", kind, "--child", "--first", str(first)]
    command += ["--inputs", str(end - first)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([WITHOUT_TORCH, *FOLDERS]), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env)


def _run_child(report: Report, kind: str, first: int, end: int, bounds: Bounds, failures: Path | None) -> int:
    """Use inputs in one child; the number to go on with."""
    with tempfile.TemporaryFile() as errors:
        process = _start(kind, first, end, errors)
        try:
            number, why = _follow(report, kind, process, first, bounds, failures)
        finally:
            # A child that is stopped says where it is; one that has done too much in all is not at fault now.
            if process.poll() is None and why:
                process.send_signal(signal.SIGABRT)
            status = _wait(process)
        errors.seek(0)
        reported = errors.read()[-20_000:].decode(errors="replace")
    if why == TOO_LARGE:
        return number + 1
    if why:
        report.hangs += 1
    elif status:
        report.crashes += 1
        why = f"the process ended with status {status}"
    if why:
        report.inputs += number not in report.done
        _keep(report, kind, number, f"{why}\n{reported}", failures)
    return number + 1


TOO_LARGE = "the child has grown too large"


def _follow(
    report: Report, kind: str, process: subprocess.Popen[bytes], first: int, bounds: Bounds, failures: Path | None
) -> tuple[int, str]:
    """The input that a child came to, and why it is to be stopped, if it is."""
    number, begun, ended = first, time.monotonic(), False
    for line in lines(process, 0.2):
        if line is None:
            size = _memory_of(process.pid)
            report.most_memory = max(report.most_memory, size)
            if size > bounds.memory:
                return number, f"it takes {size / 1e6:.0f} MB"
            if not ended and time.monotonic() - begun > bounds.seconds:
                return number, f"it takes longer than {bounds.seconds:g} s"
        elif "begun" in line:
            number, begun, ended = line["begun"], time.monotonic(), False
        else:
            ended = True
            report.inputs += 1
            report.done.add(number)
            report.most_seconds = max(report.most_seconds, time.monotonic() - begun)
            report.most_memory = max(report.most_memory, line["memory"])
            if line["error"]:
                report.errors += 1
                _keep(report, kind, number, line["error"], failures)
            if line["memory"] > bounds.memory:
                report.hangs += 1
                _keep(report, kind, number, f"memory grew to {line['memory'] / 1e6:.0f} MB", failures)
                return number, TOO_LARGE
    return number, ""


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _memory_of(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _keep(report: Report, kind: str, number: int, text: str, failures: Path | None) -> None:
    report.failed.append((number, text))
    if failures is not None:
        failures.mkdir(parents=True, exist_ok=True)
        (failures / f"{kind}-{number}.bin").write_bytes(make(kind, number))
        (failures / f"{kind}-{number}.txt").write_text(text)
