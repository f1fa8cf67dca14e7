"""SIGKILL at any moment, in random configurations: a run goes on with the very batches of one that never stopped."""

import io
import random

import av
import numpy as np
import pytest
from helpers.killed import iterate_until_killed
from helpers.loaders import everything
from helpers.long import LONG
from helpers.shards import array_sample, write_shard

import clipx

KILLS = 50 if LONG else 4

pytestmark = [pytest.mark.usefixtures("small_decoders", "no_threads_left")]


def sound(n, seed):
    """A wav file of n audio samples."""
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        noise = np.random.default_rng(seed).integers(-9000, 9000, (1, n)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, make_video):
    """Shards of each kind of sample."""
    folder = tmp_path_factory.mktemp("killed")
    samples = {
        "arrays": lambda i, j: array_sample(f"s{i}_{j}", 9 + 5 * i + 3 * j, cls=j, txt=f"text {i}"),
        "videos": lambda i, j: {"__key__": f"v{i}_{j}", "mp4": make_video(n=14 + 4 * i + j).read_bytes(), "cls": i},
        "cameras": lambda i, j: {
            "__key__": f"c{i}_{j}",
            "front.mp4": make_video(n=14 + 4 * i + j).read_bytes(),
            "rear.mp4": make_video(n=14 + 4 * i + j, still=True).read_bytes(),
        },
        "sound": lambda i, j: {"__key__": f"w{i}_{j}", "wav": sound(3000 + 700 * i + 90 * j, 10 * i + j)},
    }
    return {
        kind: [write_shard(folder / f"{kind}-{i}.tar", [make(i, j) for j in range(4)]) for i in range(3)]
        for kind, make in samples.items()
    }


def configuration(rng, datasets):
    """Arguments of a Loader, drawn at random, and two numbers of threads."""
    kind = rng.choice(sorted(datasets))
    length = rng.choice([200, 333]) if kind == "sound" else rng.choice([2, 4, 5])
    plan = rng.choice(
        [
            {"stride": length // 2},
            {"stride": length, "policy": "repeat_last"},
            {"stride": length, "policy": "reflect"},
            {"num_clips": 4, "sampling": "random"},
            {"stride": length - 1, "dilation": 2, "policy": "constant"},
        ]
    )
    format = clipx.ClipFormat(crop=(16, 16), flip=rng.choice([False, 0.5])) if kind in ("videos", "cameras") else None
    rest = {
        "batch_size": rng.choice([1, 3, 4]),
        "memory": {"arrays": "150kB", "videos": "400kB", "cameras": "900kB", "sound": "300kB"}[kind],
        "shuffle": rng.random() < 0.7,
        "seed": rng.randrange(5),
        "epoch": rng.randrange(4),
        "drop_last": rng.random() < 0.5,
        "equal_batches": rng.random() < 0.3,
        "batches": rng.choice([2, 3]),
        "keys": ("front.mp4", "rear.mp4") if kind == "cameras" else None,
        "audio": clipx.AudioFormat(sample_rate=rng.choice([None, 4000])) if kind == "sound" else None,
    }
    return (
        datasets[kind],
        clipx.WindowSpec(length, **plan),
        format,
        rest,
        (rng.choice([1, 2, 5]), rng.choice([1, 3, 8])),
    )


@pytest.mark.parametrize("number", range(KILLS))
def test_killed(datasets, tmp_path, number):
    rng = random.Random(number)
    urls, window, format, rest, (before, after) = configuration(rng, datasets)

    def make(threads):
        return clipx.Loader(urls, window, format, threads=threads, **rest)

    wanted = [str(each) for each in everything(make(2))]
    assert len(wanted) > 3
    lines, state = iterate_until_killed(lambda: make(before), tmp_path, rng.randrange(1, len(wanted)), 60)
    done = state["batch"]["count"]
    assert lines[:done] == wanted[:done]
    other = make(after)
    other.load_state_dict(state)
    assert [str(each) for each in everything(other)] == wanted[done:]
