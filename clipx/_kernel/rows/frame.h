/* One frame of any strides, written to several targets while its bytes are in the first cache. */
#ifndef CLIPX_FRAME_H
#define CLIPX_FRAME_H

#include "rows.h"

enum {
    CLIPX_MAX_DIMENSIONS = 64,
    CLIPX_BLOCK = 1 << 18,    /* read from memory once, written to every target: fits the second cache */
    CLIPX_CHUNK = 8192,       /* packed at a time: fits the first cache */
    CLIPX_SHORT_RUN = 4096,   /* runs below it are packed before they are streamed, so that lines stay whole */
    CLIPX_SHORT_COPY = 64     /* runs below it are packed before they are copied */
};

/* A frame after joining: `ndim` outer dimensions around `run` contiguous bytes; `bytes` in all. */
typedef struct {
    int ndim;
    ptrdiff_t shape[CLIPX_MAX_DIMENSIONS], strides[CLIPX_MAX_DIMENSIONS];
    size_t run, bytes;
} clipx_frame;

/* How bytes are written. */
typedef struct {
    clipx_copy_fn stream; /* NULL: through the cache */
} clipx_writer;

static clipx_writer clipx_make_writer(const clipx_rows *rows, int streams) {
    clipx_writer writer = {streams ? rows->stream : NULL};
    return writer;
}

CLIPX_INLINE void clipx_put(clipx_writer writer, char *dst, const char *src, size_t n) {
    if (writer.stream)
        writer.stream(dst, src, n);
    else
        memcpy(dst, src, n);
}

/* Join the dimensions of a frame that lie together in memory. No dimension of `shape` is 0. */
static void clipx_join(clipx_frame *frame, int ndim, const ptrdiff_t *shape, const ptrdiff_t *strides, size_t itemsize) {
    ptrdiff_t run = (ptrdiff_t)itemsize;
    int i, top = CLIPX_MAX_DIMENSIONS; /* outer dimensions are collected from the back, then moved to the front */
    frame->bytes = itemsize;
    for (i = ndim - 1; i >= 0; i--) {
        if (shape[i] == 1) continue;
        frame->bytes *= (size_t)shape[i];
        if (top == CLIPX_MAX_DIMENSIONS && strides[i] == run) {
            run *= shape[i];
        } else if (top < CLIPX_MAX_DIMENSIONS && strides[i] == frame->shape[top] * frame->strides[top]) {
            frame->shape[top] *= shape[i];
        } else {
            top--;
            frame->shape[top] = shape[i];
            frame->strides[top] = strides[i];
        }
    }
    frame->run = (size_t)run;
    frame->ndim = CLIPX_MAX_DIMENSIONS - top;
    memmove(frame->shape, frame->shape + top, (size_t)frame->ndim * sizeof(ptrdiff_t));
    memmove(frame->strides, frame->strides + top, (size_t)frame->ndim * sizeof(ptrdiff_t));
}

/* Write n bytes to offset `at` of every target. */
static void clipx_write(clipx_writer writer, char *const *targets, size_t count, size_t at, const char *src, size_t n) {
    size_t done, i;
    if (count == 1) {
        clipx_put(writer, targets[0] + at, src, n);
        return;
    }
    for (done = 0; done < n; done += CLIPX_BLOCK) {
        size_t block = n - done < CLIPX_BLOCK ? n - done : CLIPX_BLOCK;
        for (i = 0; i < count; i++) clipx_put(writer, targets[i] + at + done, src + done, block);
    }
}

#define CLIPX_PACK(SIZE)                                                       \
    case SIZE:                                                                 \
        for (i = 0; i < n; i++) memcpy(dst + i * SIZE, src + (ptrdiff_t)i * stride, SIZE); \
        break;

/* n runs, `stride` apart, laid side by side. */
static void clipx_pack(char *CLIPX_RESTRICT dst, const char *CLIPX_RESTRICT src, size_t n, ptrdiff_t stride, size_t run) {
    size_t i;
    switch (run) {
        CLIPX_PACK(1)
        CLIPX_PACK(2)
        CLIPX_PACK(3)
        CLIPX_PACK(4)
        CLIPX_PACK(6)
        CLIPX_PACK(8)
        CLIPX_PACK(12)
        CLIPX_PACK(16)
        default:
            for (i = 0; i < n; i++) memcpy(dst + i * run, src + (ptrdiff_t)i * stride, run);
    }
}

/* Step an odometer over the outer dimensions but the last; 0 when it is through. */
static int clipx_next_row(const clipx_frame *frame, ptrdiff_t *index, const char **row) {
    int d;
    for (d = frame->ndim - 2; d >= 0; d--) {
        *row += frame->strides[d];
        if (++index[d] < frame->shape[d]) return 1;
        *row -= frame->shape[d] * frame->strides[d];
        index[d] = 0;
    }
    return 0;
}

/* Write a frame to every target, each row read once. */
static void clipx_write_frame(clipx_writer writer, const clipx_frame *frame, const char *src, char *const *targets,
                              size_t count) {
    ptrdiff_t index[CLIPX_MAX_DIMENSIONS] = {0};
    char buffer[CLIPX_CHUNK + CLIPX_SHORT_RUN];
    size_t run = frame->run, at = 0, used = 0, left;
    ptrdiff_t stride;
    const char *row = src, *p;
    if (frame->ndim == 0) {
        clipx_write(writer, targets, count, 0, src, run);
        return;
    }
    stride = frame->strides[frame->ndim - 1];
    if (run >= (size_t)(writer.stream ? CLIPX_SHORT_RUN : CLIPX_SHORT_COPY)) {
        do {
            p = row;
            for (left = (size_t)frame->shape[frame->ndim - 1]; left; left--, p += stride, at += run)
                clipx_write(writer, targets, count, at, p, run);
        } while (clipx_next_row(frame, index, &row));
        return;
    }
    do {
        p = row;
        left = (size_t)frame->shape[frame->ndim - 1];
        while (left) {
            size_t n = (CLIPX_CHUNK - used + run - 1) / run;
            if (n > left) n = left;
            clipx_pack(buffer + used, p, n, stride, run);
            used += n * run, left -= n, p += (ptrdiff_t)n * stride;
            if (used >= CLIPX_CHUNK) {
                clipx_write(writer, targets, count, at, buffer, CLIPX_CHUNK);
                at += CLIPX_CHUNK, used -= CLIPX_CHUNK;
                memcpy(buffer, buffer + CLIPX_CHUNK, used);
            }
        }
    } while (clipx_next_row(frame, index, &row));
    clipx_write(writer, targets, count, at, buffer, used);
}

#endif
