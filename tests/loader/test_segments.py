"""The Loader with segments: the clips of all, exact states, errors once, and no more than the budget has room for."""

import json
import logging
import random

import numpy as np
import pytest
from helpers.arrays import npy
from helpers.loaders import CROP, check_ended, digest
from helpers.shards import write_shard
from helpers.states import check_every

import clipx
from clipx import wds
from clipx.loader import budget

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]

SPEC = clipx.WindowSpec(4, 2, policy="repeat_last")
N = 40


def pairs_of(rng, most, scale):
    """Segments of any kind: overlapping, unsorted, tiny, empty, past the end."""
    found = []
    for _ in range(rng.randrange(most)):
        start = rng.randrange(N + 6)
        found.append([start / scale, (start + rng.choice([-2, 0, 1, 3, 8, 20])) / scale])
    return [[int(a), int(b)] for a, b in found] if scale == 1 else found


@pytest.fixture(params=["npy", "mp4"])
def shards(request, tmp_path, make_video):
    """Shards of arrays or videos with segments, their samples, and the name of the field."""
    kind, rng, samples = request.param, random.Random(3), []
    for i in range(12):
        value = npy(np.full((N, 8, 8, 3), i, np.uint8) + np.arange(N, dtype=np.uint8)[:, None, None, None])
        if kind == "mp4":
            value = make_video(N + i).read_bytes()
        segments = pairs_of(rng, 5, 1 if kind == "npy" else 25)
        samples.append({"__key__": f"s{i:02d}", kind: value, "json": json.dumps({"s": segments}).encode()})
    urls = [write_shard(tmp_path / f"{i}.tar", samples[4 * i : 4 * i + 4]) for i in range(3)]
    return urls, samples, kind


def make(urls, spec=SPEC, **rest):
    given = {"batch_size": 4, "memory": "1MB", "segments": "json:s", "handler": lambda exn: True, "threads": 2, **rest}
    return clipx.Loader(urls, spec, CROP if given.pop("kind", "mp4") == "mp4" else None, **given)


def collecting(errors):
    """A handler that adds the message of each error, and goes on."""

    def handler(exn):
        errors.append(str(exn))
        return True

    return handler


def expected(samples, kind, errors):
    stage = wds.clips(SPEC, CROP if kind == "mp4" else None, segments="json:s", handler=collecting(errors))
    return {clip["__key__"]: digest(clip[kind]) for clip in stage(samples)}


def test_the_clips_of_the_stage(shards):
    urls, samples, kind = shards
    errors, found = [], []
    wanted = expected(samples, kind, errors)
    with make(urls, kind=kind, drop_last=False, handler=collecting(found)) as loader:
        batches = list_of(loader, kind)
    assert dict(batches) == wanted
    assert len(batches) == len(wanted) > 20
    assert len(errors) > 3

    def plain(texts):
        return sorted(text.partition(" (")[0] for text in texts)

    assert plain(found) == plain(errors)
    assert loader.errors.counts["segment"] == len(errors)
    check_ended(loader)


def list_of(loader, kind):
    out = []
    for batch in loader:
        facts = batch["clip.json"]
        keys = [f"{each['key']}_{each['segment']['number']:04d}_{each['index']:06d}" for each in facts]
        assert keys == batch["__key__"]
        out += [(key, digest(clip)) for key, clip in zip(batch["__key__"], list(batch[kind]))]
        del batch
    return out


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (SPEC, {"shuffle": False, "drop_last": False}),
        (SPEC, {}),
        (clipx.UniformSpec(4, sampling="random"), {}),
        (clipx.WindowSpec(4, num_clips=3, sampling="random", policy="wrap"), {"drop_last": False}),
        (clipx.WindowSpec(3, 4, offset="random"), {}),
    ],
)
def test_every_state(shards, spec, options):
    urls, _, kind = shards
    check_every(lambda **rest: make(urls, spec, kind=kind, **options, **rest), every=3)


@pytest.mark.parametrize("ragged", ["list", "pad", "bucket"])
def test_states_of_clips_of_different_lengths(shards, ragged):
    urls, _, kind = shards
    if kind == "npy":
        return  # arrays have no times
    spec = clipx.RateSpec(12, max_frames=6)
    check_every(lambda **rest: make(urls, spec, kind=kind, ragged=ragged, **rest), every=3)


def test_errors_come_once(shards):
    """No error of a sample that has given a clip comes again behind a state."""
    urls, _, kind = shards
    seen, given = [], []
    loader = make(urls, kind=kind, shuffle=False, handler=lambda exn: seen.append((exn.key, str(exn))) or True)
    iterator = iter(loader)
    for _ in range(4):
        given += [each["key"] for each in next(iterator)["clip.json"]]
    state = loader.state_dict()
    loader.close()
    again = []
    rest = make(urls, kind=kind, shuffle=False, handler=lambda exn: again.append((exn.key, str(exn))) or True)
    rest.load_state_dict(state)
    rest_keys = [each["key"] for batch in rest for each in batch["clip.json"]]
    assert not {key for key, _ in again} & {*given}
    assert len(again) == len({*again})
    whole = []
    for _ in make(urls, kind=kind, shuffle=False, handler=lambda exn: whole.append((exn.key, str(exn))) or True):
        pass
    assert {*seen} | {*again} == {*whole}
    assert len(whole) == len({*whole})
    assert rest_keys


def test_the_order_does_not_depend_on_threads(shards):
    urls, _, kind = shards
    runs = []
    for threads in (1, 4):
        errors = []
        loader = make(
            urls, kind=kind, threads=threads, handler=lambda exn, errors=errors: errors.append(str(exn)) or True
        )
        runs.append((list_of(loader, kind), errors))
    assert runs[0] == runs[1]


def test_a_first_sample_whose_segments_are_bad(tmp_path):
    samples = [
        {"__key__": f"s{i}", "npy": npy(np.arange(N)), "json": json.dumps({"s": segments}).encode()}
        for i, segments in enumerate([[[3, 1], [50, 60]], [[2, 2], [0, 8]], [[0, 8]], "no list"])
    ]
    url = write_shard(tmp_path / "0.tar", samples)
    errors = []
    loader = make([url], kind="npy", batch_size=1, handler=lambda exn: errors.append(str(exn)[:10]) or True)
    assert len(list_of(loader, "npy")) == 6
    assert errors == ["segment 0 ", "segment 1,", "segment 0 ", "'json:s' i"]
    assert loader.errors.counts == {"segment": 3, "error": 1, "no clips": 1}
    errors.clear()
    loader = make(
        [write_shard(tmp_path / "1.tar", samples[:1] * 1)], kind="npy", handler=lambda exn: errors.append(exn) or True
    )
    assert list(loader) == []
    assert [str(exn)[:9] for exn in errors] == ["segment 0", "segment 1"]
    # A handler that takes nothing is asked once.
    loader = make([url], kind="npy", handler=lambda exn: errors.append(exn) or False)
    errors.clear()
    assert list(loader) == []
    assert len(errors) == 1


def test_the_default_handler_raises_the_first_error(tmp_path):
    sample = {"__key__": "a", "npy": npy(np.arange(N)), "json": b'{"s": [[0, 9], [4, 2]]}'}
    loader = clipx.Loader(
        write_shard(tmp_path / "0.tar", [sample]), SPEC, batch_size=1, memory="1MB", segments="json:s"
    )
    with pytest.raises(ValueError, match=r"segment 1 of 'json:s': end is 2, but must be after start, 4 \(sample 'a'"):
        list(loader)
    assert loader.errors.counts == {"segment": 1}
    check_ended(loader)


def test_a_function_of_the_sample_gets_decoded_fields(shards):
    urls, samples, kind = shards
    wanted = expected(samples, kind, [])
    loader = make(urls, kind=kind, segments=lambda sample: sample["json"]["s"], drop_last=False, equal_batches=True)
    count = len(loader)
    batches = list_of(loader, kind)
    assert dict(batches) == wanted
    assert count == -(-len(wanted) // 4)


@pytest.mark.parametrize("spec", [SPEC, clipx.WindowSpec(3, 4, offset="random"), clipx.UniformSpec(4)])
def test_equal_batches_count_segments(shards, monkeypatch, spec):
    urls, _, kind = shards
    found, lengths = [], []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        loader = make(urls, spec, kind=kind, equal_batches=True, drop_last=False)
        lengths.append(len(loader))
        found.append(sum(len(batch["__key__"]) for batch in loader))
    assert lengths[0] == lengths[1]
    assert found[0] == found[1]


def test_more_segments_than_there_is_room_for(tmp_path):
    many = json.dumps({"s": [[i % 30, i % 30 + 4] for i in range(10_000)]}).encode()
    samples = [
        {"__key__": key, "npy": npy(np.arange(N)), "json": data}
        for key, data in [("a", many), ("b", b'{"s": [[0, 4]]}')]
    ]
    url = write_shard(tmp_path / "0.tar", samples)
    errors = []
    loader = make([url], kind="npy", batch_size=1, handler=lambda exn: errors.append(exn) or True)
    assert [key for key, _ in list_of(loader, "npy")] == ["b_0000_000000"]
    assert [(exn.key, type(exn)) for exn in errors] == [("a", ValueError)]
    assert "memory" in str(errors[0])
    # A function can make more of less.
    errors.clear()
    loader = make(
        [write_shard(tmp_path / "1.tar", samples[1:])],
        kind="npy",
        batch_size=1,
        segments=lambda sample: [(0, 4)] * 10_000,
        handler=lambda exn: errors.append(exn) or True,
    )
    assert list(loader) == []
    assert "segments gives 10000 segments" in str(errors[0])


def test_more_open_clips_than_there_are_slots(tmp_path, make_video):
    data = make_video(N).read_bytes()
    samples = [
        {"__key__": key, "mp4": data, "json": json.dumps({"s": segments}).encode()}
        for key, segments in [
            ("a", [[0, 1.2]] * 60),
            ("b", [[0, 1.2], [0.1, 1]]),
            ("c", [[0.04 * i, 1.5] for i in range(20)]),
        ]
    ]
    urls = [write_shard(tmp_path / "0.tar", samples)]
    errors = []
    spec = clipx.UniformSpec(4)
    loader = make(urls, spec, batch_size=1, memory="4MB", handler=lambda exn: errors.append(exn) or True)
    keys = [key for key, _ in list_of(loader, "mp4")]
    assert {key[0] for key in keys} == {"b", "c"}
    assert len(keys) == 22
    assert [exn.key for exn in errors] == ["a"]
    assert "open at" in str(errors[0])
    check_every(lambda **rest: make(urls, spec, batch_size=2, memory="4MB", **rest), every=4)


def test_slots_for_segments():
    clip = 1000
    memory = 6 * (8 * clip + budget.DECODER_BYTES)
    assert budget.most_held(2, memory, clip, 0, 1) == budget.most_held(2, 2 * memory, clip, 0, 2) == 8 - budget.READY
    assert budget.most_held(2, memory, clip, 5 * clip, 1) == 2
    assert budget.most_held(2, 10**9, clip, 0, 1) == budget.MOST_HELD
    assert budget.most_held(50, 10**9, clip, 0, 1) == 50


def test_states_know_the_segments(shards):
    urls, _, kind = shards
    state = make(urls, kind=kind).state_dict()
    for other in ({"segments": "json:t"}, {"min_seconds": 1}, {"segments": [(0, 4)]}, {"segments": lambda sample: []}):
        with pytest.raises(ValueError, match=r"state was saved with segments .*json:s"):
            make(urls, kind=kind, **other).load_state_dict(state)
    make(urls, kind=kind).load_state_dict(state)


def test_lists_of_frames_of_a_field(tmp_path, make_video):
    samples = [
        {"__key__": f"s{i}", "mp4": make_video(N).read_bytes(), "json": json.dumps([i, 2 * i, 30]).encode()}
        for i in range(6)
    ]
    samples.append({"__key__": "bad", "mp4": samples[0]["mp4"], "json": b"[3, 99]"})
    urls = [write_shard(tmp_path / "0.tar", samples)]
    spec = clipx.FrameList(frames="json", max_frames=3)
    errors = []

    def of_lists(handler=lambda exn: True, **rest):
        return make(urls, spec, segments=None, batch_size=2, handler=handler, **rest)

    found = {}
    for batch in of_lists(handler=lambda exn: errors.append(exn) or True):
        found |= {key: fact["frame_indices"] for key, fact in zip(batch["__key__"], batch["clip.json"])}
    assert found == {f"s{i}_000000": [i, 2 * i, 30] for i in range(6)}
    assert [exn.key for exn in errors] == ["bad"]
    check_every(of_lists)
    with pytest.raises(ValueError, match="max_frames"):
        clipx.Loader(urls, clipx.FrameList(frames="json"), batch_size=2)


def test_samples_without_segments_are_logged(tmp_path, caplog):
    samples = [{"__key__": f"s{i}", "npy": npy(np.arange(N)), "json": b'{"s": []}'} for i in range(3)]
    samples.append({"__key__": "s3", "npy": npy(np.arange(N)), "json": b'{"s": [[0, 4]]}'})
    url = write_shard(tmp_path / "0.tar", samples)
    with caplog.at_level(logging.WARNING):
        assert len(list_of(make([url], kind="npy", batch_size=1), "npy")) == 1
    assert "3 samples gave no clips" in caplog.text
    assert "it has no segments" in caplog.text
