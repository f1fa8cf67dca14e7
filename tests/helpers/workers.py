"""DataLoaders of torch whose workers say where they are, should they ever hang."""

import faulthandler
import sys

import pytest

HANGS_AFTER = 40
"""Seconds after which a worker is taken to hang: tests end long before."""

# Once, all workers that sent tensors hung for some minutes on one machine, and never again. Should that come back, the
# report has every thread's stack; a hang that is ours comes in both runs.
once_more = pytest.mark.flaky(reruns=1, only_rerun="Timeout")


def report_hang(worker=0):
    """Print the stacks of all threads of this process, should it still run after HANGS_AFTER seconds."""
    faulthandler.dump_traceback_later(HANGS_AFTER, file=sys.__stderr__)


def data_loader(dataset, *, of=None, **rest):
    """A DataLoader of torch, or `of` another class like it, without batches of its own."""
    if of is None:
        import torch

        of = torch.utils.data.DataLoader
    return of(dataset, batch_size=None, worker_init_fn=report_hang, **rest)
