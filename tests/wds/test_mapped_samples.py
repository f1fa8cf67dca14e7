"""mapped_samples: webdataset's samples, their arrays mapped from local shards."""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import webdataset
from helpers.arrays import npy
from helpers.mapped import BROKEN
from helpers.shards import write_tar
from helpers.windows import same
from helpers.workers import data_loader, once_more

import clipx
from clipx import WindowSpec, wds

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture
def shards(tmp_path):
    """Four shards of three samples."""
    for i in range(4):
        with webdataset.TarWriter(str(tmp_path / f"s{i}.tar")) as tar:
            for j in range(3):
                array = np.full((20 + j, 8, 8), 10 * i + j, np.int16)
                tar.write(
                    {"__key__": f"d/{i}.{j}"[:3] + f"_{j}", "x.npy": npy(array), "cls": j, "json": {"i": i}, "TXT": "é"}
                )
    return tmp_path


def plain(urls):
    """Samples as webdataset gives them."""
    urls = [urls] if isinstance(urls, str) else urls
    return list(webdataset.WebDataset(urls, shardshuffle=False, nodesplitter=None, empty_check=False))


def check_samples(got, wanted, skip=()):
    got = list(got)
    assert [each["__key__"] for each in got] == [each["__key__"] for each in wanted]
    for one, other in zip(got, wanted):
        assert set(one) - set(skip) == {key for key in other if key != "__local_path__"} - set(skip)
        for field, value in other.items():
            if field.endswith("npy"):
                same(np.asarray(one[field]), np.load(io.BytesIO(value)))
                assert not isinstance(one[field], bytes)
                assert not one[field].flags.writeable
            elif not field.startswith("__"):
                assert isinstance(one[field], bytes)
                assert one[field] == value
            elif field in ("__url__", "__key__"):
                assert one[field] == value


def test_samples_are_webdatasets(shards):
    text = str(shards / "s{0..3}.tar")
    urls = [str(shards / f"s{i}.tar") for i in range(4)]
    wanted = plain(urls)
    assert len(wanted) == 12
    for given in (text, urls, tuple(urls), [Path(url) for url in urls], (url for url in urls)):
        check_samples(wds.mapped_samples(given), wanted)
    check_samples(wds.mapped_samples(Path(urls[1])), plain(urls[1]))
    source = wds.mapped_samples(text)
    check_samples(source, wanted)
    check_samples(source, wanted)


def test_names_are_read_as_webdataset_reads_them(tmp_path):
    data = npy(np.arange(3))
    members = {
        "__meta__": b"1",
        "__more__.npy": data,
        "__dir__/a.npy": data,
        "README": b"no extension",
        "a.b.npy": data,
        "a.Cls": b"1",
        "dir.with.dots/k.npy": data,
        "dir.with.dots/k.b.txt": b"",
        ".hidden": b"x",
        "./z.npy": data,
        "./z.txt": b"z",
    }
    path = str(write_tar(tmp_path / "x.tar", members))
    check_samples(wds.mapped_samples(path), plain(path))


def test_samples_of_one_key_in_two_shards_stay_apart(tmp_path):
    paths = []
    for i in range(2):
        paths.append(str(write_tar(tmp_path / f"{i}.tar", {"a.npy": npy(np.full(3, i)), f"a.{i}": b"x"})))
    wanted = plain(paths)
    assert len(wanted) == 2
    check_samples(wds.mapped_samples(paths), wanted)


@linux
@pytest.mark.parametrize("kind", ["gnu", "posix"])
def test_sparse_members_are_not_lost_in_silence(sparse, kind):
    path = str(sparse(kind))
    errors = []
    got = {each["__key__"]: each for each in wds.mapped_samples(path, handler=lambda exn: errors.append(exn) or True)}
    assert errors or len(np.asarray(got["b"]["npy"])) == 1 << 20
    if not errors:
        assert set(got) == {"a", "b", "c"}


def test_nodes_and_workers_share_the_shards(shards, monkeypatch):
    text = str(shards / "s{0..3}.tar")

    def keys(**environment):
        for name in ("RANK", "WORLD_SIZE", "WORKER", "NUM_WORKERS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        return [each["__url__"][-5] for each in wds.mapped_samples(text)][::3]

    def expected(**environment):
        mine = "0123"[environment.get("RANK", 0) :: environment.get("WORLD_SIZE", 1)]
        return list(mine[environment.get("WORKER", 0) :: environment.get("NUM_WORKERS", 1)])

    for ranks in (1, 2, 3):
        for workers in (1, 2):
            for rank in range(ranks):
                for worker in range(workers):
                    given = {"RANK": rank, "WORLD_SIZE": ranks, "WORKER": worker, "NUM_WORKERS": workers}
                    assert keys(**given) == expected(**given)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(list(wds.mapped_samples(text, split=False))) == 12


@once_more
def test_workers_of_a_torch_loader(shards):
    pytest.importorskip("torch")
    data = webdataset.DataPipeline(wds.mapped_samples(str(shards / "s{0..3}.tar")), wds.clips(WindowSpec(8)))
    loader = data_loader(data, num_workers=2)
    keys = sorted(sample["__key__"] for sample in loader)
    assert len(keys) == len(set(keys)) == 24


@pytest.mark.parametrize("url", ["pipe:cat x.tar", "http://127.0.0.1:9/x.tar", "https://x.y/z.tar", "s3://a/b.tar"])
def test_only_local_files_are_mapped(shards, url):
    with pytest.raises(ValueError, match="local"):
        list(wds.mapped_samples(url))
    errors = []
    given = [url, str(shards / "s0.tar")]
    assert len(list(wds.mapped_samples(given, handler=lambda exn: errors.append(exn) or True))) == 3
    assert len(errors) == 1
    assert isinstance(errors[0], ValueError)


def test_file_addresses(shards):
    assert len(list(wds.mapped_samples(f"file:{shards}/s0.tar"))) == 3
    assert len(list(wds.mapped_samples(f"file://{shards}/s0.tar"))) == 3


def test_wrong_arguments():
    for urls in ([], "", [""], ()):
        with pytest.raises(ValueError, match="urls"):
            wds.mapped_samples(urls)
    with pytest.raises(TypeError):
        wds.mapped_samples(3)
    with pytest.raises(TypeError, match="split"):
        wds.mapped_samples("x.tar", split=1)
    with pytest.raises(TypeError, match="handler"):
        wds.mapped_samples("x.tar", handler=3)


def test_broken_shards_go_to_the_handler(shards):
    good, late = str(shards / "s0.tar"), str(shards / "s2.tar")
    data = (shards / "s1.tar").read_bytes()
    (shards / "gz.tar").write_bytes(gzip.compress(data))
    (shards / "cut.tar").write_bytes(data[:6000])
    (shards / "text.tar").write_text("hello " * 300)
    for bad in ("gz.tar", "cut.tar", "text.tar", "none.tar"):
        url = str(shards / bad)
        with pytest.raises((ValueError, OSError)):
            list(wds.mapped_samples([url]))
        errors = []
        got = list(wds.mapped_samples([url, good], handler=lambda exn, into=errors: into.append(exn) or True))
        assert len(errors) == 1
        check_samples(got[-3:], plain(good))
        got = list(wds.mapped_samples([good, url, late], handler=lambda exn: False))
        check_samples(got[:3], plain(good))
        assert all(each["__url__"] == url for each in got[3:])


@pytest.mark.parametrize("broken", ["objects", "claims more", "not npy", "unclosed"])
def test_a_broken_member_loses_no_other_sample(tmp_path, broken):
    good = npy(np.arange(5))
    members = {"a.npy": good, "a.cls": b"1", "b.npy": BROKEN[broken], "b.cls": b"2", "c.npy": good, "c.cls": b"3"}
    path = write_tar(tmp_path / "x.tar", members)
    other = write_tar(tmp_path / "y.tar", {"d.npy": good})
    with pytest.raises(ValueError, match=r"b\.npy"):
        list(wds.mapped_samples(path))
    errors = []
    got = list(wds.mapped_samples([path, other], handler=lambda exn: errors.append(exn) or True))
    assert len(errors) == 1
    whole = {each["__key__"]: each for each in got if "npy" in each}
    assert sorted(whole) == ["a", "c", "d"]
    assert whole["c"]["cls"] == b"3"


def test_in_a_pipeline(shards):
    pool = clipx.ClipPool(40, (8, 8, 8), np.int16)
    data = webdataset.DataPipeline(
        wds.mapped_samples(str(shards / "s{0..3}.tar")),
        wds.clips(WindowSpec(8, 4), pool=pool),
        wds.shuffle(pool=pool, reserve=8, seed=1),
        wds.batched(4, partial=True),
    )
    seen = 0
    for batch in data:
        for clip, url, facts in zip(batch["x.npy"], batch["__url__"], batch["clip.json"]):
            assert clip.shape == (8, 8, 8)
            assert len(np.unique(clip)) == 1
            assert clip.flat[0] // 10 == int(url[-5])
            assert facts["valid"] == 8
            seen += 1
    assert seen == 4 * 3 * 4
    del batch, clip
    assert pool.stats().free == 40


def test_decoding_after_it(shards):
    data = webdataset.DataPipeline(wds.mapped_samples(str(shards / "s0.tar")), webdataset.decode(partial=True))
    for sample in data:
        assert sample["json"] == {"i": 0}
        assert isinstance(sample["x.npy"], np.ndarray)
