"""What was wrong with samples is recorded, in DataLoader workers too."""

import copy
import gc
import glob
import logging
import os
import pickle
import tempfile

import numpy as np
import pytest
from helpers.arrays import npy
from helpers.loaders import WINDOW, of_arrays
from helpers.shards import array_sample, write_shard
from helpers.workers import data_loader, once_more

import clipx
from clipx import wds
from clipx.datasets import ledger
from clipx.datasets.ledger import Entry, Ledger
from clipx.datasets.origins import locate

pytestmark = [once_more, pytest.mark.usefixtures("small_decoders", "no_threads_left")]

GO_ON = wds.log_and_continue


def files():
    return glob.glob(os.path.join(tempfile.gettempdir(), "clipx-*.jsonl"))


@pytest.fixture(autouse=True)
def no_files_left(tmp_path, monkeypatch):
    """Ledgers go, and their files before the next one is made."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield
    gc.collect()
    Ledger()
    assert files() == []


def broken(key):
    return {"__key__": key, "npy": npy(np.zeros((9, 8, 8, 3), "u1"))[:500]}


@pytest.fixture
def shards(tmp_path):
    """Two shards, each with a whole sample, a broken one, and one that is shorter than a clip."""
    return [
        write_shard(
            tmp_path / f"{name}.tar", [array_sample(f"{name}0", 9), broken(f"{name}1"), array_sample(f"{name}2", 2)]
        )
        for name in "ab"
    ]


def reported(entries):
    return sorted((each.kind, os.path.basename(each.shard), each.key, each.field, each.error) for each in entries)


WRONG = [
    *[("error", f"{name}.tar", f"{name}1", "npy", "ValueError") for name in "ab"],
    *[("no clips", f"{name}.tar", f"{name}2", None, None) for name in "ab"],
]


def test_a_loader_records_what_is_wrong(shards, caplog):
    with of_arrays(shards, handler=GO_ON) as loader, caplog.at_level(logging.WARNING, "clipx"):
        assert len(loader.errors) == 0
        for epoch in (1, 2):
            list(loader)
            assert reported(loader.errors) == WRONG
            assert loader.errors.counts == {"error": 2 * epoch, "no clips": 2 * epoch}
    assert {entry.clips for entry in loader.errors} == {0}
    assert "npy" in loader.errors.of_kind("error")[0].message
    assert "2 frames are fewer than a clip spans, 4" in loader.errors.of_kind("no clips")[0].message
    lines = [record.message for record in caplog.records if "gave no clips" in record.message]
    assert len(lines) == 2, lines  # one an epoch
    assert "2 samples gave no clips" in lines[0]
    assert "a2" in lines[0] or "b2" in lines[0]


def test_an_error_that_ends_the_run_is_recorded(shards):
    with of_arrays(shards, shuffle=False) as loader, pytest.raises(ValueError, match="a1"):
        list(loader)
    assert reported(loader.errors.of_kind("error")) == WRONG[:1]


def test_the_stage_records_what_is_wrong(make_video, caplog):
    video = make_video(n=20).read_bytes()
    samples = [
        {"__key__": "cut", "__url__": "x.tar", "mp4": video[:-700]},
        {"__key__": "short", "__url__": "x.tar", "mp4": video},
    ]
    stage = wds.clips(clipx.WindowSpec(8), handler=GO_ON)
    with caplog.at_level(logging.WARNING, "clipx"):
        list(stage(samples[:1]))
        assert "gave no clips" not in caplog.text
        stage = wds.clips(clipx.WindowSpec(21), handler=GO_ON)
        list(stage(samples[1:]))
    assert reported(stage.errors) == [("no clips", "x.tar", "short", None, None)]
    assert "1 samples gave no clips, such as shard 'x.tar', sample 'short'" in caplog.text


def test_how_many_clips_came_before_an_error(make_video):
    whole = make_video(n=40, g="4").read_bytes()
    stage = wds.clips(WINDOW, handler=GO_ON)
    # An array's clips all come or none; a video that is cut short gives those before its end.
    for size in range(len(whole) - 100, len(whole) // 2, -len(whole) // 10):
        given = list(stage([{"__key__": f"v{size}", "mp4": whole[:size]}]))
        mine = [each for each in stage.errors if each.key == f"v{size}"]
        assert [each.clips for each in mine] == [len(given)] * len(mine)


def test_a_range_behind_the_end_gives_no_clips(make_video):
    sample = {"__key__": "v", "mp4": make_video(n=20).read_bytes()}
    stage = wds.clips(WINDOW, options=clipx.VideoOptions(start_seconds=100))
    assert list(stage([sample])) == []
    (entry,) = stage.errors
    assert (entry.kind, entry.key) == ("no clips", "v")
    assert "range" in entry.message


def test_a_ledger_is_bounded(monkeypatch):
    monkeypatch.setattr(ledger, "MOST_ENTRIES", 5)
    record = Ledger()
    for number in [*range(9), 0]:
        error = ValueError("x" * 10**5)
        locate(error, {"__key__": number})
        record.record(error)
    assert [each.key for each in record] == list("01234")
    assert record.counts == {"error": 10}
    assert len(record[0].message) <= 1000
    assert record[-1].key == "4"
    assert [each.key for each in record[:2]] == ["0", "1"]
    assert "10 in all" in repr(record)


def test_samples_without_clips_after_more_entries_than_are_kept(caplog):
    pairs = ", ".join(["[1, 0]"] * 1001)
    stage = wds.clips(WINDOW, segments="json", handler=GO_ON)
    with caplog.at_level(logging.WARNING, "clipx"):
        assert list(stage([{"__key__": "a", "npy": np.zeros((9, 2)), "json": f"[{pairs}]".encode()}])) == []
    assert stage.errors.counts == {"segment": 1001, "no clips": 1}
    assert "1 samples gave no clips; see .errors" in caplog.text


def test_copies_of_a_ledger_go_their_own_ways():
    record = Ledger()
    record.note("damage", {"__key__": "a", "__url__": "x.tar"}, "concealed", field="mp4", clips=3)
    for made in (copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert list(made) == [Entry("damage", "x.tar", "a", "mp4", None, "concealed", 3)]
        made.note("damage", {"__key__": "b"}, "concealed")
    assert len(record) == 1
    assert str(record[0]) == "shard 'x.tar', sample 'a', field 'mp4': damage after 3 clips: concealed"


@pytest.mark.parametrize(("name", "noun"), [("a.mp4", "file"), ("b/c.FLAC", "file"), ("x.tar.gz", "shard")])
def test_files_are_not_called_shards(name, noun):
    sample = {"__key__": "a", "__url__": name}
    error = ValueError("it is broken")
    locate(error, sample)
    record = Ledger()
    record.note("damage", sample, "concealed")
    assert str(error) == f"it is broken (sample 'a', {noun} {name!r})"
    assert str(record[0]) == f"{noun} {name!r}, sample 'a': damage: concealed"


class OfStage:
    """A dataset that a worker runs a stage over."""

    def __init__(self, stage, samples):
        self.stage, self.samples = stage, samples

    def __iter__(self):
        return iter([clip["__key__"] for clip in self.stage(self.samples)])


@pytest.mark.parametrize(("method", "persistent"), [("fork", False), ("fork", True), ("spawn", True)])
def test_workers_tell_the_main_process(shards, method, persistent):
    pytest.importorskip("torch.utils.data")
    loader = of_arrays(shards, handler=GO_ON, memory="200MB")
    workers = data_loader(loader, num_workers=2, multiprocessing_context=method, persistent_workers=persistent)
    for epoch in (1, 2):
        list(workers)
        assert reported(loader.errors) == WRONG
        assert loader.errors.counts == {"error": 2 * epoch, "no clips": 2 * epoch}
    assert len(files()) == 1
    del workers, loader


def test_workers_of_a_stateful_data_loader_and_of_a_stage_tell_the_main_process(shards):
    torchdata = pytest.importorskip("torchdata.stateful_dataloader")
    data = pytest.importorskip("torch.utils.data")
    loader = of_arrays(shards, handler=GO_ON, memory="200MB")
    list(data_loader(loader, of=torchdata.StatefulDataLoader, num_workers=2))
    assert reported(loader.errors) == WRONG

    class Dataset(OfStage, data.IterableDataset):
        pass

    stage = wds.clips(WINDOW, handler=GO_ON)
    samples = [array_sample("a", 9), broken("b")]
    list(data_loader(Dataset(stage, samples), num_workers=1))
    assert [(each.key, each.error) for each in stage.errors] == [("b", "ValueError")]
    assert stage.errors[0].clips == 0


def test_what_workers_write_is_bounded(shards, monkeypatch):
    pytest.importorskip("torch.utils.data")
    monkeypatch.setattr(ledger, "MOST_FILE_BYTES", 600)
    loader = of_arrays(shards, handler=GO_ON, memory="200MB")
    workers = data_loader(loader, num_workers=1)
    for _ in range(12):
        list(workers)
    assert os.path.getsize(files()[0]) < 2 * 600 + 1000
    assert 4 <= sum(loader.errors.counts.values()) <= 48
    assert len(loader.errors) <= 4


def test_a_folder_that_takes_no_files_loses_no_batch(shards, monkeypatch):
    pytest.importorskip("torch.utils.data")
    loader = of_arrays(shards, handler=GO_ON, memory="200MB")
    loader.errors._prefix = "/nowhere/to/be/found"
    assert list(data_loader(loader, num_workers=1))
    assert len(loader.errors) == 0
