"""The WebDataset stage that turns samples into clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

import webdataset

from clipx.audio.format import AudioFormat
from clipx.datasets.fields import Sample
from clipx.datasets.keys import Keys
from clipx.datasets.ledger import Ledger, Recorder
from clipx.datasets.origins import describe_error
from clipx.datasets.passes import Passes
from clipx.datasets.segments import BadSegment, Seconds, Segments, parse_segments
from clipx.errors import NOT_A_SAMPLES_FAULT
from clipx.format import ClipFormat
from clipx.plan import FrameSpec, check_bounded
from clipx.plan.draws import Epoch, check_epoch
from clipx.pool import ClipPool, as_pool
from clipx.video.options import VideoOptions
from clipx.wds.sample_clips import SampleClips

__all__ = ["ClipStage", "clips", "log_and_continue"]

logger = logging.getLogger("clipx")


def log_and_continue(exn: Exception) -> bool:
    """A webdataset handler: logs the error once, on logger "clipx", and goes on at once with the next sample.

    Stability: stable.
    """
    logger.warning("%s", describe_error(exn))
    return True


class ClipStage:
    """`clips` with its arguments, as a step of a pipeline.

    Attributes:
        errors: a Ledger of the samples that are broken, damaged or give no clips.
    """

    def __init__(
        self,
        samples: SampleClips,
        pool: ClipPool | int | str | None,
        epoch: Epoch,
        handler: Callable[[Exception], bool],
    ) -> None:
        if not callable(handler):
            raise TypeError(f"handler is {handler!r}, but must be a function of an exception")
        self._clips, self._pool = samples, as_pool(pool)
        if self._pool is not None:
            check_bounded(samples.spec)
        self._epoch, self._handler = check_epoch(epoch), handler
        self.errors = Ledger()
        self._passes = Passes()

    def __repr__(self) -> str:
        return f"clipx.wds.clips({self._clips.spec!r}, pool={self._pool!r})"

    def __call__(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        return self._run(samples, self._passes.epoch(self._epoch))

    def _run(self, samples: Iterable[Sample], epoch: int) -> Iterator[Sample]:
        handler, before = Recorder(self.errors, self._handler), self.errors.counts
        try:
            yield from self._clips_of(samples, epoch, handler)
        finally:
            self.errors.log_new("clipx.wds.clips", before)

    def _clips_of(
        self, samples: Iterable[Sample], epoch: int, handler: Callable[[Exception], bool]
    ) -> Iterator[Sample]:
        for sample in samples:
            clips = self._clips.clips(sample, epoch, pool=self._pool, ledger=self.errors)
            # Upstream may hold the sample until it is asked for the next; this stage does not.
            del sample
            while True:
                try:
                    clip = next(clips, None)
                except NOT_A_SAMPLES_FAULT:
                    raise
                except Exception as exn:
                    if handler(exn):
                        break
                    return
                if clip is None:
                    break
                if isinstance(clip, BadSegment):
                    if handler(clip.error):
                        continue
                    return
                yield clip.sample
                del clip
            del clips


def clips(
    spec: FrameSpec,
    format: ClipFormat | None = None,
    *,
    options: VideoOptions | None = None,
    audio: AudioFormat | None = None,
    segments: Segments = None,
    min_seconds: Seconds = None,
    max_seconds: Seconds = None,
    trim_seconds: Seconds = None,
    pool: ClipPool | int | str | None = None,
    keys: Keys = None,
    seed: int = 0,
    epoch: Epoch = None,
    handler: Callable[[Exception], bool] = webdataset.reraise_exception,
) -> ClipStage:
    """A stage that turns each sample into one sample per clip.

    >>> spec = clipx.WindowSpec(length=16, stride=8)
    >>> dataset = webdataset.WebDataset(urls).compose(clipx.wds.clips(spec, pool="2GB"))

    Goes before or after `.decode(...)`; a `.decode` after it needs `partial=True`, since clips are no bytes.

    Args:
        spec: which frames; also `FrameList(frames="json:frames")`, of a list in a field of each sample.
        format: how frames are written: those of videos, and of arrays (n, height, width, channels).
        options: how videos are read; see `clipx.video.clips`. Of numbered pictures, the part, the rate, the color and
            `max_pixels`.
        audio: how sound is written: of sound files, and, where it is given, of each video clip, as field "audio" (or
            "{field}.audio" where there are clips of several videos).
        segments: the segments that a source is divided into; see below. Each is a source of its own for the spec.
        min_seconds, max_seconds, trim_seconds: take segments of at least and at most so many seconds, after that many
            have been taken off both ends. Numbers of segments stay.
        pool: a ClipPool, or bytes such as "2GB" to make one of in the process that uses it: clips are its slots. None
            gives each clip memory of its own. With N workers there are N pools.
        keys: the field to take clips of, "npz:frames" for a member; "wav;flac;mp3" for the first of these that a sample
            has, under whose first name the clips come, and {"sound": "wav;flac;mp3"} to name them. Several, in a list
            or a dict, share one plan and must have the same number of frames. A field whose name does not say its kind
            is probed. Default: every encoded video (by name: mp4, mkv, webm, mov, avi, ts, mpg, flv, ...; also
            "front.mp4"); where there is none, every sound (wav, flac, mp3, aac, ogg, opus, m4a, aiff, ...); else the
            sample's only array (npy, a member of npz, a tensor); else every group of numbered pictures: "jpg" for the
            fields "000.jpg", "001.jpg", ....
        seed, epoch: random starts, crops and flips are drawn from (seed, epoch, `__key__`). epoch is a number, a
            function that gives one, or None to count the times that this stage is run, in DataLoader workers, too.
        handler: called with the error of a broken sample, as webdataset's are: true goes on with the next sample,
            false ends the stage, and it may raise. `log_and_continue` is one. PoolExhausted, a pool that is too small
            and MemoryError are no sample's fault and are raised past it.

    A clip's sample has the source's other fields as they are, the clip under the field's name, `__key__`
    "{key}_{index:06d}", and "clip.json": index, start, valid, length, for videos frame_indices, pts_seconds,
    duration_seconds, source_fps and rotation, and mirrored where it is true, for numbered pictures frame_indices and,
    where the "clip.json" beside them has times, these; crop and flip where they are drawn at random; "key" and "url",
    the `__key__` and `__url__` of the source's sample. A field of the source's own that one of these replaces, such as
    its "clip.json", becomes "source.clip.json".

    `segments` is "json:segments", a path to a list in a field of each sample; a function of the sample that gives such
    a list, or one list for all samples. It holds pairs (start, end), in seconds for videos, sound and pictures and in
    frames for arrays; Segments; or dicts with "start" and "end" in seconds or "start_frame" and "end_frame", whose
    other entries are facts. A path leads through dicts by names and through lists by numbers; with `*` for all of a
    list or dict, such as "json:shots.*.times", it names the segments themselves. A field may still be encoded; one of
    kind "csv" is a table as `clipx.segments.from_csv` reads it. Clips then come in order of their last frames,
    `__key__` is "{key}_{segment:04d}_{index:06d}", and "clip.json" has "segment": number, start, end, unit and facts.
    A segment that is malformed, or starts past the end, goes to `handler` as a ValueError, and loses no other.

    The stage's `errors` is a `clipx.datasets.ledger.Ledger`: which samples of which shards were broken,
    damaged or gave no clips, or had bad segments, in this process and in the DataLoader workers that run the stage.

    Raises TypeError and ValueError for arguments of the wrong kind.

    Stability: stable.
    """
    found = parse_segments(segments, min_seconds=min_seconds, max_seconds=max_seconds, trim_seconds=trim_seconds)
    samples = SampleClips(spec, format, options=options, audio=audio, keys=keys, seed=seed, segments=found)
    return ClipStage(samples, pool, epoch, handler)
