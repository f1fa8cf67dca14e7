"""docs/api has every public name once."""

import importlib
import re
from operator import attrgetter
from pathlib import Path

import pytest

import clipx

PAGES = sorted((Path(__file__).resolve().parents[1] / "docs" / "api").glob("*.md"))
DOCUMENTED = re.findall(r"^\.\. auto\w+:: (\S+)$", "\n".join(page.read_text() for page in PAGES), re.M)
MODULES = [name for name in clipx.__all__ if (Path(clipx.__file__).parent / name).with_suffix(".py").exists()]
MODULES += [name for name in clipx.__all__ if (Path(clipx.__file__).parent / name / "__init__.py").exists()]


def resolve(dotted):
    home, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(home), name)
    except ModuleNotFoundError:
        return attrgetter(dotted.removeprefix("clipx."))(clipx)


def test_no_name_comes_twice():
    assert sorted({*DOCUMENTED}) == sorted(DOCUMENTED)


@pytest.mark.parametrize("module", ["clipx", *(f"clipx.{name}" for name in MODULES)])
def test_every_public_name_is_there(module):
    documented = {id(resolve(name)) for name in DOCUMENTED}
    public = importlib.import_module(module)
    missing = [name for name in public.__all__ if name not in MODULES and id(getattr(public, name)) not in documented]
    assert missing == []


def test_every_documented_name_exists():
    assert len([resolve(name) for name in DOCUMENTED]) > 80
