"""Errors say which sample, field and shard they are of, in their attributes and in their text."""

import pickle
import re

import numpy as np
import pytest
from helpers.arrays import npy
from helpers.loaders import WINDOW, of_arrays
from helpers.shards import array_sample, write_shard

import clipx
from clipx import wds
from clipx.datasets.origins import Origin, describe_error, locate, locating, origin_of

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")

SAMPLE = {"__key__": "k", "__url__": "x.tar"}
WHERE = "(sample 'k', field 'mp4', shard 'x.tar')"


class Own(Exception):
    def __init__(self, number, text):
        super().__init__(number, text)


def undecodable():
    try:
        b"\xff".decode()
    except UnicodeDecodeError as exn:
        return exn


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("bad"), f"bad {WHERE}"),
        (ValueError(), WHERE),
        (KeyError("cls"), f"'cls' {WHERE}"),
        (OSError("plain"), f"plain {WHERE}"),
        (FileNotFoundError(2, "No such file", "f"), f"[Errno 2] No such file {WHERE}: 'f'"),
        (undecodable(), f"'utf-8' codec can't decode byte 0xff in position 0: invalid start byte {WHERE}"),
        (RuntimeError("field 'mp4' of sample 'k' is bad"), "field 'mp4' of sample 'k' is bad (shard 'x.tar')"),
        (clipx.PoolExhausted("all"), f"all {WHERE}"),
    ],
)
def test_an_error_says_where_it_arose_and_keeps_its_type(error, text):
    kind = type(error)
    with pytest.raises(kind) as caught, locating(SAMPLE, clips=3), locating(field="mp4"):
        raise error
    for exn in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert type(exn) is kind
        assert str(exn) == text
        assert (exn.key, exn.field, exn.shard) == ("k", "mp4", "x.tar")
        assert origin_of(exn) == Origin("k", "mp4", "x.tar", 3)
        assert describe_error(exn) == f"{kind.__name__}: {text}"


def test_an_error_whose_text_is_its_own_is_described_with_where_it_arose():
    error = Own(1, "x")
    locate(error, SAMPLE, field="mp4")
    assert error.args == (1, "x")
    assert describe_error(error) == f"Own: (1, 'x') {WHERE}"


def test_where_an_error_arose_is_said_once():
    error = ValueError("bad")
    for _ in range(3):
        locate(error, SAMPLE, field="mp4")
    locate(error, SAMPLE, field="wav")  # what was said first is nearest
    assert str(error) == f"bad {WHERE}"


def test_one_error_object_of_several_samples_is_of_the_last():
    error = ValueError("bad")
    locate(error, {"__key__": "a"}, field="mp4")
    locate(error, {"__key__": "b"})
    assert (str(error), error.key, error.field) == ("bad (sample 'b')", "b", None)


def test_an_error_that_takes_no_attributes_stays():
    class Closed(Exception):
        def __setattr__(self, name, value):
            if name in ("key", "field", "shard"):
                raise AttributeError(name)
            super().__setattr__(name, value)

    error = Closed("bad")
    locate(error, SAMPLE)
    assert describe_error(error) == "Closed: bad (sample 'k', shard 'x.tar')"


def test_errors_of_mapped_shards(tmp_path):
    url = write_shard(tmp_path / "x.tar", [array_sample("a", 9)])
    whole = (tmp_path / "x.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[:700])
    for path in (url, str(tmp_path / "none.tar")):
        with pytest.raises(Exception, match=re.escape(path)) as caught:
            list(wds.mapped_samples(path))
        assert caught.value.shard == path


def test_names_of_any_length_do_not_fill_the_message():
    error = ValueError("bad")
    locate(error, {"__key__": "k" * 10**6})
    assert len(str(error)) < 300
    assert error.key == "k" * 10**6


def test_errors_of_the_stage(make_video):
    broken = make_video(n=20).read_bytes()[:-700]
    for field, value, kind in (("mp4", b"no video", clipx.MediaError), ("npy", b"no array", ValueError)):
        sample = {"__key__": "k", "__url__": "x.tar", field: value}
        with pytest.raises(kind) as caught:
            list(wds.clips(WINDOW)([sample]))
        assert (caught.value.key, caught.value.field, caught.value.shard) == ("k", field, "x.tar")
        assert all(each in str(caught.value) for each in ("'k'", f"'{field}'", "'x.tar'"))
    found = []
    sample = {"__key__": "k", "front.mp4": make_video(n=20).read_bytes(), "rear.mp4": broken}
    list(wds.clips(WINDOW, handler=lambda exn: found.append(exn) or True)([sample]))
    assert [(exn.key, exn.field, exn.shard) for exn in found] == [("k", "rear.mp4", None)]


def test_errors_of_a_loader(tmp_path):
    good = [array_sample(f"s{i}", 9) for i in range(3)]
    bad = {"__key__": "bad", "npy": npy(np.zeros((9, 8, 8, 3), "u1"))[:500]}
    undecoded = array_sample("undecoded", 9, json=b"{")
    url = write_shard(tmp_path / "x.tar", [good[0], bad, undecoded, *good[1:]])
    found = []
    with of_arrays(url, handler=lambda exn: found.append(exn) or True, shuffle=False) as loader:
        list(loader)
    assert [(exn.key, exn.field, exn.shard) for exn in found] == [("bad", "npy", url), ("undecoded", "json", url)]
    assert all(repr(url) in str(exn) for exn in found)


def test_errors_of_map_and_of_shards(tmp_path):
    url = write_shard(tmp_path / "x.tar", [array_sample("a", 9)])

    def wrong(sample):
        return sample["cls"]

    with of_arrays(url, map=wrong) as loader, pytest.raises(KeyError, match=r"'cls' \(sample 'a_000000'") as caught:
        list(loader)
    assert (caught.value.key, caught.value.shard) == ("a_000000", url)
    short = tmp_path / "cut.tar"
    short.write_bytes((tmp_path / "x.tar").read_bytes()[:700])
    for path in (short, tmp_path / "none.tar"):
        with of_arrays(str(path)) as loader, pytest.raises(Exception, match=path.name) as caught:
            list(loader)
        assert caught.value.shard == str(path)
