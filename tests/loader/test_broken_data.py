"""Shards and samples that are missing, broken, too short or unlike, with handlers and without."""

import tarfile
from pathlib import Path

import pytest
from helpers.arrays import array, npy
from helpers.loaders import (
    CROP,
    EACH,
    Broken,
    check_ended,
    clips_of,
    everything,
    expected,
    leased,
    of_arrays,
    of_videos,
)
from helpers.shards import array_sample, write_shard
from helpers.threads import clipx_threads, wait_until

import clipx
from clipx import wds

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


def good(samples, *broken):
    return expected(sample for sample in samples if sample["__key__"] not in broken)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("position", [0, 1, 3])
def test_missing_shard(arrays, position, shuffle, tmp_path, logged):
    urls, samples = arrays
    missing = str(tmp_path / "missing.tar")
    urls.insert(position, missing)
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False, shuffle=shuffle)
    for _ in range(2):
        assert dict(clips_of(loader)) == expected(samples)
    assert sum("missing.tar" in line for line in logged()) == 2
    loader = of_arrays(urls, shuffle=shuffle)
    with pytest.raises(FileNotFoundError, match=r"missing\.tar"):
        everything(loader)
    check_ended(loader)


def test_missing_shard_after_good_ones(arrays):
    """What comes before a shard that cannot be read is not lost to it."""
    urls, samples = arrays
    loader = of_arrays([urls[0], "missing.tar"], shuffle=False, batch_size=1)
    found = []

    def consume():
        for batch in loader:
            found.extend(clips_of([batch]))

    with pytest.raises(FileNotFoundError):
        consume()
    assert dict(found) == expected(samples[:EACH])


def members(url):
    with tarfile.open(url) as tar:
        return [(each.name, each.offset, each.offset_data, each.size) for each in tar]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("inside", ["npy", "json", "txt", "header"])
def test_shard_cut_in_half(arrays, shuffle, inside, logged):
    """The sample that is cut through is lost, and named, and nothing else is."""
    urls, samples = arrays
    found = {name: (offset, at, size) for name, offset, at, size in members(urls[1])}
    offset, at, size = found["s1_2.npy" if inside == "header" else f"s1_2.{inside}"]
    whole = Path(urls[1]).read_bytes()
    Path(urls[1]).write_bytes(whole[: offset + 100] if inside == "header" else whole[: at + max(size // 2, 1)])
    loader = of_arrays(urls, shuffle=shuffle, handler=wds.log_and_continue, drop_last=False)
    assert dict(clips_of(loader)) == good(samples, "s1_2", "s1_3")
    # A header that is cut through is the end of the shard for tarfile; what it leaves of a sample is named.
    assert any(("s1_2" if inside == "header" else "arrays-1.tar") in line for line in logged()), logged()
    with pytest.raises((tarfile.ReadError, ValueError)):
        everything(of_arrays(urls, shuffle=shuffle))


@pytest.mark.parametrize("cut", range(0, 20000, 997))
def test_shard_cut_anywhere(tmp_path, cut):
    """Samples of other shards, and those before the cut, come whole wherever a shard is cut."""
    samples = [array_sample(f"s{i}", 9 + i, json={"n": i}, txt="words", cls=i) for i in range(8)]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[2 * i : 2 * i + 2]) for i in range(4)]
    whole = Path(urls[1]).read_bytes()
    ends = [at + size for name, _, at, size in members(urls[1]) if name.endswith(".txt")]
    Path(urls[1]).write_bytes(whole[:cut])
    lost = [key for key, end in zip(("s2", "s3"), ends) if end > cut]
    found = dict(clips_of(of_arrays(urls, handler=lambda exn: True, drop_last=False)))
    assert {key: found.get(key) for key in good(samples, *lost)} == good(samples, *lost)
    assert set(found) <= set(expected(samples))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("position", [(0, 0), (1, 2), (2, 3)])
def test_corrupt_video(videos, shuffle, position, logged):
    urls, samples = videos
    i, j = position
    samples[EACH * i + j] = {**samples[EACH * i + j], "mp4": b"no video at all" * 50}
    write_shard(urls[i], samples[EACH * i : EACH * (i + 1)])
    key = f"v{i}_{j}"
    loader = of_videos(urls, shuffle=shuffle, handler=wds.log_and_continue, drop_last=False)
    wanted = expected((each for each in samples if each["__key__"] != key), "mp4", format=CROP)
    for _ in range(2):
        found = clips_of(loader, "mp4")
        assert len(found) == len(dict(found))
        assert dict(found) == wanted
    assert sum(key in line for line in logged()) == 2
    loader = of_videos(urls, shuffle=shuffle)
    with pytest.raises(clipx.MediaError, match=key) as caught:
        everything(loader)
    del caught
    check_ended(loader)


def test_video_that_breaks_in_its_middle(videos, logged):
    """Its clips before the damage come, once each; all of the others' come."""
    urls, samples = videos
    video = bytearray(samples[5]["mp4"])
    at = video.index(b"mdat")
    video[at + 400 : at + 2500] = bytes(2100)
    samples[5] = {**samples[5], "mp4": bytes(video)}
    write_shard(urls[1], samples[4:8])
    found = clips_of(of_videos(urls, handler=wds.log_and_continue, drop_last=False), "mp4")
    assert len(found) == len(dict(found))
    others = {key: clip for key, clip in found if not key.startswith("v1_1")}
    assert others == expected(samples[:5] + samples[6:], "mp4", format=CROP)


def test_many_broken_samples_that_a_handler_keeps(tmp_path, videos):
    """A handler may keep every error; no slot stays in one."""
    _, samples = videos
    broken = []
    for i in range(40):
        video = bytearray(samples[i % 12]["mp4"])
        at = video.index(b"mdat")
        video[at + 300 :] = bytes(len(video) - at - 300)
        broken.append({**samples[0], "__key__": f"b{i}", "mp4": bytes(video[: len(video) // 2] if i % 2 else video)})
    url = write_shard(tmp_path / "a.tar", [each for pair in zip(broken, samples * 4) for each in pair][:80])
    # The same key comes again far from its first: another sample for webdataset.
    errors = []
    loader = of_videos(url, handler=lambda exn: errors.append(exn) or True, memory="150kB", drop_last=False)
    found = clips_of(loader, "mp4")
    wanted = expected(samples, "mp4", format=CROP)
    assert errors
    assert {key: clip for key, clip in found if key in wanted} == wanted
    assert wait_until(lambda: not clipx_threads())
    assert leased(loader) == 0


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("position", [0, 2, 3])
@pytest.mark.parametrize("kind", ["bytes", "members", "tail"])
def test_empty_shard(arrays, position, kind, shuffle, tmp_path, logged):
    urls, samples = arrays
    empty = tmp_path / "empty.tar"
    if kind == "bytes":
        empty.touch()
    elif kind == "members":
        write_shard(empty, [])
    else:
        empty.write_bytes(bytes(10240))
    urls.insert(position, str(empty))
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False, shuffle=shuffle)
    assert dict(clips_of(loader)) == expected(samples)
    if kind == "bytes":
        assert any("empty.tar" in line for line in logged()), logged()


def test_nothing_but_empty_shards(tmp_path, logged):
    """No batch at all is said."""
    loader = of_arrays(write_shard(tmp_path / "empty.tar", []))
    assert list(loader) == []
    assert len(loader) == 0
    check_ended(loader)
    assert logged(), "an epoch without a single clip passed in silence"


def test_videos_too_short_for_a_clip(tmp_path):
    url = write_shard(tmp_path / "a.tar", [array_sample(f"s{i}", 2) for i in range(3)])
    loader = of_arrays(url)
    assert list(loader) == []
    assert len(loader) == 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_sample_without_anything_to_cut(arrays, tmp_path, shuffle, logged):
    urls, samples = arrays
    urls.insert(1, write_shard(tmp_path / "other.tar", [{"__key__": "odd", "txt": "words"}]))
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False, shuffle=shuffle)
    for _ in range(2):
        assert dict(clips_of(loader)) == expected(samples)
    assert sum("odd" in line for line in logged()) == 2, logged()


def test_undecodable_json(arrays, logged):
    urls, samples = arrays
    rest = [{**each, "json": b"{broken"} if each["__key__"] == "s0_1" else each for each in samples]
    write_shard(urls[0], rest[:EACH])
    loader = of_arrays(urls, handler=wds.log_and_continue, drop_last=False)
    assert dict(clips_of(loader)) == good(samples, "s0_1")
    assert any("s0_1" in line for line in logged()), logged()


def test_samples_of_other_fields(tmp_path):
    """A field that a sample lacks is None in its batch, of whatever kind it is where there is one."""
    samples = [array_sample("a", 9, txt="words"), array_sample("b", 9, cls=3), array_sample("c", 9, txt="more")]
    loader = of_arrays(write_shard(tmp_path / "a.tar", samples), shuffle=False, batch_size=9)
    (batch,) = loader
    assert batch["txt"] == ["words"] * 3 + [None] * 3 + ["more"] * 3
    assert batch["cls"] == [None] * 3 + [3] * 3 + [None] * 3
    assert batch["npy"].shape == (9, 4, 8, 8, 3)
    del batch
    check_ended(loader)


def test_ragged_clips(tmp_path):
    samples = [{"__key__": "a", "npy": npy(array(9))}, {"__key__": "b", "npy": npy(array(9, shape=(6, 6, 3)))}]
    loader = of_arrays(write_shard(tmp_path / "a.tar", samples), shuffle=False, batch_size=8)
    with pytest.raises(ValueError, match=r"\(4, 8, 8, 3\).*'a_0+'.*\(4, 6, 6, 3\).*'b_0+'"):
        everything(loader)
    check_ended(loader)


def test_a_clip_larger_than_the_first(tmp_path):
    samples = [{"__key__": "a", "npy": npy(array(9))}, {"__key__": "b", "npy": npy(array(9, shape=(9, 9, 3)))}]
    loader = of_arrays(write_shard(tmp_path / "a.tar", samples), shuffle=False, handler=lambda exn: True)
    with pytest.raises(ValueError, match="shape"):
        everything(loader)
    check_ended(loader)


def check_raised_by_handler(urls, shuffle):
    def handler(exn):
        raise Broken("handler") from exn

    loader = of_arrays(urls, handler=handler, shuffle=shuffle)
    with pytest.raises(Broken, match="handler") as caught:
        everything(loader)
    del caught
    check_ended(loader)


@pytest.mark.parametrize("shuffle", [False, True])
def test_handler_that_raises(arrays, shuffle):
    urls, _ = arrays
    Path(urls[1]).write_bytes(b"")
    check_raised_by_handler(urls, shuffle)


def test_handler_that_raises_at_a_sample(arrays):
    urls, samples = arrays
    for first in (0, 1):
        rest = [{**each, "npy": b"broken"} if each["__key__"] == f"s0_{first}" else each for each in samples]
        write_shard(urls[0], rest[:EACH])
        check_raised_by_handler(urls, shuffle=False)


def test_handler_that_ends(arrays):
    urls, samples = arrays
    rest = [{**each, "npy": b"broken"} if each["__key__"] == "s1_0" else each for each in samples]
    write_shard(urls[1], rest[EACH : 2 * EACH])
    loader = of_arrays(urls, handler=lambda exn: False, shuffle=False, drop_last=False)
    assert dict(clips_of(loader)) == expected(samples[:EACH])
    check_ended(loader)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("seed", [0, 2])
def test_more_broken_samples_than_are_open_at_once_lose_no_other(tmp_path, threads, seed):
    spec = clipx.WindowSpec(8, 4, 2, policy="error")
    frames = [[24, 15], [16, 2, 12], [46], [39, 58, 40]]
    urls = []
    for shard, counts in enumerate(frames):
        samples = [array_sample(f"{shard}/{k}", n) for k, n in enumerate(counts)]
        urls.append(write_shard(tmp_path / f"{shard}.tar", samples))
    for epoch in range(4):
        refused = []
        loader = clipx.Loader(
            urls,
            spec,
            batch_size=1,
            memory="8MB",
            threads=threads,
            seed=seed,
            epoch=epoch,
            handler=lambda exn, refused=refused: refused.append(exn) or True,
        )
        keys = sorted(key for batch in loader for key in batch["__key__"])
        assert keys == ["0/1_000000", *(f"3/0_{index:06d}" for index in range(7))]
        assert len(refused) == 7
