"""Files: what may be given as a table, its columns, keys and paths, and what is refused."""

import json
import pickle

import pytest

import clipx
from clipx.datasets.stored import StoredFile

ROWS = [{"path": "a/x.mp4", "label": 1, "name": "one"}, {"path": "b/y.mkv", "label": 2, "name": "two"}]


def samples(files):
    return [dict(each) for each in files]


EXPECTED = [
    {"__key__": "a/x", "__url__": "/data/a/x.mp4", "mp4": StoredFile("/data/a/x.mp4"), "label": 1, "name": "one"},
    {"__key__": "b/y", "__url__": "/data/b/y.mkv", "mkv": StoredFile("/data/b/y.mkv"), "label": 2, "name": "two"},
]


def write(path, text):
    path.write_text(text)
    return path


def parquet(path):
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(ROWS), path)
    return path


GIVEN = {
    "dicts": lambda folder: ROWS,
    "csv": lambda folder: write(folder / "t.csv", "path,label,name\na/x.mp4,1,one\n\nb/y.mkv,2,two\n"),
    "tsv": lambda folder: write(folder / "t.tsv", "\ufeffpath\tlabel\tname\na/x.mp4\t1\tone\nb/y.mkv\t2\ttwo\n"),
    "jsonl": lambda folder: write(folder / "t.jsonl", "\n".join(map(json.dumps, ROWS))),
    "parquet": lambda folder: parquet(folder / "t.parquet"),
    "pandas": lambda folder: pytest.importorskip("pandas").DataFrame(ROWS),
    "polars": lambda folder: pytest.importorskip("polars").DataFrame(ROWS),
    "pyarrow": lambda folder: pytest.importorskip("pyarrow").Table.from_pylist(ROWS),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_tables(kind, tmp_path):
    files = clipx.Files(GIVEN[kind](tmp_path), root="/data")
    assert samples(files) == EXPECTED
    assert files.keys == ["a/x", "b/y"]
    assert samples(pickle.loads(pickle.dumps(files))) == EXPECTED


def test_paths_patterns_and_folders(tmp_path):
    for name in ("a.mp4", "b/c.wav", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folder = clipx.Files(tmp_path)
    pattern = clipx.Files(f"{tmp_path}/**/*.[mw]*")
    paths = clipx.Files([tmp_path / "a.mp4", str(tmp_path / "b/c.wav")])
    assert samples(folder) == samples(pattern) == samples(paths)
    assert [{*each} - {"__key__", "__url__"} for each in folder] == [{"mp4"}, {"wav"}]
    assert len(clipx.Files(str(tmp_path / "a.mp4"))) == 1


def test_relative_paths_start_from_the_folder_of_the_table(tmp_path):
    files = clipx.Files(write(tmp_path / "t.csv", "path\nx.mp4\n/y.mp4\ns3://bucket/z.mp4\n"))
    assert [each["__url__"] for each in files] == [str(tmp_path / "x.mp4"), "/y.mp4", "s3://bucket/z.mp4"]
    files = clipx.Files([{"path": "x.mp4"}], root="https://host/videos/")
    assert next(iter(files))["mp4"] == StoredFile("https://host/videos/x.mp4")


def test_cells(tmp_path):
    text = "path,id,score,mixed,code,seen.json,none\na.mp4,3,1.5,4,007,[1],\nb.mp4,-4,2,x,010,,\n"
    first, second = clipx.Files(write(tmp_path / "t.csv", text))
    assert first["id"] == 3
    assert second["id"] == -4
    assert (first["score"], second["score"]) == (1.5, 2.0)
    assert (first["mixed"], first["code"]) == ("4", "007")
    assert first["seen.json"] == b"[1]"
    assert "seen.json" not in second
    assert "none" not in first


def test_keys_of_a_column():
    files = clipx.Files([{"path": "a.mp4", "id": 7}, {"path": "a.mp4", "id": 8}], key="id")
    assert files.keys == ["7", "8"]
    assert "id" not in next(iter(files))


def test_missing_values_of_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"path": ["a.mp4", "b.mp4"], "label": [1.0, None], "text": ["x", None]})
    first, second = clipx.Files(frame)
    assert first["label"] == 1.0
    assert {*second} == {"__key__", "__url__", "mp4"}


REFUSED = {
    "path names column 'path', but table has columns 'video'": ([{"video": "a.mp4"}], {}),
    "path names column 'rear'": ([{"path": "a.mp4"}], {"path": ["path", "rear"]}),
    "key names column 'id'": ([{"path": "a.mp4"}], {"key": "id"}),
    "segments names column 'end'": ([{"path": "a.mp4", "start": 0}], {"segments": ("start", "end")}),
    "segments is 'start', but must be the names of two": ([{"path": "a.mp4"}], {"segments": "start"}),
    "table has no rows": ([], {}),
    "but must name different columns": ([{"path": "a.mp4"}], {"path": ["path", "path"]}),
    "'__url__', a name that is reserved": ([{"path": "a", "__url__": "b"}], {}),
    "no file is named as the pattern": ("/nowhere/*.mp4", {}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    given, arguments = REFUSED[message]
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        clipx.Files(given, **arguments)


@pytest.mark.parametrize(
    ("cell", "message"),
    [(None, "has no path"), ("", "no path"), (3, "is 3, but"), (b"a", "is b'a', but"), ("a\0.mp4", "but must be the")],
)
def test_cells_that_are_no_paths(cell, message):
    files = clipx.Files([{"path": "a.mp4"}, {"path": cell}, {"path": "b.mp4"}])
    with pytest.raises(ValueError, match=f"table, row 1: column 'path' .*{message}"):
        files.sample(1)
    assert (len(files), files.sample(2)["__url__"]) == (3, "b.mp4")


@pytest.mark.parametrize("given", [3, b"a.mp4", [3], [{"path": "a"}, "b"]])
def test_refused_types(given):
    with pytest.raises(TypeError, match=r"table"):
        clipx.Files(given)


def test_refused_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        clipx.Files(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match=r"neither a file, nor a folder, nor a pattern: '.*none'"):
        clipx.Files(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="no file is named"):
        clipx.Files(str(tmp_path / "*"))
    with pytest.raises(ValueError, match=r"t\.csv has no rows"):
        clipx.Files(write(tmp_path / "t.csv", "path,label\n"))
    with pytest.raises(ValueError, match=r"t\.csv, line 1: there are two columns 'path'"):
        clipx.Files(write(tmp_path / "t.csv", "path,path\na,b\n"))
    (tmp_path / "t.csv").write_bytes(b"path\n\xff\n")
    with pytest.raises(ValueError, match="not a text in UTF-8"):
        clipx.Files(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "path,label\na.mp4\nb.mp4,1\n", "line 2: it has 1 cells, but the header has 2"),
        ("t.jsonl", '{"path": "a"\n{"path": "b.mp4"}\n', "line 1: Expecting"),
        ("t.jsonl", '[1]\n{"path": "b.mp4"}\n', "line 1: it is a list, but must be an object"),
    ],
)
def test_a_broken_line_is_that_row_s_error(name, text, message, tmp_path):
    files = clipx.Files(write(tmp_path / name, text))
    with pytest.raises(ValueError, match=message):
        files.sample(0)
    assert files.sample(1)["mp4"].url == str(tmp_path / "b.mp4")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\0" * 50 + b"PAR1", b"hello"])
def test_foreign_parquet(data, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises(ValueError, match=r"t\.parquet is not a Parquet file"):
        clipx.Files(tmp_path / "t.parquet")
