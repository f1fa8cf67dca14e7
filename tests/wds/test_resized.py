"""The stage with formats that resize: each clip's own rectangle, as "clip.json" has it, and what it is drawn from."""

import json

import numpy as np
import pytest
import reference_resampling as reference
from helpers.arrays import array, npy

import clipx
from clipx import wds, windows

SPEC = clipx.WindowSpec(4, 2)
SIZE = (5, 7)
FORMAT = clipx.ClipFormat(crop=clipx.RandomResizedCrop(SIZE, scale=(0.1, 1)), flip=0.5)
FRAMES = array(12, shape=(20, 30, 3))


def run(sample, format=FORMAT, spec=SPEC, **rest):
    return list(wds.clips(spec, format, **rest)([{"__key__": "a", **sample}]))


def drawn(clips):
    return [(tuple(clip["clip.json"]["crop"]), clip["clip.json"]["flip"]) for clip in clips]


@pytest.mark.parametrize("pool", [None, "1MB"])
def test_a_clip_shows_the_rectangle_that_it_records(pool):
    clips = run({"npy": npy(FRAMES)}, pool=pool)
    assert len(clips) == 5
    for clip in clips:
        facts = json.loads(json.dumps(clip["clip.json"]))
        frames = FRAMES[facts["start"] : facts["start"] + 4]
        shown = np.stack([reference.resampled(frame, facts["crop"], SIZE) for frame in frames])
        np.testing.assert_array_equal(clip["npy"], shown[:, :, ::-1] if facts["flip"] else shown)
    assert len({crop for crop, _ in drawn(clips)}) == 5
    assert {flip for _, flip in drawn(clips)} == {False, True}


def test_drawn_from_seed_epoch_key_and_index():
    clips = run({"npy": FRAMES}, seed=3, epoch=4)
    for again in (run({"npy": FRAMES}, seed=3, epoch=4), run({"npy": npy(FRAMES)}, seed=3, epoch=4, pool="1MB")):
        assert drawn(again) == drawn(clips)
        for clip, same in zip(clips, again, strict=True):
            np.testing.assert_array_equal(clip["npy"], same["npy"])
    others = [
        run({"npy": FRAMES}, seed=4, epoch=4),
        run({"npy": FRAMES}, seed=3, epoch=5),
        run({"npy": FRAMES, "__key__": "b"}, seed=3, epoch=4),
    ]
    crops = {crop for each in (clips, *others) for crop, _ in drawn(each)}
    assert len(crops) == 20
    # The size of what is written has no part in it.
    small = clipx.ClipFormat(crop=clipx.RandomResizedCrop(3, scale=(0.1, 1)), flip=0.5, dtype="float32")
    assert drawn(run({"npy": FRAMES}, small, seed=3, epoch=4)) == drawn(clips)


def test_clips_of_segments():
    segments = [clipx.Segment(0, 7, unit="frames"), clipx.Segment(2, 12, unit="frames")]
    clips = run({"npy": FRAMES}, segments=segments)
    assert len(clips) == 2 + 4
    assert len({crop for crop, _ in drawn(clips)}) == 6
    for clip in clips:
        facts = clip["clip.json"]
        first = facts["segment"]["start"] + facts["start"]
        shown = np.stack([reference.resampled(each, facts["crop"], SIZE) for each in FRAMES[first : first + 4]])
        np.testing.assert_array_equal(clip["npy"], shown[:, :, ::-1] if facts["flip"] else shown)
    # Those of a segment do not depend on the segments beside it.
    alone = run({"npy": FRAMES}, segments=segments[:1])
    assert drawn(alone) == [
        each for each, clip in zip(drawn(clips), clips) if clip["clip.json"]["segment"]["number"] == 0
    ]


def test_fields_in_step_have_rectangles_of_their_own_size():
    first, second = array(12, 1, (20, 30, 3)), array(12, 2, (40, 16, 3))
    clips = run({"a.npy": first, "b.npy": second}, keys=["a.npy", "b.npy"])
    assert {clip["a.npy"].shape for clip in clips} == {clip["b.npy"].shape for clip in clips} == {(4, *SIZE, 3)}


def test_pictures_of_different_sizes_in_one_batch():
    samples = [{"__key__": f"s{i}", "npy": array(8, i, (10 + i, 30 - i, 3))} for i in range(6)]
    formats = [
        FORMAT,
        clipx.ClipFormat(resize=("fit", 9, 16, 255)),
        clipx.ClipFormat(resize=12, crop=("three", 12), dtype="float16", order="CTHW"),
    ]
    for format in formats:
        (batch,) = wds.batched(18)(wds.clips(SPEC, format)(samples))
        assert batch["npy"].shape[0] == 18
        for i, sample in enumerate(samples):
            if not format.is_random:
                np.testing.assert_array_equal(
                    batch["npy"][3 * i : 3 * i + 3], windows.extract(sample["npy"], SPEC, format=format)
                )


def test_facts_of_what_is_not_drawn():
    clips = run({"npy": FRAMES}, clipx.ClipFormat(resize=8))
    assert all("crop" not in clip["clip.json"] and "flip" not in clip["clip.json"] for clip in clips)
    clips = run({"npy": FRAMES}, clipx.ClipFormat(resize=8, crop=("three", 8)))
    assert drawn(clips) == [(([0, 0, 8, 8], [0, 2, 8, 8], [0, 4, 8, 8]), [False] * 3)] * 5


def test_a_picture_that_resize_is_not_for_goes_to_the_handler():
    samples = [{"__key__": f"s{i}", "npy": array(4, i, (size, 30, 3))} for i, size in enumerate((30, 20, 28))]
    errors, format = [], clipx.ClipFormat(resize=("pixels", 784, 7840, 28))
    clips = list(wds.clips(SPEC, format, handler=lambda exn: errors.append(str(exn)) or True)(samples))
    assert [clip["__key__"] for clip in clips] == ["s0_000000", "s2_000000"]
    assert [clip["npy"].shape for clip in clips] == [(4, 28, 28, 3)] * 2
    assert "the picture is 20 by 30, smaller than the multiple, 28" in errors[0]


def test_fields_in_step():
    """Of pictures of one size the same rectangle is shown, else each shows its own, and the first's is recorded."""
    large, spec = array(12, shape=(31, 40, 3)), clipx.WindowSpec(1, 3)
    for fields, same in (({"a.npy": FRAMES, "b.npy": FRAMES[::-1]}, True), ({"a.npy": FRAMES, "b.npy": large}, False)):
        clips = run(fields, spec=spec, keys=["a.npy", "b.npy"])
        own = [run({"npy": each}, spec=spec) for each in fields.values()]
        assert drawn(clips) == drawn(own[0])
        assert (drawn(own[0]) == drawn(own[1])) is same
        for clip, first, second in zip(clips, *own, strict=True):
            np.testing.assert_array_equal(clip["a.npy"], first["npy"])
            np.testing.assert_array_equal(clip["b.npy"], second["npy"])
