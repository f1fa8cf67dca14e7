# Samples of PCM, as a file has them, to clips, and planes of a decoder to a block. Part of kernel.pyx.

import sys

from libc.stdint cimport int16_t, uintptr_t
from libc.string cimport memcpy

from clipx._kernel.loops cimport (
    CLIPX_PCM_F32,
    CLIPX_PCM_F64,
    CLIPX_PCM_LAW,
    CLIPX_PCM_MOST_CHANNELS,
    CLIPX_PCM_S8,
    CLIPX_PCM_S16,
    CLIPX_PCM_S24,
    CLIPX_PCM_S32,
    CLIPX_PCM_S64,
    CLIPX_PCM_U8,
    clipx_may_be_coded,
    clipx_pcm,
    clipx_pcm_bytes,
    clipx_pcm_item,
    clipx_sound,
    clipx_write_sound,
)

PCM_TYPES = {
    "u8": CLIPX_PCM_U8,
    "s8": CLIPX_PCM_S8,
    "s16": CLIPX_PCM_S16,
    "s24": CLIPX_PCM_S24,
    "s32": CLIPX_PCM_S32,
    "s64": CLIPX_PCM_S64,
    "f32": CLIPX_PCM_F32,
    "f64": CLIPX_PCM_F64,
    "law": CLIPX_PCM_LAW,
}


cdef class Pcm:
    """The samples of interleaved PCM, and how they are written.

    type: of the samples, such as "s24" or "f32"; "law": bytes, of which `law` has the int16 (256,) that each is. big:
    whether their highest byte comes first. dtype: "float32" or "int16". order: "CN" or "NC".

    frame_bytes: bytes of a frame, the samples of all channels.
    """
    cdef clipx_pcm pcm
    cdef readonly Py_ssize_t frame_bytes

    def __cinit__(self, str type, bint big, int channels, str dtype, str order, law=None):
        cdef Buffer table
        if dtype not in ("float32", "int16") or order not in ("CN", "NC"):
            raise ValueError(f"samples are not written as {dtype}, {order}")
        if not 1 <= channels <= CLIPX_PCM_MOST_CHANNELS:
            raise ValueError(f"{channels} channels; 1 to {CLIPX_PCM_MOST_CHANNELS} are read")
        self.pcm.type, self.pcm.channels = PCM_TYPES[type], channels
        self.pcm.swapped = clipx_pcm_bytes(self.pcm.type) > 1 and big != (sys.byteorder == "big")
        self.pcm.wide, self.pcm.planar = dtype == "float32", order == "CN"
        self.frame_bytes = clipx_pcm_bytes(self.pcm.type) * channels
        if type == "law":
            table = Buffer(law, PyBUF_C_CONTIGUOUS)
            if table.view.len != sizeof(self.pcm.law):
                raise ValueError(f"law has {table.view.len} bytes, not {sizeof(self.pcm.law)}")
            memcpy(self.pcm.law, table.view.buf, sizeof(self.pcm.law))

    def write(self, data, clip, Py_ssize_t position=0, Py_ssize_t first=0, Py_ssize_t step=1, Py_ssize_t count=-1):
        """Write frames first, first + step, ... of data to positions of a clip.

        data: contiguous buffer of frames; what is left behind the last whole one is not read. clip: C-contiguous
        writable buffer (channels, length), or (length, channels) as the order says. count: number of frames (default:
        as many as the clip has positions from `position` on).

        Raises IndexError for frames outside of data and positions outside of the clip, and ValueError for a clip of
        another shape or type, or one that overlaps data.
        """
        cdef Buffer source = Buffer(data, PyBUF_C_CONTIGUOUS)
        cdef Buffer target = Buffer(clip, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        cdef Py_ssize_t item = clipx_pcm_item(&self.pcm), frames = source.view.len // self.frame_bytes
        cdef int time = 1 if self.pcm.planar else 0
        cdef Py_ssize_t length
        cdef clipx_sound sound
        cdef char *start
        if target.view.ndim != 2 or target.view.itemsize != item or \
                target.view.shape[1 - time] != self.pcm.channels or <uintptr_t>target.view.buf % item:
            raise ValueError(f"a clip is not of {self.pcm.channels} channels of items of {item} bytes")
        length = target.view.shape[time]
        if position < 0 or position > length:
            raise IndexError(f"position {position} lies outside of a clip of {length}")
        if count == -1:
            count = length - position
        if count < 0 or count > length - position:
            raise IndexError(f"{count} positions from {position} on lie outside of a clip of {length}")
        if count == 0:
            return
        if first < 0 or step < 1 or first >= frames or (count - 1) > (frames - 1 - first) // step:
            raise IndexError(f"{count} frames from {first} on, {step} apart, lie outside of {frames}")
        start = <char *>target.view.buf
        if <char *>source.view.buf < start + target.view.len and start < <char *>source.view.buf + source.view.len:
            raise ValueError("the clip overlaps the data that is written to it")
        sound.src = <const uint8_t *>source.view.buf + first * self.frame_bytes
        sound.stride, sound.count = step * self.frame_bytes, count
        sound.plane = length * item
        sound.dst = start + position * item * (1 if self.pcm.planar else self.pcm.channels)
        if count * self.frame_bytes < <Py_ssize_t>SHORT:
            clipx_write_sound(rows, &self.pcm, &sound)
        else:
            with nogil:
                clipx_write_sound(rows, &self.pcm, &sound)


def may_be_coded(data):
    """The bytes of PCM may be frames of AAC, MP3, AC-3, DTS or TrueHD instead, as FFmpeg finds out.

    data: contiguous buffer, of which FFmpeg sees as much. True also for a few of which FFmpeg does not think so.
    """
    cdef Buffer source = Buffer(data, PyBUF_C_CONTIGUOUS)
    return clipx_may_be_coded(rows.syncs, <const uint8_t *>source.view.buf, source.view.len) != 0


def copy_planes(plane, frame, Py_ssize_t n, block, Py_ssize_t position):
    """Copy the first n items of each plane of a frame to a row of a block, from a position on.

    plane: called with the frame and the number of a row, gives a contiguous buffer. block: writable buffer
    (rows, length) of contiguous rows.

    Raises IndexError for items outside of a plane and positions outside of the block, and ValueError for a block of
    another shape.
    """
    cdef Buffer target = Buffer(block, PyBUF_STRIDED_RO | PyBUF_WRITABLE), source
    cdef Py_ssize_t item = target.view.itemsize, row
    if target.view.ndim != 2 or target.view.strides[1] != item:
        raise ValueError("a block is not of contiguous rows")
    if n < 0 or position < 0 or n > target.view.shape[1] - position:
        raise IndexError(f"{n} positions from {position} on lie outside of a block of {target.view.shape[1]}")
    for row in range(target.view.shape[0]):
        source = Buffer(plane(frame, row), PyBUF_C_CONTIGUOUS)
        if n > source.view.len // item:
            raise IndexError(f"{n} items of {item} bytes lie outside of a plane of {source.view.len}")
        memcpy(<char *>target.view.buf + row * target.view.strides[0] + position * item, source.view.buf, n * item)
