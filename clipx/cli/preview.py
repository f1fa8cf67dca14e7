"""`clipx preview`: the clips of a video as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

import clipx
from clipx.cli.format_options import read_crop, read_resize
from clipx.cli.output import counted, needs_matplotlib, one_line, printable
from clipx.cli.spec_options import read_segments, spec_of, spec_options

__all__ = ["preview"]


@click.command()
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
@click.option("--fps", help="Frames per second to resample the video to, such as 8 or 30000/1001.")
@click.option("--start-seconds", type=float, help="Time in the video, in seconds, from which clips are taken.")
@click.option("--end-seconds", type=float, help="Time in the video, in seconds, up to which clips are taken.")
@click.option(
    "--at-start",
    default="next",
    show_default=True,
    help="First frame: the next one from --start-seconds on, or the one shown at that time.",
)
@click.option(
    "--resize",
    help="Shorter side in pixels, or HEIGHT,WIDTH; also longer,N, or fit,HEIGHT,WIDTH,VALUE, with bars of VALUE, or "
    "pixels,MIN,MAX,MULTIPLE.",
)
@click.option(
    "--interpolation", help="With --resize or --crop resized: bilinear, bicubic, area or nearest.  [default: bilinear]"
)
@click.option(
    "--crop",
    help="Centered square of that many pixels, or HEIGHT,WIDTH, or TOP,LEFT,HEIGHT,WIDTH; also random,224; "
    "resized,224, of random size and shape and then resized; or several views: three,224, five,224, ten,224.",
)
@click.option("--flip", is_flag=True, help="Mirror left and right.")
@click.option("--no-rotate", is_flag=True, help="Ignore the rotation that the file asks for.")
@click.option("--colorspace", help="Override the file's: bt601, bt709, bt2020, fcc or smpte240m.")
@click.option("--color-range", help="Override the file's: limited or full.")
@click.option("--color", default="rgb", show_default=True, help="rgb or gray.")
@click.option("--stream", default="best", show_default=True, help="Video stream: best, or its number, from 0.")
@click.option("--num-threads", type=int, default=1, show_default=True, help="Threads of the decoder.")
@click.option(
    "--damage",
    default="stop",
    show_default=True,
    help="At damage in the file: stop, skip the clips it may show in, or keep all.",
)
@click.option(
    "--quality", default="exact", show_default=True, help="exact, or fast: quicker to decode, but not bit for bit."
)
@click.option("--max-pixels", type=int, help="Largest frame to decode, in pixels (width times height).")
@click.option("--trusted", is_flag=True, help="Allow SRC to open other files, as playlists do.")
@click.option("--rows", type=click.IntRange(1), default=12, show_default=True, help="Largest number of clips to draw.")
def preview(src: Path, out: Path, seed: int, rows: int, no_rotate: bool, **chosen: Any) -> None:
    """Draw a contact sheet of the clips of a video.

    Each clip is a row of small pictures. Below each picture are its frame number and its time in seconds.

    \b
    Examples: clips of 16 frames at 8 frames per second, one every 4 seconds; 8 frames of each scene:
      clipx preview video.mp4 -o sheet.png --fps 8 --length 16 --stride 32
      clipx preview video.mp4 -o sheet.png --uniform --segments video-Scenes.csv
    """
    from clipx.cli import contact_sheet

    def pick(*names: str) -> dict[str, Any]:
        return {name: chosen[name] for name in names if chosen[name] is not None}

    try:
        spec, segments = spec_of(chosen), read_segments(chosen["segments"])
        resize, crop = chosen["resize"], chosen["crop"]
        format = clipx.ClipFormat(
            resize=None if resize is None else read_resize(resize),
            crop=None if crop is None else read_crop(crop),
            flip=chosen["flip"],
            **pick("interpolation"),
        )
        if chosen["stream"].isdecimal():
            chosen["stream"] = int(chosen["stream"])
        options = clipx.VideoOptions(
            rotate=not no_rotate,
            **pick("fps", "start_seconds", "end_seconds", "at_start", "colorspace", "color_range", "color"),
            **pick("stream", "num_threads", "damage", "quality", "max_pixels", "trusted"),
        )
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
