"""The kernel: checks in Cython, then loops in C without the GIL. The tests say in obvious NumPy what each does."""

from clipx._kernel.kernel import (
    Clips,
    Formatted,
    Output,
    Picture,
    cache_bytes,
    collect,
    gather,
    implementations,
    scatter,
    simd,
)
from clipx._kernel.slots import Lease, Slots

__all__ = [
    "Clips",
    "Formatted",
    "Lease",
    "Output",
    "Picture",
    "Slots",
    "cache_bytes",
    "collect",
    "gather",
    "implementations",
    "scatter",
    "simd",
]
