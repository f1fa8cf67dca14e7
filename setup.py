"""The compiled part; everything else is said in pyproject.toml."""

import glob
import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# With sanitizers -O3 takes minutes.
level = "-O1" if "-fsanitize" in os.environ.get("CFLAGS", "") else "-O3"
flags = ["/O2"] if sys.platform == "win32" else [level, "-Wall", "-Wextra", "-ffp-contract=off"]


def extension(name, **more):
    return Extension(f"clipx._kernel.{name}", [f"clipx/_kernel/{name}.pyx"], extra_compile_args=flags, **more)


sources = ("clipx/_kernel/rows/*.h", "clipx/_kernel/*.h", "clipx/_kernel/*.pxi")
depends = sorted(file for pattern in sources for file in glob.glob(pattern))
headers = {"include_dirs": ["clipx/_kernel"], "depends": depends}
kernel = [extension("kernel", **headers), extension("slots", **headers), extension("callbacks"), extension("packets")]
# Side by side: the largest takes as long as the others together.
setup(ext_modules=cythonize(kernel), options={"build_ext": {"parallel": os.cpu_count()}})
