"""The stage with segments: the clips of all, by the keys of their segments, and the errors of some."""

import json

import numpy as np
import pytest
from helpers.sounds import corpus_file
from hypothesis import given
from hypothesis import strategies as st

import clipx
from clipx import wds
from clipx.errors import MediaError

SPEC = clipx.WindowSpec(4, 3, policy="repeat_last")
N = 40


def run(sample, segments, spec=SPEC, **options):
    """The clips of a sample, and the errors that came before them."""
    errors = []
    stage = wds.clips(spec, segments=segments, handler=lambda exn: errors.append(exn) or True, **options)
    return list(stage([sample])), errors, stage.errors


def expected(source, segments, spec=SPEC, **options):
    """The clips of a source, by the keys that the stage gives them after that of the sample."""
    clips = clipx.video.clips(source, spec, segments=segments, **options)
    return {f"{clip.segment.number:04d}_{clip.index:06d}": clip.data for clip in clips}


@pytest.mark.parametrize("decoded", [False, True])
def test_clips_of_videos(make_video, decoded):
    path = make_video(N)
    entries = [[0.0, 0.5], {"start": 0.2, "end": 1, "caption": "a"}, {"start_frame": 30, "end_frame": 35}, [1.2, 99]]
    segments = [(0, 0.5), (0.2, 1), clipx.Segment(30, 35, unit="frames"), (1.2, 99)]
    value = {"segments": entries}
    sample = {"__key__": "v", "__url__": "u", "json": value if decoded else json.dumps(value).encode(), "cls": 3}
    out, errors, ledger = run({**sample, "mp4": path.read_bytes()}, "json:segments", pool="2MB")
    clips = {each["__key__"].removeprefix("v_"): each["mp4"] for each in out}
    wanted = expected(path, segments)
    assert list(clips) == list(wanted)
    assert all(np.array_equal(clips[key], wanted[key]) for key in wanted)
    assert (errors, len(ledger)) == ([], 0)
    assert all((each["json"], each["cls"], each["__url__"]) == (sample["json"], 3, "u") for each in out)
    facts = {each["__key__"]: each["clip.json"] for each in out}
    assert facts["v_0001_000000"]["segment"] == {
        "number": 1,
        "start": 0.2,
        "end": 1,
        "unit": "seconds",
        "facts": {"caption": "a"},
    }
    assert facts["v_0002_000001"]["segment"]["unit"] == "frames"
    assert all((each["key"], each["url"]) == ("v", "u") for each in facts.values())
    assert all(key == f"v_{each['segment']['number']:04d}_{each['index']:06d}" for key, each in facts.items())
    json.dumps(facts)


def test_clips_of_sound():
    data = corpus_file("flac")
    segments, spec = [(0.5, 0.9), (0.1, 0.6), (5, 6)], clipx.WindowSpec(1600, 1600)
    out, errors, _ = run({"__key__": "s", "flac": data, "json": segments}, "json", spec, pool="2MB")
    wanted = clipx.audio.clips(data, spec, segments=segments[:2])
    for each, clip in zip(out, wanted, strict=True):
        assert each["__key__"] == f"s_{clip.segment.number:04d}_{clip.index:06d}"
        assert np.array_equal(each["flac"], clip.data)
    assert [error.args[0].split(",")[0] for error in errors] == ["segment 2"]


def test_clips_of_arrays_have_pairs_of_frames():
    x = np.arange(N)
    out, errors, _ = run({"__key__": "a", "npy": x, "json": [[0, 7], [30, 99]]}, "json")
    assert {each["__key__"]: each["npy"].tolist() for each in out} == {
        "a_0000_000000": [0, 1, 2, 3],
        "a_0000_000001": [3, 4, 5, 6],
        "a_0001_000000": [30, 31, 32, 33],
        "a_0001_000001": [33, 34, 35, 36],
        "a_0001_000002": [36, 37, 38, 39],
    }
    assert errors == []
    entries = [{"start": 0, "end": 1.5}, {"start_frame": 0, "end_frame": 4}]
    (clip,), (error,), _ = run({"__key__": "a", "npy": x, "json": entries}, "json")
    assert clip["__key__"] == "a_0001_000000"
    assert "segment 0, 0 to 1.5 s: it is in seconds, but an array has no times" in str(error)


def test_without_segments_all_stays():
    x = np.arange(N)
    plain, _, _ = run({"__key__": "a", "npy": x}, None)
    assert [each["__key__"] for each in plain] == [f"a_{i:06d}" for i in range(len(plain))]
    assert all("segment" not in each["clip.json"] for each in plain)


def test_bad_segments_lose_no_others(make_video, caplog):
    sample = {"__key__": "v", "__url__": "s.tar", "mp4": make_video(N).read_bytes()}
    entries = [[0, 0.4], [3, 2], [0.4, 0.8], [50, 60], {"start": 1}, [1, 1.4]]
    out, errors, ledger = run({**sample, "json": entries}, "json")
    assert {each["clip.json"]["segment"]["number"] for each in out} == {0, 2, 5}
    assert [str(error) for error in errors] == [
        "segment 1 of 'json': end is 2, but must be after start, 3 (sample 'v', shard 's.tar')",
        str(errors[1]),
        "segment 4 of 'json': it has no 'end' (sample 'v', shard 's.tar')",
    ]
    assert str(errors[1]).startswith("segment 3, 50 to 60 s: it starts")
    assert "field 'mp4' of sample 'v' ends at 1.6 s (shard 's.tar')" in str(errors[1])
    assert all((type(error), error.key, error.shard) == (ValueError, "v", "s.tar") for error in errors)
    assert ledger.counts == {"segment": 3}
    assert [(entry.kind, entry.key, entry.clips) for entry in ledger] == [("segment", "v", 0)] * 3
    # The others are as without the bad ones.
    good, _, _ = run({**sample, "json": [entries[0], entries[2], entries[5]]}, "json")
    assert all(np.array_equal(a["mp4"], b["mp4"]) for a, b in zip(out, good, strict=True))
    # A handler that says no ends the stage; the default raises.
    stage = wds.clips(SPEC, segments="json", handler=lambda exn: False)
    assert list(stage([{**sample, "json": entries}] * 2)) == []
    with pytest.raises(ValueError, match="segment 1 of 'json': end is 2"):
        next(wds.clips(SPEC, segments="json")([{**sample, "json": entries}]))


def test_a_field_that_is_wrong_is_the_samples_error():
    x = np.arange(N)
    samples = [
        {"__key__": "a", "npy": x},
        {"__key__": "b", "npy": x, "json": 3},
        {"__key__": "c", "npy": x, "json": []},
    ]
    errors = []
    stage = wds.clips(SPEC, segments="json", handler=lambda exn: errors.append(exn) or True)
    assert next(iter(stage([*samples, {"__key__": "d", "npy": x, "json": [[0, 4]]}])))["__key__"] == "d_0000_000000"
    assert [(error.key, error.field) for error in errors] == [("a", "json"), ("b", "json")]
    assert "there is no field 'json' among npy" in str(errors[0])
    assert "'json' is a int, but must be a list of segments" in str(errors[1])
    assert [(entry.kind, entry.key) for entry in stage.errors] == [("error", "a"), ("error", "b"), ("no clips", "c")]
    assert "it has no segments" in str(stage.errors[2])


def test_a_sample_whose_segments_give_none(caplog):
    sample = {"__key__": "a", "npy": np.arange(N), "json": [[0, 2], [90, 95]]}
    out, errors, ledger = run(sample, "json", clipx.WindowSpec(8))
    assert (out, len(errors), ledger.counts) == ([], 1, {"segment": 1, "no clips": 1})
    assert "its 2 segments give none" in str(ledger[1])


def test_filters(make_video):
    sample = {"__key__": "v", "mp4": make_video(N).read_bytes(), "json": [[0, 0.2], [0, 0.6], [0, 1.5]]}
    out, errors, _ = run(sample, "json", trim_seconds=0.08, min_seconds=0.4, max_seconds=1)
    assert {each["clip.json"]["segment"]["number"] for each in out} == {1}
    assert out[0]["clip.json"]["frame_indices"] == [2, 3, 4, 5]
    assert errors == []


def test_functions_and_one_list_for_all():
    samples = [{"__key__": str(n), "npy": np.arange(n), "cls": n} for n in (10, 20)]
    stage = wds.clips(SPEC, segments=lambda sample: [(sample["cls"] - 4, sample["cls"])])
    assert [each["npy"].tolist() for each in stage(samples)] == [[6, 7, 8, 9], [16, 17, 18, 19]]
    stage = wds.clips(SPEC, segments=[(1, 5), (0, 4)])
    assert [each["__key__"] for each in stage(samples)] == [
        "10_0001_000000",
        "10_0000_000000",
        "20_0001_000000",
        "20_0000_000000",
    ]

    def broken(sample):
        raise KeyError("gone")

    errors = []
    stage = wds.clips(SPEC, segments=broken, handler=lambda exn: errors.append(exn) or True)
    assert list(stage(samples)) == []
    assert [(type(error), error.key) for error in errors] == [(KeyError, "10"), (KeyError, "20")]


def test_fields_in_step_share_segments(make_video):
    path, other = make_video(N), make_video(N, size=(32, 48))
    sample = {
        "__key__": "v",
        "a.mp4": path.read_bytes(),
        "b.mp4": other.read_bytes(),
        "json": [[0.4, 1], [0, 0.6], [9, 10]],
    }
    out, errors, _ = run(sample, "json", keys=["a.mp4", "b.mp4"], pool="3MB")
    assert len(errors) == 1  # and not one of each field
    segments = [(0.4, 1), (0, 0.6)]
    for field, source in (("a.mp4", path), ("b.mp4", other)):
        wanted = expected(source, segments)
        assert [each["__key__"] for each in out] == [f"v_{key}" for key in wanted]
        assert all(np.array_equal(each[field], clip) for each, clip in zip(out, wanted.values()))


def test_fields_in_step_that_end_apart(make_video):
    sample = {"__key__": "v", "a.mp4": make_video(N).read_bytes(), "b.mp4": make_video(N - 8).read_bytes()}
    _, errors, _ = run({**sample, "json": [[1, 99], [0, 0.6]]}, "json", keys=["a.mp4", "b.mp4"])
    assert len(errors) == 1
    assert "the fields of a sample must have the same number of frames" in str(errors[0])


@pytest.mark.parametrize("decoded", [False, True])
def test_lists_of_frames_of_a_field(make_video, decoded):
    path = make_video(N)
    lists = {"a": [3, 1, 30], "b": [7], "c": [0, 40], "d": [], "e": "x"}
    samples = [
        {
            "__key__": key,
            "mp4": path.read_bytes(),
            "json": {"at": value} if decoded else json.dumps({"at": value}).encode(),
        }
        for key, value in lists.items()
    ]
    errors = []
    spec = clipx.FrameList(frames="json:at", max_frames=3)
    stage = wds.clips(spec, pool="1MB", handler=lambda exn: errors.append(exn) or True)
    out = list(stage([*samples, {"__key__": "f", "mp4": path.read_bytes()}]))
    assert {each["__key__"]: each["clip.json"]["frame_indices"] for each in out} == {
        "a_000000": [3, 1, 30],
        "b_000000": [7],
    }
    assert [error.key for error in errors] == ["c", "d", "e", "f"]
    rules = [
        "frames[1] is 40, but there are 40 frames",
        "frames is empty",
        "'json:at' is a str, but must be a list of numbers",
        "there is no field 'json'",
    ]
    for error, text in zip(errors, rules, strict=True):
        assert text in str(error)


def test_lists_of_seconds_of_a_field(make_video):
    sample = {"__key__": "a", "mp4": make_video(N).read_bytes(), "json": {"x": {"t": 0.4}, "y": {"t": 0.05}}}
    spec = clipx.FrameList(seconds="json:*.t", max_frames=2)
    (clip,) = wds.clips(spec)([sample])
    assert clip["clip.json"]["frame_indices"] == [10, 1]


def test_a_list_of_frames_that_is_longer_than_it_may_be():
    spec = clipx.FrameList(frames="json", max_frames=2)
    with pytest.raises(ValueError, match="frames has 3 numbers, but max_frames is 2") as caught:
        list(wds.clips(spec)([{"__key__": "a", "npy": np.arange(9), "json": [1, 2, 3]}]))
    assert (caught.value.key, caught.value.field) == ("a", "json")


def test_arguments():
    with pytest.raises(ValueError, match="segments is '', but must name a field"):
        wds.clips(SPEC, segments="")
    with pytest.raises(ValueError, match="min_seconds is 3, but segments is None"):
        wds.clips(SPEC, min_seconds=3)
    with pytest.raises(ValueError, match="whose clips have no longest length"):
        wds.clips(clipx.FrameList(frames="json"), pool="1MB")


def test_damage_behind_the_clips_of_segments(make_video):
    """A broken file gives the clips before the damage, and its own error after those of its segments."""
    data = make_video(N, container="mpegts", suffix=".ts").read_bytes()
    sample = {"__key__": "v", "ts": data[: len(data) // 2 + 100], "json": [[99, 100], [1.4, 1.8]]}
    out, errors, ledger = run(sample, "json")
    assert any(isinstance(error, MediaError) for error in errors) or ledger.counts.get("segment")
    assert all(each["__key__"].startswith("v_0001") for each in out)


@given(st.lists(st.tuples(st.integers(-2, 45), st.integers(-2, 45)), max_size=6))
def test_the_clips_of_segments_and_their_errors_are_all(pairs):
    x = np.arange(N)
    out, errors, _ = run(
        {"__key__": "a", "npy": x, "json": [list(pair) for pair in pairs]}, "json", clipx.UniformSpec(3)
    )
    bad = [i for i, (start, end) in enumerate(pairs) if start < 0 or end <= start or start >= N]
    assert [error.args[0].split()[1].strip(",") for error in errors] == [str(i) for i in bad]
    good = [i for i in range(len(pairs)) if i not in bad]
    assert sorted(each["clip.json"]["segment"]["number"] for each in out) == good
    for each in out:
        start, end = pairs[each["clip.json"]["segment"]["number"]]
        part = x[start:end]
        assert each["npy"].tolist() == part[[(2 * i + 1) * len(part) // 6 for i in range(3)]].tolist()
