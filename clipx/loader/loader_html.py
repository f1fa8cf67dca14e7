"""A Loader as HTML: its settings, how its bytes are divided, and what it is doing."""

from __future__ import annotations

from typing import Any

from clipx._notebook.html import bar, block, shown, table
from clipx._reprs import byte_text
from clipx.loader.budget import Budget
from clipx.loader.config import LoaderConfig
from clipx.loader.probe import Pools
from clipx.loader.stats import LoaderStats

__all__ = ["loader_html"]


@shown
def loader_html(loader: Any) -> str:
    """A Loader for notebooks."""
    config: LoaderConfig = loader._config
    pools: Pools | None = loader._kept.pools
    stats: LoaderStats = loader._kept.stats(config, loader.errors)
    running = loader._running is not None and loader._running.alive
    return block(
        repr(loader).strip("<>"),
        table(_settings(config)),
        "" if pools is None else bar(*_division(pools.budget, pools, stats.memory_bytes)),
        table(_doing(stats, running)),
    )


def _settings(config: LoaderConfig) -> list[tuple[str, object]]:
    clips = config.sample_clips
    given = [("format", clips.format), ("options", clips.options), ("audio", clips.audio), ("keys", clips.keys)]
    yes = [name for name in ("shuffle", "drop_last", "equal_batches") if getattr(config, name)]
    rows: list[tuple[str, object]] = [(name, value) for name, value in given if value is not None]
    rows += [("seed", config.seed), ("threads", config.threads), ("ragged", config.ragged)]
    return [*rows, ("with", ", ".join(yes) or "no shuffle")]


def _division(budget: Budget, pools: Pools, memory: int) -> tuple[list[tuple[str, float]], float, str]:
    """The parts of a loader's bytes, all of them, and a label for what is left."""
    parts = [
        (f"slots of clips, {pools.clips.slots}", pools.clips.nbytes),
        ("batches", pools.batches.nbytes),
        ("samples as read", budget.encoded_bytes),
        ("decoders", budget.decoders_bytes),
    ]
    left = max(memory - sum(size for _, size in parts), 0)
    return [(f"{name}: {byte_text(size)}", float(size)) for name, size in parts], memory, f"rest: {byte_text(left)}"


def _doing(stats: LoaderStats, running: bool) -> list[tuple[str, object]]:
    if stats.epoch is None:
        return [("now", "before the first epoch")]
    rows: list[tuple[str, object]] = [
        ("now" if running else "last", f"epoch {stats.epoch}, {stats.batches} batches, {stats.clips} clips"),
        ("rate", f"{stats.clips_per_second:.1f} clips/s, bound by {stats.bound or 'nothing yet'}"),
        ("held", f"{byte_text(stats.held_bytes)} of {byte_text(stats.memory_bytes)}"),
        ("slots", f"{stats.slots_taken} of {stats.slots} taken, {stats.shuffled} clips in the shuffle"),
    ]
    errors = ", ".join(f"{count} {kind}" for kind, count in stats.errors.items())
    return [*rows, *([("errors", errors)] if errors else [])]
