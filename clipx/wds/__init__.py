"""WebDataset stages.

Stability: stable.
"""

from clipx.plan.draws import sample_rng
from clipx.wds.batching import batched
from clipx.wds.clipping import clips, log_and_continue
from clipx.wds.mapping import mapped_samples
from clipx.wds.shuffling import shuffle
from clipx.wds.watching import watch

__all__ = ["batched", "clips", "log_and_continue", "mapped_samples", "sample_rng", "shuffle", "watch"]
