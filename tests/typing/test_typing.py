"""What type checkers say of a user's script: nothing, with mypy --strict, and with pyright where it is installed."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.long import LONG

import clipx

SCRIPT = Path(__file__).with_name("user_script.py")
HOME = Path(clipx.__file__).parents[1]

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(find_spec("torch") is None, reason="the script uses torch"),
]


def run(*command, cwd):
    # Checkers find an installed package by themselves, but not every editable one.
    env = os.environ if HOME.name == "site-packages" else {**os.environ, "MYPYPATH": str(HOME)}
    command = [sys.executable, "-m", *command]
    return subprocess.run(command, check=False, cwd=cwd, env=env, capture_output=True, text=True)


def test_mypy_strict(tmp_path):
    pytest.importorskip("mypy")
    cache, config = f"--cache-dir={tmp_path / 'cache'}", tmp_path / "mypy.ini"
    # Torch takes longer than all else.
    config.write_text("[mypy]\n" if LONG else "[mypy]\n[mypy-torch.*]\nfollow_imports = skip\n")
    options = "--strict", f"--config-file={config}", "--follow-imports=silent", cache
    found = run("mypy", *options, SCRIPT, cwd=tmp_path)
    assert found.stdout.startswith("Success"), found.stdout + found.stderr


def test_pyright(tmp_path):
    if find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    (tmp_path / SCRIPT.name).write_text(SCRIPT.read_text())
    settings = {"include": [SCRIPT.name], "extraPaths": [str(HOME)], "reportUnnecessaryTypeIgnoreComment": True}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**settings, "enableTypeIgnoreComments": False}))
    found = run("pyright", "--pythonpath", sys.executable, cwd=tmp_path)
    assert found.stdout.startswith("0 errors"), found.stdout + found.stderr


def test_the_script_uses_every_public_name():
    used = set(re.findall(r"clipx\.(\w+)", SCRIPT.read_text()))
    assert set(clipx.__all__) - used == set()
