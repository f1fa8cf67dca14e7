"""Files that are not an index, or not a whole one, or whose rows contradict each other; and builds that are killed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.corpus import video_bytes
from helpers.shards import write_tar

import clipx

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

MP4 = "mp4 h264, B-frames"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    for name in ("a", "b"):
        write_tar(path / f"{name}.tar", {f"{name}{k}.mp4": video_bytes(MP4) for k in range(3)})
    return path


@pytest.fixture(scope="module")
def table(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index.parquet"
    clipx.Index.build([folder], path, threads=1)
    return pq.read_table(path)


def changed(table, path, row, **values):
    """Writes an index of which a row has other values; returns its path."""
    rows = table.to_pylist()
    rows[row].update(values)
    made = pa.Table.from_pylist(rows, table.schema)
    pq.write_table(made, path)
    return path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"offset": 10**9}, r"row 4 of .* has \d+ bytes from byte 1000000000 on, but its source has"),
        ({"offset": -7}, "row 4 of .* has a offset below 0"),
        ({"size": 2**62}, "but its source has"),
        ({"size": None}, "has an offset, but no size"),
        ({"key": "a0"}, "has another key than the first row of its sample|has key 'a0', which row 0 has, too"),
        ({"sample": 7}, "has sample 7, but samples must be numbered from 0 on"),
        ({"sample": -5}, "has a sample|is of a field, but of no sample|numbered"),
        ({"kind": "film"}, "has kind 'film', which is not one of"),
        ({"source": None}, "is of a field, but has no source"),
        ({"source": "../outside.tar"}, "names source '../outside.tar', which is outside of the root"),
        ({"source": "/etc/passwd"}, "names source '/etc/passwd', which is outside of the root"),
        ({"source": "http://there/a.tar"}, "which is an address"),
        ({"source": "pipe:rm -r x"}, "which is an address"),
        ({"source": "a\0b"}, "is not the name of a file"),
    ],
)
def test_rows_that_are_refused(table, tmp_path, values, message):
    path = changed(table, tmp_path / "index.parquet", 4, **values)
    with pytest.raises(ValueError, match=message):
        clipx.Index(path)


@pytest.mark.parametrize(
    "values",
    [
        {"fps_num": 0},
        {"time_base_den": -1},
        {"time_base_num": None},
        {"pts": [0, 5, 5]},
        {"pts": None},
        {"frames": 3},
        {"key_frames": [0, 99999]},
        {"key_frames": [3], "key_pts": [0]},
        {"key_pts": [1]},
        {"frame_of": [1, 2, 3]},
        {"durations": [1, 2]},
        {"listed": -4},
        {"width": -1},
        {"picture_pixels": 2**60},
        {"grace_ticks": 9},
        {"stream": -1},
    ],
)
def test_facts_that_contradict_each_other_are_errors_of_their_sample(table, tmp_path, values):
    first = next(row for row, kind in enumerate(table.column("kind").to_pylist()) if kind == "video")
    index = clipx.Index(changed(table, tmp_path / "index.parquet", first, **values), root=table_root(table))
    spec = clipx.UniformSpec(2)
    extractor = clipx.wds.sample_clips.SampleClips(spec)
    with pytest.raises(ValueError):
        list(extractor.clips(index.sample(0), 0))
    assert len(list(extractor.clips(index.sample(1), 0))) == 1


def table_root(table):
    return table.schema.metadata[b"clipx.root"].decode()


def test_files_that_are_not_an_index(table, tmp_path, folder):
    path = tmp_path / "index.parquet"
    with pytest.raises(FileNotFoundError):
        clipx.Index(path)
    pq.write_table(table, path)
    data = path.read_bytes()
    for broken in (b"", b"PAR1", data[:-20], data[: len(data) // 2], b"x" * 1000):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="is not a Parquet file, or is truncated"):
            clipx.Index(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match="not an index of clipx"):
        clipx.Index(path)
    with pytest.raises(ValueError, match="not an index of clipx: give another path"):
        clipx.Index.build([folder], path)
    metadata = {**table.schema.metadata, b"clipx.index": b"99"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(ValueError, match=r"of version 99, of clipx .*, but this clipx reads version \d+: build"):
        clipx.Index(path)
    assert len(clipx.Index.build([folder], path)) == 6
    pq.write_table(table.drop_columns(["pts"]), path)
    with pytest.raises(ValueError, match="has no column 'pts'"):
        clipx.Index(path)
    at = table.schema.get_field_index("offset")
    texts = table.set_column(at, "offset", table.column("offset").cast(pa.string()))
    pq.write_table(texts, path)
    with pytest.raises(ValueError, match="has column 'offset' of string, but it must be of int64"):
        clipx.Index(path)


def test_roots(table, tmp_path, folder):
    path = tmp_path / "index.parquet"
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"clipx.root": b"/"}), path)
    with pytest.raises(ValueError, match="is '/', which holds every file: give root=, or trusted=True"):
        clipx.Index(path)
    assert len(clipx.Index(path, root=folder)) == 6
    assert clipx.Index(path, trusted=True).sources[0] == "/a.tar"
    with pytest.raises(ValueError, match="is a pipe"):
        clipx.Index.build(["pipe:cat a.tar"], tmp_path / "other.parquet")


def test_a_build_that_is_killed_goes_on(folder, tmp_path):
    whole = clipx.Index.build([folder], tmp_path / "whole.parquet", threads=1)
    path = tmp_path / "index.parquet"
    code = (
        "import sys, time, clipx\n"
        "from clipx.datasets.index import building, workers\n"
        "building.PART_SECONDS = -1\n"
        "real = workers.read_chunk\n"
        "workers.read_chunk = lambda chunk: (time.sleep(0.3), real(chunk))[1]\n"
        "print('begun', flush=True)\n"
        "clipx.Index.build([sys.argv[1]], sys.argv[2], threads=1)\n"
    )
    for wait in (0.5, 0.7):
        child = subprocess.Popen([sys.executable, "-c", code, folder, path], stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if path.exists():
            break
    assert clipx.Index.build([folder], path, threads=1)
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["index.parquet", "whole.parquet"]
    assert np.all(whole.groups == [0, 3, 6])
