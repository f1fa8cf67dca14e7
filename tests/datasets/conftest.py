"""Shards that tests of datasets read."""

import pytest
from helpers.shards import write_shard
from helpers.sound_fields import flac, wav


@pytest.fixture
def sounds(tmp_path):
    samples = [{"__key__": f"a{i}", ("wav", "flac")[i % 2]: (wav, flac)[i % 2](i), "cls": i} for i in range(6)]
    return write_shard(tmp_path / "sounds.tar", samples)
