"""The kernel: checks in Cython, then loops in C without the GIL. tests/reference.py is its specification, in NumPy.

kernel.pyx         gather, scatter and collect of whole frames; Clips, the iterator of an array's clips
windows.pxi        gather_windows, without a table of frames
resampling.pxi     Resampling, what a rectangle of a picture becomes
output.pxi         Output, how a ClipFormat writes frames
picture.pxi        Picture, which writes those of a decoder; formatted.pxi: Formatted, those of an array
sound.pxi          Pcm, which writes samples of PCM as an AudioFormat says; may_be_coded; copy_planes of frames
slots.pyx          the slots of a ClipPool, and their leases
packets.pyx        walks over the packets of files of sound, which find these without a demuxer
callbacks.pyx      read, seek and tell of a file, as PyAV calls them: where an interrupt is caught
loops.pxd          the declarations of the loops in rows/
rows/rows.h        the implementations of the rows (baseline, SSSE3, AVX2, AVX-512, NEON), and a list of the files
                   in rows/
rows/gather.h      an index table of frames, clip by clip or frame by frame
rows/picture.h     a decoded picture: crop, flip, color, dtype and order in one pass
rows/formatted.h   the same for frames of arrays
rows/resampled.h   pictures of another size, row by row; resampled_numbers.h: of frames of arrays
rows/sound.h       frames of PCM
"""

from clipx._kernel.kernel import (
    Clips,
    Formatted,
    Output,
    Pcm,
    Picture,
    Resampling,
    cache_bytes,
    collect,
    copy_planes,
    gather,
    gather_windows,
    implementations,
    may_be_coded,
    scatter,
    simd,
)
from clipx._kernel.slots import Lease, Slots

__all__ = [
    "Clips",
    "Formatted",
    "Lease",
    "Output",
    "Pcm",
    "Picture",
    "Resampling",
    "Slots",
    "cache_bytes",
    "collect",
    "copy_planes",
    "gather",
    "gather_windows",
    "implementations",
    "may_be_coded",
    "scatter",
    "simd",
]
