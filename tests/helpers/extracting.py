"""Jobs of clipx.jobs.extract: what they have written, and jobs that are killed amid their work."""

import hashlib
import json
import multiprocessing
import os
import signal
import tarfile
import warnings
from pathlib import Path

import clipx
from clipx.jobs.extraction import local_store, part


def files_of(out):
    """Digests of all files of a job but the summary, by their names; hidden ones, too."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(Path(out).iterdir())
        if path.name != "summary.json"
    }


def members(out):
    """{name: bytes} of the members of a job's shards, in order; no name is there twice."""
    found = {}
    for path in sorted(Path(out).glob("clips-*.tar")):
        with tarfile.open(path) as tar:
            for each in tar:
                assert each.name not in found
                found[each.name] = tar.extractfile(each).read()
    return found


def keys_of(out, ending=".npy"):
    """The keys of the clips in a job's shards, in order."""
    return [name.removesuffix(ending) for name in members(out) if name.endswith(ending)]


def failures_of(out):
    """The failures of a job, in order."""
    paths = sorted(Path(out).glob("*.failures.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def _die_at(kind, count):
    """Let SIGKILL end this process at the `count`-th call of what adds a clip or publishes files."""
    owner, name = {"add": (part.PartWriter, "add"), "publish": (local_store._LocalStaging, "publish")}[kind]
    plain, calls = getattr(owner, name), []

    def call(*args, **rest):
        calls.append(1)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*args, **rest)

    setattr(owner, name, call)


def _extract(kind, count, args, rest):
    _die_at(kind, count)
    clipx.jobs.extract(*args, **rest)


def extract_until_killed(kind, count, *args, **rest):
    """A job in a forked process, which SIGKILL ends at a call of `_die_at`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        process = multiprocessing.get_context("fork").Process(target=_extract, args=(kind, count, args, rest))
        process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


class Deadly:
    """Segments of samples, a function that ends its process at one key, unless a file is there."""

    def __init__(self, key, cure):
        self.key, self.cure = key, str(cure)

    def __call__(self, sample):
        if sample["__key__"] == self.key and not os.path.exists(self.cure):
            os.kill(os.getpid(), signal.SIGKILL)
        return [(0, 6)]
