"""Clips of segments, which differ in length, in every kind of batch: equal to the stage's, and exact on resume."""

import json
import random

import numpy as np
import pytest
from helpers.loaders import check_ended
from helpers.ragged import bucketed, padded
from helpers.shards import write_shard
from helpers.states import check_every

import clipx
from clipx import wds

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]

KINDS = ["list", "pad", "bucket"]
FORMAT = clipx.ClipFormat(crop=(8, 8), order="CTHW", flip=0.5)
SPECS = {
    "rate": clipx.RateSpec(15, max_frames=9),
    "rate of pairs": clipx.RateSpec(30, max_frames=12, multiple=2),
    "uniform": clipx.UniformSpec(4, sampling="random"),
    "windows": clipx.WindowSpec(3, 2, offset="random", policy="repeat_last"),
}


@pytest.fixture
def videos(tmp_path, make_video):
    """Shards of videos with segments, in any order, some of which are empty or lie past the end."""
    rng, samples = random.Random(2), []
    for i in range(9):
        n = 30 + 3 * i
        video, ends = make_video(n=n, g="6"), sorted(rng.sample(range(n), 4))
        segments = [[a / 25, b / 25] for a, b in zip([0, *ends], [*ends, n + 9])]
        segments += [[n / 25 + 1, n / 25 + 2], [0.4, 0.4]][i % 3 :]
        rng.shuffle(segments)
        samples.append({"__key__": f"v{i}", "mp4": video.read_bytes(), "json": json.dumps(segments).encode()})
    return [write_shard(tmp_path / f"{at}.tar", samples[at : at + 3]) for at in range(0, 9, 3)], samples


def loader_of(urls, kind, spec, **changes):
    arguments = {"batch_size": 3, "memory": "100kB", "threads": 2, "handler": lambda exn: True, "segments": "json"}
    return clipx.Loader(urls, spec, FORMAT, ragged=kind, **{**arguments, **changes})


@pytest.mark.parametrize("spec", [SPECS[name] for name in ("rate", "rate of pairs")])
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_stage(videos, kind, spec):
    urls, samples = videos
    clips = list(wds.clips(spec, FORMAT, segments="json", epoch=0, handler=lambda exn: True)(samples))
    assert len({clip["mp4"].shape for clip in clips}) > 3
    loader = loader_of(urls, kind, spec, shuffle=False, drop_last=False, epoch=0)
    found = []
    for batch in loader:
        group = [clip for key in batch["__key__"] for clip in clips if clip["__key__"] == key]
        arrays = [clip["mp4"] for clip in group]
        assert [facts["length"] for facts in batch["clip.json"]] == [each.shape[1] for each in arrays]
        if kind == "list":
            assert [each.tobytes() for each in batch["mp4"]] == [each.tobytes() for each in arrays]
        else:
            wanted = padded(arrays, 1) if kind == "pad" else np.stack(arrays)
            assert batch["mp4"].tobytes() == wanted.tobytes()
        if kind == "pad":
            assert batch["lengths"].tolist() == [each.shape[1] for each in arrays]
        found.append(batch["__key__"])
        del batch
    wanted = [clips[at : at + 3] for at in range(0, len(clips), 3)]
    if kind == "bucket":
        wanted, _ = bucketed(clips, lambda clip: clip["mp4"].shape, 3, loader._pools.budget.bucketed, True)
    assert found == [[clip["__key__"] for clip in group] for group in wanted]
    check_ended(loader)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", KINDS)
def test_resume(videos, kind, spec):
    urls, _ = videos
    check_every(lambda **rest: loader_of(urls, kind, SPECS[spec], **rest), every=5)
