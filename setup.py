"""The compiled part; everything else is said in pyproject.toml."""

import glob
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["/O2"] if sys.platform == "win32" else ["-O3", "-Wall", "-Wextra", "-ffp-contract=off"]


def extension(name, **more):
    return Extension(f"clipx._kernel.{name}", [f"clipx/_kernel/{name}.pyx"], extra_compile_args=flags, **more)


rows = {"include_dirs": ["clipx/_kernel"], "depends": sorted(glob.glob("clipx/_kernel/rows/*.h"))}
setup(ext_modules=cythonize([extension("kernel", **rows), extension("slots")]))
