# Frames of arrays, written as an output says. Part of kernel.pyx.

from clipx._kernel.loops cimport (
    CLIPX_AS_IS,
    CLIPX_FLOAT16,
    CLIPX_FLOAT32,
    CLIPX_FLOAT64,
    CLIPX_INT16,
    CLIPX_INT32,
    CLIPX_INT64,
    CLIPX_INT8,
    CLIPX_PACKED,
    CLIPX_U8,
    CLIPX_UINT16,
    CLIPX_UINT32,
    CLIPX_UINT64,
    CLIPX_UINT8,
    clipx_clips,
    clipx_format,
    clipx_numbers_room,
    clipx_output,
    clipx_picture,
    clipx_source,
    clipx_source_room,
    clipx_view,
    clipx_view_set,
    clipx_views_room,
)

NUMBERS = {
    "?1": CLIPX_UINT8, "B1": CLIPX_UINT8, "H2": CLIPX_UINT16, "I4": CLIPX_UINT32, "L8": CLIPX_UINT64,
    "L4": CLIPX_UINT32, "Q8": CLIPX_UINT64, "b1": CLIPX_INT8, "h2": CLIPX_INT16, "i4": CLIPX_INT32, "l8": CLIPX_INT64,
    "l4": CLIPX_INT32, "q8": CLIPX_INT64, "e2": CLIPX_FLOAT16, "f4": CLIPX_FLOAT32, "d8": CLIPX_FLOAT64,
}


cdef class Formatted:
    """The frames of an array (n, height, width, channels), checked once, to be written as an output says.

    Bytes side by side in 1 or 3 channels are read as pictures; all other numbers one by one, into floats only, unless
    they are resampled. Raises ValueError for what is not read.
    """
    cdef Buffer held
    cdef Output output
    cdef clipx_source source
    cdef clipx_picture picture

    def __cinit__(self, src, Output output not None):
        cdef const Py_buffer *view
        cdef int d
        self.held, self.output = Buffer(src, PyBUF_STRIDED_RO | PyBUF_FORMAT), output
        view = &self.held.view
        if view.ndim != 4 or view.shape[3] != output.output.channels:
            raise ValueError(f"frames are not (n, height, width, {output.output.channels})")
        if not (0 < view.shape[1] < 1 << 24 and 0 < view.shape[2] < 1 << 24):
            raise ValueError(f"frames of {view.shape[1]} by {view.shape[2]} are not read")
        kind = f"{view.format.decode().lstrip('=@')}{view.itemsize}"
        if kind not in NUMBERS:
            raise ValueError(f"numbers of format {kind} are not read")
        for d in range(4):
            self.source.strides[d] = view.strides[d]
        self.source.src = <const char *>view.buf
        self.source.type, self.source.channels, self.source.width = NUMBERS[kind], view.shape[3], view.shape[2]
        self.source.arithmetic = output.arithmetic
        self.picture.layout, self.picture.bytes = CLIPX_PACKED, view.shape[3]
        self.picture.red, self.picture.green, self.picture.blue = 0, 1, 2
        self.picture.height, self.picture.width = view.shape[1], view.shape[2]
        side_by_side = (view.strides[3] == 1 or view.shape[3] == 1) and (
            view.strides[2] == view.shape[3] or view.shape[2] == 1)
        self.source.picture, self.source.packed = NULL, &self.picture
        if self.source.type == CLIPX_UINT8 and view.shape[3] in (1, 3) and side_by_side:
            self.source.picture = &self.picture
        wanted = output.output.kind - CLIPX_AS_IS if output.output.kind >= CLIPX_AS_IS else CLIPX_UINT8
        if (output.output.kind == CLIPX_U8 or output.output.kind >= CLIPX_AS_IS) and self.source.type != wanted:
            raise ValueError(f"numbers of format {kind} are not written as {output.kind}")

    cdef int _check_kind(self, bint resamples) except -1:
        """Raise ValueError where these numbers are not written as the output's kind."""
        cdef int kind = self.output.output.kind
        cdef bint as_is = kind == CLIPX_U8 or kind >= CLIPX_AS_IS
        if as_is and not (resamples or (kind == CLIPX_U8 and self.source.picture != NULL)):
            raise ValueError(f"frames in {self.source.channels} channels are not written as {self.output.kind} unless "
                             f"they are resampled")
        return 0

    cdef list _resamplings(self, resampling, size_t clips):
        """Resamplings of all clips, or of each."""
        cdef Resampling each
        cdef list found = resampling if isinstance(resampling, list) else [resampling]
        if isinstance(resampling, list) and <size_t>len(found) != clips:
            raise ValueError(f"{len(found)} resamplings for {clips} clips")
        for each in found:
            if each is None:
                raise TypeError("a resampling is None")
            if each.size != (<Resampling>found[0]).size:
                raise ValueError("the resamplings are not of one size")
            each.check(self.picture.height, self.picture.width, self.source.channels)
            if self.source.type == CLIPX_UINT8:
                each.require_bytes()
        return found

    def write(self, dst, indices, views, Py_ssize_t footprint=0, Py_ssize_t per_clip=1, resampling=None):
        """Write clips.

        dst: C-contiguous writable buffer of len(indices) clips of the output, each of `per_clip` views one behind the
        other. indices: contiguous int64 buffer (clips, length); positions of index -1 are left alone. views: a list of
        (y, x, h, w, flip), those of all clips, or those of each clip in turn, all of the same size. resampling: of the
        frames, or a list with one for each clip, of one size, in which views then lie. dst and the source must not
        overlap. Returns whether an index is -1.
        """
        cdef Buffer target = Buffer(dst, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        cdef Buffer table = _table(indices)
        cdef clipx_clips clips
        cdef clipx_output how = self.output.output
        cdef int64_t lowest, highest
        cdef int fills, height = self.picture.height, width = self.picture.width
        cdef Py_ssize_t i, count, item = self.output.item(), plane
        cdef size_t frame, positions, frames
        cdef clipx_view *parts
        cdef list resamplings = None
        cdef bint streams = _streams(footprint or target.view.len)
        if table.view.ndim != 2:
            raise ValueError(f"indices have {table.view.ndim} dimensions, not 2")
        self._check_kind(resampling is not None)
        clips.count, clips.length = table.view.shape[0], table.view.shape[1]
        clips.indices = <const int64_t *>table.view.buf
        positions = clips.count * clips.length
        clips.set.count, clips.set.room, clips.resamplings = _count_views(per_clip), NULL, NULL
        frames = positions * per_clip
        if isinstance(resampling, list) and len(views) == per_clip:
            views = list(views) * clips.count
        count = len(views)
        if count != per_clip and (count % per_clip or <size_t>(count // per_clip) != clips.count):
            raise ValueError(f"{count} views for {clips.count} clips" + (f" of {per_clip}" if per_clip > 1 else ""))
        if count == 0:
            return False
        if not clipx_range(clips.indices, positions, self.held.view.shape[0], &lowest, &highest, &fills):
            raise IndexError(f"an index lies outside the source's {self.held.view.shape[0]} frames")
        if resampling is not None:
            resamplings = self._resamplings(resampling, clips.count)
            height, width = (<Resampling>resamplings[0]).size
        parts = <clipx_view *>calloc(count, sizeof(clipx_view))
        if parts == NULL:
            raise MemoryError
        try:
            for i in range(count):
                _set_view(parts + i, views[i], parts, height, width)
            # Below 2^50: sides are below 2^24; times the channels it may be too much.
            plane = parts[0].h * <Py_ssize_t>parts[0].w * item
            if plane > PY_SSIZE_T_MAX // how.channels:
                raise ValueError(f"a frame of {parts[0].h} by {parts[0].w} in {how.channels} channels is too large")
            frame = plane * how.channels
            clips.view_bytes = frame * clips.length
            clips.clip_bytes = clips.view_bytes * per_clip
            if target.view.itemsize != item or (<size_t>target.view.len if frames == 0 else
                                                <size_t>target.view.len % frames or
                                                <size_t>target.view.len // frames != frame):
                raise ValueError(f"dst has {target.view.len} bytes in items of {target.view.itemsize} for "
                                 f"{clips.count} clips of {clips.length * per_clip} frames of {frame} bytes")
            how.plane = plane * <Py_ssize_t>clips.length if self.output.time_inside else plane
            clips.position_bytes = plane if self.output.time_inside else frame
            # A resampling of each clip comes with views of each, the same ones or not.
            clips.same_views = count == per_clip and not isinstance(resampling, list)
            clips.dst, clips.set.views = <char *>target.view.buf, parts
            if target.view.len:
                self._make_room(&clips, resamplings)
                with nogil:
                    clipx_format(rows, streams, &self.source, &how, &clips, lowest, highest)
        finally:
            free(<void *>clips.resamplings)
            free(clips.set.room)
            free(parts)
        return fills != 0

    cdef int _make_room(self, clipx_clips *clips, list resamplings) except -1:
        """Set the resampling of each clip, and the room that views take."""
        cdef size_t room = 0, each, i, count = 1 if clips.same_views else clips.count
        cdef clipx_view_set seen = clips.set
        cdef Resampling one
        if resamplings is not None:
            clips.resamplings = <const clipx_resampling **>malloc(count * sizeof(clipx_resampling *))
            if clips.resamplings == NULL:
                raise MemoryError
            for i in range(count):
                one = resamplings[i if len(resamplings) > 1 else 0]
                clips.resamplings[i] = &one.r
                seen.views = clips.set.views + i * clips.set.count
                each = clipx_source_room(rows, &one.r, &self.source, &seen)
                room = max(room, each)
        elif clips.set.count > 1:
            room = (clipx_views_room(&self.picture, clips.set.count) if self.source.picture != NULL else
                    clipx_numbers_room(&self.source, &self.output.output))
        if room:
            clips.set.room = <char *>malloc(room)
            if clips.set.room == NULL:
                raise MemoryError
        return 0
