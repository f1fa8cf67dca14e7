"""Shards and their samples."""

import webdataset

from helpers.arrays import array, npy


def write_shard(path, samples):
    """Writes a tar file of samples; returns its path as a str."""
    with webdataset.TarWriter(str(path)) as tar:
        for sample in samples:
            tar.write(sample)
    return str(path)


def array_sample(key, n, **fields):
    """A sample whose field "npy" is n frames, drawn from the end of its key."""
    return {"__key__": key, "npy": npy(array(n, int.from_bytes(key.encode()[-4:], "big"))), **fields}
