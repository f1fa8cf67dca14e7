"""WebDataset stages."""

from clipx.batching import batched
from clipx.cutting import clips, log_and_continue
from clipx.epochs import sample_rng
from clipx.shuffling import shuffle
from clipx.sources import mapped_samples
from clipx.watching import watch

__all__ = ["batched", "clips", "log_and_continue", "mapped_samples", "sample_rng", "shuffle", "watch"]
