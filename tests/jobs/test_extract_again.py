"""Jobs that are run again, or are interrupted: retries, limits of failures, deaths of processes, memory, Ctrl-C."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from textwrap import dedent

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.extracting import Deadly, failures_of, files_of, keys_of, members
from helpers.shards import array_sample, write_shard
from helpers.threads import clipx_threads, wait_until
from helpers.torchless import WITHOUT_TORCH

import clipx
from clipx.jobs.extraction.inputs import Inputs
from clipx.jobs.extraction.limits import parse_most_failures, parse_part
from clipx.jobs.extraction.options import ExtractOptions
from clipx.jobs.extraction.part_job import PartJob, run_part

SPEC = clipx.WindowSpec(4)


def arrays(folder, names="abcd"):
    """A folder of arrays, one in a file each; those with names in capitals are broken."""
    folder.mkdir(exist_ok=True)
    for name in names:
        data = npy(array(9, ord(name)))
        (folder / f"{name}.npy").write_bytes(data[:-1] if name.isupper() else data)
    return folder


def test_failed_samples_are_tried_again_and_nothing_is_written_anew(tmp_path):
    folder, out = arrays(tmp_path / "in", "abCd"), tmp_path / "out"
    first = clipx.jobs.extract(folder, out, SPEC, jobs=1, files_per_part=3)
    before = files_of(out)
    assert (first.failed, first.clips) == (1, 6)
    again = clipx.jobs.extract(folder, out, SPEC, jobs=1, files_per_part=3, retry_failed=True)
    assert (again.failed, again.clips) == (1, 6)
    assert {name: digest for name, digest in files_of(out).items() if name in before} == before
    assert sorted(files_of(out).keys() - before.keys()) == [
        "part-000000-retry1.failures.jsonl",
        "part-000000-retry1.parquet",
    ]


def test_a_sample_that_failed_amid_its_clips_gives_the_others_in_a_retry(make_video, tmp_path):
    good = make_video(40, g="8").read_bytes()
    bad, begin = bytearray(good), len(good) * 5 // 8
    bad[begin : len(good) * 6 // 8] = bytes(len(good) * 6 // 8 - begin)
    path, out = tmp_path / "a.mp4", tmp_path / "out"
    path.write_bytes(bad)
    clipx.jobs.extract(path, out, SPEC, jobs=1)
    (failure,) = failures_of(out)
    assert 0 < failure["clips"] == len(keys_of(out)) < 10
    path.write_bytes(good)
    summary = clipx.jobs.extract(path, out, SPEC, jobs=1, retry_failed=True)
    assert (summary.clips, summary.failed) == (10, 0)
    found = members(out)
    for clip in clipx.video.clips(good, SPEC):
        assert found[f"a_{clip.index:06d}.npy"] == npy(clip.data)


def test_too_many_failures_are_an_error_when_all_is_done(tmp_path):
    folder = arrays(tmp_path / "in", "aBcDe")
    with pytest.raises(
        clipx.jobs.TooManyFailures, match=r"2 of 5 samples have failed, more than max_failures=1"
    ) as info:
        clipx.jobs.extract(folder, tmp_path / "out", SPEC, jobs=1, max_failures=1)
    assert info.value.summary.clips == 6
    assert (tmp_path / "out" / "summary.json").exists()
    clipx.jobs.extract(folder, tmp_path / "out", SPEC, jobs=1, max_failures="40%")


def test_a_process_that_dies_loses_its_part_alone(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(WITHOUT_TORCH)  # which others would import for a second
    folder, out, cure = arrays(tmp_path / "in"), tmp_path / "out", tmp_path / "cure"
    deadly = {"segments": Deadly("a", cure), "files_per_part": 2}
    with pytest.raises(
        clipx.jobs.PartsLost, match=r"1 part could not be done: part 0: .* was ended by SIGKILL"
    ) as info:
        clipx.jobs.extract(folder, out, SPEC, jobs=2, **deadly)
    assert list(info.value.parts) == [0]
    assert keys_of(out) == ["c_0000_000000", "d_0000_000000"]
    cure.touch()
    clipx.jobs.extract(folder, out, SPEC, jobs=1, **deadly)
    clipx.jobs.extract(folder, tmp_path / "unbroken", SPEC, jobs=1, **deadly)
    assert files_of(out) == files_of(tmp_path / "unbroken")


def test_memory_is_bounded_whatever_the_length(make_video, tmp_path):
    # Two samples side by side: 100 MB of clips of the second would wait for the first.
    paths = [str(make_video(n, size=(180, 320), still=True, preset="ultrafast")) for n in (300, 320)]
    options = ExtractOptions(clipx.WindowSpec(16, stride=8))
    job = PartJob(str(tmp_path / "warm"), Inputs(paths), options, "jsonl", 100_000_000, threads=2)
    run_part(replace(job, inputs=Inputs(paths[:1])), 0)
    with clipx.memory.Meter(0.01) as meter:
        counts = run_part(replace(job, out=str(tmp_path / "out")), 0)
    assert counts.clips == 36 + 39
    assert meter.peak - meter.start < 100e6


def test_a_job_that_other_processes_cannot_be_given_is_refused(tmp_path):
    with pytest.raises(ValueError, match="or jobs=1"):
        clipx.jobs.extract(arrays(tmp_path / "in"), tmp_path / "out", SPEC, segments=lambda sample: [(0, 4)], jobs=2)


def test_samples_and_clips_beyond_the_memory_are_failures(make_video, tmp_path):
    folder, out = arrays(tmp_path / "in"), tmp_path / "out"
    (folder / "large.npy").write_bytes(npy(np.zeros((4, 5_000_000), np.uint8)))
    video = make_video(30, size=(360, 640), still=True, preset="ultrafast")
    for src, spec, clips, said in (
        (folder, SPEC, 8, "a clip takes 20000000 bytes, but memory is 30000000"),
        (video, clipx.RateSpec(25), 0, "clips of shape (30, 360, 640, 3)"),
        (video, clipx.WindowSpec(30), 0, "clips of shape (30, 360, 640, 3)"),
    ):
        summary = clipx.jobs.extract(src, out, spec, jobs=1, memory="30MB")
        (failure,) = failures_of(out)
        assert (summary.clips, summary.failed, failure["clips"]) == (clips, 1, 0)
        assert said in failure["reason"]
        shutil.rmtree(out)


@pytest.mark.usefixtures("no_threads_left")
def test_ctrl_c_ends_a_job_and_leaves_what_is_done(tmp_path):
    folder, out = arrays(tmp_path / "in", "abcdefgh"), tmp_path / "out"

    def slowly(sample):
        time.sleep(0.05)
        return [(0, 6)]

    def interrupt():
        wait_until(lambda: list(out.glob("part-000001.parquet")), 20)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        clipx.jobs.extract(folder, out, SPEC, jobs=1, files_per_part=1, segments=slowly)
    thread.join()
    assert not clipx_threads()
    left = files_of(out)
    assert not [name for name in left if name.startswith(".")]
    assert 2 <= sum(name.endswith(".parquet") for name in left) < 8
    clipx.jobs.extract(folder, out, SPEC, jobs=1, files_per_part=1, segments=slowly)
    assert len(keys_of(out)) == 8


def test_progress_is_told_and_its_errors_end_the_job(tmp_path):
    told = []
    clipx.jobs.extract(arrays(tmp_path / "in"), tmp_path / "out", SPEC, jobs=1, files_per_part=2, progress=told.append)
    last = told[-1]
    assert (last.parts, last.parts_done, last.samples, last.clips, last.failures) == (2, 2, 4, 8, 0)
    assert last.bytes_written == 8 * len(npy(array(4)))
    with pytest.raises(TypeError, match="progress is 1"):
        clipx.jobs.extract(tmp_path / "in", tmp_path / "out", SPEC, progress=1)


@pytest.mark.parametrize("part", ["3", "3/3", "-1/3", "1/0", (1, 2, 3), 7, "x/y"])
def test_bad_parts_are_refused(part):
    with pytest.raises((TypeError, ValueError), match="part"):
        parse_part(part)


@pytest.mark.parametrize("most", ["101%", "-1", "five", -1, 1.5, True, "5 %%"])
def test_bad_limits_of_failures_are_refused(most):
    with pytest.raises((TypeError, ValueError), match="max_failures"):
        parse_most_failures(most)


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ({"encoding": "gif"}, "encoding is 'gif', but must be one of npy, "),
        ({"crf": 18}, "crf is 18, but encoding 'npy' has no crf: leave it out, or take one of mp4"),
        ({"encoding": "mp4", "quality": 90}, "quality is 90, but encoding 'mp4' has no quality"),
        ({"encoding": "wav", "format": clipx.ClipFormat(resize=8)}, "encoding 'wav' is of sound"),
        ({"encoding": "copy", "format": clipx.ClipFormat(resize=8)}, "encoding 'copy' leaves pictures as they are"),
        ({"format": clipx.ClipFormat(dtype="bfloat16")}, "bfloat16"),
        ({"shard_size": "1KB"}, "shard_size is 1000, but must be at least"),
        ({"files_per_part": 0}, "files_per_part is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"jobs": 0}, "jobs is 0"),
        ({"memory": "much"}, "memory is 'much'"),
        ({"min_seconds": 2}, "segments is None"),
    ],
)
def test_options_that_contradict_are_refused_before_anything_is_written(tmp_path, rest, said):
    with pytest.raises(ValueError) as info:
        clipx.jobs.extract(arrays(tmp_path / "in"), tmp_path / "out", SPEC, **rest)
    assert said in str(info.value)
    assert not (tmp_path / "out").exists()


def test_inputs_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        clipx.jobs.extract(tmp_path / "gone", tmp_path / "out", SPEC)
    with pytest.raises(ValueError, match="holds no shard"):
        clipx.jobs.extract(tmp_path, tmp_path / "out", SPEC)
    with pytest.raises(TypeError, match="src is a int"):
        clipx.jobs.extract(3, tmp_path / "out", SPEC)
    write_shard(tmp_path / "a.tar", [array_sample("a", 8)])
    with pytest.raises(ValueError, match="is a shard and"):
        clipx.jobs.extract([tmp_path / "a.tar", arrays(tmp_path / "in")], tmp_path / "out", SPEC)


def test_a_process_begins_without_ctrl_c():
    """Nor does the start of the resource tracker, which comes with that of the first process, let one through."""
    code = """
        import multiprocessing.util as util, signal
        from clipx.jobs.extraction.workers import _Worker
        blocked, start = [], util.spawnv_passfds
        def note(*args):
            blocked.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
            return start(*args)
        util.spawnv_passfds = note
        _Worker(None).end()
        print(len(blocked), blocked[-1])
    """
    found = subprocess.run([sys.executable, "-c", dedent(code)], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["2", "True"]
