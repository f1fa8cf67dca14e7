"""Videos to clips: each frame that a clip needs is written from the decoder's planes into every clip that holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clipx._checks import check_kind
from clipx._timing import Timings
from clipx.audio.format import AudioFormat
from clipx.clip import Clip, VideoClip
from clipx.errors import Damage
from clipx.format import ClipFormat
from clipx.media.clip_iterator import ClipIterator
from clipx.media.clip_memory import ClipMemory
from clipx.media.opening import raising_interrupts
from clipx.media.sources import Source, describe
from clipx.media.stream_facts import StreamFacts
from clipx.plan import ALL, FrameSpec, Rng, Segment, Selection, as_segments
from clipx.plan.segmented import SegmentErrors
from clipx.pool import ClipPool, as_pool
from clipx.video.counting import count_clips, count_frames
from clipx.video.extraction import Extraction
from clipx.video.options import VideoOptions, at_rate

__all__ = ["Clip", "VideoClips", "VideoOptions", "clips", "count_clips", "count_frames", "selected_clips"]


class VideoClips(ClipIterator[VideoClip]):
    """Iterator of the clips of a video; see `clips`.

    Stability: stable.
    """

    def __init__(self, extraction: Extraction) -> None:
        super().__init__(extraction.clips())
        self._extraction = extraction

    @property
    def num_frames(self) -> int | None:
        """Number of frames, at the rate and in the part of the options; None until the last clip has been given."""
        return self._extraction.num_frames

    @property
    def damages(self) -> list[Damage]:
        """The damage that has been found so far in pictures and sound, with damage="skip" or "keep"."""
        return self._extraction.passes.damages

    @property
    def lost(self) -> bool:
        """True if packets have given no frame so far, where each should give one."""
        return self._extraction.passes.decoder.lost

    @property
    def frames_decoded(self) -> int:
        """Number of frames that the decoder has given so far."""
        return self._extraction.passes.decoder.frames_decoded

    @property
    def bytes_decoded(self) -> int:
        """Bytes of the packets that the decoder has got so far."""
        return self._extraction.passes.decoder.bytes_decoded

    @property
    def frames_skipped(self) -> int:
        """Number of frames that were not decoded; known when the last clip has been given."""
        return self._extraction.frames_skipped

    def __repr__(self) -> str:
        return f"<VideoClips of {self._extraction.name}>"

    @property
    def segment_errors(self) -> SegmentErrors:
        return self._extraction.segment_errors

    def close(self) -> None:
        """Close the file and give up the clips that are not complete."""
        self._clips.close()
        self._extraction.close()


def selected_clips(
    src: Source,
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    options: VideoOptions | None = None,
    pool: ClipMemory | None = None,
    audio: AudioFormat | None = None,
    rng: Rng = None,
    name: str,
    in_step: int = 1,
    selection: Selection = ALL,
    segments: Mapping[int, Segment] | None = None,
    max_slots: int | None = None,
    timings: Timings | None = None,
    facts: StreamFacts | None = None,
) -> VideoClips:
    """`clips` of a selection, from a pool whose slots `in_step` sources hold side by side.

    segments: by their numbers. Their errors are in `segment_errors`, and are not raised; but where more of their clips
    are open at once than `max_slots` have room for, that is a ValueError.
    timings: take the seconds that are spent on converting pictures.
    facts: of a stream of the file, from an index: what they say is not read from the file. The clips are the same.
    """
    options = at_rate(spec, options)
    with raising_interrupts():
        return VideoClips(
            Extraction(
                src,
                spec,
                format or ClipFormat(),
                options,
                pool=pool,
                audio=audio,
                rng=rng,
                name=name,
                in_step=in_step,
                selection=selection,
                segments=segments,
                max_slots=max_slots,
                timings=timings,
                facts=facts,
            )
        )


def clips(
    src: Source,
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    options: VideoOptions | None = None,
    segments: Iterable[Segment | Sequence[Any]] | None = None,
    pool: ClipPool | int | str | None = None,
    audio: AudioFormat | None = None,
    rng: Rng = None,
    name: str | None = None,
) -> VideoClips:
    """The clips of a video, in order of their starts.

    Args:
        src: path, bytes (or an array or tensor of uint8), or file object of a video; a file object needs `read`, and
            is read again if it has `seek`.
        spec: which frames; with `options.fps`, or made by `WindowSpec.of_seconds`, frames at that rate.
        format: size, crop, flip, numbers and order; default the picture as it is.
        options: of reading the video; see VideoOptions.
        segments: parts of the video, each a source of its own for the spec and its policy: Segments, or pairs (start,
            end) of seconds on the video's own clock. Default: the video is not divided.
        pool: a ClipPool, or bytes such as "2GB" to make one of for this call: clips are its slots. None gives each clip
            memory of its own.
        audio: format of the sound of each clip, in memory of its own: `round(length * dilation / fps * rate)` samples
            from the clip's first frame on, with `options.fps` or the stream's average; silence where there is none. It
            is decoded in the same pass, which then goes over the whole file. A video without an audio stream gives
            silence if `sample_rate` and `mono=True` state its shape, else MediaError. None: no sound.
        rng: Generator or seed for what the spec draws, and for what the format draws.
        name: of the source, in messages; default its path.

    No array ever holds the video: each frame is decoded once, its rows are converted once and written to every open
    clip, and it is forgotten. If the spec leaves frames out, frames that no clip needs are not converted and, for the
    usual codecs in MP4, MOV, MKV and WebM, mostly not decoded; the others are bit for bit the same. Policies "wrap",
    "reflect" and "backpad" read some frames a second time; of a source that cannot seek they keep up to `span` decoded
    frames instead, and `num_clips` reads its encoded bytes into memory.

    A frame without a time, or whose time is not after the frame before it, is taken to follow that at once. Empty
    packets, and those before the first key frame that cannot be decoded, are passed over, as players do.

    Segments are cut down to the part of the options; with `options.fps`, each counts from its own first frame on. All
    are given in one pass, whatever overlaps: a clip comes before those whose last frame is later, of equals that of the
    lower segment first. `index` begins anew in each segment, `clip.segment` says which it is. The packets of the whole
    file are read before, or it is decoded for their times where they do not say them. A segment without frames, or
    that the spec does not allow, is a ValueError after the clips of all others.

    With `options.fps`, a clock that jumps so far that one frame would be repeated more than 2**22 times, and more than
    2**25 frames, are a MediaError, in time and memory that do not grow with the jump.

    Damage is what the decoder refuses or reports as damaged, and a file that ends too early. `options.damage` says
    what follows. "stop": the clips before it, then MediaError. "keep": clips of the frames that the decoder gives; a
    clip's `damaged` lists the positions of frames in which the damage may show (all up to the next key frame) and of
    the frame after one that is lost. "skip": the clips of "keep" that have no such position, bit for bit, with the same
    `index`, so that indices have gaps. `damages` lists what was found, and the first damage of a file is logged. A
    decoder that conceals damage without reporting it looks like one that has found none.

    Of sound, damage is what the decoder refuses, with sound after it. `audio.damage` says what follows. "stop": the
    clips whose sound ends before it, then MediaError. "skip": clips in whose sound it may show are left out. "keep":
    silence replaces what is lost. All of it is listed in `damages`.

    Returns an iterator of Clip, `data` uint8 (length, height, width, 3), or 1 channel with `options.color="gray"`, or
    as the format says.
    After a run its `frames_decoded` and `frames_skipped` are numbers of frames, and `damages` a list of (seconds,
    reason).

    Raises FileNotFoundError, MediaError for what cannot be read (the clips before damage are given first), ValueError
    for a crop outside the picture or a pool that is too small, PoolExhausted. Policy "error" raises after the complete
    clips.

    Stability: stable.
    """
    check_kind("spec", spec, FrameSpec)
    check_kind("format", format, ClipFormat, None)
    check_kind("options", options, VideoOptions, None)
    check_kind("audio", audio, AudioFormat, None)
    found = selected_clips(
        src,
        spec,
        format,
        options=options,
        pool=as_pool(pool),
        audio=audio,
        rng=rng,
        name=name or describe(src),
        segments=as_segments(segments, "seconds"),
    )
    found.raises_errors = True
    return found
