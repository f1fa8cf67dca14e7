"""Results of a benchmark: their records for report.py, their tables, and the floors they are held to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from _measure import Samples, spread, times_as_fast
from rich.console import Console
from rich.table import Table

OURS = "clipx"  # contestants whose names begin so are not rivals
Record = dict[str, Any]


def make_record(
    title: str,
    ours: str,
    contestants: Mapping[str, Mapping[str, Any]],
    limit: str | None = None,
    rivals: Iterable[str] | None = None,
    **more: Any,
) -> Record:
    """A record as report.py reads it: figures of each contestant by name, and which of them are compared.

    limit: the contestant that bounds all others. rivals: by default all that are neither clipx's nor the limit.
    """
    if rivals is None:
        rivals = [name for name in contestants if not name.startswith(OURS) and name != limit]
    named = {"title": title, "ours": ours, "rivals": list(rivals), "limit": limit}
    return {**named, **more, "contestants": {name: dict(each) for name, each in contestants.items()}}


@dataclass(frozen=True)
class Result:
    """One case: the samples of each contestant.

    Attributes:
        title: the case.
        samples: by contestant.
        ours: the contestant that is compared with the others.
        clips: that one sample gives; 0 where clips are not counted.
        clip_bytes: of one clip; 0 where bytes are not counted.
        limits: contestants that give no clips; the fastest of them bounds all others.
        rivals: contestants that ours is compared with; by default all that are neither clipx's nor limits.
        notes: lines beside the contestants in a table.
        figures: more figures by contestant, for the record.
        facts: more of the record.
    """

    title: str
    samples: Samples
    ours: str = OURS
    clips: int = 0
    clip_bytes: int = 0
    limits: tuple[str, ...] = ()
    rivals: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rivals is None:
            others = (name for name in self.samples if name not in self.limits)
            object.__setattr__(self, "rivals", tuple(name for name in others if not name.startswith(OURS)))

    @property
    def limit(self) -> str | None:
        """The fastest of the limits."""
        return min((name for name in self.limits if name in self.samples), key=self.seconds, default=None)

    @property
    def fastest_rival(self) -> str | None:
        return min(self.rivals, key=self.seconds, default=None)

    def seconds(self, name: str) -> float:
        """Median over the repetitions."""
        return spread(sample.seconds for sample in self.samples[name]).median

    def ratio(self, name: str) -> float:
        """Speed of ours over that of a contestant."""
        return times_as_fast(self.samples[self.ours], self.samples[name])

    def of_limit(self, name: str) -> float:
        """Speed of a contestant over that of the limit."""
        assert self.limit is not None
        return times_as_fast(self.samples[name], self.samples[self.limit])

    def record(self) -> Record:
        """The record for report.py."""
        contestants = {}
        for name, samples in self.samples.items():
            figures: dict[str, Any] = {"clipx_times_as_fast": self.ratio(name)}
            if self.clips:
                figures["clips_per_second"] = self.clips / self.seconds(name)
            if self.clip_bytes:
                figures["gb_per_second"] = self.clips * self.clip_bytes / self.seconds(name) / 1e9
            if self.limit is not None:
                figures["of_limit"] = self.of_limit(name)
            figures |= self.figures.get(name, {})
            contestants[name] = {**figures, "seconds": [sample.seconds for sample in samples]}
        facts = {"clips": self.clips, "clip_bytes": self.clip_bytes, **self.facts}
        facts["fastest_rival"] = self.fastest_rival
        return make_record(self.title, self.ours, contestants, self.limit, self.rivals, **facts)


# Tables


class Column(NamedTuple):
    """A column of a table: its title, and its text for a contestant of a result."""

    title: str
    text: Callable[[Result, str], str]


def make_table(title: str, columns: Iterable[str], caption: str | None = None) -> Table:
    """A table whose first two columns hold text, the others numbers."""
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
    return table


def show_ratio(ratio: float) -> str:
    """A ratio of speeds for a table, red where clipx is slower by more than noise."""
    return f"[red]{ratio:.2f}x[/red]" if ratio < 0.95 else f"{ratio:.2f}x"


def _milliseconds(result: Result, name: str) -> str:
    return f"{result.seconds(name) * 1e3:.4g}"


def _spread(result: Result, name: str) -> str:
    seconds = spread(sample.seconds for sample in result.samples[name])
    return f"{seconds.low * 1e3:.4g}..{seconds.high * 1e3:.4g}"


def _clips_per_second(result: Result, name: str) -> str:
    return "" if name in result.limits else f"{result.clips / result.seconds(name):,.0f}"


def _gigabytes_per_second(result: Result, name: str) -> str:
    return f"{result.clips * result.clip_bytes / result.seconds(name) / 1e9:.2f}"


def _of_limit(result: Result, name: str) -> str:
    return "" if result.limit is None else f"{result.of_limit(name):.2f}"


def _clipx_is(result: Result, name: str) -> str:
    return "" if name == result.ours or name in result.limits else show_ratio(result.ratio(name))


MS, SPREAD = Column("ms", _milliseconds), Column("spread", _spread)
CLIPS, GIGABYTES = Column("clips/s", _clips_per_second), Column("GB/s", _gigabytes_per_second)
OF_LIMIT, CLIPX_IS = Column("of limit", _of_limit), Column("clipx is", _clipx_is)
CAPTION = (
    "ms: median and lowest..highest. GB/s: 10^9 bytes written a second. of limit: speed over that of the limit.\n"
    "clipx is: times as fast. *: fastest rival."
)


def results_table(title: str, results: Iterable[Result], columns: Sequence[Column], caption: str = "") -> Table:
    """A row for each contestant of each result; the caption explains what CAPTION does not."""
    caption = f"{CAPTION}\n{caption}" if caption else CAPTION
    table = make_table(title, ("case", "contestant", *(column.title for column in columns)), caption)
    for result in results:
        table.add_section()
        for name, note in itertools.zip_longest(result.samples, result.notes or (result.title,), fillvalue=""):
            if not name:
                table.add_row(note)
                continue
            mark = " *" if name == result.fastest_rival else " = limit" if name == result.limit else ""
            cells = [column.text(result, name) for column in columns]
            table.add_row(note, name + mark, *cells, style="bold" if name == result.ours else None)
    return table


# Floors


class Floor(NamedTuple):
    """A figure that was asked for, and the figure that was measured."""

    what: str
    asked: str
    measured: str
    met: bool


class Floors(list[Floor]):
    """The floors of a benchmark."""

    def at_least(self, what: str, asked: float, measured: float, unit: str = "x") -> None:
        self.append(Floor(what, f">= {asked:.2f}{unit}", f"{measured:.2f}{unit}", measured >= asked))

    def at_most(self, what: str, asked: float, measured: float, unit: str = "x") -> None:
        self.append(Floor(what, f"<= {asked:.2f}{unit}", f"{measured:.2f}{unit}", measured <= asked))

    def bytes_above(self, what: str, base: str, asked: int, measured: int) -> None:
        """At most so many bytes above a base, such as "the pool"."""
        found = f"{base} {measured / 1e6:+.0f} MB"
        self.append(Floor(what, f"at most {base} {asked / 1e6:+.0f} MB", found, measured <= asked))

    def fastest_rival(self, result: Result, asked: float, what: str = "") -> None:
        """Ours at least `asked` times as fast as the fastest rival of its case, where there is one."""
        name = result.fastest_rival
        if name is not None:
            what = what or result.title
            self.at_least(f"{what}: against the fastest rival, {name}", asked, result.ratio(name))

    def print(self, console: Console) -> None:
        table = Table(title="Floors", title_justify="left")
        for name in ("what", "asked", "measured", ""):
            table.add_column(name)
        for floor in self:
            met = "[green]met[/green]" if floor.met else "[red]missed[/red]"
            table.add_row(floor.what, floor.asked, floor.measured, met)
        console.print(table)
