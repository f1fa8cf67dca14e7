"""The loops in C, which do not check anything: structs and functions of rows/*.h."""

from libc.stdint cimport int16_t, int64_t, uint8_t, uint32_t

cdef extern from "rows/formatted.h" nogil:
    const int CLIPX_IMPLEMENTATIONS
    const int CLIPX_MAX_DIMENSIONS

    ctypedef void (*clipx_syncs_fn)(const uint8_t *p, size_t n, uint32_t *counts, uint32_t *marks) noexcept

    ctypedef struct clipx_rows:
        const char *name
        clipx_syncs_fn syncs
        int (*runs)()

    ctypedef struct clipx_frame:
        int ndim
        size_t run
        size_t bytes

    ctypedef struct clipx_writer:
        pass

    ctypedef struct clipx_table:
        const char *src
        Py_ssize_t frame_stride
        clipx_frame frame
        const int64_t *indices
        size_t positions
        char *dst
        const char *fill
        size_t itemsize

    ctypedef struct clipx_windows:
        int64_t first, stride, dilation
        size_t count, length

    const clipx_rows *clipx_implementations
    size_t clipx_cache_bytes()
    void clipx_join(clipx_frame *frame, int ndim, const Py_ssize_t *shape, const Py_ssize_t *strides, size_t itemsize)
    int clipx_range(const int64_t *indices, size_t positions, int64_t frames, int64_t *lowest, int64_t *highest,
                    int *fills)
    void clipx_gather(const clipx_rows *rows, const clipx_table *t, int64_t lowest, int64_t highest, int streams,
                      size_t cache)
    int clipx_gather_windows(const clipx_rows *rows, clipx_table *t, const clipx_windows *w, int streams, size_t cache)

    ctypedef struct clipx_color:
        int16_t y_left, y_right, c_left, ky, bias, rv, gu, gv, bu

    ctypedef struct clipx_picture:
        int layout, bytes, red, green, blue, chroma_rows, width, height
        clipx_color color

    ctypedef struct clipx_planes:
        const uint8_t *data[3]
        Py_ssize_t stride[3]

    ctypedef struct clipx_view:
        int y, x, h, w, flip

    ctypedef struct clipx_view_set:
        const clipx_view *views
        int count
        char *room

    ctypedef struct clipx_scale:
        pass

    ctypedef struct clipx_steps:
        float high, low, factor

    ctypedef struct clipx_arithmetic:
        double scale, mean, deviation
        clipx_steps steps

    ctypedef struct clipx_axis:
        int size, n, most
        int16_t *fine

    ctypedef struct clipx_resampling:
        clipx_axis x, y, half_x, half_y
        int top, left, width, height
        double value

    ctypedef struct clipx_resampled:
        pass

    ctypedef struct clipx_output:
        int kind, channels, planar
        Py_ssize_t plane
        clipx_scale scale

    ctypedef struct clipx_source:
        const char *src
        Py_ssize_t strides[4]
        int type, channels, width
        const clipx_picture *picture
        const clipx_picture *packed
        const clipx_arithmetic *arithmetic

    ctypedef struct clipx_clips:
        const int64_t *indices
        size_t count, length
        char *dst
        size_t clip_bytes, position_bytes
        clipx_view_set set
        size_t view_bytes
        int same_views
        const clipx_resampling **resamplings

    const int CLIPX_GRAY, CLIPX_FULL, CLIPX_PAIRED, CLIPX_INTERLEAVED, CLIPX_PACKED
    const int CLIPX_U8, CLIPX_F32, CLIPX_F16, CLIPX_BF16, CLIPX_AS_IS
    const int CLIPX_NEAREST, CLIPX_AREA, CLIPX_BILINEAR, CLIPX_BICUBIC
    const int CLIPX_INT8, CLIPX_INT16, CLIPX_INT32, CLIPX_INT64, CLIPX_UINT8, CLIPX_UINT16, CLIPX_UINT32, CLIPX_UINT64
    const int CLIPX_FLOAT16, CLIPX_FLOAT32, CLIPX_FLOAT64
    size_t clipx_item_bytes(int kind)
    clipx_steps clipx_make_steps(double scale, double mean, double deviation)
    void clipx_set_scale(clipx_scale *scale, int channel, clipx_steps steps)
    const int CLIPX_MOST_VIEWS
    size_t clipx_numbers_room(const clipx_source *s, const clipx_output *output)
    size_t clipx_views_room(const clipx_picture *p, int count)
    void clipx_write_views(const clipx_rows *rows, int streams, const clipx_picture *p, const clipx_planes *planes,
                           const clipx_view_set *set, const clipx_output *output, char **targets, size_t count)
    void clipx_format(const clipx_rows *rows, int streams, const clipx_source *s, const clipx_output *output,
                      const clipx_clips *clips, int64_t lowest, int64_t highest)
    int clipx_make_axis(clipx_axis *axis, int size, double start, double extent, int n, int filter, int antialias)
    int clipx_fold_axis(const clipx_axis *axis, clipx_axis *folded)
    void clipx_free_axis(clipx_axis *axis)
    int clipx_make_exact(clipx_axis *axis)
    int clipx_make_fine(clipx_axis *axis)
    void clipx_set_stacks(clipx_resampled *r, const clipx_picture *p, const clipx_planes *planes, int channels)
    size_t clipx_resampled_room(const clipx_rows *rows, const clipx_resampling *resampling, const clipx_picture *p,
                                const clipx_view_set *set, int channels)
    size_t clipx_source_room(const clipx_rows *rows, const clipx_resampling *resampling, const clipx_source *s,
                             const clipx_view_set *set)
    void clipx_write_resampled(const clipx_rows *rows, int streams, const clipx_resampling *resampling,
                               const clipx_resampled *source, const clipx_view_set *set, const clipx_output *output,
                               char **targets, size_t count)
    clipx_writer clipx_make_writer(const clipx_rows *rows, int streams)
    void clipx_put(clipx_writer writer, char *dst, const char *src, size_t n)
    void clipx_write_frame(clipx_writer writer, const clipx_frame *frame, const char *src, char **targets, size_t count)
    void CLIPX_FENCE()

cdef extern from "rows/sound.h" nogil:
    const int CLIPX_PCM_U8, CLIPX_PCM_S8, CLIPX_PCM_S16, CLIPX_PCM_S24, CLIPX_PCM_S32, CLIPX_PCM_S64
    const int CLIPX_PCM_F32, CLIPX_PCM_F64, CLIPX_PCM_LAW, CLIPX_PCM_MOST_CHANNELS

    ctypedef struct clipx_pcm:
        int type, swapped, wide, channels, planar
        int16_t law[256]

    ctypedef struct clipx_sound:
        const uint8_t *src
        size_t stride
        size_t count
        char *dst
        size_t plane

    size_t clipx_pcm_bytes(int type)
    size_t clipx_pcm_item(const clipx_pcm *pcm)
    void clipx_write_sound(const clipx_rows *rows, const clipx_pcm *pcm, const clipx_sound *sound)
    int clipx_may_be_coded(clipx_syncs_fn count, const uint8_t *p, size_t n)
