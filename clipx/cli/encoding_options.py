"""Options of the command line that say how clips are encoded."""

from __future__ import annotations

from typing import Any

import click

from clipx.cli.completions import choices_of
from clipx.cli.option_groups import option_group, take_given

__all__ = ["encoding_of", "encoding_options"]

OPTIONS = (
    click.option(
        "--encoding",
        shell_complete=choices_of("jobs.extraction.extract.EncodingName"),
        help="npy: arrays. jpg, webp, png: a picture for each frame. mp4: encoded again. copy: the packets, without "
        "decoding. wav, flac: sounds.  [default: npy]",
    ),
    click.option("--quality", type=int, help="Of jpg and webp, from 1 to 100.  [default: jpg 95, webp 90]"),
    click.option("--codec", help="Of mp4: libx264, libx265, libsvtav1 or libvpx-vp9, for example.  [default: libx264]"),
    click.option(
        "--crf", type=float, help="Of mp4: lower is better and larger; 0 is lossless.  [default: the codec's]"
    ),
    click.option("--preset", help="Of mp4: the codec's presets, such as fast, or numbers.  [default: the codec's]"),
    click.option("--gop", type=int, help="Of mp4: most frames from one key frame to the next."),
)

encoding_options = option_group(OPTIONS)
"""The options that `encoding_of` reads."""


def encoding_of(chosen: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `clipx.jobs.extract` that options ask for, which are taken out of `chosen`."""
    given = take_given(chosen, ("encoding", "quality", "codec", "crf", "preset", "gop"))
    if given.get("preset", "").isdecimal():
        given["preset"] = int(given["preset"])
    return given
