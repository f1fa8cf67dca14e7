"""Which frames of a source go into which position of which clip: pure functions over numbers.

Stability: stable.
"""

from clipx.plan.draws import Rng, as_generator
from clipx.plan.filling import fill_bytes
from clipx.plan.frame_list import FrameList
from clipx.plan.policies import Policy
from clipx.plan.rate import RateSpec
from clipx.plan.segments import Segment, as_segments
from clipx.plan.selection import ALL, Selection
from clipx.plan.spec import Extent, FrameSpec, check_bounded
from clipx.plan.uniform import UniformSampling, UniformSpec
from clipx.plan.windows import Offset, Sampling, WindowSpec

__all__ = [
    "ALL",
    "Extent",
    "FrameList",
    "FrameSpec",
    "Offset",
    "Policy",
    "RateSpec",
    "Rng",
    "Sampling",
    "Segment",
    "Selection",
    "UniformSampling",
    "UniformSpec",
    "WindowSpec",
    "as_generator",
    "as_segments",
    "check_bounded",
    "fill_bytes",
]
