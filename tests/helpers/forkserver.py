"""Processes that have torch from the start: they come from one that has imported it, which takes seconds."""

import multiprocessing
import os
import runpy
import sys

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["torch", "torch._dynamo", "clipx.wds", "clipx.loader.loader"])


def run_script(path, arguments, env, output):
    """What `python path arguments` does with this environment, in the process that calls it; prints to a file."""
    with open(output, "w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")
