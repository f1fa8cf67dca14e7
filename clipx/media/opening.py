"""Opening files with PyAV: one kind of error, one way to name a source, and no reach beyond the source.

FFmpeg reads more than media. A playlist names other files and addresses, a path may itself be an address, and the
name of a file can decide which demuxer reads it. So only formats that hold all of their data are opened, a path is a
file and nothing else, and file objects lose their names.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import av
from av.stream import Disposition

from clipx.errors import MediaError
from clipx.media.boxes import check_boxes
from clipx.media.file_objects import CheckedFile, Interrupted, SeekableUnnamed, Unnamed
from clipx.media.sources import Source, as_source

__all__ = [
    "MAX_PIXELS",
    "TEXTS",
    "best_video",
    "failures",
    "limit_pixels",
    "open_media",
    "raising_interrupts",
    "restrictions",
    "rewind",
    "target_of",
    "videos",
]

MAX_PIXELS = 2**26  # 8192 by 8192

TEXTS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
"""Arguments of av.open that open a file with texts that are not UTF-8; from 19 on av needs none."""

FORMATS = (
    "mov,matroska,avi,asf,nut,mxf,ivf,yuv4mpegpipe,gif,apng,dv,"
    "h261,h263,h264,hevc,vvc,evc,av1,obu,m4v,mpegvideo,mjpeg,vc1,vc1test,cavsvideo,avs2,avs3,dirac,dnxhd,"
    "jpeg_pipe,png_pipe,bmp_pipe,pbm_pipe,pgm_pipe,ppm_pipe,pam_pipe,webp_pipe,jpegls_pipe,j2k_pipe,qoi_pipe,dpx_pipe,"
    "rm,gxf,wav,w64,flac,mp3,aac,aiff,caf,au,amr,ac3,eac3,dts,dtshd,truehd,mlp,tta,tak,wv,ape,mpc,mpc8"
)
"""Demuxers that open nothing and know their streams when the header has been read.

Those named pipes read pictures one after the other, such as motion JPEG in files that begin with JFIF."""

LATE_FORMATS = "mpegts,mpeg,flv,ogg,swf,wtv"
"""Demuxers that open nothing, whose streams may begin anywhere."""

BUFFER_BYTES = 32768
"""Bytes of a file object that FFmpeg buffers."""

PIXELS_MAX = 2**31 - 1
"""The largest `max_pixels` that FFmpeg takes."""


@contextmanager
def raising_interrupts() -> Iterator[None]:
    """Raise a BaseException of a file object, such as KeyboardInterrupt, which av would have swallowed."""
    try:
        yield
    except Interrupted as exn:
        raise exn.error from exn.error.__cause__


@contextmanager
def failures(name: str, doing: str) -> Iterator[None]:
    """Turn every failure of av into a MediaError that names the source."""
    try:
        with raising_interrupts():
            yield
    except av.FFmpegError as exn:
        reason = exn.strerror or str(exn)
        raise MediaError(f"{name} cannot be {doing}: {reason}") from exn


def videos(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The video streams of a file, without cover art (attached pictures)."""
    return [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]


def best_video(container: av.container.InputContainer) -> av.VideoStream | None:
    """The video stream that FFmpeg chooses, of those that are not cover art; None where there is none."""
    others = videos(container)
    best = container.streams.best("video")
    for each in others:
        if best is not None and each.index == best.index:
            return each
    # Cover art can be marked as the default: then the first that is, among the others, as FFmpeg would without it.
    return max(others, key=lambda each: bool(each.disposition & Disposition.default), default=None)


def limit_pixels(stream: av.video.stream.VideoStream, max_pixels: int) -> None:
    """Make a stream's decoder refuse frames of more than `max_pixels`, also where the size changes midway.

    Call it before the first packet is decoded. A larger frame is then an error of av, before memory is taken.
    """
    context = cast(Any, stream.codec_context)
    if context is not None:
        context.options = {**context.options, "max_pixels": str(min(max_pixels, PIXELS_MAX))}


def target_of(src: Source, name: str, trusted: bool = False) -> Any:
    """The argument of av.open for a source as `as_source` returns it."""
    if isinstance(src, (str, os.PathLike)):
        path = os.fsdecode(os.fspath(src))
        if trusted:
            return path
        os.stat(path)
        return f"file:{path}"  # so that nothing before a colon in the path is taken for a protocol
    if isinstance(src, (bytes, bytearray, memoryview)):
        if not memoryview(src).nbytes:
            raise MediaError(f"{name} is empty")
        return io.BytesIO(src)
    assert isinstance(src, CheckedFile)
    return SeekableUnnamed(src) if src.seekable() else Unnamed(src)


def rewind(target: Any) -> None:
    """Go back to the beginning of what `target_of` returned."""
    if isinstance(target, io.BytesIO):
        target.seek(0)
    elif isinstance(target, Unnamed):
        target.rewind()


def _open(target: Any, max_pixels: int, restrictions: dict[str, str]) -> av.container.InputContainer:
    rewind(target)
    # `options` also go to the decoders that probe the streams while the file is opened.
    return av.open(
        target,
        mode="r",
        options={"max_pixels": str(min(max_pixels, PIXELS_MAX))},
        container_options=restrictions,
        **TEXTS,
    )


def restrictions(target: Any, formats: str, decode: bool) -> dict[str, str]:
    """Options for av to open only these formats, and no protocol but that of paths; "none" is the name of nothing."""
    made = {"format_whitelist": formats, "protocol_whitelist": "file" if isinstance(target, str) else "none"}
    return made if decode else {**made, "codec_whitelist": "none"}


def _open_listed(target: Any, max_pixels: int, options: dict[str, str]) -> av.container.InputContainer:
    """Open a file of one of the formats in the lists. Raises an error of av for all others."""
    try:
        container = _open(target, max_pixels, {**options, **restrictions(target, FORMATS, decode=True)})
    except av.FFmpegError as exn:
        if exn.errno != errno.EINVAL:
            raise
        # The limit does not reach the decoders of streams that begin late, so none may run while the file is opened.
        # Frames and times are the same without; only of a pipe that omits times are these guessed differently.
        container = _open(target, max_pixels, {**options, **restrictions(target, LATE_FORMATS, decode=False)})
        for stream in container.streams.video:
            context = cast(Any, stream.codec_context)
            if context is not None and context.name == "h264":
                # Nor does one know how far frames are reordered: assume what the level allows instead of guessing.
                context.options = {**context.options, "strict": "1"}
    return container


def _open_unprobed(
    target: Any, max_pixels: int, options: dict[str, str], is_known: Callable[[av.container.InputContainer], bool]
) -> av.container.InputContainer | None:
    """Open a MOV or MP4 of which `is_known` is true, without decoding any of it; None for other files."""
    try:
        container = _open(target, max_pixels, {**options, **restrictions(target, "mov", decode=False)})
    except av.FFmpegError:
        return None
    if is_known(container):
        return container
    container.close()
    return None


def _check_sizes(container: av.container.InputContainer, name: str, max_pixels: int) -> bool:
    """True if the sizes of all video streams are known. Raises MediaError for one that is too large."""
    known = True
    for stream in videos(container):
        context = cast(Any, stream.codec_context)
        if context is None:
            continue
        pixels = context.width * context.height
        known = known and pixels > 0
        if pixels > max_pixels:
            raise MediaError(
                f"{name} has frames of {context.width} by {context.height}, {pixels} pixels, "
                f"but max_pixels is {max_pixels}"
            )
    return known


def _check_header(target: Any, name: str, max_pixels: int) -> None:
    """Check the sizes in the header; a decoder that refuses them leaves 0 by 0, and does not say why."""
    position = None if isinstance(target, str) else target.tell()
    try:
        with _open(target, max_pixels, restrictions(target, f"{FORMATS},{LATE_FORMATS}", decode=False)) as container:
            _check_sizes(container, name, max_pixels)
    except av.FFmpegError:
        return  # it has been opened, so that errors show when it is decoded
    finally:
        if position is not None:
            target.seek(position)


def _check_order(read: bytes, container: av.container.InputContainer, name: str) -> None:
    """Raise MediaError for a MOV or MP4 whose data comes before its header, from a file that cannot seek.

    read: the bytes that were read while it was opened. Of a file that fits FFmpeg's buffer, the data is still there.
    """
    if "mp4" not in container.format.name or len(read) <= BUFFER_BYTES:
        return
    at = 0
    while at + 16 <= len(read):
        size, kind = int.from_bytes(read[at : at + 4], "big"), read[at + 4 : at + 8]
        if kind == b"moov":
            return
        if kind == b"mdat":
            raise MediaError(
                f"{name} has its header (moov) after its data, and cannot seek: give its path or its bytes, or write "
                f"it with the header first (FFmpeg's -movflags +faststart)"
            )
        size = int.from_bytes(read[at + 8 : at + 16], "big") if size == 1 else size
        if size < 8:
            return
        at += size


def _check_claims(target: Any, name: str) -> bool:
    """Check the numbers that a header claims, where it can be read before the file is opened.

    Returns whether it begins as a MOV or MP4 does, as far as that is seen.
    """
    has_boxes = False
    if isinstance(target, str):
        path = target.removeprefix("file:")
        with suppress(OSError), open(path, "rb") as file:  # errors are raised where it is opened
            has_boxes = check_boxes(file, os.fstat(file.fileno()).st_size, name)
    elif hasattr(target, "seek"):
        with raising_interrupts():
            at = target.tell()
            has_boxes = check_boxes(target, target.seek(0, io.SEEK_END), name)
            target.seek(at)
    return has_boxes


def open_media(
    src: Source,
    name: str,
    *,
    trusted: bool = False,
    max_pixels: int | None = None,
    options: dict[str, str] | None = None,
    can_trust: bool = True,
    is_known: Callable[[av.container.InputContainer], bool] | None = None,
) -> av.container.InputContainer:
    """Open a container that reads `src` and nothing else.

    Args:
        src: path, bytes or file object, as `as_source` takes them; its name has no effect.
        name: of the source, in messages.
        trusted: whether a path may also be an address, a pattern of image files or a playlist: it is given to av as it
            is, which reads all that FFmpeg reads, and what that refers to.
        max_pixels: of a frame; default 2**26. The decoders of all video streams keep to it (`limit_pixels`): add to
            the options of a codec context, don't replace them.
        options: of demuxers, which ignore those that they don't have.
        is_known: whether probing would tell no more of a file that was opened without decoding its first frames, which
            takes most of the time; asked for MOV and MP4, not for file objects of users. None: all files are probed.
        can_trust: whether messages may name VideoOptions(trusted=True), which sound does not have.

    Raises FileNotFoundError for a path that does not exist (with `trusted`, MediaError), MediaError for what av cannot
    read, for a format that may open other files, and for frames larger than `max_pixels`.
    """
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    target = target_of(as_source(src, name), name, trusted)
    has_boxes = not trusted and _check_claims(target, name)
    with failures(name, "opened"):
        if trusted:
            container = _open(target, limit, options or {})
        else:
            found = None
            rereads = isinstance(target, (str, io.BytesIO)) or (isinstance(target, Unnamed) and target.is_own)
            if is_known is not None and has_boxes and rereads:
                found = _open_unprobed(target, limit, options or {}, is_known)
            try:
                container = found or _open_listed(target, limit, options or {})
            except av.FFmpegError as exn:
                if exn.errno != errno.EINVAL:
                    raise
                cure = "; VideoOptions(trusted=True) reads all formats, if you trust the source"
                raise MediaError(
                    f"{name} cannot be opened: its format is not one of those that never open other files, or its "
                    f"header is damaged{cure if can_trust else ''}"
                ) from exn
    try:
        known = _check_sizes(container, name, limit)
        if not known and not trusted and (isinstance(target, str) or hasattr(target, "seek")):
            with failures(name, "opened"):
                _check_header(target, name, limit)
        if isinstance(target, Unnamed):
            _check_order(target.stop_keeping(), container, name)
    except BaseException:
        container.close()
        raise
    for stream in container.streams.video:
        limit_pixels(stream, limit)
    return container
