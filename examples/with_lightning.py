"""A Loader in a Trainer of Lightning, on one process or several, resumed from a checkpoint at any batch.

torchrun --nproc-per-node 2 examples/with_lightning.py videos-{000..099}.tar
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import lightning
import torch

import clipx


class Clips(lightning.LightningDataModule):
    """The batches of a Loader, whose states of all ranks are in each checkpoint.

    Args:
        make: gives the Loader, with `equal_batches=True` or over an index: where Lightning does not know the number of
            batches, it reads one ahead, and a state would leave that one out.
    """

    def __init__(self, make: Callable[[], clipx.Loader]) -> None:
        super().__init__()
        self.loader = make()
        len(self.loader)  # raises TypeError where it is not known

    def train_dataloader(self) -> Any:
        # The Loader has threads of its own. Lightning would save the state of a StatefulDataLoader for one rank alone.
        return torch.utils.data.DataLoader(self.loader, batch_size=None)

    def state_dict(self) -> dict[str, Any]:
        """The states of all ranks; each of them calls this, and the first saves it."""
        states: list[Any] = [self.loader.state_dict()]
        if torch.distributed.is_initialized():
            states *= torch.distributed.get_world_size()
            torch.distributed.all_gather_object(states, states[0])
        return {"loaders": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was saved, on as many ranks."""
        assert self.trainer is not None
        self.loader.load_state_dict(state["loaders"][self.trainer.global_rank])


class Brightness(lightning.LightningModule):
    """A model to have one: the brightness of clips."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: dict[str, Any], number: int) -> Any:
        print(batch["mp4"].shape, batch["__key__"][0])
        return self.layer(batch["mp4"].float().mean().reshape(1, 1)).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1e-6)


def main(urls: str) -> None:
    """Train for an epoch, from the last checkpoint on."""
    clips = Clips(
        lambda: clipx.Loader(
            urls, clipx.WindowSpec(16, 64), clipx.ClipFormat(resize=(112, 112)), batch_size=8, equal_batches=True
        )
    )
    checkpoints = lightning.pytorch.callbacks.ModelCheckpoint("checkpoints", every_n_train_steps=10, save_last=True)
    trainer = lightning.Trainer(
        max_epochs=1, devices=int(os.environ.get("WORLD_SIZE", "1")), callbacks=[checkpoints], logger=False
    )
    trainer.fit(Brightness(), datamodule=clips, ckpt_path="last")


if __name__ == "__main__":
    main(sys.argv[1])
