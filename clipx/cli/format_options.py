"""Options of the command line that say how clips are written: texts to arguments of ClipFormat."""

from __future__ import annotations

from typing import Any

import click

import clipx
from clipx.cli.completions import choices_of
from clipx.cli.option_groups import option_group, take_given

__all__ = ["format_of", "number_options", "picture_options"]

PICTURES = (
    click.option(
        "--resize",
        help="Shorter side in pixels, or HEIGHT,WIDTH; also longer,N, or fit,HEIGHT,WIDTH,VALUE, with bars of VALUE, "
        "or pixels,MIN,MAX,MULTIPLE.",
    ),
    click.option(
        "--interpolation",
        shell_complete=choices_of("format.Interpolation"),
        help="With --resize or --crop resized: bilinear, bicubic, area or nearest.  [default: bilinear]",
    ),
    click.option(
        "--crop",
        help="Centered square of that many pixels, or HEIGHT,WIDTH, or TOP,LEFT,HEIGHT,WIDTH; also random,224; "
        "resized,224, of random size and shape and then resized; or several views: three,224, five,224, ten,224.",
    ),
    click.option("--flip", is_flag=True, help="Mirror left and right."),
)
NUMBERS = (
    click.option(
        "--dtype",
        shell_complete=choices_of("_arithmetic.DTypeName"),
        help="Numbers of clips: uint8, float16, bfloat16 or float32.  [default: the source's; float32 with --scale, "
        "--mean or --std]",
    ),
    click.option("--scale", type=float, help="Number that all are multiplied by, before --mean is taken away."),
    click.option(
        "--mean", help="A number, or one for each channel, such as 0.48,0.45,0.4; or imagenet, kinetics or clip."
    ),
    click.option("--std", help="Divisor, as --mean. A preset gives scale, mean and std.  [default: 1]"),
    click.option(
        "--order",
        shell_complete=choices_of("format.Order"),
        help="Dimensions of a clip: THWC, CTHW or TCHW; of one frame also HWC or CHW.",
    ),
)

picture_options = option_group(PICTURES)
number_options = option_group(NUMBERS)
"""The options that `format_of` reads: of pictures, and of numbers."""


def format_of(chosen: dict[str, Any]) -> clipx.ClipFormat:
    """The ClipFormat that options ask for, which are taken out of `chosen`. Raises as ClipFormat."""
    names = ("resize", "crop", "flip", "interpolation", "dtype", "scale", "mean", "std", "order")
    given = take_given(chosen, names)
    for name, read in (("resize", read_resize), ("crop", read_crop), ("mean", read_mean), ("std", read_mean)):
        if name in given:
            given[name] = read(given[name])
    return clipx.ClipFormat(**given)


def read_mean(text: str) -> Any:
    """A number or several, or the name of a preset as it is."""
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        return text
    return numbers[0] if len(numbers) == 1 else numbers


def read_resize(text: str) -> Any:
    """Numbers, or from "longer,256" a name with its numbers."""
    name, numbers = _named(text)
    return (name, *numbers) if name and isinstance(numbers, tuple) else (name, numbers) if name else numbers


def read_crop(text: str) -> Any:
    """Numbers, or from "three,224" a name and its numbers."""
    name, numbers = _named(text)
    if name == "resized":
        return clipx.RandomResizedCrop(numbers)
    return (name, numbers) if name else numbers


def _named(text: str) -> tuple[str, int | tuple[int, ...]]:
    """The name that numbers have before them, "" without one, and the numbers."""
    name, comma, numbers = text.partition(",")
    return (name, _numbers(numbers)) if comma and name.isalpha() else ("", _numbers(text))


def _numbers(text: str) -> int | tuple[int, ...]:
    """An integer from "224", or several from "224,320". Raises ValueError for any other text."""
    try:
        numbers = tuple(int(each) for each in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not a number, or numbers with commas between") from None
    return numbers[0] if len(numbers) == 1 else numbers
