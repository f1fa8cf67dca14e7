"""Clips in pipelines of Ray Data.

Stability: provisional.
"""

from clipx.ray.mapping import extract_map

__all__ = ["extract_map"]
