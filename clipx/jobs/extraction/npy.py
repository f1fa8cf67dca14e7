"""The encoding "npy": a clip's array as it lies in memory, behind the header of an .npy file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np

from clipx.datasets.fields import Field, Sample
from clipx.format import ClipFormat
from clipx.jobs.extraction.encoding import Data, EncodedClip, field_name
from clipx.jobs.extraction.options import ExtractOptions
from clipx.wds.in_step import sound_of

__all__ = ["array_file", "check", "encoder"]


@lru_cache(maxsize=256)
def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    file = BytesIO()
    # Of version 1.0 where that suffices, as numpy.save writes it.
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, facts)
    return file.getvalue()


def array_file(array: np.ndarray) -> Data:
    """An array as the bytes of an .npy file: its header, and a view of its memory where that is contiguous."""
    array = np.ascontiguousarray(array)
    header = _header(array.shape, array.dtype)
    return (header, array.reshape(-1).view(np.uint8).data) if array.nbytes else header


class NpyEncoder:
    """Encodes a clip as an .npy file; its sound beside it as another, "audio.npy".

    Args:
        format: that clips are written in.
    """

    def __init__(self, format: ClipFormat) -> None:
        self._format = format

    def encode(self, clip: Sample, fields: Mapping[Field, Field]) -> EncodedClip:
        """The clip of a sample, encoded; see `Encoder`."""
        made: dict[str, Data] = {}
        for name in fields:
            made[field_name(name, fields, "npy")] = array_file(name.get(clip))
            sound = clip.get(sound_of(name, fields))
            if isinstance(sound, np.ndarray):
                made[field_name(name, fields, "audio.npy")] = array_file(sound)
        return EncodedClip(made, self._facts(next(iter(fields)).get(clip), clip["clip.json"]))

    def _facts(self, array: np.ndarray, facts: Mapping[str, Any]) -> dict[str, Any]:
        is_video = "frame_indices" in facts
        height, width = self._format.view_shape(array) if is_video else (None, None)
        return {"codec": "npy", "width": width, "height": height}


def check(options: ExtractOptions) -> None:
    """Raise ValueError for options that the encoding does not go with."""
    if options.format is not None and options.format.dtype == "bfloat16":
        raise ValueError(
            "dtype of format is 'bfloat16', which .npy files have no name for: take 'float16' or 'float32', or store "
            "uint8 and convert when clips are read"
        )


def encoder(options: ExtractOptions) -> NpyEncoder:
    """The encoder."""
    return NpyEncoder(options.format or ClipFormat())
