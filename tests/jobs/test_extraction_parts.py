"""Parts: shards, failures and manifests that readers take, equal from run to run, and finished once."""

import json
import math
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256

import numpy as np
import pytest
import webdataset
from helpers import outputs
from helpers.outputs import add_clips, clip_sample, contents, failure, write_part
from helpers.processes import environment

import clipx
from clipx.jobs.extraction import local_store
from clipx.jobs.extraction.encoding import EncodedClip
from clipx.jobs.extraction.manifest import COLUMNS, read_manifest
from clipx.jobs.extraction.part import PartWriter
from clipx.jobs.extraction.stores import OutputError, open_store


def shards(folder):
    return sorted(map(str, folder.glob("clips-*.tar")))


def member_sizes(name):
    with tarfile.open(name) as tar:
        return [member.size for member in tar]


def manifest(store, part=0, table="parquet"):
    return list(read_manifest(store.read(f"part-{part:06d}.{table}"), table))


def test_webdataset_and_the_loader_read_the_clips_back(tmp_path):
    store = open_store(tmp_path)
    counts = write_part(store, clips=7)
    assert (counts.clips, counts.shards, counts.failures) == (7, 4, {"error": 1})
    wanted = {clip["__key__"]: clip["npy"] for clip in (clip_sample("part0.video", i) for i in range(7))}
    names = {key: key.replace(".", "%2E") for key in wanted}
    found = list(webdataset.WebDataset(shards(tmp_path), shardshuffle=False).decode())
    assert [sample["__key__"] for sample in found] == list(names.values())
    for sample, frames in zip(found, wanted.values()):
        np.testing.assert_array_equal(sample["npy"], frames)
        assert sample["txt"] == "a caption"
        assert sample["clip.json"]["key"] == "part0.video"
        assert [name for name in sample if not name.startswith("__")] == ["npy", "clip.json", "txt"]
    with clipx.Loader(shards(tmp_path), clipx.WindowSpec(4), batch_size=1, memory="50MB", shuffle=False) as loader:
        batches = [(batch["npy"][0].copy(), batch["__key__"][0]) for batch in loader]
    for (frames, key), (name, clip) in zip(batches, wanted.items(), strict=True):
        assert key == f"{names[name]}_000000"
        np.testing.assert_array_equal(frames, clip)
    rows = manifest(store)
    assert [row["key"] for row in rows] == list(wanted)
    for row, sample in zip(rows, webdataset.WebDataset(shards(tmp_path), shardshuffle=False)):
        assert row["sha256"] == sha256(sample["npy"]).hexdigest()
        assert row["bytes"] == len(sample["npy"])
        assert os.path.basename(sample["__url__"]) == row["shard"]


def test_rows_of_the_manifest_have_the_facts_of_clips(tmp_path):
    pytest.importorskip("pyarrow")
    write_part(open_store(tmp_path), clips=2)
    row = manifest(open_store(tmp_path))[1]
    digest = row.pop("sha256")
    assert len(digest) == 64
    assert row == {
        "key": "part0.video_000001",
        "source": "a.tar",
        "source_key": "part0.video",
        "segment": None,
        "start_frame": 4,
        "end_frame": 8,
        "start_seconds": 0.5,
        "end_seconds": 1.0,
        "frames": 4,
        "fps": 8.0,
        "width": 8,
        "height": 6,
        "codec": "npy",
        "shard": "clips-000000-0000.tar",
        "bytes": 704,
        "status": "ok",
    }
    line = json.loads((tmp_path / "part-000000.failures.jsonl").read_text())
    assert line == {
        "key": "part0.broken",
        "source": "a.tar",
        "field": "mp4",
        "segment": None,
        "kind": "error",
        "reason": "it is broken",
        "seconds": None,
        "clips": 0,
    }


def test_members_are_plain_files_of_no_time_and_nobody(tmp_path):
    write_part(open_store(tmp_path))
    for name in shards(tmp_path):
        with tarfile.open(name) as tar:
            for member in tar:
                assert member.isreg()
                facts = member.mode, member.uid, member.gid, member.uname, member.gname, member.mtime
                assert facts == (0o644, 0, 0, "", "", 0)


def test_shards_are_full_but_not_overfull(tmp_path):
    with PartWriter(open_store(tmp_path), 0, shard_bytes=20_000, table="jsonl") as writer:
        for i, size in enumerate([1, 9000, 7000, 100, 50_000, 30_000, 1, 1]):
            clip = EncodedClip({"bin": bytes(size)}, {})
            writer.add(f"{i}", clip.fields, {}, {"bytes": size})
        writer.commit()
    sizes = [os.path.getsize(name) for name in shards(tmp_path)]
    held = [member_sizes(name) for name in shards(tmp_path)]
    assert held == [[1, 9000, 7000], [100], [50_000], [30_000], [1, 1]]
    assert all(size <= 20_000 or len(found) == 1 for size, found in zip(sizes, held))
    assert all(size % 512 == 0 for size in sizes)


def test_a_part_without_clips_has_a_manifest_and_no_shard(tmp_path):
    store = open_store(tmp_path)
    for part, table in enumerate(["parquet", "jsonl"]):
        if table == "parquet":
            pytest.importorskip("pyarrow")
        with PartWriter(store, part, shard_bytes=1000, table=table) as writer:
            writer.commit()
        assert manifest(store, part, table) == []
    assert shards(tmp_path) == []


def test_both_kinds_of_manifests_have_the_same_rows(tmp_path):
    pytest.importorskip("pyarrow")
    stores = {table: open_store(tmp_path / table) for table in ("parquet", "jsonl")}
    for table, store in stores.items():
        write_part(store, table=table)
    assert manifest(stores["parquet"]) == manifest(stores["jsonl"], table="jsonl")


def test_manifests_of_many_rows_are_written_by_groups(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    with PartWriter(open_store(tmp_path), 0, shard_bytes=10**8, table="parquet") as writer:
        for i in range(5_000):
            writer.add(f"{i}", {"bin": b""}, {}, {"bytes": 0, "frames": i})
        writer.commit()
    assert parquet.read_metadata(tmp_path / "part-000000.parquet").num_row_groups == 2
    assert [row["frames"] for row in manifest(open_store(tmp_path))] == [*range(5_000)]


# A part that is written again


def test_what_an_unfinished_try_has_left_is_replaced(tmp_path):
    store, clean = open_store(tmp_path / "a"), open_store(tmp_path / "b")
    write_part(store, clips=12)
    (tmp_path / "a" / "part-000000.parquet").unlink()  # killed before the manifest was there
    write_part(store, clips=6)
    write_part(clean, clips=6)
    assert contents(store) == contents(clean)


def test_a_part_that_another_process_has_finished_stays(tmp_path):
    store = open_store(tmp_path)
    with PartWriter(store, 0, shard_bytes=9000, table="parquet") as late:
        add_clips(late, "video", range(9))
        write_part(store)
        before = contents(store)
        late.commit()
    assert contents(store) == before


def test_processes_that_write_the_same_parts_at_once_write_the_same_bytes(tmp_path):
    command = [sys.executable, outputs.__file__, "write_job", str(tmp_path / "both")]
    found = [environment(PYTHONHASHSEED=seed, TZ=f"UTC{seed}") for seed in ("1", "2")]
    children = [subprocess.Popen(command, env=each) for each in found]
    outputs.write_job(str(tmp_path / "alone"))
    assert [child.wait(100) for child in children] == [0, 0]
    both, alone = contents(open_store(tmp_path / "both")), contents(open_store(tmp_path / "alone"))
    assert len(both) == 1 + 2 * (3 + 2)
    assert both == alone
    assert list((tmp_path / "both").glob(".*")) == []


def test_threads_that_write_the_same_part_at_once(tmp_path):
    store, alone = open_store(tmp_path / "both"), open_store(tmp_path / "alone")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write_part(store), range(8)))
    write_part(alone)
    assert contents(store) == contents(alone)
    assert list((tmp_path / "both").glob(".*")) == []


def test_a_truncated_manifest_is_written_anew(tmp_path):
    store = open_store(tmp_path)
    write_part(store)
    before = contents(store)
    path = tmp_path / "part-000000.parquet"
    for left in (0, 4, 100, path.stat().st_size - 1):
        os.truncate(path, left)
        write_part(store)
        assert contents(store) == before


def test_values_of_rows_become_those_of_columns(tmp_path):
    rows = []
    for table in ("parquet", "jsonl"):
        store = open_store(tmp_path / table)
        with PartWriter(store, 0, shard_bytes=1000, table=table) as writer:
            row = {"bytes": np.int64(0), "frames": np.int32(3), "fps": math.nan, "width": 8.0, "start_seconds": 1}
            writer.add("a\udcff", {"bin": b""}, {}, {**row, "source": "\ud800", "more": 1})
            writer.commit()
        rows += manifest(store, table=table)
    assert rows[0] == rows[1]
    assert (rows[0]["key"], rows[0]["source"], rows[0]["fps"], rows[0]["width"]) == ("a\\udcff", "\\ud800", None, 8)


# What is refused


def test_keys_and_fields_that_are_there_twice_are_errors_and_nothing_is_written(tmp_path):
    store = open_store(tmp_path)
    with PartWriter(store, 0, shard_bytes=10**6, table="jsonl") as writer:
        add_clips(writer, "a", range(2))
        with pytest.raises(ValueError, match="two clips of key 'a_000001'"):
            add_clips(writer, "a", [1])
        with pytest.raises(ValueError, match="two fields 'npy'"):
            writer.add("b", {"npy": b""}, {"npy": b""}, {"bytes": 0})
        writer.fail(failure("a", reason="<object at 0x7f0102030405>"))
        assert writer.commit().clips == 2
    assert [row["key"] for row in manifest(store, table="jsonl")] == ["a_000000", "a_000001"]
    assert b"<object at 0x...>" in store.read("part-000000.failures.jsonl")


@pytest.mark.parametrize(
    "data",
    [b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"no", b"PAR1\xff\xff\xff\x7fPAR1"],
    ids=["short", "zeros", "other", "huge footer"],
)
def test_bytes_that_are_no_parquet_manifest_are_refused(data):
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match="not a manifest, or is truncated"):
        list(read_manifest(data, "parquet"))


def test_manifests_with_other_columns_or_flipped_bits_are_refused(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="its columns are others"):
        list(read_manifest((tmp_path / "other.parquet").read_bytes(), "parquet"))
    write_part(open_store(tmp_path))
    data = bytearray((tmp_path / "part-000000.parquet").read_bytes())
    data[100] ^= 1
    with pytest.raises(ValueError, match="not a manifest"):
        list(read_manifest(bytes(data), "parquet"))


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]\n", b"{}\n", b"[" * 100_000 + b"\n", b"\xff\n"],
)
def test_bytes_that_are_no_manifest_of_lines_are_refused(line):
    with pytest.raises(ValueError, match="not a manifest"):
        list(read_manifest(line, "jsonl"))


def test_lines_with_values_of_other_types_are_refused():
    row = dict.fromkeys(COLUMNS)
    assert list(read_manifest(json.dumps(row).encode() + b"\n", "jsonl")) == [row]
    for name, value in (("bytes", "many"), ("frames", True), ("key", 5), ("fps", "fast")):
        with pytest.raises(ValueError, match=f"line 1 has {name}"):
            list(read_manifest(json.dumps({**row, name: value}).encode() + b"\n", "jsonl"))


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"clipx-data\[index\]"):
        PartWriter(open_store(tmp_path), 0, shard_bytes=1000, table="parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_part_whose_files_are_taken_away_is_an_error(tmp_path):
    with PartWriter(open_store(tmp_path), 0, shard_bytes=1000, table="jsonl") as writer:
        next(tmp_path.glob(".tmp-*")).rename(tmp_path / "moved")
        with pytest.raises(OutputError, match="No such file"):
            writer.commit()


class Killed(BaseException):
    """Stands for the end of the process."""


def let_go(staging):
    for file in staging._open:
        file.abandon()
    os.close(staging._lock)


@pytest.mark.parametrize("calls", ["local", "memory"])
def test_a_job_that_is_killed_at_any_call_ends_as_one_that_is_not(tmp_path, monkeypatch, calls):
    if calls == "local":
        base, patched = str(tmp_path), [(os, name) for name in ("replace", "fsync", "link", "rmdir", "unlink", "mkdir")]
        # Who is killed removes nothing, but its lock is gone.
        monkeypatch.setattr(local_store._LocalStaging, "discard", let_go)
    else:
        memory = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem
        base, patched = f"memory://{tmp_path.name}", [(memory, "put_file"), (memory, "pipe_file"), (memory, "rm_file")]
    left, real = [0], {name: getattr(home, name) for home, name in patched}

    def patch(name):
        def call(*args, **kwargs):
            left[0] -= 1
            if not left[0]:
                raise Killed
            return real[name](*args, **kwargs)

        return call

    for home, name in patched:
        monkeypatch.setattr(home, name, patch(name))
    outputs.write_job(f"{base}/alone")
    alone = contents(open_store(f"{base}/alone"))
    for point in range(1, 100, 4 if calls == "local" else 1):
        out, left[0] = f"{base}/{point}", point
        try:
            outputs.write_job(out)
            break
        except Killed:
            left[0] = 5 + point % 7 if point % 2 else 0  # and once more, at another call
        with suppress(Killed):
            outputs.write_job(out)
        left[0] = 0
        outputs.write_job(out)
        assert contents(open_store(out)) == alone
    assert point > 10
