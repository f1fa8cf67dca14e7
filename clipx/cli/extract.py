"""`clipx extract`: the clips of a dataset, written as shards."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

import clipx
from clipx.cli.completions import choices_of, complete_files
from clipx.cli.dataset_options import dataset_from, dataset_options
from clipx.cli.encoding_options import encoding_of, encoding_options
from clipx.cli.extract_display import progress_display
from clipx.cli.extract_summary import print_expected, print_extracted
from clipx.cli.format_options import format_of, number_options, picture_options
from clipx.cli.option_groups import SECTIONS, dashed, option_group, sectioned
from clipx.cli.output import counted, one_line
from clipx.cli.spec_options import segments_of, spec_of, spec_options
from clipx.cli.video_options import audio_format_of, audio_options, video_options, video_options_of

__all__ = ["extract"]

SIGINT_STATUS = 130
"""Exit status of a command that Ctrl-C ended."""

JOB = (
    click.option("--jobs", type=click.IntRange(1), help="Processes.  [default: one per processor]"),
    click.option("--memory", default="2GB", show_default=True, help="Bytes of each process."),
    click.option("--part", metavar="I/N", help="Only parts I, I+N, I+2N, ..., from 0 on: for job arrays."),
    click.option("--retry-failed", is_flag=True, help="Try again what failed, in further shards and manifests."),
    click.option("--max-failures", help="Exit status 1 above so many failures, or above a share such as 5%."),
    click.option("--dry-run", is_flag=True, help="Print the parts, clips and bytes to expect, and write nothing."),
    click.option("--finish", is_flag=True, help="Write summary.json of OUT, whose parts have been done apart."),
    click.option(
        "--ray",
        metavar="[ADDRESS]",
        is_flag=False,
        flag_value="auto",
        help="Run the parts on a Ray cluster: that at ADDRESS, or that RAY_ADDRESS names, or this machine. Give it "
        "behind SRC.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
)

SEGMENTS = (
    click.option(
        "--segments",
        help="Parts of the sources, each a source of its own: a field that lists them, such as json:segments; "
        "START:END,... in seconds, for all sources; of a single file also a table or FILE.json, as of `clipx preview`.",
    ),
    click.option(
        "--segment-columns",
        metavar="START,END",
        help="Of a table: columns of the start and end of a segment, in seconds; rows of one file are its segments.",
    ),
    click.option("--min-seconds", help="Shortest segment that is taken."),
    click.option("--max-seconds", help="Longest segment that is taken."),
    click.option("--trim-seconds", help="Seconds taken off both ends of each segment, before that."),
)

ADDRESS = r"auto|local|(ray://)?[\w.\-\[\]:]+:\d+"
"""Of a Ray cluster."""


@click.command(
    cls=sectioned({**SECTIONS, "out": "Output", "audio": "Sound", "encoding": "Encoding", "jobs": "The job"})
)
@click.argument("src", nargs=-1, shell_complete=complete_files)
@click.option(
    "-o",
    "--out",
    metavar="FOLDER",
    shell_complete=complete_files,
    help="Folder or address to write shards to, such as s3://bucket/clips.",
)
@click.option("--shard-size", default="1GB", show_default=True, help="Bytes of a shard, at most, but for one clip.")
@dataset_options
@click.option("--keys", help="Fields to take clips of, such as mp4, front.mp4,rear.mp4 or sound=wav;flac.")
@click.option("--limit", type=click.IntRange(1), help="Take the first samples of SRC only.")
@click.option(
    "--files-per-part",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Files of a part, where SRC are files; of shards, each is a part.",
)
@spec_options
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for what is random.")
@option_group(SEGMENTS)
@video_options
@click.option(
    "--decoding",
    shell_complete=choices_of("video.options.Quality"),
    help="exact, or fast: quicker to decode, but not bit for bit.  [default: exact]",
)
@audio_options
@picture_options
@number_options
@encoding_options
@option_group(JOB)
@click.pass_context
def extract(ctx: click.Context, /, src: tuple[str, ...], out: str | None, **chosen: Any) -> None:
    """Write the clips of SRC as shards in a folder.

    SRC are shards, or videos, sounds and arrays, or folders and patterns of either, or a table of files, or an index.
    Each clip is a sample of a WebDataset shard, with clip.json and the other fields of its source. Beside the shards
    are manifests of them, and failures. The same command goes on where it was stopped, on any number of machines.

    \b
    Examples: clips of 16 frames; how many there would be:
      clipx extract videos/ -o clips --length 16 --stride 64 \\
        --resize 256 --crop 224
      clipx extract videos/ -o clips --length 16 --stride 64 --dry-run

    \b
    Scenes as videos, by the segments that each sample lists; parts of videos
    without decoding, by a table; sounds:
      clipx extract 'shards-{000..099}.tar' -o scenes --whole \\
        --segments json:scenes --encoding mp4
      clipx extract videos.csv --path video --segment-columns from,to \\
        -o parts --whole --encoding copy
      clipx extract sounds/ -o sounds --length 160000 --encoding flac \\
        --audio --audio-dtype int16

    \b
    One of 100 tasks of a job array, and the end of it; on a Ray cluster:
      clipx extract videos/ -o s3://bucket/clips --length 16 \\
        --part $SLURM_ARRAY_TASK_ID/100
      clipx extract -o s3://bucket/clips --finish
      clipx extract videos/ -o clips --length 16 --ray=auto
    """
    quiet = chosen.pop("quiet")
    if chosen.pop("finish"):
        _finish(ctx, src, out, quiet)
    elif not src or out is None:
        raise click.UsageError("SRC and -o are needed, or --finish with the folder of a job")
    else:
        _extract(src, out, quiet, chosen)


def _extract(src: tuple[str, ...], out: str, quiet: bool, chosen: dict[str, Any]) -> None:
    from clipx.jobs import Expected, ExtractError, TooManyFailures
    from clipx.jobs import extract as run

    console, log = Console(quiet=quiet), Console(stderr=True)
    try:
        arguments = _arguments(src, chosen)
        with _interruptible(out), _no_warnings(), progress_display(log, quiet) as progress:
            done = run(out=out, progress=progress, **arguments)
    except TypeError as exn:
        raise click.ClickException(str(exn)) from exn
    except ExtractError as exn:
        if isinstance(exn, TooManyFailures):
            print_extracted(console, out, exn.summary)
        raise click.ClickException(one_line(exn)) from exn
    if isinstance(done, Expected):
        print_expected(console, out, done)
    else:
        print_extracted(console, out, done)
        if done.failed and not done.clips:
            raise click.ClickException(f"nothing was extracted: {counted(done.failed, 'sample')} failed")


def _arguments(src: tuple[str, ...], chosen: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `clipx.jobs.extract` that options ask for. Raises TypeError, ValueError and OSError."""
    columns, by_name = chosen.pop("segment_columns"), chosen.pop("segments")
    if columns is not None and by_name is not None:
        raise ValueError("--segments does not go with --segment-columns: each says which segments there are")
    if columns is not None and columns.count(",") != 1:
        raise ValueError(f"--segment-columns is {columns!r}, but must be two columns, such as start,end")
    dataset = dataset_from(src, chosen, None if columns is None else tuple(columns.split(",")))
    segments = segments_of(by_name, isinstance(dataset, clipx.Files) and len(dataset) == 1)
    made = {
        "src": dataset,
        "spec": spec_of(chosen),
        "segments": segments if columns is None else "segments",
        "audio": audio_format_of(chosen, chosen["damage"]),
        **encoding_of(chosen),  # takes --quality, which video_options_of would
    }
    chosen["quality"] = chosen.pop("decoding")
    # Left out where they say nothing: some encodings have no use for them.
    for name, value in (("format", format_of(chosen)), ("options", video_options_of(chosen))):
        if value != type(value)():
            made[name] = value
    keys, ray = chosen.pop("keys"), chosen.pop("ray")
    if ray is not None and not re.fullmatch(ADDRESS, ray):
        raise ValueError(f"--ray has {ray!r}, which is no address of a cluster: give --ray behind SRC, or --ray=auto")
    if ray is not None:
        made["ray"] = True if ray == "auto" else ray
    return {**made, "keys": _keys(keys), **{name: each for name, each in chosen.items() if each is not None}}


def _keys(text: str | None) -> Any:
    """The argument `keys=`: a field, several, or several with names."""
    if text is None:
        return None
    names = text.split(",")
    if not any("=" in name for name in names):
        return names[0] if len(names) == 1 else names
    if not all("=" in name for name in names):
        raise ValueError(f"--keys is {text!r}, but either all fields are given names, as in sound=wav;flac, or none")
    return dict(name.split("=", 1) for name in names)


def _finish(ctx: click.Context, src: tuple[str, ...], out: str | None, quiet: bool) -> None:
    from clipx.jobs import finish

    for name in ctx.params:
        if (
            name not in ("src", "out", "finish", "quiet")
            and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ):
            raise click.UsageError(f"{dashed(name)} does not go with --finish, which reads what the job has written")
    folders = [*src, *([] if out is None else [out])]
    if len(folders) != 1:
        raise click.UsageError(f"--finish takes one folder of a job, but {len(folders)} are given")
    print_extracted(Console(quiet=quiet), folders[0], finish(folders[0]))


@contextmanager
def _interruptible(out: str) -> Iterator[None]:
    """Say at Ctrl-C that the job can go on, and exit."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Interrupted. The parts that are done are in {out}: the same command does the others.", err=True)
        raise click.exceptions.Exit(SIGINT_STATUS) from None


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Log no warnings of damage, which manifests have, into the display."""
    logger = logging.getLogger("clipx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
