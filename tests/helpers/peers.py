"""What tests against other libraries' samplers share: the frames that a spec may give."""

import numpy as np

__all__ = ["possible"]


def possible(spec, n, draws=600):
    """Source frames that a random spec gives in that many draws, for each clip a list with a set for each position."""
    rng = np.random.default_rng(0)
    rows = np.stack([spec.rows(n, rng) for _ in range(draws)])
    return [[set(frames.tolist()) for frames in clip.T] for clip in rows.transpose(1, 0, 2)]
