"""Threads that are switched between any two bytecodes of clipx, as they can be where there is no GIL."""

import os
import random
import sys
import threading
import time
from contextlib import contextmanager

import clipx

FOLDER = os.path.dirname(os.path.abspath(clipx.__file__)) + os.sep


@contextmanager
def switched(*modules, share=0.1, seed=0):
    """Let threads that are started meanwhile, and the running one, give way at a share of the bytecodes of clipx.

    modules: paths of files below clipx/, such as "pool.py", whose bytecodes these are; default: all.
    """
    folders = tuple(FOLDER + each.replace("/", os.sep) for each in modules) or (FOLDER,)
    drawn = random.Random(seed)

    def local(frame, event, arg):
        if event == "opcode" and drawn.random() < share:
            time.sleep(0)
        return local

    def trace(frame, event, arg):
        if not frame.f_code.co_filename.startswith(folders):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return local

    before, interval = (sys.gettrace(), threading.gettrace()), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])
        sys.setswitchinterval(interval)


def together(*works, times=1):
    """Run functions at the same time, each on `times` threads; returns what they return, and raises what they raise."""
    begin = threading.Barrier(len(works) * times)
    found = [None] * (len(works) * times)
    errors = []

    def run(number, work):
        begin.wait()
        try:
            found[number] = work()
        except BaseException as exn:
            errors.append(exn)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(list(works) * times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found
