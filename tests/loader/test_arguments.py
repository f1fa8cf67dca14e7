"""Arguments of a Loader, and the kinds of datasets that it takes."""

import gzip
import pickle
import re
from pathlib import Path

import pytest
from helpers.loaders import CROP, EACH, WINDOW, clips_of, everything, expected, of_arrays
from helpers.threads import clipx_threads

import clipx
from clipx import wds

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("memory", "2 gigs"),
        ("memory", 0),
        ("threads", 0),
        ("threads", "all"),
        ("map", 3),
        ("shuffle", 1),
        ("drop_last", None),
        ("seed", -1),
        ("seed", "x"),
        ("keys", []),
        ("keys", [3]),
        ("handler", None),
        ("batches", 1),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("timeout", "soon"),
        ("options", {}),
        ("dataset", ""),
        ("dataset", []),
        ("dataset", 5),
        ("dataset", [5]),
        ("dataset", None),
        ("dataset", [""]),
        ("dataset", "shard-{000..099.tar"),
        ("spec", 16),
        ("format", "CTHW"),
    ],
)
def test_bad_arguments(argument, value):
    """An error names the argument."""
    arguments = {"dataset": "a.tar", "spec": WINDOW, "format": CROP, "batch_size": 4, "memory": "10MB", argument: value}
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument}\b"):
        clipx.Loader(**arguments)
    assert not clipx_threads()


def test_kinds_of_urls(arrays, tmp_path):
    urls, _ = arrays
    wanted = everything(of_arrays(urls, shuffle=False))
    assert len(wanted) > 4

    def check(urls):
        out = everything(of_arrays(urls, shuffle=False))
        for batch in (*out, *wanted):
            batch.pop("__url__", None)
            batch.pop("__local_path__", None)
            batch["clip.json"] = re.sub("'url': '[^']*'", "", batch["clip.json"])
        assert out == wanted

    packed = [f"{url}.gz" for url in urls]
    for url, to in zip(urls, packed):
        Path(to).write_bytes(gzip.compress(Path(url).read_bytes()))
    check([Path(url) for url in urls])
    check(tuple(urls))
    check(url for url in urls)
    check(str(tmp_path / "arrays-{0..2}.tar"))
    check(tmp_path / "arrays-{0..2}.tar")
    check("::".join(urls))
    check([f"pipe:cat {url}" for url in urls])
    check(f"pipe:cat {tmp_path}/arrays-{{0..2}}.tar")
    check([f"file:{url}" for url in urls])
    check(packed)
    check([f"pipe:gzip -dc {url}" for url in packed])


def test_one_path(arrays):
    urls, samples = arrays
    assert dict(clips_of(of_arrays(Path(urls[0]), drop_last=False))) == expected(samples[:EACH])


def test_failing_pipe(arrays, logged):
    urls, samples = arrays
    loader = of_arrays([*urls, "pipe:exit 3"], drop_last=False, handler=wds.log_and_continue)
    assert dict(clips_of(loader)) == expected(samples)
    assert logged()


def test_same_shard_twice(arrays):
    urls, samples = arrays
    found = clips_of(of_arrays([urls[0], urls[0]], drop_last=False))
    assert len(found) == 2 * len(expected(samples[:EACH]))
    assert dict(found) == expected(samples[:EACH])


def test_pickle(arrays):
    urls, _ = arrays
    loader = of_arrays(urls, epoch=1)
    fresh = pickle.loads(pickle.dumps(loader))
    wanted = everything(loader)
    assert everything(fresh) == wanted
    iterator = iter(loader)
    next(iterator)
    other = pickle.loads(pickle.dumps(loader))
    assert len(other) == len(loader)
    assert everything(other) == wanted
    assert len(everything(iterator)) == len(wanted) - 1


@pytest.mark.parametrize(
    ("name", "cure"),
    [("train.csv", r"clipx\.Files\('train\.csv', path="), ("index.parquet", r"clipx\.Index\('index\.parquet'\)")],
)
def test_a_table_is_not_a_shard(name, cure):
    with pytest.raises(ValueError, match=f"a table, but must name shards: give .*{cure}"):
        clipx.Loader(name, clipx.WindowSpec(4, 2), batch_size=2)
