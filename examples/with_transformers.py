"""A Loader in the Trainer of Hugging Face, on one process or several, resumed from a checkpoint at any batch.

torchrun --nproc-per-node 2 examples/with_transformers.py videos-{000..099}.tar
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from transformers import Trainer, TrainingArguments
from with_accelerate import prepare_loader

import clipx


class ClipTrainer(Trainer):
    """A Trainer of the batches of a Loader.

    `max_steps` is needed where their number is not known: without `equal_batches` and without an index. To resume, the
    Trainer reads an epoch up to where it was, which gives the same batches again.
    """

    def __init__(self, *args: Any, loader: clipx.Loader, **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.loader = loader

    def get_train_dataloader(self) -> Any:
        """The batches as they are: the Loaders of all processes share the dataset."""
        return prepare_loader(self.loader, self.accelerator, self.args.dataloader_num_workers)


class Brightness(torch.nn.Module):
    """A model to have one: the brightness of clips."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, mp4: torch.Tensor, **rest: Any) -> dict[str, Any]:
        print(mp4.shape, rest["__key__"][0])
        return {"loss": self.layer(mp4.float().mean().reshape(1, 1)).square().mean()}


def main(urls: str) -> None:
    """Train for an epoch."""
    loader = clipx.Loader(
        urls, clipx.WindowSpec(16, 64), clipx.ClipFormat(resize=(112, 112)), batch_size=8, equal_batches=True
    )
    arguments = TrainingArguments("checkpoints", num_train_epochs=1, save_steps=10, report_to=[])
    ClipTrainer(Brightness(), arguments, loader=loader).train()


if __name__ == "__main__":
    main(sys.argv[1])
