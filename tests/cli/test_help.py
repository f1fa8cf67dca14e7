"""The help of commands, their examples, and the completion of shells."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

import clipx
from clipx.cli.main import main

COMMANDS = sorted(main.commands)


def help_of(command=None):
    arguments = [*([command] if command else []), "--help"]
    return CliRunner().invoke(main, arguments, prog_name="clipx", terminal_width=80).output


def examples_of(text):
    """The lines of a help that are commands, those that go on in the next line joined."""
    joined = re.sub(r"\\\n\s+", "", text)
    return [line.strip() for line in joined.splitlines() if line.startswith("    clipx ")]


def completions(arguments, incomplete):
    found = ShellComplete(main, {}, "clipx", "_CLIPX_COMPLETE").get_completions(arguments, incomplete)
    return [item.value if item.type == "plain" else item.type for item in found]


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_a_terminal_of_80_columns(command):
    assert max(map(len, help_of(command).splitlines())) <= 80


def test_the_summary_of_each_command_is_whole():
    assert "..." not in help_of().partition("Commands:")[2]


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_examples_parse(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("video.mp4").touch()
    examples = examples_of(help_of(command))
    assert examples
    for example in examples:
        words = shlex.split(example.partition(" >")[0])[1:]
        _, own, arguments = main.resolve_command(click.Context(main), words)
        if "--help" in arguments:
            continue
        own.make_context(own.name, arguments)  # raises for options and values that there are not


def test_commands_options_values_and_files_are_completed():
    assert completions([], "ex") == ["extract"]
    assert completions(["extract"], "--seg") == ["--segments", "--segment-columns"]
    assert completions(["extract", "--policy"], "re") == ["repeat_last", "reflect"]
    assert completions(["extract", "--encoding"], "") == ["npy", "jpg", "webp", "png", "mp4", "copy", "wav", "flac"]
    assert completions(["bench", "--order"], "T") == ["THWC", "TCHW"]
    assert completions(["completion"], "") == ["bash", "zsh", "fish"]
    for command in ("bench", "check", "extract", "index", "info", "preview"):
        assert completions([command], "vid") == ["file"]


@pytest.mark.parametrize("command", COMMANDS)
def test_values_that_are_completed_are_those_of_the_help(command):
    own = main.commands[command]
    for option in own.params:
        if not isinstance(option, click.Option) or option._custom_shell_complete is None:
            continue
        found = completions([command, option.opts[0]], "")
        assert found == ["file"] or all(value in option.help or value == "HWC" for value in found), option.name


SHELLS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_accept_the_script(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = CliRunner().invoke(main, ["completion", shell], prog_name="clipx")
    assert done.exit_code == 0, done.output
    assert "_CLIPX_COMPLETE" in done.output
    script = tmp_path / "script"
    script.write_text(done.stdout)
    checked = subprocess.run([*SHELLS[shell], script], check=False, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes(tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    command = tmp_path / "clipx"
    home = Path(clipx.__file__).parents[1]
    command.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(home))} exec {sys.executable} -m clipx "$@"\n')
    command.chmod(0o755)
    (tmp_path / "video.mp4").touch()
    script = tmp_path / "script"
    script.write_text(CliRunner().invoke(main, ["completion", "bash"], prog_name="clipx").stdout)
    lines = [
        f"cd {shlex.quote(str(tmp_path))}",
        'PATH="$PWD:$PATH"',
        "source ./script",
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _clipx_completion ./clipx; '
        'echo "${COMPREPLY[@]}"; }',
        "ask clipx extract --encoding m",
        "ask clipx che",
    ]
    done = subprocess.run(["bash", "-c", "\n".join(lines)], check=True, capture_output=True, text=True, timeout=100)
    assert done.stdout.split("\n") == ["mp4", "check", ""]
