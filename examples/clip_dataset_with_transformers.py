"""Trains with the Trainer of Hugging Face on the clips of an index, at random.

python examples/clip_dataset_with_transformers.py FOLDER
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

import clipx

WINDOW = clipx.WindowSpec(4, stride=8)
FORMAT = clipx.ClipFormat(resize=(32, 32), crop=("random", 24), flip=True, mean="imagenet", order="TCHW")


def fields(sample: dict[str, Any]) -> dict[str, Any]:
    """The fields that the model takes: those of the second half of a video have another label."""
    return {"pixel_values": sample["mp4"], "labels": int(sample["clip.json"]["start"] >= 8), "key": sample["__key__"]}


class Model(torch.nn.Module):
    """`seen` holds the keys of the clips, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 3 * 24 * 24, 2))
        self.seen: list[list[str]] = []

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor, key: list[str]) -> dict[str, torch.Tensor]:
        self.seen.append(list(key))
        logits = self.layers(pixel_values)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


class ClipTrainer(Trainer):
    """The sampler draws the epochs. The Trainer shares batches out among ranks by itself, so that it has them all."""

    def _get_train_sampler(self, train_dataset: Any = None) -> clipx.ClipSampler:
        return clipx.ClipSampler(train_dataset or self.train_dataset, shuffle="clips", rank=0, ranks=1)


def train(folder: str, epochs: int = 2, workers: int = 2, **settings: Any) -> Model:
    index = clipx.Index.build(folder, f"{folder}/index.parquet")
    model = Model()
    arguments = TrainingArguments(
        output_dir=f"{folder}/run",
        num_train_epochs=epochs,
        per_device_train_batch_size=4,
        dataloader_num_workers=workers,
        dataloader_persistent_workers=workers > 0,
        remove_unused_columns=False,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        **settings,
    )
    dataset = clipx.ClipDataset(index, WINDOW, FORMAT, map=fields)
    ClipTrainer(model, arguments, train_dataset=dataset, data_collator=clipx.ClipDataset.collate).train()
    return model


if __name__ == "__main__":
    train(sys.argv[1])
