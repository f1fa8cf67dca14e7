"""Indexes: what they hold of shards and files, the same however they are built, and how samples are read by them."""

import gzip
import json
import os
import pickle
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from helpers.arrays import npy
from helpers.corpus import sound_bytes, video_bytes
from helpers.shards import write_tar

import clipx
from clipx.datasets.index import streamed
from clipx.datasets.stored import StoredFile
from clipx.wds.sample_clips import SampleClips

pq = pytest.importorskip("pyarrow.parquet")
pa = pytest.importorskip("pyarrow")

Index = clipx.Index
MP4, MKV = "mp4 h264, B-frames", "mkv h264"
SPEC = clipx.WindowSpec(4, 6)


def members(begin, count):
    for k in range(begin, begin + count):
        yield f"{k:04d}.json", json.dumps({"label": k}).encode()
        yield f"{k:04d}.mp4", video_bytes(MP4)
        yield f"{k:04d}.npy", npy(np.full((5, 2), k, np.int16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards and files of many kinds, some of them broken."""
    path = tmp_path_factory.mktemp("data")
    write_tar(path / "a.tar", list(members(0, 3)))
    write_tar(path / "b.tar", [("x.mkv", video_bytes(MKV)), ("x.front.mp4", b"no video"), ("x.txt", b"text")])
    whole = (path / "a.tar").read_bytes()
    renamed = write_tar(path / "c.tar", list(members(10, 2))).read_bytes()
    (path / "packed.tar.gz").write_bytes(gzip.compress(renamed))
    (path / "c.tar").unlink()
    cut = write_tar(path / "cut.tar", list(members(20, 3))).read_bytes()
    (path / "cut.tar").write_bytes(cut[: len(whole) * 2 // 3])
    files = path / "files"
    files.mkdir()
    (files / "film.mp4").write_bytes(video_bytes(MP4))
    (files / "film2.webm").write_bytes(video_bytes("webm vp9"))
    (files / "sound.wav").write_bytes(sound_bytes("wav pcm"))
    (files / "sound2.flac").write_bytes(sound_bytes("flac"))
    (files / "song.mp3").write_bytes(sound_bytes("mp3"))
    np.savez(files / "arrays.npz", first=np.zeros((3, 4)), second=np.zeros(7, np.uint8))
    (files / "broken.mp4").write_bytes(b"\0" * 100)
    return path


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index.parquet"
    return Index.build([folder], path, threads=2)


def rows_of(index):
    return pq.read_table(index.path).to_pylist()


def test_rows_say_what_the_sources_hold(built, folder):
    rows = {(row["key"], row["field"], row["kind"], row["stream"]): row for row in rows_of(built)}
    video = rows["0001", "mp4", "video", 0]
    info = clipx.video.probe(video_bytes(MP4))
    assert (video["width"], video["height"], video["frames"]) == (info.width, info.height, info.frames)
    assert (video["codec"], video["rotation"], video["mirrored"]) == ("h264", 0, False)
    assert video["fps_num"] / video["fps_den"] == info.fps
    assert (video["source"], video["source_kind"], video["shard_sample"]) == ("a.tar", "shard", 1)
    assert len(video["pts"]) == info.frames
    assert [video["pts"][frame] for frame in video["key_frames"]] == video["key_pts"]
    data = (folder / "a.tar").read_bytes()[video["offset"] :][: video["size"]]
    assert data == video_bytes(MP4)
    sound = rows["0001", "mp4", "sound", 1]
    assert (sound["sample_rate"], sound["channels"]) == (info.sound.sample_rate, info.sound.channels)
    array = rows["0001", "npy", "array", None]
    assert (array["shape"], array["dtype"]) == ([5, 2], "<i2")
    prefix = f"{folder}/files/"
    members = [rows[f"{prefix}arrays", "npz", "array", number] for number in (0, 1)]
    assert [(each["member"], each["shape"]) for each in members] == [("first", [3, 4]), ("second", [7])]
    assert rows[f"{prefix}sound", "wav", "sound", 0]["samples"] == 8000
    assert rows[f"{prefix}sound2", "flac", "sound", 0]["samples"] == 8000
    assert rows[f"{prefix}song", "mp3", "sound", 0]["sample_rate"] == 44100
    assert {row["status"] for row in rows.values()} == {"ok", "broken", "truncated"}
    assert "cannot be opened" in rows[f"{prefix}broken", "mp4", "video", None]["error"]
    assert rows[None, None, "source", None]["source"] == "cut.tar"
    assert rows["0010", "mp4", "video", 0]["offset"] is None  # in a compressed shard


def test_samples_are_those_of_the_dataset(built, folder):
    keys = list(built.keys)
    assert len(built) == len(keys) == len(built.sources)
    assert keys[:3] == ["0000", "0001", "0002"]
    sample = built.sample(1)
    assert list(sample) == ["__key__", "__url__", "json", "mp4", "npy"]
    assert sample["__key__"] == "0001"
    assert sample["__url__"] == built.sources[1] == str(folder / "a.tar")
    assert json.loads(sample["json"]) == {"label": 1}
    assert sample["mp4"].read() == video_bytes(MP4)
    film = built.sample(keys.index(f"{folder}/files/film"))
    assert film["mp4"].source() == f"{folder}/files/film.mp4"
    assert film["mp4"].facts.index.frames == 40
    packed = built.sample(keys.index("0011"))
    assert (packed["mp4"], json.loads(packed["json"])) == (video_bytes(MP4), {"label": 11})
    assert built.status(1) is None
    assert "cannot be opened" in built.status(keys.index("x"))
    with pytest.raises(IndexError, match=r"has .* samples"):
        built.sample(-len(built) - 1)
    assert built.sample(-1)["__key__"] == keys[-1]


def test_clips_and_counts_are_those_without_an_index(built, monkeypatch):
    for number in range(3):
        extractor, sample = SampleClips(SPEC), built.sample(number)
        plain = {**sample, "mp4": sample["mp4"].read()}
        with_facts, without = (
            [clip.sample["mp4"].tobytes() for clip in extractor.clips(each, 0)] for each in (sample, plain)
        )
        assert with_facts == without
        assert built.count(number, extractor, 0) == len(without)
    monkeypatch.setattr(StoredFile, "source", lambda self: pytest.fail("it is opened"))
    assert built.count(0, SampleClips(SPEC), 0) == len(without)


def test_threads_and_processes_do_not_change_it(built, folder, tmp_path):
    whole = Path(built.path).read_bytes()
    assert Path(Index.build([folder], tmp_path / "one.parquet", threads=1).path).read_bytes() == whole
    assert Path(Index.build(str(folder), tmp_path / "two.parquet", processes=1).path).read_bytes() == whole


class Stop(Exception):
    pass


class Counter:
    """Progress that stops the build after so many sources."""

    def __init__(self, most=1 << 30):
        self.most, self.sources, self.known = most, 0, None

    def start(self, sources, known):
        self.known = known

    def advance(self, sources, samples):
        self.sources += sources
        if self.sources >= self.most:
            raise Stop


def test_a_build_that_ended_early_goes_on(built, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("clipx.datasets.index.building.PART_SECONDS", -1)
    path, known = tmp_path / "index.parquet", []
    for most in (1, 2, 1, 100):
        counter = Counter(most)
        try:
            Index.build([folder], path, threads=1, progress=counter)
        except Stop:
            assert not path.exists()
        known.append(counter.known)
    assert known == sorted(known)
    assert known[0] == 0 < known[-1]
    assert path.read_bytes() == Path(built.path).read_bytes()
    assert os.listdir(tmp_path) == ["index.parquet"]


def test_only_what_changed_is_read_again(folder, tmp_path):
    data, path = tmp_path / "data", tmp_path / "index.parquet"
    shutil.copytree(folder, data)
    Index.build([data], path, threads=1)
    counter = Counter()
    Index.build([data], path, threads=1, progress=counter)
    assert counter.sources == 0
    write_tar(data / "b.tar", [("y.mkv", video_bytes(MKV))])
    (data / "files" / "song.mp3").unlink()
    (data / "files" / "more.mkv").write_bytes(video_bytes(MKV))
    counter = Counter()
    index = Index.build([data], path, threads=1, progress=counter)
    assert counter.sources == 2
    keys = [each.removeprefix(f"{data}/") for each in index.keys]
    assert {"y", "files/more", "x", "files/song"} & set(keys) == {"y", "files/more"}
    fresh = Index.build([data], tmp_path / "fresh.parquet", threads=2)
    assert Path(fresh.path).read_bytes() == path.read_bytes()


def test_two_builds_at_once(built, folder, tmp_path):
    path, errors = tmp_path / "index.parquet", []

    def build():
        try:
            Index.build([folder], path, threads=1)
        except BaseException as exn:
            errors.append(exn)

    threads = [threading.Thread(target=build) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    assert path.read_bytes() == Path(built.path).read_bytes()
    assert os.listdir(tmp_path) == ["index.parquet"]


def test_tables_keep_their_other_columns(folder, tmp_path):
    rows = [
        {"path": "film.mp4", "label": 3, "json": '{"a": 1}', "raw": b"\0\xff", "note": None},
        {"path": "film2.webm", "label": 2.5, "json": "[]", "raw": b"", "note": "ü"},
        {"path": "film.mp4", "label": 1, "json": "{}", "raw": b"", "note": "again"},
    ]
    files = clipx.Files(rows, root=folder / "files")
    index = Index.build(files, tmp_path / "index.parquet")
    assert len(index) == len(files) == 3
    assert list(index.keys) == files.keys
    for number in range(2):
        sample, given = index.sample(number), files.sample(number)
        assert {k: v for k, v in sample.items() if not isinstance(v, StoredFile)} == {
            k: v for k, v in given.items() if not isinstance(v, StoredFile)
        }
    with pytest.raises(ValueError, match="its key 'film' is that of row 0"):
        index.sample(2)
    assert "keys must differ" in index.status(2)


def test_a_key_that_comes_twice_is_broken_the_second_time(tmp_path):
    for name in ("a.tar", "b.tar"):
        write_tar(tmp_path / name, [("k.mkv", video_bytes(MKV)), (f"{name[0]}.txt", b"")])
    index = Index.build([tmp_path / "a.tar", tmp_path / "b.tar"], tmp_path / "index.parquet")
    assert list(index.keys) == ["k", "a", "k", "b"]
    assert index.status(0) is None
    assert "its key is that of row 0, of 'a.tar'" in index.status(2)
    with pytest.raises(ValueError, match=r"its key is that of row 0.*\(sample 'k'\)"):
        index.sample(2)
    assert index.sample(3)["txt"] == b""


def test_it_is_pickled_by_its_path(built):
    again = pickle.loads(pickle.dumps(built))
    assert (again.path, again.root, len(again)) == (built.path, built.root, len(built))
    assert len(pickle.dumps(built)) < 500
    assert again.sample(0)["mp4"].read() == built.sample(0)["mp4"].read()


def test_sources_that_changed_are_refused_or_renewed(folder, tmp_path):
    data, path = tmp_path / "data", tmp_path / "index.parquet"
    shutil.copytree(folder, data)
    Index.build([data], path)
    film, shard = data / "files" / "film.mp4", data / "a.tar"
    film.write_bytes(video_bytes(MKV))
    write_tar(shard, [*members(1, 1), ("0000.mp4", video_bytes(MP4)), ("0000.json", b"{}")])
    refusing, renewing = Index(path), Index(path, stale="renew")
    keys = list(refusing.keys)
    at = keys.index(f"{data}/files/film")
    with pytest.raises(ValueError, match=r"film.mp4' has changed since .* bytes, and had"):
        refusing.sample(at)
    with pytest.raises(ValueError, match=r"a.tar' has changed since"):
        refusing.sample(0)
    assert renewing.sample(at)["mp4"].facts.container == "matroska,webm"
    sample = renewing.sample(0)
    assert (sample["mp4"].read(), sample["json"]) == (video_bytes(MP4), b"{}")
    assert len(list(SampleClips(SPEC).clips(sample, 0))) == 7
    with pytest.raises(ValueError, match="holds no sample '0002' any more"):
        renewing.sample(2)
    os.utime(film, ns=(1, 1))
    with pytest.raises(ValueError, match="has changed since"):
        refusing.sample(at)
    film.unlink()
    with pytest.raises(FileNotFoundError):
        refusing.sample(at)


def test_counts_are_those_of_each_sample(built, folder, tmp_path, monkeypatch):
    specs = [
        (SPEC, {}),
        (SPEC, {"keys": "mp4"}),
        (SPEC, {"keys": ("mp4;mkv",)}),
        (SPEC, {"keys": "npy"}),
        (clipx.WindowSpec(3, 2, offset="random", policy="repeat_last"), {}),
        (clipx.WindowSpec(3, 2, policy="error"), {}),
        (clipx.WindowSpec(3, 2), {"options": clipx.VideoOptions(fps=7)}),
        (clipx.WindowSpec(3, 2), {"options": clipx.VideoOptions(max_pixels=1000)}),
        (clipx.WindowSpec(3, 2), {"options": clipx.VideoOptions(stream=1)}),
        (clipx.FrameList(seconds=[0.5]), {}),
    ]
    for spec, rest in specs:
        extractor = SampleClips(spec, **rest)
        one_by_one = []
        for number in range(len(built)):
            try:
                one_by_one.append(extractor.count(built.sample(number), 2))
            except (ValueError, OSError):
                one_by_one.append(0)
        found = built.counts(extractor, 2)
        assert found.dtype == np.int64
        assert found.tolist() == one_by_one, (spec, rest)
    only_videos = Index.build([folder / "a.tar", folder / "files" / "film2.webm"], tmp_path / "index.parquet")
    monkeypatch.setattr(Index, "sample", lambda *_: pytest.fail("a sample is looked into"))
    assert only_videos.counts(SampleClips(SPEC)).tolist() == [7, 7, 7, 7]


def test_groups_and_facts(built, folder, tmp_path):
    sources = list(built.sources)
    borders = built.groups.tolist()
    assert (borders[0], borders[-1]) == (0, len(built))
    for first, end in zip(borders, borders[1:]):
        assert len(set(sources[first:end])) == 1
        assert end - first == 1 or sources[first].endswith((".tar", ".gz"))
    assert not built.is_remote
    moved = Index(built.path, root=tmp_path)
    moved.check(built.facts())
    other = Index.build([folder / "a.tar"], tmp_path / "index.parquet")
    with pytest.raises(ValueError, match=r"of an index of \d+ samples, but dataset has 3"):
        other.check(built.facts())
    with pytest.raises(ValueError, match="of another index"):
        built.check({**built.facts(), "digest": "0" * 32})
    with pytest.raises(ValueError, match="must have the number and the digest"):
        built.check([])


def test_samples_of_a_compressed_shard_are_read_in_one_pass(built, monkeypatch):
    opened = []
    real = streamed.Shards
    monkeypatch.setattr(streamed, "Shards", lambda *given: opened.append(given) or real(*given))
    index = Index(built.path)
    at = list(index.keys).index("0010")
    assert [json.loads(index.sample(at + k)["json"])["label"] for k in (0, 1)] == [10, 11]
    assert len(opened) == 1
    assert index.sample(at)["mp4"] == video_bytes(MP4)
    assert len(opened) == 2


def test_damage_is_an_error(built, tmp_path):
    data, path = Path(built.path).read_bytes(), tmp_path / "damaged.parquet"
    group = pq.read_metadata(built.path).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    begins = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
    of_pages = {begin + chunk.total_compressed_size - 1 for begin, chunk in zip(begins, chunks)}
    for at in of_pages | {*range(7, len(data), len(data) // 100)}:
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(ValueError, match=r"damaged\.parquet") if at in of_pages else suppress(ValueError):
            list(Index(path, trusted=True).rows())


def test_a_damaged_index_is_not_renewed(folder, tmp_path):
    path = tmp_path / "index.parquet"
    index = Index.build([folder / "a.tar"], path)
    column = pq.read_metadata(path).row_group(0).column(index._table._file.schema_arrow.get_field_index("key_pts"))
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"index\.parquet' is damaged: .*; remove it"):
        Index.build([folder / "a.tar"], path)


@pytest.mark.parametrize("root", ["/", "/.", "/..", "/tmp/../", "file:///", "file:/", ""])
def test_a_root_that_holds_every_file_is_refused(built, root, tmp_path):
    table, path = pq.read_table(built.path), tmp_path / "index.parquet"
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"clipx.root": root.encode()}), path)
    with pytest.raises(ValueError, match="which holds every file"):
        Index(path)
    with pytest.raises(ValueError, match="which holds every file"):
        Index(built.path, root=root)


def test_indexes_without_rows_and_folders_are_refused(built, folder, tmp_path):
    pq.write_table(pq.read_table(built.path).slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(ValueError, match=r"empty\.parquet' has no rows"):
        Index(tmp_path / "empty.parquet")
    with pytest.raises(IsADirectoryError, match="must be that of a file"):
        Index.build([folder], tmp_path)
    assert not tmp_path.with_name(f"{tmp_path.name}.parts").exists()
