"""The clips of a video as files of its packets, which are copied from key frame to key frame without decoding."""

from __future__ import annotations

import io
from collections.abc import Generator, Mapping
from typing import IO, Any, NamedTuple, cast

import numpy as np

from clipx.clip import Clip
from clipx.errors import Damage
from clipx.jobs.extraction.copied_file import container_for, file_of
from clipx.jobs.extraction.packet_reader import PacketReader
from clipx.jobs.extraction.packet_table import Span
from clipx.media.clip_iterator import ClipIterator
from clipx.media.opening import raising_interrupts
from clipx.media.sources import Source, as_source, can_rewind
from clipx.media.stream_facts import StreamFacts
from clipx.plan import FrameSpec, Segment, Selection, as_generator
from clipx.plan.rows import first_frames
from clipx.plan.segmented import SegmentedPlan, SegmentErrors
from clipx.video.file import VideoFile
from clipx.video.options import VideoOptions, at_rate
from clipx.video.planning import plan_of_times
from clipx.video.probing import container_orientation

__all__ = ["CopiedFile", "CopiedVideo"]


class CopiedFile(NamedTuple):
    """The file of a clip.

    Attributes:
        data: its bytes.
        ending: its extension, such as "mp4".
        codec, width, height: of its video, as it is shown.
        copied: facts of where it begins and ends, as "clip.json" has them.
    """

    data: memoryview
    ending: str
    codec: str
    width: int
    height: int
    copied: dict[str, Any]


class CopiedVideo(ClipIterator[Clip]):
    """The clips of a video, each a Clip whose `data` is a CopiedFile.

    Args:
        most_bytes: of the packets of a clip; None for any number.

    Raises MediaError where the file cannot be read, or its packets do not say their frames; ValueError as
    `clipx.video.clips`, and for a clip of more than `most_bytes`.
    """

    def __init__(
        self,
        src: Source,
        spec: FrameSpec,
        options: VideoOptions | None,
        *,
        rng: np.random.Generator,
        name: str,
        selection: Selection,
        segments: Mapping[int, Segment] | None,
        facts: StreamFacts | None,
        most_bytes: int | None,
    ) -> None:
        options, src = at_rate(spec, options), as_source(src, name)
        if not can_rewind(src):
            src = io.BytesIO(cast(IO[bytes], src).read())
        self._spec, self._name, self._selection, self._most = spec, name, selection, most_bytes
        self.num_frames: int | None = None
        self.damages: list[Damage] = []
        with raising_interrupts():
            self._file = VideoFile(src, name, options, facts=facts)
            try:
                self._reader = PacketReader(self._file)
                self._table = self._reader.table
                self._plan, self._frames, self._errors = plan_of_times(
                    self._file, spec, self._table.times, segments, as_generator(rng) if spec.is_random else rng
                )
            except BaseException:
                self._file.close()
                raise
        super().__init__(self._all())

    @property
    def segment_errors(self) -> SegmentErrors:
        return self._errors

    def close(self) -> None:
        """Close the file."""
        self._clips.close()
        self._file.close()

    def _all(self) -> Generator[Clip]:
        file, n = self._file, len(cast(np.ndarray, self._frames))
        try:
            self._describe()
            count = self._plan.count_until_error(n)
            for number in self._selection.of(count).tolist():
                yield self._clip(number, n)
            self.num_frames = len(self._table.times.pts) if isinstance(self._plan, SegmentedPlan) else n
            self._plan.count(n)
        finally:
            file.close()

    def _describe(self) -> None:
        """Note what all clips of the file share."""
        file = self._file
        sound = self._reader.sound
        codecs = (file.codec,) if sound is None else (file.codec, sound.codec)
        self._container = container_for(codecs, file.container.format.name)
        context = file.stream.codec_context
        orientation = container_orientation(file.stream)
        size = context.width, context.height
        self._size = size[::-1] if orientation is not None and orientation.sideways else size

    def _clip(self, number: int, n: int) -> Clip:
        clip = Clip(None, number, 0, 0)  # type: ignore[arg-type]  # its data follows
        row = self._plan.final_rows(np.array([number], dtype=np.int64), n)
        if isinstance(self._plan, SegmentedPlan):
            clip.of_segment(**self._plan.describe(number))
        else:
            clip.start, clip.length = int(first_frames(row)[0]), row.shape[1]
            clip.valid = int(self._spec.valid(row, n)[0])
        frames = cast(np.ndarray, self._frames)
        self._set_frames(clip, np.where(row[0] < 0, -1, frames[np.maximum(row[0], 0)]))
        clip.data = self._copied(clip)  # type: ignore[assignment]
        return clip

    def _set_frames(self, clip: Clip, indices: np.ndarray) -> None:
        """Note the frames of the video at each position of a clip, and when they are shown."""
        times, file = self._table.times, self._file
        ticks, second = file.time_base.as_integer_ratio()
        has = indices >= 0
        durations = np.where(times.durations == 0, file.frame_ticks, times.durations)
        clip.frame_indices, clip.source_fps = indices, float(file.rate)
        for name, values in (("pts_seconds", times.pts), ("duration_seconds", durations)):
            seconds = [each * ticks / second for each in values[np.maximum(indices, 0)].tolist()]
            setattr(clip, name, np.where(has, seconds, np.nan))
        if self._spec.rate_varies:
            clip.measure_rate()

    def _copied(self, clip: Clip) -> CopiedFile:
        file, table, reader = self._file, self._table, self._reader
        indices = clip.frame_indices[clip.frame_indices >= 0]
        if not len(indices):
            raise ValueError(f"{self._name}: clip {clip.index} has no frame of the video that could be copied")
        span = table.span(int(indices.min()), int(indices.max()))
        start, end = (table.seconds(each, file.frame_ticks) for each in (span.start_frame, span.end_frame))
        heard = reader.sound
        sound = (0, 0) if heard is None else heard.span(start, end, self._container.hides)
        self._check_size(span, sound, clip)
        data = file_of(
            reader.read(span, sound),
            file.stream,
            reader.sound_stream,
            heard,
            self._container,
            start,
            file.frame_ticks,
        )
        copied = {
            "start_seconds": float(start),
            "end_seconds": float(end),
            "start_frame": span.start_frame,
            "end_frame": span.end_frame,
            "frame_offset": int(indices[0]) - span.start_frame,
        }
        if heard is not None and sound[0] < sound[1]:
            copied["sound_offset_seconds"] = max(float(heard.seconds(sound[0]) - start), 0.0)
        return CopiedFile(data, self._container.ending, file.codec, *self._size, copied)

    def _check_size(self, span: Span, sound: tuple[int, int], clip: Clip) -> None:
        nbytes = int(self._table.sizes[span.first : span.last].sum())
        if self._reader.sound is not None:
            nbytes += int(self._reader.sound.sizes[slice(*sound)].sum())
        if self._most is not None and nbytes > self._most:
            raise ValueError(
                f"{self._name}: clip {clip.index} has {nbytes} bytes of packets, from key frame to key frame, but "
                f"memory has room for {self._most}: give more memory"
            )
