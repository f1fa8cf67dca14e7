"""`clipx completion`: what shells need to complete commands, options, their values and names of files."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, get_args

import click
from click.shell_completion import CompletionItem, get_completion_class

__all__ = ["choices_of", "complete_files", "completion"]

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of files, for a text that may also be an address or a pattern."""
    return [CompletionItem(incomplete, type="file")]


def choices_of(*aliases: str) -> Completion:
    """The values of types such as "plan.Policy", which are imported when they are asked for."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        values: list[str] = []
        for alias in aliases:
            home, _, name = alias.rpartition(".")
            values += get_args(getattr(import_module(f"clipx.{home}"), name))
        return [CompletionItem(value) for value in dict.fromkeys(values) if value.startswith(incomplete)]

    return complete


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script by which a shell completes this command.

    Commands, options, their values and names of files are completed with the
    Tab key. Bash has to be 4.4 or newer.

    \b
    Examples: for new shells, from now on:
      clipx completion bash >> ~/.bashrc
      clipx completion zsh >> ~/.zshrc
      clipx completion fish > ~/.config/fish/completions/clipx.fish
    """
    found: Any = get_completion_class(shell)
    root = ctx.find_root()
    click.echo(found(root.command, {}, "clipx", "_CLIPX_COMPLETE").source())
