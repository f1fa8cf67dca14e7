"""Options of the command line that say how videos and their sound are read: `VideoOptions` and `AudioFormat`."""

from __future__ import annotations

from typing import Any

import click

import clipx
from clipx.cli.completions import choices_of
from clipx.cli.option_groups import option_group, take_given

__all__ = ["audio_format_of", "audio_options", "quality_option", "video_options", "video_options_of"]

VIDEO = (
    click.option("--fps", help="Frames per second to resample videos to, such as 8 or 30000/1001."),
    click.option("--start-seconds", type=float, help="Time in the video, in seconds, from which clips are taken."),
    click.option("--end-seconds", type=float, help="Time in the video, in seconds, up to which clips are taken."),
    click.option(
        "--at-start",
        shell_complete=choices_of("video.options.AtStart"),
        help="First frame: the next one from --start-seconds on, or the one shown at that time.  [default: next]",
    ),
    click.option("--no-rotate", is_flag=True, help="Ignore the rotation that the file asks for."),
    click.option(
        "--colorspace",
        shell_complete=choices_of("video.color.Colorspace"),
        help="Override the file's: bt601, bt709, bt2020, fcc or smpte240m.",
    ),
    click.option(
        "--color-range",
        shell_complete=choices_of("video.color.ColorRange"),
        help="Override the file's: limited or full.",
    ),
    click.option("--color", shell_complete=choices_of("video.options.Color"), help="rgb or gray.  [default: rgb]"),
    click.option("--stream", help="Video stream: best, or its number, from 0.  [default: best]"),
    click.option(
        "--damage",
        shell_complete=choices_of("video.options.AtDamage"),
        help="At damage in the file: stop, skip the clips it may show in, or keep all.  [default: stop]",
    ),
    click.option("--max-pixels", type=int, help="Largest frame to decode, in pixels (width times height)."),
    click.option("--trusted", is_flag=True, help="Allow SRC to open other files, as playlists do."),
)

AUDIO = (
    click.option(
        "--audio", is_flag=True, help="Clips of videos come with their sound, as they do with any option below."
    ),
    click.option("--sample-rate", type=int, help="Samples of sound a second.  [default: the file's]"),
    click.option("--mono", is_flag=True, help="Mix all channels of sound into one."),
    click.option("--audio-dtype", help="Of sound: float32 or int16.  [default: float32]"),
    click.option("--audio-stream", help="Audio stream: best, or its number, from 0.  [default: best]"),
)

video_options = option_group(VIDEO)
"""The options that `video_options_of` reads."""

quality_option = click.option(
    "--quality",
    shell_complete=choices_of("video.options.Quality"),
    help="exact, or fast: quicker to decode, but not bit for bit.  [default: exact]",
)
"""One more of them, for commands where nothing is encoded."""

audio_options = option_group(AUDIO)
"""The options that `audio_format_of` reads."""

NAMES = (
    *("fps", "start_seconds", "end_seconds", "at_start", "colorspace", "color_range", "color"),
    *("stream", "damage", "quality", "max_pixels", "trusted", "num_threads"),
)


def video_options_of(chosen: dict[str, Any]) -> clipx.VideoOptions:
    """The VideoOptions that options ask for, which are taken out of `chosen`. Raises as VideoOptions."""
    given = take_given(chosen, NAMES)
    if "stream" in given:
        given["stream"] = _stream(given["stream"])
    return clipx.VideoOptions(rotate=not chosen.pop("no_rotate"), **given)


def audio_format_of(chosen: dict[str, Any], damage: str | None = None) -> clipx.AudioFormat | None:
    """The AudioFormat that options ask for, which are taken out of `chosen`; None where there are none of them.

    Args:
        damage: what happens where sound is damaged, as of videos.

    Raises as AudioFormat.
    """
    given = take_given(chosen, ("audio", "sample_rate", "mono", "audio_dtype", "audio_stream"))
    given = {name: value for name, value in given.items() if value is not False}
    if not given:
        return None
    given.pop("audio", None)
    arguments: dict[str, Any] = {name.removeprefix("audio_"): value for name, value in given.items()}
    if "stream" in arguments:
        arguments["stream"] = _stream(arguments["stream"])
    if damage is not None:
        arguments["damage"] = damage
    return clipx.AudioFormat(**arguments)


def _stream(text: str) -> Any:
    return int(text) if text.isdecimal() else text
