"""Options that several commands share: groups of them that decorate a command, their help, and the values given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

import click

__all__ = ["SECTIONS", "Option", "dashed", "option_group", "sectioned", "take_given"]

SECTIONS = {
    "is_table": "Input",
    "length": "Which frames",
    "segments": "Segments",
    "fps": "How videos are read",
    "resize": "How pictures are written",
}
"""Titles of groups of options in the help, by the first option of each."""

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


def sectioned(sections: Mapping[str, str]) -> type[click.Command]:
    """A class of commands whose help lists options in sections: the title of each by the name of its first option."""

    class Sectioned(click.Command):
        def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            title, titles = "Options", list[str]()
            options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
            records = [(param, param.get_help_record(ctx)) for param in options]
            shown = [(param, record) for param, record in records if record is not None]
            for param, _ in shown:
                title = sections.get(param.name or "", title)
                titles.append(title)
            for title, group in groupby(zip(titles, shown), key=lambda each: each[0]):
                with formatter.section(title):
                    formatter.write_dl([record for _, (_, record) in group])

    return Sectioned
