"""`clipx preview`: the clips of a video as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

import clipx
from clipx.cli.format_options import format_of, picture_options
from clipx.cli.option_groups import SECTIONS, sectioned
from clipx.cli.output import counted, needs_matplotlib, one_line, printable
from clipx.cli.spec_options import read_segments, spec_of, spec_options
from clipx.cli.video_options import quality_option, video_options, video_options_of

__all__ = ["preview"]


@click.command(cls=sectioned({**SECTIONS, "rows": "The sheet"}))
@click.argument("src", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Image file to write."
)
@spec_options
@click.option(
    "--segments",
    help="Parts of the video, each a source of its own: START:END,... in seconds, a table such as PySceneDetect's, or "
    "FILE.json or FILE.json:PATH, a list.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for what is random.")
@video_options
@quality_option
@click.option("--num-threads", type=int, default=1, show_default=True, help="Threads of the decoder.")
@picture_options
@click.option("--rows", type=click.IntRange(1), default=12, show_default=True, help="Largest number of clips to draw.")
def preview(src: Path, out: Path, seed: int, rows: int, **chosen: Any) -> None:
    """Draw a contact sheet of the clips of a video.

    Each clip is a row of small pictures. Below each picture are its frame number and its time in seconds.

    \b
    Examples: clips of 16 frames at 8 frames a second, one every 4 seconds:
      clipx preview video.mp4 -o sheet.png --fps 8 --length 16 --stride 32

    \b
    8 frames of each scene, by PySceneDetect's table:
      clipx preview video.mp4 -o sheet.png --uniform \\
        --segments video-Scenes.csv
    """
    from clipx.cli import contact_sheet

    try:
        spec, segments = spec_of(chosen), read_segments(chosen["segments"])
        format, options = format_of(chosen), video_options_of(chosen)
        clips = clipx.video.clips(src, spec, format, options=options, segments=segments, rng=seed)
    except TypeError as exn:
        raise click.ClickException(str(exn)) from exn
    clips.raises_errors = False  # those of segments are printed
    for _, error in clips.segment_errors:
        click.echo(one_line(error), err=True)
    with needs_matplotlib("a contact sheet"):
        drawn, more = contact_sheet.draw(out, clips, rows)
    if not drawn:
        spans = "" if spec.span is None else f", and a clip spans {spec.span} frames"
        of_segments = "" if segments is None else f", in {counted(len(segments), 'segment')}"
        raise click.ClickException(f"no clips: {_length(src, options, clips.num_frames)}{of_segments}{spans}")
    Console().print(
        f"{counted(drawn, 'clip')}{', and there are more' if more else ''}: {printable(str(out))}", markup=False
    )


def _length(src: Path, options: clipx.VideoOptions, frames: int | None) -> str:
    """The duration of a video and the number of its frames that clips are taken from, in words."""
    seconds = clipx.video.probe(src, options=options).duration_seconds
    lasts = "" if seconds is None else f" lasts {seconds:g} s and"
    return f"{src}{lasts} has {counted(frames or 0, 'frame')} to take clips from"
