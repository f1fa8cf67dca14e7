"""DataLoaders of torch whose workers say where they are, should they ever hang."""

import faulthandler
import sys

import pytest

HANGS_AFTER = 60
"""Seconds after which a worker is taken to hang: tests end long before."""

GIVES_UP_AFTER = 100
"""Seconds after which a DataLoader no longer waits for a batch, and ends its workers."""

# Once, all workers that sent tensors hung for some minutes on one machine. Should that come back, the report has every
# thread's stack; a hang that is ours comes in both runs.
once_more = pytest.mark.flaky(reruns=1, only_rerun="DataLoader timed out")


def report_hang(worker=0):
    """Print the stacks of all threads of this process, should it still run after HANGS_AFTER seconds."""
    faulthandler.dump_traceback_later(HANGS_AFTER, file=sys.__stderr__)


def data_loader(dataset, batch_size=None, *, of=None, num_workers=0, **rest):
    """A DataLoader of torch, or `of` another class like it; by default without batches of its own."""
    if of is None:
        import torch

        of = torch.utils.data.DataLoader
    timeout = GIVES_UP_AFTER if num_workers else 0
    return of(dataset, batch_size, num_workers=num_workers, timeout=timeout, worker_init_fn=report_hang, **rest)
