"""Python in other processes."""

import os
import pickle
import subprocess
import sys
import warnings

import pytest

from clipx import _kernel
from helpers.torchless import WITHOUT_TORCH


def environment(**changes):
    """Of a process with the import path of this one, but without torch."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([WITHOUT_TORCH, *filter(None, sys.path)]), **changes}


def run_python(*arguments, timeout=60, **changes):
    """A finished process of Python with arguments such as "-c" and code, in an `environment` with changes."""
    command = list(map(str, [sys.executable, *arguments]))
    return subprocess.run(
        command, env=environment(**changes), capture_output=True, text=True, timeout=timeout, check=False
    )


def printed_by_implementations(script):
    """{implementation: what it printed behind its name} of a script that prints the name first."""
    found = {}
    for name in _kernel.implementations:
        ran = run_python(script, CLIPX_SIMD=name)
        assert ran.returncode == 0, f"{name}: {ran.returncode} {ran.stderr}"
        ran_as, *found[name] = ran.stdout.split()
        assert ran_as == name
    return found


def check_same_bits(script):
    """Every implementation prints the same digest of what it wrote into memory with fences around it."""
    if sys.platform == "win32":
        pytest.skip("no mprotect")
    digests = printed_by_implementations(script)
    assert len({tuple(each) for each in digests.values()}) == 1, digests


def in_child(work):
    """Calls `work()` in a forked child; returns what it returned, or raises its exception."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # NumPy and torch have native threads, of which the child needs none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            try:
                answer = work()
            except Exception as exn:
                answer = exn
            os.write(writer, pickle.dumps(answer))
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    answer = pickle.loads(answer)
    if isinstance(answer, Exception):
        raise answer
    return answer
