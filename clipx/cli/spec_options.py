"""Options of the command line that say which frames: a spec and segments."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import clipx
from clipx.cli.completions import choices_of
from clipx.cli.option_groups import dashed, option_group, take_given

if TYPE_CHECKING:
    from clipx.plan import FrameSpec

__all__ = ["read_segments", "segments_of", "spec_of", "spec_options"]

LENGTH = 8

JSON_FILE = r"(.+\.json)(:.*)?"
"""A JSON file, and the path of a list in it."""

PAIRS = r"[-\d.:,\s]*"
"""Pairs of seconds, such as 0:4.5,10:12."""

OPTIONS = (
    click.option("--length", type=int, help=f"Frames in a clip.  [default: {LENGTH}]"),
    click.option("--stride", type=int, help="Frames from one clip's start to the next.  [default: length * dilation]"),
    click.option("--dilation", type=int, help="Frames from one frame of a clip to the next.  [default: 1]"),
    click.option(
        "--policy",
        shell_complete=choices_of("plan.Policy"),
        help="Clips past the end: drop, repeat_last, wrap, reflect, constant, error or backpad.  [default: drop]",
    ),
    click.option("--fill-value", type=int, help="Value of frames past the end, with --policy constant.  [default: 0]"),
    click.option("--offset", help="First frame of the first clip, or random.  [default: 0]"),
    click.option("--num-clips", type=int, help="Number of clips, instead of --stride."),
    click.option(
        "--sampling",
        shell_complete=choices_of("plan.Sampling", "plan.UniformSampling"),
        help="With --num-clips: regular, random, partition or partition_source; with --uniform: centers, random or "
        "linspace.",
    ),
    click.option("--uniform", is_flag=True, default=None, help="One clip of --length frames, spread over the whole."),
    click.option("--whole", is_flag=True, default=None, help="One clip of all frames."),
    click.option("--rate", help="One clip of as many frames as the duration gives at this rate, such as 2."),
    click.option("--min-frames", type=int, help="Fewest frames of --rate.  [default: 1]"),
    click.option("--max-frames", type=int, help="Most frames of --rate."),
    click.option("--multiple", type=int, help="Number that the frames of --rate are a multiple of.  [default: 1]"),
    click.option("--frames", help="One clip of these frames, such as 0,40,12."),
    click.option("--seconds", help="One clip of the frames nearest to these times, such as 0,1.5."),
    click.option("--tolerance-seconds", help="Most seconds between a time of --seconds and its frame.  [default: any]"),
)

WINDOW = ("length", "stride", "dilation", "policy", "fill_value", "offset", "num_clips", "sampling")
SPECS = {
    "uniform": ("UniformSpec", ("length", "sampling")),
    "whole": ("RateSpec", ()),
    "rate": ("RateSpec", ("rate", "min_frames", "max_frames", "multiple")),
    "frames": ("FrameList", ("frames",)),
    "seconds": ("FrameList", ("seconds", "tolerance_seconds")),
}
"""The specs beside windows, by the option that chooses each, and the options that say more of it."""

MOST_RATE = 10**6
"""Largest rate of a spec; a RateSpec of it takes every frame of any source."""

RENAMED = {"rate": "fps"}
"""Arguments of specs whose options have other names."""


spec_options = option_group(OPTIONS)
"""The options that `spec_of` reads."""


def spec_of(chosen: dict[str, Any]) -> FrameSpec:
    """The spec that options ask for, which are taken out of `chosen`.

    Raises ValueError for options that do not go together, and as the spec.
    """
    names = dict.fromkeys([*WINDOW, *SPECS, *(name for _, taken in SPECS.values() for name in taken)])
    given = take_given(chosen, names)
    kinds = [option for option in SPECS if option in given]
    if len(kinds) > 1:
        raise ValueError(f"{dashed(kinds[1])} does not go with {dashed(kinds[0])}: each says all of the clips")
    kind, taken = SPECS[kinds[0]] if kinds else ("WindowSpec", WINDOW)
    for name in ("uniform", "whole"):
        given.pop(name, None)
    for name in given:
        if name not in taken:
            raise ValueError(f"{dashed(name)} does not go with {dashed(kinds[0]) if kinds else 'windows'}")
    if "length" in taken:
        given.setdefault("length", LENGTH)
    arguments = {RENAMED.get(name, name): _converted(name, value) for name, value in given.items()}
    if kinds == ["whole"]:
        arguments["fps"] = MOST_RATE
    spec: FrameSpec = getattr(clipx, kind)(**arguments)
    return spec


def _converted(name: str, value: Any) -> Any:
    if name in ("frames", "seconds"):
        return [_number(name, each) for each in value.split(",")]
    return int(value) if name == "offset" and value.strip("-").isdecimal() else value


def _number(name: str, text: str) -> Any:
    try:
        return int(text) if name == "frames" else float(text)
    except ValueError:
        raise ValueError(f"{dashed(name)} has {text!r}, which is not a number") from None


def read_segments(text: str | None) -> list[clipx.Segment] | None:
    """The segments of a table or of a JSON file, or pairs of seconds such as "0:4.5,10:12"; None for None.

    Raises OSError and ValueError for what they cannot be read from.
    """
    if text is None:
        return None
    from clipx.datasets.segments import parse_segments

    match = re.fullmatch(JSON_FILE, text, re.DOTALL)
    if match:
        source = parse_segments(f"json{match[2] or ''}")
        assert source is not None
        found = source.of({"json": Path(match[1]).read_bytes()}, "seconds")
        for _, error in found.errors:
            raise error
        return list(found.segments.values())
    if Path(text).exists() or not re.fullmatch(PAIRS, text):
        return clipx.segments.from_csv(text)
    pairs = [pair.split(":") for pair in text.split(",")]
    must = f"--segments is {text!r}, but must be a file, or pairs such as 0:4.5,10:12"
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(must)
    try:
        return [clipx.Segment(float(start), float(end)) for start, end in pairs]
    except ValueError as exn:
        raise ValueError(f"{must}: {exn}") from None


def segments_of(text: str | None, is_one_source: bool) -> str | list[clipx.Segment] | None:
    """The argument `segments=` of a dataset: pairs for all sources, a field path, or the segments of the only source.

    Args:
        is_one_source: whether the dataset is one file, which a table or a JSON file may be of.

    Raises OSError and ValueError for what cannot be read, and ValueError for a file where there are several sources.
    """
    if text is None:
        return None
    is_pairs = re.fullmatch(PAIRS, text) is not None
    path = Path(text[: match.end(1)] if (match := re.fullmatch(JSON_FILE, text, re.DOTALL)) else text)
    if not is_pairs and not path.is_file():
        if path.parent != Path():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return text
    if not is_pairs and not is_one_source:
        raise ValueError(
            f"--segments is {text!r}, a file of segments of one source, but SRC may be several: name a field that "
            f"lists those of each sample, such as json:segments, or give a table as SRC and --segment-columns"
        )
    return read_segments(text)
