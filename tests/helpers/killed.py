"""Loaders in processes that are killed amid their batches."""

import json
import multiprocessing
import os
import signal
import warnings
from pathlib import Path

from helpers.loaders import everything
from helpers.threads import wait_until


def _iterate(make, log, saved):
    """Writes a line of each batch, and keeps the state behind it in a file."""
    loader = make()
    with Path(log).open("a") as lines:
        for batch in loader:
            lines.write(f"{everything([batch])[0]}\n")
            lines.flush()
            Path(f"{saved}.new").write_text(json.dumps(loader.state_dict()))
            os.replace(f"{saved}.new", saved)
            del batch


def iterate_until_killed(make, folder, kill_at, seconds):
    """Iterates over a loader in a forked process, which SIGKILL ends once it has given `kill_at` batches.

    Returns a line of each batch, and the last state that was saved.
    """
    log, saved = folder / "log", folder / "state"
    log.write_text("")
    saved.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks where there are threads
        process = multiprocessing.get_context("fork").Process(target=_iterate, args=(make, log, saved))
        process.start()
    try:
        assert wait_until(lambda: log.read_text().count("\n") >= kill_at and saved.exists(), seconds)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.join(seconds)
    return log.read_text().splitlines(), json.loads(saved.read_text())
