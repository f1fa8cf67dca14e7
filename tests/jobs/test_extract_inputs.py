"""clipx.jobs.extract over shards, arrays, sounds, tables and an index: parts, samples, segments and limits."""

import json

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.extracting import failures_of, files_of, keys_of, members
from helpers.shards import array_sample, write_shard, write_tar

import clipx

SPEC = clipx.WindowSpec(4)


def extract(src, out, spec=SPEC, **rest):
    return clipx.jobs.extract(src, out, spec, jobs=1, **rest)


@pytest.fixture
def shards(tmp_path):
    """Two shards of arrays, of three samples and two, with fields beside them."""
    folder = tmp_path / "shards"
    folder.mkdir()
    beside = {"txt": b"a caption", "json": b'{"segments": [[0, 5], [5, 12], [90, 99]]}', "cls": b"7"}
    for shard, keys in (("a", "pqr"), ("b", "st")):
        write_shard(folder / f"{shard}.tar", [array_sample(key, 9 + n, **beside) for n, key in enumerate(keys)])
    return folder


def test_shards_are_parts_whose_fields_are_kept(shards, tmp_path):
    summary = extract(shards, tmp_path / "out")
    assert (summary.parts, summary.samples, summary.clips) == (2, 5, 10)
    found = members(tmp_path / "out")
    assert list(found)[:5] == [f"p_000000.{field}" for field in ("npy", "clip.json", "cls", "json", "txt")]
    assert found["p_000001.npy"] == npy(array(9, ord("p"))[4:8])
    assert found["t_000000.txt"] == b"a caption"
    assert json.loads(found["t_000000.clip.json"])["url"] == "b.tar"


def test_segments_are_numbered_and_bad_ones_are_failures(shards, tmp_path):
    extract(shards / "b.tar", tmp_path / "out", segments="json:segments")
    assert keys_of(tmp_path / "out") == ["s_0000_000000", "s_0001_000000", "t_0000_000000", "t_0001_000000"]
    found = failures_of(tmp_path / "out")
    assert [(each["key"], each["segment"], each["kind"]) for each in found] == [
        ("s", 2, "bad segment"),
        ("t", 2, "bad segment"),
    ]


@pytest.mark.parametrize(("limit", "keys", "parts"), [(2, "pq", 1), (3, "pqr", 1), (4, "pqrs", 2), (99, "pqrst", 2)])
def test_limit_takes_the_first_samples_of_the_inputs(shards, tmp_path, limit, keys, parts):
    summary = extract(shards, tmp_path / "out", limit=limit)
    assert list(dict.fromkeys(key[0] for key in keys_of(tmp_path / "out"))) == list(keys)
    assert summary.parts == parts


def test_parts_done_apart_are_the_whole_job(shards, tmp_path):
    extract(shards, tmp_path / "whole")
    out = tmp_path / "out"
    assert extract(shards, out, part="1/2").clips == 4
    with pytest.raises(ValueError, match="lacks part 0 of 2 parts"):
        clipx.jobs.finish(out)
    assert extract(shards, out, part=(0, 2)).samples == 3
    assert clipx.jobs.finish(out).clips == 10
    assert files_of(out) == files_of(tmp_path / "whole")


def test_a_table_and_an_index_give_the_clips_of_their_files(tmp_path):
    pytest.importorskip("pyarrow")
    folder = tmp_path / "arrays"
    for number in range(3):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "x.npy").write_bytes(npy(array(9, number)))
    table = [{"path": str(folder / str(number) / "x.npy"), "caption": f"number {number}"} for number in range(3)]
    table.append({"path": str(folder / "gone" / "x.npy"), "caption": ""})
    extract(table, tmp_path / "table", files_per_part=2)
    assert keys_of(tmp_path / "table") == [f"{number}/x_00000{clip}" for number in range(3) for clip in range(2)]
    assert members(tmp_path / "table")["2/x_000001.caption.txt"] == b"number 2"
    (failure,) = failures_of(tmp_path / "table")
    assert (failure["key"], failure["source"], failure["clips"]) == ("gone/x", "gone/x.npy", 0)
    assert "No such file" in failure["reason"]
    assert str(tmp_path) not in failure["reason"]
    clipx.Index.build(folder, tmp_path / "index.parquet")
    extract(tmp_path / "index.parquet", tmp_path / "indexed", files_per_part=2)
    assert len(list((tmp_path / "indexed").glob("part-*.parquet"))) == 2
    arrays = {name: data for name, data in members(tmp_path / "table").items() if name.endswith(".npy")}
    assert {name: data for name, data in members(tmp_path / "indexed").items() if name.endswith(".npy")} == arrays


def test_sound_beside_clips_and_alone(movie, tmp_path):
    path, sound = movie().path, clipx.AudioFormat(dtype="int16")
    extract(path, tmp_path / "beside", audio=sound)
    clips = list(clipx.video.clips(str(path), SPEC, audio=sound))
    found = members(tmp_path / "beside")
    assert [name for name in found if name.endswith(".audio.npy")] == [
        f"{path.stem}_{clip.index:06d}.audio.npy" for clip in clips
    ]
    for clip in clips:
        assert found[f"{path.stem}_{clip.index:06d}.audio.npy"] == npy(clip.audio)
    extract(path, tmp_path / "alone", clipx.WindowSpec(4000), audio=sound, encoding="wav")
    alone = list(clipx.audio.clips(str(path), clipx.WindowSpec(4000), sound))
    found = members(tmp_path / "alone")
    assert len(alone) == sum(name.endswith(".wav") for name in found) > 1
    for clip in alone:
        (read,) = clipx.audio.clips(found[f"{path.stem}_{clip.index:06d}.wav"], clipx.WindowSpec(4000), sound)
        np.testing.assert_array_equal(read.data, clip.data)


def test_damage_of_a_shard_and_samples_of_one_key_are_failures(tmp_path):
    path = write_tar(
        tmp_path / "a.tar",
        [("a.npy", npy(array(5))), ("b.npy", npy(array(5))), ("a.npy", npy(array(6))), ("c.npy", npy(array(3)))],
    )
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"c.npy") + 700])
    extract(path, tmp_path / "out")
    assert keys_of(tmp_path / "out") == ["a_000000", "b_000000"]
    cut, twice = failures_of(tmp_path / "out")
    assert (twice["key"], twice["kind"]) == ("a", "error")
    assert "another sample of this key" in twice["reason"]
    assert (cut["source"], cut["kind"]) == ("a.tar", "error")
    assert "unexpected end of data" in cut["reason"]


def test_a_dry_run_counts_and_writes_nothing(shards, tmp_path):
    write_shard(shards / "c.tar", [{"__key__": "u", "npy": b"no array"}])
    expected = extract(shards, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    summary = extract(shards, tmp_path / "out", part="0/1")
    assert (expected.parts, expected.parts_done, expected.samples, expected.unreadable) == (3, 0, 6, 1)
    assert (expected.clips, expected.bytes) == (summary.clips, summary.bytes)
    assert "u: ValueError" in expected.first_error
    assert extract(shards, tmp_path / "out", dry_run=True).parts_done == 3


def test_members_beyond_the_memory_are_failures_of_their_samples(tmp_path):
    large = npy(array(4, shape=(1000, 1000)))
    path = write_tar(
        tmp_path / "a.tar", [("a.npy", npy(array(4))), ("b.npy", large), ("c.npy", npy(array(4))), ("c.bin", large)]
    )
    extract(path, tmp_path / "out", memory="3MB")
    assert keys_of(tmp_path / "out") == ["a_000000"]
    found = failures_of(tmp_path / "out")
    assert [each["key"] for each in found] == ["b", "c"]
    assert all("with this memory a sample may take 3000000: raise memory" in each["reason"] for each in found)
