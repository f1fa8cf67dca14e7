"""Python in processes of its own."""

import os
import subprocess
import sys

from clipx import _kernel


def run_python(*arguments, timeout=60, **environment):
    """A finished process of Python with arguments such as "-c" and code, and the import path of this process."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def printed_by_implementations(script):
    """{implementation: what it printed behind its name} of a script that prints the name first."""
    found = {}
    for name in _kernel.implementations:
        ran = run_python(script, CLIPX_SIMD=name)
        assert ran.returncode == 0, f"{name}: {ran.returncode} {ran.stderr}"
        ran_as, *found[name] = ran.stdout.split()
        assert ran_as == name
    return found
