"""Datasets by the names of what they are made of."""

import pytest
from helpers.shards import array_sample, write_shard

import clipx
from clipx.jobs.datasets import dataset_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of empty files, which is the current one."""
    for name in ("videos/a.mp4", "videos/b/c.d.mkv", "more/e.mp4", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["videos"], ["videos/a", "videos/b/c.d"]),
        (["videos/*.mp4"], ["videos/a"]),
        (["videos/**/*.m[kp]*"], ["videos/a", "videos/b/c.d"]),
        (["{videos/a,more/e}.mp4"], ["videos/a", "more/e"]),
        (["videos/a.mp4", "{folder}/videos/b"], ["videos/a", "{folder}/videos/b/c.d"]),
        (["s3://bucket/x/a.mp4", "s3://bucket/y/b.mp4"], ["s3://bucket/x/a", "s3://bucket/y/b"]),
    ],
)
def test_files(folder, names, keys):
    files = dataset_of([name.replace("{folder}", str(folder)) for name in names])
    assert isinstance(files, clipx.Files)
    assert files.keys == [key.replace("{folder}", str(folder)) for key in keys]


def test_shards(folder):
    names = [str(write_shard(folder / f"{k}.tar", [array_sample("s", 3)])) for k in range(2)]
    assert dataset_of(names) == dataset_of([str(folder / "?.tar")]) == names
    remote = ["s3://bucket/0.tar", "pipe:cat x?.tar"]
    assert dataset_of(remote) == remote


def test_a_table(folder):
    (folder / "table.csv").write_text("id,video,from,to\n7,a.mp4,0,1\n8,a.mp4,2,3\n")
    files = dataset_of(["table.csv"], columns=["video"], root="videos", key="id", segments=("from", "to"))
    assert files.keys == ["7"]
    assert files.sample(0)["mp4"].path == "videos/a.mp4"
    assert files.sample(0)["segments"] == [{"start": 0, "end": 1}, {"start": 2, "end": 3}]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "no names"),
        (["none.tar"], {}, "No such file or directory: 'none.tar'"),
        (["videos/none.mp4"], {}, "No such file or directory: 'videos/none.mp4'"),
        (["videos/*.mov"], {}, "no file is named as the pattern 'videos/*.mov' says"),
        (["table.csv", "videos"], {}, "'table.csv' is one table or index, and goes with no other, but 2 names are"),
        (["index.parquet"], {"key": "id"}, "'index.parquet' is read as an index"),
        (["videos"], {"columns": ["id"]}, "is no table"),
        (["s3://bucket/a.tar", "s3://bucket/a.mp4"], {}, "'s3://bucket/a.tar' is a shard and 's3://bucket/a.mp4' is"),
    ],
)
def test_bad_names(folder, names, options, message):
    with pytest.raises((ValueError, OSError)) as info:
        dataset_of(names, **options)
    assert message in str(info.value)
