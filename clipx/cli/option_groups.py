"""Options that several commands share: groups of them that decorate a command, and the values that were given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Option", "dashed", "option_group", "take_given"]

Option = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A decorator such as `click.option` gives."""


def option_group(options: Iterable[Option]) -> Option:
    """A decorator that adds options to a command, in their order."""
    added = list(options)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(added):
            command = option(command)
        return command

    return decorate


def take_given(chosen: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The values of those options that were given; all are taken out of `chosen`."""
    taken = {name: chosen.pop(name, None) for name in names}
    return {name: value for name, value in taken.items() if value is not None}


def dashed(name: str) -> str:
    """The option of a name: "--fill-value" of "fill_value"."""
    return f"--{name.replace('_', '-')}"
