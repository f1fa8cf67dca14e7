"""Shards and their samples."""

import io
import tarfile

import numpy as np
import webdataset

from helpers.arrays import array, npy


def write_tar(path, members, format=tarfile.PAX_FORMAT, mode="w"):
    """Writes a tar file of members, {name: bytes} or pairs; returns its path."""
    with tarfile.open(path, mode, format=format) as tar:
        for name, data in members.items() if isinstance(members, dict) else members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_shard(path, samples):
    """Writes a tar file of samples; returns its path as a str."""
    with webdataset.TarWriter(str(path)) as tar:
        for sample in samples:
            tar.write(sample)
    return str(path)


def array_sample(key, n, **fields):
    """A sample whose field "npy" is n frames, drawn from the end of its key."""
    return {"__key__": key, "npy": npy(array(n, int.from_bytes(key.encode()[-4:], "big"))), **fields}


def array_samples(count, n=12, shape=(5, 3)):
    rng = np.random.default_rng(0)
    for i in range(count):
        yield {"__key__": f"s{i}", "npy": rng.integers(0, 256, (n, *shape), dtype=np.uint8), "cls": i}


def blocks(count, size=1000):
    return [{"__key__": str(i), "x": np.full(size, i % 256, np.uint8)} for i in range(count)]
