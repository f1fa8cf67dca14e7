"""The scores of a source's clips and views are found again by its key: the ten-by-three test of the recipes."""

from collections import defaultdict

import numpy as np
from helpers.arrays import array, npy
from helpers.shards import write_shard

import clipx


def test_means_of_ten_clips_by_three_crops(tmp_path):
    sources = {f"dir/video{i}": array(n, i, (16, 28, 3)) for i, n in enumerate((11, 40, 97, 16))}
    shards = [
        write_shard(tmp_path / f"{i}.tar", [{"__key__": key, "npy": npy(frames)}])
        for i, (key, frames) in enumerate(sources.items())
    ]
    spec = clipx.WindowSpec(4, dilation=2, num_clips=10, policy="wrap")
    format = clipx.ClipFormat(crop=("three", 16), order="CTHW", scale=1)
    scores, keys = defaultdict(list), set()
    for batch in clipx.Loader(shards, spec, format, batch_size=7, drop_last=False, memory="64MB", threads=2):
        clips = batch["npy"]
        assert clips.shape[1:] == (3, 3, 4, 16, 16)
        for clip, score in zip(batch["clip.json"], clips.mean((3, 4, 5))):
            scores[clip["key"]].append(score)
            keys.add((clip["key"], clip["url"]))
    means = {key: np.concatenate(each).mean(0) for key, each in scores.items()}

    assert keys == set(zip(sources, shards))
    for key, frames in sources.items():
        rows = [[start + 2 * i for i in range(4)] for start in (i * (len(frames) - 7) // 9 for i in range(10))]
        views = [frames[row][:, :, x : x + 16] for row in rows for x in (0, 6, 12)]
        assert len(scores[key]) == 10
        np.testing.assert_allclose(means[key], np.mean(views, axis=(0, 1, 2, 3)), rtol=1e-5)
