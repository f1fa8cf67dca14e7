"""Trains with Lightning on the clips of an index, at random.

python examples/clip_dataset_with_lightning.py FOLDER
"""

from __future__ import annotations

import sys

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

import clipx

WINDOW = clipx.WindowSpec(4, stride=8)
FORMAT = clipx.ClipFormat(resize=(32, 32), crop=("random", 24), flip=True, mean="imagenet", order="CTHW")


class Clips(LightningDataModule):
    """The clips of the videos in a folder; each rank has its own, as Lightning leaves a ClipSampler alone."""

    def __init__(self, folder: str, workers: int) -> None:
        super().__init__()
        self.folder, self.workers = folder, workers

    def prepare_data(self) -> None:
        clipx.Index.build(self.folder, f"{self.folder}/index.parquet")

    def train_dataloader(self) -> torch.utils.data.DataLoader:
        dataset = clipx.ClipDataset(f"{self.folder}/index.parquet", WINDOW, FORMAT)
        return torch.utils.data.DataLoader(
            dataset,
            batch_size=4,
            sampler=clipx.ClipSampler(dataset, shuffle="clips", uneven="drop"),
            num_workers=self.workers,
            collate_fn=clipx.ClipDataset.collate,
            persistent_workers=self.workers > 0,
        )


class Model(LightningModule):
    """Tells the first half of a video from the second. `seen` holds the keys of the clips of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(2))
        self.seen: list[list[str]] = []

    def on_train_epoch_start(self) -> None:
        self.seen.append([])

    def training_step(self, batch: dict, number: int) -> torch.Tensor:
        self.seen[-1] += batch["__key__"]
        labels = torch.tensor([facts["start"] >= 8 for facts in batch["clip.json"]]).long()
        return torch.nn.functional.cross_entropy(self.layers(batch["mp4"]), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def train(folder: str, epochs: int = 2, workers: int = 2, **settings: object) -> Model:
    model = Model()
    model.layers(torch.zeros(1, 3, 4, 24, 24))  # so that the optimizer knows the sizes
    Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, **settings).fit(
        model, datamodule=Clips(folder, workers)
    )
    return model


if __name__ == "__main__":
    train(sys.argv[1])
