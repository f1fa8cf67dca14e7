"""What is installed, and what importing it does."""

import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import clipx


def python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_import_is_light():
    code = "import clipx, sys; print([m for m in ('av', 'webdataset', 'numpy', 'psutil', 'torch') if m in sys.modules])"
    assert python(code) == "[]"
    code = "import clipx.windows, sys; print([m for m in ('av', 'webdataset', 'torch') if m in sys.modules])"
    assert python(code) == "[]"


def test_the_command_imports_no_torch():
    pytest.importorskip("torch")
    code = """
        import sys
        from clipx.__main__ import run
        sys.argv = ["clipx", "--version"]
        try:
            run()
        except SystemExit:
            import webdataset
            print("torch" in sys.modules)
            import torch
            print(torch.__name__)
    """
    assert python(dedent(code)).splitlines()[1:] == ["False", "torch"]


def test_a_loader_imports_no_torch(tmp_path):
    """Nothing that is asked about ranks and workers does, where webdataset has not."""
    pytest.importorskip("torch")
    np.save(tmp_path / "a.npy", np.zeros((8, 4, 4, 3), np.uint8))
    code = f"""
        import sys
        from clipx._torchless import import_webdataset
        import_webdataset()
        import clipx
        loader = clipx.Loader(clipx.Files({str(tmp_path)!r}), clipx.WindowSpec(4), batch_size=2, memory="48MB")
        print(len(list(loader)), "torch" in sys.modules)
    """
    assert python(dedent(code)) == "1 False"


def test_a_process_is_given_a_function_and_its_arguments():
    code = "from clipx import _torchless; import pickle; print(_torchless.call(pickle.dumps((max, 1, 2)), 3))"
    assert python(code) == "3"


def test_every_public_name_is_there():
    for name in clipx.__all__:
        assert getattr(clipx, name) is not None


def test_dir_shows_public_names_only():
    assert dir(clipx) == sorted(clipx.__all__)
    assert python("import clipx, clipx.loader, clipx.format; print(*dir(clipx))").split() == sorted(clipx.__all__)


def test_a_name_is_loaded_once():
    code = "import clipx; print(*(getattr(clipx, each) is getattr(clipx, each) for each in dir(clipx)))"
    assert set(python(code).split()) == {"True"}


def test_a_name_that_is_not_there():
    assert not hasattr(clipx, "nothing")


def test_metadata_and_typing():
    reported = metadata("clipx-data")
    assert reported["Version"] == clipx.__version__
    assert reported["License-Expression"] == "Apache-2.0"
    folder = Path(clipx.__file__).parent
    assert (folder / "py.typed").exists()
    assert (folder / "_kernel" / "kernel.pyi").exists()


def test_the_citation_is_of_this_version():
    citation = (Path(__file__).parents[1] / "CITATION.cff").read_text()
    assert f"\nversion: {clipx.__version__}\n" in citation
