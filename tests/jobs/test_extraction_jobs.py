"""Jobs: begun once, gone on with, compared, tried again and summed up."""

import json
import os

import pytest
from helpers.outputs import FACTS, add_clips, contents, failure, write_part

from clipx.jobs.extraction.job import Job
from clipx.jobs.extraction.part import PartWriter
from clipx.jobs.extraction.stores import open_store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    if request.param == "local":
        return open_store(tmp_path)
    pytest.importorskip("fsspec")
    return open_store(f"memory://jobs/{tmp_path.name}")


def write(store, part=0, *, retry=None, table="parquet", failures=(), **clips):
    """Writes a part of numbers of clips by their sources, and failures."""
    with PartWriter(store, part, shard_bytes=9000, table=table, retry=retry) as writer:
        for source, indices in clips.items():
            add_clips(writer, source, indices)
        for each in failures:
            writer.fail(each)
        return writer.commit()


def facts(**changes):
    return {**FACTS, **changes}


def test_a_job_is_begun_once_and_gone_on_with(store):
    job = Job.open(store, FACTS)
    before = contents(store)
    assert list(before) == ["job.json"]
    assert job.parts == 2
    assert job.done() == set()
    write_part(store, 1, table=job.table)
    again = Job.open(store, FACTS)
    assert again.done() == {1}
    assert (again.facts, again.table) == (job.facts, job.table)
    assert store.read("job.json") == before["job.json"]
    described = json.loads(before["job.json"])
    assert described["options"] == FACTS["options"]
    assert described["inputs"] == FACTS["inputs"]


def test_facts_are_compared_as_json_has_them(store):
    Job.open(store, facts(options={"size": (224, 224), "fill": float("nan"), "mean": 0.1}))
    Job.open(store, facts(options={"size": [224, 224], "fill": float("nan"), "mean": 0.1}))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"options": {"spec": {"length": 8}, "seed": 0}}, r"spec\.length was 4 and is 8"),
        ({"options": {"spec": {"length": 4}, "seed": 1}}, "seed was 0 and is 1"),
        ({"options": {"spec": {"length": 4}, "seed": 0, "crf": 3}}, "crf was null and is 3"),
        ({"options": {"spec": {"length": 4, "ranges": [1]}}}, r"seed was 0 and is null; spec\.ranges was null"),
        ({"inputs": [{"name": "a.tar"}, {"name": "c.tar"}]}, r'part 1\.name was "b.tar" and is "c.tar"'),
        ({"inputs": [{"name": "a.tar"}]}, "it has 2 parts, and now there are 1"),
        ({"inputs": [{"name": f"{i}"} for i in range(2)], "options": {str(i): i for i in range(9)}}, "and 8 more"),
    ],
)
def test_another_job_is_refused_and_the_difference_named(store, changes, named):
    Job.open(store, FACTS)
    before = contents(store)
    with pytest.raises(ValueError, match=named) as caught:
        Job.open(store, facts(**changes))
    assert "job.json' is of another job" in str(caught.value)
    assert "another folder" in str(caught.value)
    assert contents(store) == before


def test_other_versions_are_a_warning(store):
    Job.open(store, facts(versions={"clipx": "1", "av": "17"}))
    with pytest.warns(UserWarning, match=r'other versions.*clipx was "1" and is "2"'):
        Job.open(store, facts(versions={"clipx": "2", "av": "17"}))


def test_a_dry_run_writes_nothing_and_compares(tmp_path):
    out = tmp_path / "out"
    assert Job.open(open_store(out), FACTS, write=False).done() == set()
    assert not out.exists()
    Job.open(open_store(out), FACTS)
    with pytest.raises(ValueError, match="another job"):
        Job.open(open_store(out), facts(inputs=[]), write=False)


def test_the_kind_of_manifests_is_that_of_the_job(store, monkeypatch):
    monkeypatch.setattr("clipx.jobs.extraction.job.default_table", lambda: "jsonl")
    job = Job.open(store, FACTS)
    assert job.table == "jsonl"
    monkeypatch.setattr("clipx.jobs.extraction.job.default_table", lambda: "parquet")
    job = Job.open(store, FACTS)
    assert job.table == "jsonl"
    for part in range(2):
        write_part(store, part, table=job.table)
    assert job.done() == {0, 1}
    assert job.finish().clips == 12


def test_outputs_without_a_job_are_refused_and_other_files_are_not(store):
    store.create("README", b"mine")
    store.create("clips-000000.tar", b"mine")
    Job.open(store, FACTS)
    store.remove("job.json")
    write_part(store)
    with pytest.raises(ValueError, match=r"has 'clips-000000-0000.tar' but no job.json"):
        Job.open(store, FACTS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"job": "another"}',
        b'{"job": "clipx.jobs.extract", "version": 99}',
        b'{"job": "clipx.jobs.extract", "version": 1, "options": [], "inputs": [], "versions": {}}',
        b'{"job": "clipx.jobs.extract", "version": 1, "options": {}, "inputs": 4, "versions": {}}',
        b'{"job": "clipx.jobs.extract", "version": 1, "options": {}, "inputs": [], "versions": {}, "table": "xls"}',
    ],
)
def test_a_broken_job_json_is_refused(tmp_path, data):
    store = open_store(tmp_path)
    store.create("job.json", data)
    with pytest.raises(ValueError, match=r"job.json' .*give another folder"):
        Job.open(store, FACTS)
    assert store.read("job.json") == data


def test_a_folder_without_a_job_cannot_be_finished(store):
    with pytest.raises(FileNotFoundError, match=r"job\.json"):
        Job.load(store)


# Truncated files


def test_a_part_with_a_truncated_manifest_is_not_done(tmp_path):
    pytest.importorskip("pyarrow")
    store = open_store(tmp_path)
    job = Job.open(store, FACTS)
    for part in range(2):
        write_part(store, part)
    os.truncate(tmp_path / "part-000001.parquet", 1000)
    assert job.done() == {0}
    write_part(store, 1)
    assert job.done() == {0, 1}
    write(store, 1, retry=1)
    os.truncate(tmp_path / "part-000001.parquet", 1000)
    with pytest.raises(ValueError, match=r"part-000001.parquet' cannot be read.*'\*-000001\*'"):
        job.done()


def test_manifests_of_file_systems_without_whole_objects_are_looked_at(tmp_path):
    pytest.importorskip("fsspec")
    store = open_store(f"local://{tmp_path}")  # fsspec's, which uploads as sftp or hdfs do
    assert not store.has_whole_objects
    job = Job.open(store, FACTS)
    for part in range(2):
        write_part(store, part, table=job.table)
    assert job.done() == {0, 1}
    name = f"part-000001.{job.table}"
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 1)
    assert job.done() == {0}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("part-000001.parquet", "truncated"),
        ("part-000001.parquet", "zeros"),
        ("part-000001.failures.jsonl", "truncated"),
        ("part-000001.failures.jsonl", "zeros"),
        ("part-000001.failures.jsonl", "gone"),
    ],
)
def test_files_that_are_broken_are_named_by_what_reads_them(tmp_path, name, damage):
    pytest.importorskip("pyarrow")
    store = open_store(tmp_path)
    job = Job.open(store, FACTS)
    for part in range(2):
        write_part(store, part)
    path = tmp_path / name
    size = path.stat().st_size
    if damage == "truncated":
        os.truncate(path, size - 30)
    elif damage == "zeros":
        path.write_bytes(bytes(size))
    else:
        path.unlink()
    with pytest.raises(ValueError, match=f"{name}' cannot be read"):
        job.finish()
    assert "summary.json" not in store.entries()


# Retries


def test_what_is_tried_again(store):
    job = Job.open(store, FACTS)
    write(
        store,
        good=range(3),
        half=range(2),
        some=[0, 2],
        failures=[
            failure("half", clips=2),
            failure("bad"),
            failure("damaged", "damage"),
            failure("empty", "no clips"),
            failure("some", "bad segment", segment=1),
        ],
    )
    retry = job.retry(0)
    assert retry
    assert retry.number == 1
    wanted = {"good": None, "damaged": None, "empty": None, "unknown": None, "bad": set()}
    wanted |= {"half": {"half_000000", "half_000001"}, "some": {"some_000000", "some_000002"}}
    assert {key: retry.written_of(key) for key in wanted} == wanted
    before = contents(store)
    write(store, retry=1, half=[2], bad=[0], failures=[failure("some", "bad segment", segment=1), failure("half")])
    after = contents(store)
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == [
        "clips-000000-0000-retry1.tar",
        "part-000000-retry1.failures.jsonl",
        "part-000000-retry1.parquet",
    ]
    retry = job.retry(0)
    assert retry.number == 2
    assert retry.written_of("half") == {"half_000000", "half_000001", "half_000002"}
    assert retry.written_of("some") == {"some_000000", "some_000002"}
    assert retry.written_of("bad") is None
    write(store, retry=2, some=[1])
    retry = job.retry(0)
    assert not retry
    assert retry.number == 3
    write(store, 1)
    assert not job.retry(1)
    summary = job.finish()
    assert (summary.clips, summary.samples, summary.failed) == (10, 6, 0)
    assert summary.failures == {"damage": 1, "no clips": 1}


def test_of_a_shard_that_broke_off_what_is_not_known_is_tried_again(store):
    job = Job.open(store, FACTS)
    write(store, good=[0], failures=[failure("bad"), failure("empty", "no clips"), failure(None)])
    retry = job.retry(0)
    wanted = {"good": None, "empty": None, "bad": set(), "unknown": set()}
    assert {key: retry.written_of(key) for key in wanted} == wanted
    write(store, retry=1, unknown=[0], bad=[0])
    assert not job.retry(0)


def test_keys_that_are_not_utf8_are_found_again(store):
    odd = b"a\xff".decode("utf-8", "surrogateescape")
    job = Job.open(store, FACTS)
    for part, table in enumerate(("parquet", "jsonl")):
        job.table = table
        write(store, part, table=table, **{odd: [0, 1]}, failures=[failure(odd, clips=2, reason=f"{odd} is broken")])
        retry = job.retry(part)
        written = retry.written_of(odd)
        assert f"{odd}_000001" in written
        assert f"{odd}_000002" not in written
        assert retry.written_of("a") is None


# The end


def test_the_summary_is_the_sum_of_the_parts(store):
    job = Job.open(store, FACTS)
    for part in range(2):
        write_part(store, part, table=job.table)
    found = job.finish()
    assert (found.parts, found.samples, found.clips, found.shards, found.frames) == (2, 4, 12, 6, 48)
    assert found.bytes == 12 * 704
    assert found.hours == pytest.approx(12 * 0.5 / 3600)
    assert (found.failures, found.failed) == ({"error": 2}, 2)
    assert found.started <= found.ended
    assert 0 <= found.seconds < 60
    assert found.examples == ["part0.broken: it is broken", "part1.broken: it is broken"]
    assert json.loads(store.read("summary.json")) == found.as_json()
    assert job.finish() == found


def test_a_job_that_lacks_parts_is_not_finished(store):
    job = Job.open(store, facts(inputs=[{"name": f"{i}"} for i in range(30)]))
    for part in (0, 5, 6, 9):
        write(store, part)
    with pytest.raises(ValueError, match="lacks parts 1-4, 7-8, 10-29 of 30 parts"):
        job.finish()
    sums = job.sums()
    assert (sums.parts, sums.clips, sums.examples) == (4, 0, [])
    write(store, 1, failures=[failure(None if i == 1 else f"{i}") for i in range(4)])
    assert job.sums().examples == ["0: it is broken", "a.tar: it is broken", "2: it is broken"]
    assert "summary.json" not in store.entries()


@pytest.mark.parametrize("left", [None, 700])
def test_a_job_whose_shards_are_gone_or_truncated_is_not_finished(tmp_path, left):
    store = open_store(tmp_path)
    job = Job.open(store, FACTS)
    for part in range(2):
        write_part(store, part, table=job.table)
    shard = tmp_path / "clips-000001-0002.tar"
    if left is None:
        shard.unlink()
    else:
        os.truncate(shard, left)
    with pytest.raises(ValueError, match=r"clips-000001-0002.tar' cannot be read: it .*'\*-000001\*'"):
        job.finish()


def test_names_of_other_parts_do_not_count(store):
    job = Job.open(store, FACTS)
    for name in ("part-7.parquet", "part-0000000.parquet", "part-000000-retry0.parquet", "part-000000.parquet.tmp"):
        store.create(name, b"PAR1")
    assert job.done() == set()


def test_each_file_of_many_parts_is_read_once(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    job = Job.open(store, facts(inputs=[{"name": f"{i}"} for i in range(100)]))
    with PartWriter(store, 0, shard_bytes=9000, table=job.table) as writer:
        add_clips(writer, "a", [0])
        writer.commit()
    data = {name: store.read(name) for name in store.entries() if name.startswith("part-")}
    for part in range(1, 100):
        for name, each in data.items():
            (tmp_path / name.replace("000000", f"{part:06d}")).write_bytes(each)
    read, held = type(store).read, []

    def counted(self, name):
        held.append(name)
        return read(self, name)

    monkeypatch.setattr(type(store), "read", counted)
    assert job.finish().clips == 100
    assert len(held) == len(set(held)) == 200
