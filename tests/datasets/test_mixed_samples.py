"""Samples whose fields differ: kinds, optional fields, values and sizes."""

import logging

import numpy as np
import pytest
from helpers.arrays import array, npy
from helpers.loaders import WINDOW
from helpers.shards import array_sample, write_shard
from helpers.sound_fields import MONO, SOUND, wav

import clipx
from clipx import wds

pytestmark = pytest.mark.usefixtures("small_decoders", "no_threads_left")


def test_without_keys_a_dataset_of_mixed_kinds_says_so(sounds, caplog):
    loader = clipx.Loader(sounds, SOUND, audio=MONO, batch_size=4, memory="1MB", shuffle=False)
    with pytest.raises(
        ValueError, match=r"'a0_000000'.*'wav'.*'a1_000000'.*'flac'.*mixed kinds.*keys='wav;flac'"
    ) as caught:
        list(loader)
    assert (caught.value.key, caught.value.field, caught.value.shard) == ("a1_000000", "flac", sounds)
    loader = clipx.Loader(
        sounds, SOUND, audio=MONO, batch_size=2, memory="1MB", shuffle=False, handler=wds.log_and_continue
    )
    with caplog.at_level(logging.WARNING, "clipx"):
        assert sum(len(batch["wav"]) for batch in loader) == 6
    assert "keys='wav;flac'" in caplog.records[0].message
    assert {entry.key[:2] for entry in loader.errors} == {"a1", "a3", "a5"}


def test_optional_fields(tmp_path):
    samples = [
        array_sample("a", 6, txt="words", cls=1, **{"vec.npy": npy(np.arange(3))}),
        array_sample("b", 6, cls=2),
        array_sample("c", 6, **{"vec.npy": npy(np.arange(3) + 1), "more.json": {"n": 1}}),
    ]
    loader = clipx.Loader(
        write_shard(tmp_path / "a.tar", samples), WINDOW, batch_size=3, memory="60kB", keys="npy", shuffle=False
    )
    first, second = list(loader)
    assert first["__key__"] == ["a_000000", "a_000001", "b_000000"]
    assert first["txt"] == ["words", "words", None]
    assert first["cls"].tolist() == [1, 1, 2]
    assert [None if each is None else each.tolist() for each in first["vec.npy"]] == [[0, 1, 2], [0, 1, 2], None]
    assert "more.json" not in first
    assert second["__key__"] == ["b_000001", "c_000000", "c_000001"]
    assert "txt" not in second
    assert second["cls"] == [2, None, None]
    assert [None if each is None else each.tolist() for each in second["vec.npy"]] == [None, [1, 2, 3], [1, 2, 3]]
    assert second["more.json"] == [None, {"n": 1}, {"n": 1}]
    del first, second


def test_an_optional_clip_that_map_makes_keeps_no_slot(tmp_path):
    """A view of a clip in a list is copied, so that the pool does not run out."""
    samples = [array_sample(f"s{i}", 30, **({"txt": "x"} if i % 2 else {})) for i in range(20)]

    def change(sample):
        return {**sample, "first": sample["npy"][0]} if "txt" in sample else sample

    loader = clipx.Loader(write_shard(tmp_path / "a.tar", samples), WINDOW, batch_size=8, memory="80kB", map=change)
    seen = 0
    for batch in loader:
        for at, (clip, first, text) in enumerate(zip(batch["npy"], batch["first"], batch["txt"])):
            assert (first is None) == (text is None), at
            if first is not None:
                assert (clip[0] == first).all()
        seen += len(batch["__key__"])
        del batch, clip, first
    assert seen == 280 // 8 * 8


def test_values_of_several_types_stand_in_a_list(tmp_path):
    samples = [array_sample("a", 6), array_sample("b", 6), array_sample("c", 6)]
    values = {"a": [1, "x"], "b": ["x", 1], "c": [2.5, np.arange(2)]}

    def change(sample):
        key, number = sample["__key__"].split("_")
        return {**sample, "value": values[key][int(number)]}

    url = write_shard(tmp_path / "a.tar", samples)
    loader = clipx.Loader(url, WINDOW, batch_size=2, memory="60kB", map=change, shuffle=False)
    assert [list(map(str, batch["value"])) for batch in loader] == [["1", "x"], ["x", "1"], ["2.5", "[0 1]"]]


def test_sizes_that_differ_are_named_with_a_cure(tmp_path, make_video):
    small, large = (make_video(n=8, size=size).read_bytes() for size in ((48, 64), (64, 96)))
    for order in ([small, large], [large, small]):
        samples = [{"__key__": f"v{i}", "mp4": video} for i, video in enumerate(order)]
        loader = clipx.Loader(
            write_shard(tmp_path / "a.tar", samples), WINDOW, batch_size=4, memory="8MB", shuffle=False
        )
        with pytest.raises(ValueError) as caught:
            list(loader)
        assert (caught.value.key[:2], caught.value.field) == ("v1", "mp4")
        for words in ("'v0_000000'", "'v1", "(4, 48, 64, 3)", "(4, 64, 96, 3)", "resize", "crop"):
            assert words in str(caught.value)
    clips = [{"__key__": "a", "mp4": np.zeros((4, 48, 64, 3))}, {"__key__": "b", "mp4": np.zeros((4, 64, 96, 3))}]
    with pytest.raises(ValueError, match=r"\(4, 48, 64, 3\).*'a'.*\(4, 64, 96, 3\).*'b'.*resize"):
        list(wds.batched(2)(clips))


def test_encoded_bytes_as_arrays_and_tensors(make_video):
    video, sound = make_video(n=20).read_bytes(), wav()
    kinds = [lambda data: np.frombuffer(data, np.uint8), lambda data: np.frombuffer(data, np.uint8).repeat(2)[::2]]
    try:
        import torch
    except ImportError:
        pass
    else:
        kinds.append(lambda data: torch.frombuffer(bytearray(data), dtype=torch.uint8))
    for kind in kinds:
        for src, cut, field, window in (
            (video, clipx.video.clips, "mp4", WINDOW),
            (sound, clipx.audio.clips, "wav", SOUND),
        ):
            wanted = [clip.data for clip in cut(src, window)]
            direct = [clip.data for clip in cut(kind(src), window)]
            stage = [clip[field] for clip in wds.clips(window)([{"__key__": "a", field: kind(src)}])]
            for got in (direct, stage):
                assert len(got) == len(wanted) > 0
                assert all((a == b).all() for a, b in zip(got, wanted))
        assert len(list(wds.clips(WINDOW)([{"__key__": "a", "npy": kind(npy(array(9)))}]))) == 3
    with pytest.raises(TypeError, match="src has items"):
        clipx.video.clips(np.zeros((3, 3), np.uint8), WINDOW)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_of_torch_in_windows(name):
    torch, ml_dtypes = pytest.importorskip("torch"), pytest.importorskip("ml_dtypes")
    tensor = torch.arange(24).reshape(12, 2).to(getattr(torch, name))
    for value, wanted in ((tensor, tensor), (tensor.T, tensor.T)):
        clips = clipx.windows.extract(value, 2 if value is tensor else 1)
        assert clips.dtype == getattr(ml_dtypes, name)
        whole = wanted.float().numpy()
        assert (clips.astype(np.float32).reshape(whole.shape) == whole).all()
