"""Ray, imported where it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["CURE", "ray_module"]

CURE = 'pip install "clipx-data[ray]"'


def ray_module(name: str = "ray") -> Any:
    """A module of Ray, such as "ray.data". Raises ImportError that says how to install it."""
    try:
        return import_module(name)
    except ImportError as exn:
        raise ImportError(f"{name} is not installed: {CURE} ({exn})", name=name) from exn
