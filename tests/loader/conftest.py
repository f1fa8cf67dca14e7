"""Shards that tests of the Loader read."""

import pytest
from helpers.loaders import EACH, SHARDS
from helpers.shards import array_sample, write_shard


@pytest.fixture
def arrays(tmp_path):
    """Shards of arrays, and their samples."""
    samples = [
        array_sample(f"s{i}_{j}", 5 + 2 * (EACH * i + j), cls=10 * i + j, json={"n": [i, j]}, txt=f"text {i} {j}")
        for i in range(SHARDS)
        for j in range(EACH)
    ]
    urls = [write_shard(tmp_path / f"arrays-{i}.tar", samples[EACH * i : EACH * (i + 1)]) for i in range(SHARDS)]
    return urls, samples


@pytest.fixture
def videos(tmp_path, make_video):
    """Shards of videos, and their samples."""
    samples = [
        {"__key__": f"v{i}_{j}", "mp4": make_video(n=8 + EACH * i + j).read_bytes(), "cls": i, "json": {"n": [i, j]}}
        for i in range(SHARDS)
        for j in range(EACH)
    ]
    urls = [write_shard(tmp_path / f"videos-{i}.tar", samples[EACH * i : EACH * (i + 1)]) for i in range(SHARDS)]
    return urls, samples
