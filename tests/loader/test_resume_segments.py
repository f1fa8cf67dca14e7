"""Resuming at random points over segments, by every spec and `ragged`, with any number of threads: byte for byte."""

import json
import random

import pytest
from helpers.loaders import CROP, check_ended, everything
from helpers.long import LONG
from helpers.shards import write_shard
from helpers.states import THREADS, batches_and_states

import clipx
from clipx import FrameList, RateSpec, UniformSpec, WindowSpec

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]

POINTS = 30 if LONG else 6

CASES = [
    (WindowSpec(4, 2), "error"),
    (WindowSpec(4, 3, dilation=2, policy="repeat_last"), "bucket"),
    (WindowSpec(3, 4, offset="random", policy="wrap"), "error"),
    (WindowSpec(3, num_clips=3, sampling="random", policy="constant"), "pad"),
    (WindowSpec(3, num_clips=3, sampling="partition", policy="repeat_last"), "list"),
    (WindowSpec(3, num_clips=2, sampling="partition_source", policy="repeat_last"), "error"),
    (UniformSpec(4), "error"),
    (UniformSpec(4, sampling="random"), "pad"),
    (UniformSpec(4, sampling="linspace"), "bucket"),
    (RateSpec(12, max_frames=8), "list"),
    (RateSpec(12, max_frames=8), "pad"),
    (RateSpec(12, min_frames=2, max_frames=8, multiple=2), "bucket"),
    (FrameList(frames=[1, 0, 3]), "error"),
    (FrameList(frames="json:frames", max_frames=4), "list"),
    (FrameList(frames="json:frames", max_frames=4), "pad"),
    (FrameList(frames="json:frames", max_frames=4), "bucket"),
]


@pytest.fixture(scope="module")
def urls(tmp_path_factory, make_video):
    """Shards of videos with segments that overlap, in any order, some of them tiny, empty or past the end."""
    folder, rng, samples = tmp_path_factory.mktemp("segments"), random.Random(11), []
    for i in range(12):
        n = 24 + i
        starts = [rng.randrange(n + 4) / 25 for _ in range(5)]
        segments = [{"start": start, "end": start + rng.choice([0, 0.02, 0.2, 0.4, 2]), "label": i} for start in starts]
        fields = {"segments": segments, "frames": [0, 1, 2, 0][: 1 + i % 4]}
        data = make_video(n=n, g="8", bf=str(i % 3)).read_bytes()
        samples.append({"__key__": f"v{i:02d}", "mp4": data, "json": json.dumps(fields).encode()})
    return [write_shard(folder / f"{i}.tar", samples[4 * i : 4 * i + 4]) for i in range(3)]


def make(urls, spec, ragged, threads):
    given = {"batch_size": 2, "memory": "400kB", "drop_last": False, "handler": lambda exn: True}
    return clipx.Loader(urls, spec, CROP, segments="json:segments", ragged=ragged, threads=threads, **given)


@pytest.mark.parametrize(("spec", "ragged"), CASES, ids=str)
def test_a_run_resumes_at_random_points(urls, spec, ragged):
    rng = random.Random(f"{spec} {ragged}")
    loader = make(urls, spec, ragged, 2)
    values, states = batches_and_states(loader)
    check_ended(loader)
    assert len(values) >= 8
    for at in (rng.randrange(len(states)) for _ in range(POINTS)):
        other = make(urls, spec, ragged, rng.choice(THREADS))
        other.load_state_dict(states[at])
        assert everything(other) == values[at:], at
        check_ended(other)
