"""States that are refused: of other Loaders, of other shards, edited or cut short."""

import random
import re
from pathlib import Path

import pytest
from helpers.arrays import array, npy
from helpers.loaders import CROP, WINDOW, check_ended, everything, of_arrays, of_videos
from helpers.shards import array_sample, write_shard
from helpers.states import through_json

import clipx

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]

OTHERS = {
    "spec.length": {"spec": clipx.WindowSpec(5, 2)},
    "spec.stride": {"spec": clipx.WindowSpec(4, 3)},
    "spec.policy": {"spec": clipx.WindowSpec(4, 2, policy="wrap")},
    "format.crop": {"format": clipx.ClipFormat(crop=(8, 8))},
    "format.flip": {"format": clipx.ClipFormat(crop=(16, 16), flip=0.5)},
    "options.fps": {"options": clipx.VideoOptions(fps=10)},
    "options.quality": {"options": clipx.VideoOptions(quality="fast")},
    "audio": {"audio": clipx.AudioFormat(mono=True)},
    "seed": {"seed": 1},
    "batch_size": {"batch_size": 5},
    "batches": {"batches": 4},
    "memory": {"memory": "301kB"},
    "shuffle": {"shuffle": False},
    "drop_last": {"drop_last": False},
    "equal_batches": {"equal_batches": True},
    "ragged": {"ragged": "pad"},
    "keys": {"keys": ["mp4"]},
}


@pytest.fixture
def state(videos):
    """A state of the middle of an epoch."""
    loader = of_videos(videos[0])
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    iterator.close()
    return through_json(loader.state_dict())


def other_loader(urls, **changes):
    window, format = changes.pop("spec", WINDOW), changes.pop("format", CROP)
    return clipx.Loader(urls, window, format, **{"batch_size": 4, "memory": "300kB", **changes})


@pytest.mark.parametrize("name", OTHERS)
def test_of_another_loader(videos, state, name):
    with pytest.raises(ValueError, match=f"saved with {re.escape(name)} .* but the loader has {re.escape(name)} "):
        other_loader(videos[0], **OTHERS[name]).load_state_dict(state)


def test_what_may_differ(videos, state):
    wanted = everything(of_videos(videos[0]))[3:]
    other = other_loader(
        videos[0],
        threads=5,
        timeout=3,
        handler=lambda exn: True,
        map=lambda sample: sample,
        options=clipx.VideoOptions(num_threads=2),
    )
    other.load_state_dict(state)
    assert everything(other) == wanted


@pytest.mark.parametrize("bad", [None, [], "state", 3, b""])
def test_no_state(videos, bad):
    with pytest.raises(TypeError, match="state is a"):
        of_videos(videos[0]).load_state_dict(bad)


def test_edited_and_cut_short(videos, state):
    loader = of_videos(videos[0])
    rng = random.Random(0)
    for name in state:
        cut = {key: value for key, value in state.items() if key != name}
        with pytest.raises(ValueError, match="state"):
            loader.load_state_dict(cut)

    def edit(value):
        """Something else of the same kind."""
        if isinstance(value, dict):
            key = rng.choice(list(value))
            return {**value, key: edit(value[key])}
        if isinstance(value, list) and value:
            at = rng.randrange(len(value))
            return [*value[:at], edit(value[at]), *value[at + 1 :]] if rng.random() < 0.7 else value[:-1]
        if isinstance(value, bool) or value is None:
            return not value
        return value + 1 if isinstance(value, int) else f"{value}x"

    for _ in range(200):
        with pytest.raises(ValueError, match="state"):
            loader.load_state_dict(edit(state))
    with pytest.raises(ValueError, match="version 4, but this clipx reads version 5"):
        loader.load_state_dict({**state, "version": 4})
    with pytest.raises(ValueError, match="not as state_dict gave it"):
        loader.load_state_dict({**state, "more": object()})
    with pytest.raises(ValueError, match="truncated"):
        loader.load_state_dict({})
    loader.load_state_dict(state)  # none of them has left anything behind
    assert loader.state_dict() == state


def test_shards_that_have_changed(videos, state):
    urls, _ = videos
    loader = of_videos(urls)
    path = Path(urls[1])
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(512))
    with pytest.raises(
        ValueError, match=f"shard 1, .*videos-1.tar.* has {len(whole) + 512} bytes, but had {len(whole)}"
    ):
        loader.load_state_dict(state)
    path.unlink()
    with pytest.raises(ValueError, match=r"shard 1, .*videos-1.tar.* is missing"):
        loader.load_state_dict(state)
    path.write_bytes(whole)
    loader.load_state_dict(state)
    renamed = path.rename(path.with_name("renamed.tar"))
    with pytest.raises(ValueError, match=r"shard 1 of dataset is .*renamed.tar.*, but was called otherwise"):
        of_videos([urls[0], str(renamed), urls[2]]).load_state_dict(state)
    with pytest.raises(ValueError, match="state is of 3 shards, but dataset names 2"):
        of_videos(urls[:2]).load_state_dict(state)
    with pytest.raises(ValueError, match="shard 0 of dataset"):
        of_videos([urls[1], urls[0], urls[2]]).load_state_dict(state)


@pytest.mark.parametrize("shuffle", [False, True])
def test_shards_of_the_same_size_with_other_samples(tmp_path, shuffle):
    """What cannot be seen from outside shows when the sample is read again."""
    samples = [array_sample(f"s{i}", 30) for i in range(6)]
    urls = [write_shard(tmp_path / f"{i}.tar", samples[2 * i : 2 * i + 2]) for i in range(3)]
    loader = of_arrays(urls, shuffle=shuffle)
    iterator = iter(loader)
    for _ in range(4):
        next(iterator)
    state = loader.state_dict()
    iterator.close()
    for i in range(3):
        others = [{**sample, "npy": npy(array(30, 99))} for sample in samples[2 * i : 2 * i + 2]]
        write_shard(tmp_path / f"{i}.tar", others)
    other = of_arrays(urls, shuffle=shuffle)
    other.load_state_dict(state)
    with pytest.raises(ValueError, match=r"shard \d, .* has changed: its sample \d is not the one that was read"):
        everything(other)
    check_ended(other)
