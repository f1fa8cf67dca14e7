"""The compiled part; everything else is said in pyproject.toml."""

import glob
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["/O2"] if sys.platform == "win32" else ["-O3", "-Wall", "-Wextra", "-ffp-contract=off"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                "clipx._kernel",
                ["clipx/_kernel.pyx"],
                include_dirs=["clipx"],
                depends=sorted(glob.glob("clipx/_rows/*.h")),
                extra_compile_args=flags,
            )
        ]
    )
)
