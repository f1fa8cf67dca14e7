"""The workflows name scripts, targets, tests and files that exist, and actions by their commits."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_names_exists(workflow):
    text = workflow.read_text()
    for script in set(re.findall(r"(?<![\w/])\.ci/[\w.-]+", text)):
        assert (ROOT / script).is_file(), script
    for path in set(re.findall(r"(?<![\w/.])(?:tests|docs|bench)/[\w./-]+", text)) - {"docs/_build/html"}:
        assert (ROOT / path).exists(), path
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= set(targets)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_its_actions_and_asks_for_few_rights(workflow):
    text = workflow.read_text()
    for action in re.findall(r"\buses: (.*)", text):
        assert action.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # \S+", action), action
    assert re.search(r"^permissions:(?: \{\}|\n  contents: read)$", text, re.M)
    assert re.search(r"^concurrency:$", text, re.M)
    assert len(re.findall(r"^    runs-on:", text, re.M)) == len(re.findall(r"^    timeout-minutes:", text, re.M))
