"""A Loader in a loop of accelerate, on one process or several, saved and resumed at any batch.

accelerate launch examples/with_accelerate.py videos-{000..099}.tar
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader

import clipx


def prepare_loader(loader: clipx.Loader, accelerator: Accelerator, num_workers: int = 0) -> Any:
    """A DataLoader over a Loader, whose batches come on accelerate's device; instead of `accelerator.prepare`.

    The Loaders of all processes share the dataset, so that accelerate takes each for that of a single process. The
    state is that behind the batch that the loop has, though accelerate has read one more.
    """
    return prepare_data_loader(
        torch.utils.data.DataLoader(loader, batch_size=None, num_workers=num_workers),
        accelerator.device,
        num_processes=1,
        process_index=0,
        put_on_device=True,
        dispatch_batches=False,
        use_stateful_dataloader=True,
    )


def main(urls: str) -> None:
    """Print the batches of two epochs, from the state that a run before has saved."""
    accelerator = Accelerator()
    loader = clipx.Loader(
        urls, clipx.WindowSpec(16, 64), clipx.ClipFormat(resize=(112, 112)), batch_size=8, equal_batches=True
    )
    data = prepare_loader(loader, accelerator)
    path, first = Path(f"loader-{accelerator.process_index}.pt"), 0  # one of each process
    if path.exists():
        saved = torch.load(path)
        data.load_state_dict(saved["data"])
        first = saved["epoch"]
    for epoch in range(first, 2):
        data.set_epoch(epoch)  # accelerate does not keep it with the state
        for batch in data:
            print(epoch, batch["mp4"].shape, batch["__key__"][0])
            torch.save({"epoch": epoch, "data": data.state_dict()}, path)
        torch.save({"epoch": epoch + 1, "data": {}}, path)


if __name__ == "__main__":
    main(sys.argv[1])
