# How frames are written, and the views and targets of one. Part of kernel.pyx.

from clipx._kernel.loops cimport (
    CLIPX_AS_IS,
    CLIPX_BF16,
    CLIPX_F16,
    CLIPX_F32,
    CLIPX_FLOAT64,
    CLIPX_INT16,
    CLIPX_INT32,
    CLIPX_INT64,
    CLIPX_INT8,
    CLIPX_MOST_VIEWS,
    CLIPX_U8,
    CLIPX_UINT16,
    CLIPX_UINT32,
    CLIPX_UINT64,
    clipx_arithmetic,
    clipx_item_bytes,
    clipx_make_steps,
    clipx_output,
    clipx_set_scale,
    clipx_steps,
    clipx_view,
)

KINDS = {
    "uint8": CLIPX_U8,
    "bool": CLIPX_U8,
    "float32": CLIPX_F32,
    "float16": CLIPX_F16,
    "bfloat16": CLIPX_BF16,
    "int8": CLIPX_AS_IS + CLIPX_INT8,
    "int16": CLIPX_AS_IS + CLIPX_INT16,
    "int32": CLIPX_AS_IS + CLIPX_INT32,
    "int64": CLIPX_AS_IS + CLIPX_INT64,
    "uint16": CLIPX_AS_IS + CLIPX_UINT16,
    "uint32": CLIPX_AS_IS + CLIPX_UINT32,
    "uint64": CLIPX_AS_IS + CLIPX_UINT64,
    "float64": CLIPX_AS_IS + CLIPX_FLOAT64,
}
ORDERS = ("THWC", "TCHW", "CTHW")


cdef class Output:
    """How frames are written.

    kind: "uint8" or "bool", which write bytes as they are; "float32", "float16" or "bfloat16", which write
    (x * scale - mean) / std; or another type of numbers, as which numbers of that type are written when they are
    resampled. order: "THWC", "TCHW" or "CTHW". mean, std: a number for each channel.
    """
    cdef str kind
    cdef clipx_output output
    cdef bint time_inside
    cdef clipx_arithmetic *arithmetic

    def __cinit__(self, str kind, str order, double scale, mean, std):
        cdef Py_ssize_t c
        cdef clipx_steps steps
        cdef Buffer means = Buffer(np.ascontiguousarray(mean, dtype=np.float64), PyBUF_C_CONTIGUOUS)
        cdef Buffer deviations = Buffer(np.ascontiguousarray(std, dtype=np.float64), PyBUF_C_CONTIGUOUS)
        if kind not in KINDS:
            raise ValueError(f"frames are not written as {kind}")
        self.kind, self.output.kind = kind, KINDS[kind]
        if order not in ORDERS:
            raise ValueError(f"frames are not written as {order}")
        self.output.planar = order != "THWC"
        self.time_inside = order == "CTHW"
        if means.view.ndim != 1 or means.view.len != deviations.view.len or not 0 < means.view.len < 1 << 24:
            raise ValueError("mean and std are not of the same channels")
        self.output.channels = means.view.len // 8
        self.arithmetic = <clipx_arithmetic *>malloc(self.output.channels * sizeof(clipx_arithmetic))
        if self.arithmetic == NULL:
            raise MemoryError
        for c in range(self.output.channels):
            self.arithmetic[c].scale = scale
            self.arithmetic[c].mean = (<const double *>means.view.buf)[c]
            self.arithmetic[c].deviation = (<const double *>deviations.view.buf)[c]
            steps = clipx_make_steps(scale, self.arithmetic[c].mean, self.arithmetic[c].deviation)
            self.arithmetic[c].steps = steps
            if c < 3:
                clipx_set_scale(&self.output.scale, c, steps)

    def __dealloc__(self):
        free(self.arithmetic)

    cdef Py_ssize_t item(self) noexcept:
        return clipx_item_bytes(self.output.kind)

    cdef list targets(self, list targets, const clipx_view *view, int views, Py_ssize_t *distance):
        """Targets for one frame, held open: (h, w, channels), or planes (channels, h, w) at a distance.

        With several views each is (views, ...).
        """
        cdef Py_ssize_t item = self.item(), row = view.w * item, plane = row * view.h
        cdef Py_ssize_t channels = self.output.channels
        cdef const Py_buffer *buffer
        cdef Buffer target
        cdef list held = []
        distance[0] = 0
        if views > 1:
            return self.targets_of_views(targets, view, views, distance)
        if not self.output.planar or channels == 1:
            return _contiguous(targets, plane * channels, item)
        for each in targets:
            target = Buffer(each, PyBUF_STRIDED_RO | PyBUF_WRITABLE)
            buffer = &target.view
            if buffer.ndim != 3 or buffer.itemsize != item or buffer.shape[0] != channels or \
                    buffer.shape[1] != view.h or buffer.shape[2] != view.w:
                raise ValueError(f"a target is not {channels} planes of {view.h} by {view.w} items of {item} bytes")
            if (buffer.strides[2] != item and view.w > 1) or (buffer.strides[1] != row and view.h > 1):
                raise ValueError("the planes of a target are not contiguous")
            if buffer.strides[0] < plane or distance[0] not in (0, buffer.strides[0]):
                raise ValueError("the planes of the targets overlap, or do not lie alike")
            distance[0] = buffer.strides[0]
            held.append(target)
        return held

    cdef list targets_of_views(self, list targets, const clipx_view *view, int views, Py_ssize_t *distance):
        """`targets` for several views."""
        cdef Py_ssize_t item = self.item(), channels = self.output.channels, apart
        cdef Py_ssize_t row = view.w * item * (1 if self.output.planar else channels), plane = row * view.h
        cdef int planar = self.output.planar, d
        cdef const Py_buffer *buffer
        cdef Buffer target
        cdef list held = []
        cdef object wanted = (views, view.h, view.w, channels)
        if planar:
            wanted = (views, channels, view.h, view.w)
        for each in targets:
            target = Buffer(each, PyBUF_STRIDED_RO | PyBUF_WRITABLE)
            buffer = &target.view
            shape = tuple([buffer.shape[d] for d in range(buffer.ndim)])
            if buffer.itemsize != item or shape != wanted:
                raise ValueError(f"a target has shape {shape} in items of {buffer.itemsize} bytes, "
                                 f"not {wanted} in items of {item}")
            for d, stride in enumerate([row, item] if planar else [row, item * channels, item], 1 + planar):
                if buffer.strides[d] != stride and buffer.shape[d] > 1:
                    raise ValueError("the views of a target are not contiguous")
            apart = 0 if channels == 1 or not planar else buffer.strides[1]
            if apart and (apart < plane or distance[0] not in (0, apart)):
                raise ValueError("the planes of the targets overlap, or do not lie alike")
            distance[0] = apart
            if buffer.strides[0] < apart * (channels - 1) + plane:
                raise ValueError("the views of a target overlap")
            held.append(target)
        return held


cdef int _count_views(Py_ssize_t views) except -1:
    if not 0 < views <= CLIPX_MOST_VIEWS:
        raise ValueError(f"{views} views of one frame; 1 to {CLIPX_MOST_VIEWS} are written")
    return <int>views


cdef int _set_view(clipx_view *view, numbers, const clipx_view *first, int height, int width) except -1:
    """Set a view that has the size of the first."""
    view.y, view.x, view.h, view.w, view.flip = numbers
    if not (0 <= view.y and 0 < view.h <= height - view.y and 0 <= view.x and 0 < view.w <= width - view.x):
        raise ValueError(f"the crop {tuple(numbers[:4])} lies outside the picture of {height} by {width}")
    if view.h != first.h or view.w != first.w:
        raise ValueError("the views are not of the same size")
    return 0


cdef char **_view_addresses(list held, int views) except NULL:
    """The addresses of buffers, to be freed; of several views those along axis 0 of each, the first views first."""
    cdef Py_ssize_t count = len(held), v, i
    cdef char **addresses
    cdef Buffer target
    if views == 1:
        return _addresses(held)
    addresses = <char **>malloc((count * views or 1) * sizeof(char *))
    if addresses == NULL:
        raise MemoryError
    for i in range(count):
        target = held[i]
        for v in range(views):
            addresses[v * count + i] = <char *>target.view.buf + v * target.view.strides[0]
    return addresses
