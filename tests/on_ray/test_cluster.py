"""Jobs and pipelines on a Ray cluster of two nodes on this machine."""

import os
import re
import shutil
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.ray_jobs import Crash, Gate
from helpers.threads import wait_until

import clipx
import clipx.jobs
from clipx.jobs.extraction import on_ray
from clipx.jobs.extraction.errors import PartsLost

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    from ray.cluster_utils import Cluster

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*", "ignore::FutureWarning:ray.*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets and processes of Ray
    pytest.mark.timeout(240),
]

SPEC, FORMAT = clipx.WindowSpec(4), clipx.ClipFormat(crop=32)
DOCS = Path(__file__).resolve().parents[2] / "docs" / "cluster.md"


class Machines:
    """A cluster of a head and another node, of one processor each."""

    def __init__(self):
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self.node = self.cluster.add_node(num_cpus=1)

    def kill(self):
        """Kill the other node, and everything that runs there."""
        self.cluster.remove_node(self.node, allow_graceful=False)

    def replace(self):
        """Start another node where the other one has been killed."""
        self.node = self.cluster.add_node(num_cpus=1)


@pytest.fixture(scope="module")
def machines():
    before = dict(os.environ)
    # Its processes find what this one does; paths of sockets must be short.
    paths = os.pathsep.join(filter(None, sys.path))
    os.environ |= {"PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": "/tmp"}
    os.environ |= {"RAY_worker_niceness": "0"}  # by default its processes wait for all others
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Machines()
        try:
            ray.init(address=found.cluster.address, log_to_driver=False, logging_level="ERROR")
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield found
        finally:
            ray.shutdown()
            found.cluster.shutdown()
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture
def videos(make_video, tmp_path):
    """A folder of videos."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for k in range(6):
        shutil.copy(make_video(n=20 + k), folder / f"v{k}.mp4")
    return folder


def output(folder):
    """The files of a job, but for its times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != "summary.json"}


def run(videos, out, **arguments):
    return clipx.jobs.extract(
        videos, out, SPEC, FORMAT, files_per_part=1, memory="200MB", **{"jobs": 1, "ray": None, **arguments}
    )


def test_a_node_dies(machines, videos, tmp_path, caplog):
    """Its parts are done by the others: outputs and counts are those of a run on one machine."""
    gate, seen = Gate(tmp_path / "gate"), []

    def kill():
        wait_until(lambda: len(gate.nodes()) == 2, 60)
        machines.kill()
        gate.open()

    killer = threading.Thread(target=kill)
    killer.start()
    summary = run(videos, tmp_path / "ray", segments=gate, ray=True, jobs=None, progress=seen.append)
    killer.join()
    machines.replace()
    expected = run(videos, tmp_path / "here", segments=gate)
    assert output(tmp_path / "ray") == output(tmp_path / "here")
    assert (summary.clips, summary.failed) == (expected.clips, 0) == (18, 0)
    assert (seen[-1].parts, seen[-1].parts_done, seen[-1].clips) == (6, 6, 18)
    assert re.findall(r"part \d is done again", caplog.text)


def test_a_process_dies(machines, videos, tmp_path, monkeypatch):
    """Again and again: its part is given up, and the others are done."""
    monkeypatch.setattr(on_ray, "TRIES", 2)
    with pytest.raises(PartsLost, match="part 2: ") as caught:
        run(videos, tmp_path / "out", segments=Crash("v2"), ray=True, jobs=None)
    assert list(caught.value.parts) == [2]
    assert {path.name for path in (tmp_path / "out").glob("part-*.parquet")} == {
        f"part-{part:06}.parquet" for part in (0, 1, 3, 4, 5)
    }


def test_a_job_that_stops(machines, videos, tmp_path):
    """Its tasks end, and leave nothing that is half done; run again, it goes on."""
    gate, out = Gate(tmp_path / "gate"), tmp_path / "out"

    def progress(counted):
        if len(gate.nodes()) == 2:
            threading.Timer(2, gate.open).start()
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        run(videos, out, segments=gate, ray=machines.cluster.address, jobs=None, progress=progress)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert run(videos, out, segments=gate, ray="auto", jobs=1).clips == 18


def test_errors(machines, videos, tmp_path, monkeypatch, caplog):
    """Those of a task come as they are; where no node has room, a warning says so."""
    monkeypatch.setattr(on_ray, "JOB", "nothing.json")
    with pytest.raises(ValueError, match=r"ray is '10\.0\.0\.1:1', but this process is connected to '"):
        run(videos, tmp_path / "out", ray="10.0.0.1:1")
    options = clipx.jobs.extraction.options.ExtractOptions(SPEC, FORMAT)
    job = on_ray.PartJob(str(tmp_path / "none"), None, options, "jsonl", 10**15)
    on_ray._check_room(ray, job)
    assert "the largest node of the Ray cluster has" in caplog.text
    with pytest.raises(ValueError, match=r"node '.*' does not see '.*none': out must be a folder that all nodes share"):
        on_ray._check_node(job, options.versions())
    with pytest.raises(ValueError, match=r"node '.*' has av .*, but the job 1\.2: install the same versions"):
        on_ray._check_node(job, {"av": "1.2"})


def test_an_address_where_nothing_is(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(
        ValueError, match=r"ray is 'ray://127\.0\.0\.1:1', but no cluster can be reached there: give its"
    ):
        on_ray._connected("ray://127.0.0.1:1").__enter__()


def test_ray_data(machines, videos, monkeypatch):
    """Blocks of clips on two nodes, with failures as rows, and what the documentation shows."""
    paths = [*map(str, sorted(videos.iterdir())), "missing.mp4"]
    rows = ray.data.from_items([{"path": path, "n": n} for n, path in enumerate(paths)], override_num_blocks=3)
    function = clipx.ray.extract_map(SPEC, FORMAT, error_column="error", block_size=20_000)
    found = rows.map_batches(function, batch_format="pyarrow", batch_size=1).materialize().take_all()
    clips = sorted((row for row in found if row["error"] is None), key=lambda row: row["__key__"])
    expected = [(n, clip) for n, path in enumerate(paths[:6]) for clip in clipx.video.clips(path, SPEC, FORMAT)]
    assert [row["n"] for row in found if row["error"]] == [6]
    assert [row["n"] for row in clips] == [n for n, _ in expected]
    assert all(np.array_equal(row["clip"], clip.data) for row, (_, clip) in zip(clips, expected))


def test_documentation(machines, make_video, tmp_path, monkeypatch):
    pytest.importorskip("ray.data.expressions")  # of Ray 2.50 and later
    monkeypatch.chdir(tmp_path)
    shutil.copy(make_video(n=100, size=(240, 320)), "video0.mp4")
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.M | re.S):
        if "ray." in block:
            exec(
                compile(block.replace('"video0.mp4"', repr(str(tmp_path / "video0.mp4"))), "cluster.md", "exec"), names
            )
    assert (names["failed"].count(), names["clips"].count()) == (0, 2)
