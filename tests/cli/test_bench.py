"""`clipx bench` over shards and files."""

import json

import pytest
from click.testing import CliRunner
from helpers.shards import array_sample, write_shard

import clipx
from clipx.cli.main import main
from clipx.datasets.files import Files
from clipx.jobs import bench as benching
from clipx.jobs.bench import ADVICE, Measured, measure
from clipx.jobs.datasets import dataset_of
from clipx.loader.stats import LoaderStats

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


@pytest.fixture
def shard(tmp_path):
    return write_shard(tmp_path / "arrays.tar", [array_sample(f"s{i}", 10) for i in range(6)])


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def test_a_shard(shard):
    options = "--length", 4, "--stride", 2, "--batch-size", 4, "--memory", "1MB", "--json"
    done = bench(shard, *options, "--duration", 0.01)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["clips"] > 0
    assert found["frames"] == 4 * found["clips"]
    assert found["clips_per_second"] == pytest.approx(found["clips"] / found["seconds"])
    assert found["bound"] in ADVICE
    assert found["advice"]


class Scripted:
    """A Loader that hands out a batch of two clips of three frames each second; an epoch has so many."""

    batches = 4

    def __init__(self, *args, **rest):
        self.errors, self._seconds = [], 0.0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def __iter__(self):
        self._seconds = 10.0  # until the first batch comes
        for _ in range(self.batches):
            self._seconds += 1
            yield {"clip.json": [{"length": 3}] * 2}

    def stats(self):
        batches = int(self._seconds - 10)
        return LoaderStats(0, self._seconds, batches, 2 * batches, reading_seconds=self._seconds / 2)


@pytest.mark.parametrize(
    ("seconds", "epochs", "measured", "batches"), [(2, 0, 2, 2), (3, 0, 3, 3), (5, 1, 14, 4), (20, 2, 28, 8)]
)
def test_how_long(monkeypatch, seconds, epochs, measured, batches):
    """Behind the first batch; where the epoch ends before that, whole epochs, with what comes before their batches."""
    monkeypatch.setattr(benching, "Loader", Scripted)
    found = measure([], clipx.WindowSpec(3), seconds=seconds)
    assert (found.epochs, found.stats.seconds, found.stats.batches) == (epochs, measured, batches)
    assert found.frames == 3 * found.stats.clips == 6 * batches
    assert found.stats.clips_per_second == 2 * batches / measured
    assert found.stats.reading_seconds == measured / 2


def test_files_as_text(make_video, tmp_path):
    """Of videos that are opened where they lie; broken ones are counted."""
    for name, data in (("a", make_video(n=40).read_bytes()), ("b", make_video(n=60).read_bytes()), ("c", b"no video")):
        (tmp_path / f"{name}.mp4").write_bytes(data)
    done = bench(tmp_path, "--length", 8, "--threads", 1, "--memory", "50MB", "--duration", 1, "--crop", 16)
    assert done.exit_code == 0, done.output
    output = "".join(done.output.split())  # lines are broken anywhere
    for each in ("clips/s", "MB/s", "1thread", "decoding", "reading", "errors", "error", "c.mp4", "boundby"):
        assert each in output


def test_bad_input(shard, make_video, tmp_path):
    video = make_video(n=10)
    for arguments, message in (
        ([shard, video], "is a shard and"),
        ([tmp_path / "none.tar"], "none.tar"),
        ([shard, "--length", 400], "the dataset gives no clips: shard"),
        ([video, "--fps", "x"], "fps"),
        ([shard, "--rate", 2], "max_frames"),
    ):
        done = bench(*arguments, "--duration", 0.01)
        assert done.exit_code == 1, done.output
        assert message in done.output
        assert done.output.startswith("Error: ")


def test_datasets(shard, make_video, tmp_path):
    video = make_video(n=10)
    assert dataset_of([shard]) == [shard]
    table = tmp_path / "table.csv"
    table.write_text(f"path\n{video}\n")
    for names in ([str(table)], [str(video)]):
        files = dataset_of(names)
        assert isinstance(files, Files)
        assert len(files) == 1
    table.write_text(f"video\n{video.name}\n")
    assert len(dataset_of([str(table)], columns=["video"], root=str(video.parent))) == 1


def test_an_index(shard, tmp_path):
    pytest.importorskip("pyarrow")
    clipx.Index.build([shard], tmp_path / "index.parquet")
    done = bench(tmp_path / "index.parquet", "--length", 4, "--stride", 2, "--memory", "1MB", "--duration", 1, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["clips"] > 0


STATS = LoaderStats(0, 10.0, 1, 1, waited_seconds=9.0, threads=2)


@pytest.mark.parametrize(
    ("changes", "available", "processors", "advice"),
    [
        ({"decoding_seconds": 19.0}, 2, 2, "decoding"),
        ({"decoding_seconds": 19.0}, 2, 8, "threads"),
        ({"decoding_seconds": 19.0}, 8, 8, "sources"),
        ({"reading_seconds": 9.0}, 2, 8, "reading"),
        ({}, 8, 8, "sources"),
        ({}, 2, 2, "few"),
        ({"waited_seconds": 0.0}, 2, 2, "consumer"),
    ],
)
def test_advice(monkeypatch, changes, available, processors, advice):
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    stats = LoaderStats(**{**STATS.__dict__, **changes})
    assert Measured(stats, 1, 0, 0, available).advice == ADVICE[advice]
