"""The base of datasets that `torch.utils.data.DataLoader` takes: torch's own, or a stand-in where there is no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["DictDataset"]

if TYPE_CHECKING:
    from torch.utils.data import IterableDataset

    DictDataset = IterableDataset[dict[str, Any]]
else:
    from webdataset.pytorch import IterableDataset as DictDataset
