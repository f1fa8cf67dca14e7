"""Which frames of a source go into which place of which clip."""

from clipx.plan.windows import ALL, Rng, Selection, WindowSpec, as_generator, fill_bytes

__all__ = ["ALL", "Rng", "Selection", "WindowSpec", "as_generator", "fill_bytes"]
