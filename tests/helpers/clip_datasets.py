"""ClipDatasets over small indexes, and what other processes run with them."""

import numpy as np

import clipx
from helpers.loaders import CROP, WINDOW, digest

RANDOM = clipx.ClipFormat(crop=clipx.RandomResizedCrop((16, 16)), flip=0.5)


def summary(sample, field="mp4"):
    """Everything of a sample as a value."""
    return {name: digest(np.asarray(value)) if name == field else repr(value) for name, value in sample.items()}


def of_index(index, *, format=CROP, **changes):
    return clipx.ClipDataset(index, changes.pop("spec", WINDOW), format, **changes)


def of_stage(dataset, epoch=0, *, spec=WINDOW, format=CROP, **changes):
    """The samples that the stage gives, by key."""
    stage = clipx.wds.clips(spec, format, epoch=epoch, **changes)
    return {clip["__key__"]: summary(clip) for clip in stage(dataset)}


def keys_and_clips(batch):
    """What a consumer sees of a batch."""
    clips = batch["mp4"]
    return [(key, digest(clip)) for key, clip in zip(batch["__key__"], np.asarray(clips))]


def clip_of(sample):
    return {name: digest(value) if isinstance(value, np.ndarray) else repr(value) for name, value in sample.items()}


def send_clips(dataset, numbers, pipe):
    pipe.send([clip_of(dataset[i]) for i in numbers])
