"""`clipx bench` over shards and files."""

import json

import pytest
from click.testing import CliRunner
from helpers.shards import array_sample, write_shard

import clipx
from clipx.cli.main import main
from clipx.datasets.files import Files
from clipx.jobs.bench import ADVICE, Measured, dataset_of, measure
from clipx.loader.stats import LoaderStats

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


@pytest.fixture
def shard(tmp_path):
    return write_shard(tmp_path / "arrays.tar", [array_sample(f"s{i}", 10) for i in range(6)])


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def test_a_shard(shard):
    """Whole epochs, where they are short: all clips of each."""
    done = bench(
        shard, "--length", 4, "--stride", 2, "--batch-size", 4, "--duration", 0.01, "--memory", "1MB", "--json"
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["epochs"] >= 1
    assert found["clips"] == 6 * 4 * found["epochs"]
    assert found["frames"] == 4 * found["clips"]
    assert found["samples"] == 6 * found["epochs"]
    assert found["clips_per_second"] == pytest.approx(found["clips"] / found["seconds"])
    assert found["bound"] in ADVICE
    assert found["advice"]


def test_files_as_text(make_video):
    """Of a video that is opened where it lies; broken ones are counted."""
    path = make_video(n=40)
    (path.parent / "broken.mp4").write_bytes(b"no video")
    done = bench(path.parent, "--length", 8, "--threads", 1, "--memory", "50MB", "--duration", 0.01, "--crop", 16)
    assert done.exit_code == 0, done.output
    for each in ("clips/s", "MB/s", "1 thread", "decoding", "reading", "errors", "1 error", "bound by"):
        assert each in done.output


def test_the_first_batches_of_a_long_epoch(shard):
    """What is measured then begins behind the first batch."""
    found = measure([shard] * 2000, clipx.WindowSpec(4, 2), batch_size=4, memory_bytes="1MB", seconds=0.1)
    assert found.epochs == 0
    assert 0.1 <= found.stats.seconds < 5
    assert found.frames == 4 * found.stats.clips > 0
    assert 0 < found.stats.samples < 12000


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
