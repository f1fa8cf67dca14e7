"""Objects that call a Loader: DataLoaders, whose workers it is not told of, and what would batch or share it out again.

They say what they are in no other way than by who calls.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["data_loader_over", "refuse_second_batching", "refuse_second_sharing"]


def _caller(depth: int) -> Any:
    """The object whose method called, so many functions above this module's; None where there is none."""
    return sys._getframe(depth + 1).f_locals.get("self")


def data_loader_over(dataset: Any, depth: int = 1) -> Any:
    """The DataLoader of torch that called the caller of this about its `dataset`; None where it was something else."""
    caller = _caller(depth + 1)
    is_over = getattr(caller, "dataset", None) is dataset and isinstance(getattr(caller, "num_workers", None), int)
    return caller if is_over else None


def refuse_second_batching(depth: int = 1) -> None:
    """Raise ValueError where a DataLoader called that makes batches of what it is given."""
    if getattr(_caller(depth + 1), "auto_collation", False) is True:  # torch's and torchdata's fetchers have it
        raise ValueError(
            "a DataLoader makes batches of a Loader's batches, but must take them as they are: give it batch_size=None"
        )


def refuse_second_sharing(depth: int = 1) -> None:
    """Raise ValueError where accelerate called that shares out among processes what they have shared already."""
    caller = _caller(depth + 1)
    kind = type(caller)
    if kind.__module__.split(".")[0] != "accelerate":
        return
    if kind.__name__ == "IterableDatasetShard":
        processes = caller.num_processes
    elif kind.__name__ == "DataLoaderDispatcher":
        processes = caller.state.num_processes
    else:
        return
    if processes > 1:
        raise ValueError(
            f"accelerate's {kind.__name__} shares out the batches of a Loader among {processes} processes, but the "
            f"Loaders of these share the dataset already, so that most clips would be lost: instead of "
            f"Accelerator.prepare use accelerate.data_loader.prepare_data_loader(data, accelerator.device, "
            f"num_processes=1, process_index=0, put_on_device=True, dispatch_batches=False, "
            f"use_stateful_dataloader=True), as docs/loader.md says"
        )
