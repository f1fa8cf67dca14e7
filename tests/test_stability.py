"""Every public name says how stable it is, and those of earlier versions are still there."""

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import pytest
from test_api_pages import DOCUMENTED, MODULES, resolve

import clipx

MARK = re.compile(r"\bStability: (stable|provisional)\.(?: Added in version (\d+\.\d+)\.)?$")

# A name goes when docs/versions.md lets it, and this list says since when.
NAMES_OF_0_1 = {
    "clipx": "AudioFormat Clip ClipDataset ClipFormat ClipPool ClipSampler Files FrameList Index Loader MediaError Mix "
    "PoolExhausted PoolStats PoolTooSmall RandomResizedCrop RateSpec Segment UniformSpec VideoOptions WindowSpec "
    "__version__ audio errors jobs mapped memory plan pool ray reshard_states segments simd video wds windows",
    "clipx.audio": "AudioClips AudioFormat clips",
    "clipx.datasets.ledger": "Entry Ledger",
    "clipx.errors": "Damage MediaError PoolExhausted PoolTooSmall",
    "clipx.jobs": "Expected ExtractError OutputError PartsLost Progress Summary TooManyFailures extract finish",
    "clipx.loader.stats": "LoaderStats",
    "clipx.mapped": "Member members members_in open open_member",
    "clipx.memory": "MemorySample Meter check leases payload_bytes retained_bytes",
    "clipx.plan": "ALL Extent FrameList FrameSpec Offset Policy RateSpec Rng Sampling Segment Selection "
    "UniformSampling UniformSpec WindowSpec as_generator as_segments check_bounded fill_bytes",
    "clipx.pool": "GARBAGE_SECONDS ClipPool PoolStats",
    "clipx.ray": "extract_map",
    "clipx.segments": "Segment from_csv",
    "clipx.video": "SoundInfo VideoClips VideoInfo VideoOptions clips probe",
    "clipx.wds": "batched clips log_and_continue mapped_samples sample_rng shuffle watch",
    "clipx.windows": "WindowSpec extract indices iterate starts",
}
OLD = [f"{module}.{name}" for module, names in NAMES_OF_0_1.items() for name in names.split()]
PUBLIC = {*DOCUMENTED, *(f"clipx.{name}" for name in MODULES)} - {"clipx.simd", "clipx.__version__"}


@cache
def strings_under_assignments():
    """The strings under assignments of the package, by the name that is assigned: help() has none of values."""
    found = {}
    for path in Path(clipx.__file__).parent.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for statement, following in zip(body, body[1:]):
            if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr):
                found[ast.unparse(statement.targets[0])] = getattr(following.value, "value", None)
    return found


def mark_of(name):
    value = resolve(name)
    described = inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)
    text = value.__doc__ if described else strings_under_assignments()[name.rpartition(".")[2]]
    return MARK.search(text.rstrip())


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_has_a_mark(name):
    mark = mark_of(name)
    assert mark is not None, f"the docstring of {name} does not end in a line such as 'Stability: stable.'"
    if name not in OLD:
        assert mark[2] is not None, f"{name} is new since 0.1: its mark lacks 'Added in version'"
        assert tuple(map(int, mark[2].split("."))) <= tuple(map(int, clipx.__version__.split(".")[:2]))


@pytest.mark.parametrize("name", OLD)
def test_names_of_the_first_version_are_there(name):
    home, _, own = name.rpartition(".")
    assert hasattr(importlib.import_module(home), own)
