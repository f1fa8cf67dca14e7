"""Modules that are imported, and attributes that are computed, when they are first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Generic, TypeVar, overload

__all__ = ["lazy", "load"]

T = TypeVar("T")

_loading = threading.RLock()


def load(module: str, name: str | None = None) -> Any:
    """A module, or what has a name in it, imported by one thread at a time.

    Where threads import modules that need each other, Python gives one of them a module that is not complete.
    """
    with _loading:
        found = import_module(module)
        return found if name is None else getattr(found, name)


def _renew_lock() -> None:
    """In a forked process nobody gives back what another thread held."""
    global _loading  # noqa: PLW0603
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class lazy(Generic[T]):  # noqa: N801
    """A property that is computed once, without a lock, and then is an attribute of the instance.

    `functools.cached_property` holds one lock for all instances while it computes, up to Python 3.11: threads wait for
    each other, and a process that was forked meanwhile waits for ever. Here, of threads that come at the same time each
    computes, and all find an equal value.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self._name, self.__doc__ = compute, compute.__name__, compute.__doc__

    @overload
    def __get__(self, instance: None, owner: Any) -> lazy[T]: ...

    @overload
    def __get__(self, instance: object, owner: Any) -> T: ...

    def __get__(self, instance: Any, owner: Any) -> T | lazy[T]:
        if instance is None:
            return self
        found: T = instance.__dict__.setdefault(self._name, self._compute(instance))
        return found
