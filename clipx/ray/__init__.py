"""Clips in pipelines of Ray Data."""

from clipx.ray.mapping import extract_map

__all__ = ["extract_map"]
