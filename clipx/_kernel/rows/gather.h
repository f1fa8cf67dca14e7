/* Source frames to the positions of an index table. */
#ifndef CLIPX_GATHER_H
#define CLIPX_GATHER_H

#include <stdlib.h>

#include "frame.h"

enum { CLIPX_LARGE_FRAME = 16384 };

/* A table of `positions` source frames; -1 takes the fill. */
typedef struct {
    const char *src;
    ptrdiff_t frame_stride;
    clipx_frame frame;
    const int64_t *indices;
    size_t positions;
    char *dst;
    const char *fill; /* one element, or NULL where the table has no -1 */
    size_t itemsize;
} clipx_table;

/* Windows of `length` frames, `dilation` apart, each `stride` frames behind the one before. */
typedef struct {
    int64_t first, stride, dilation;
    size_t count, length;
} clipx_windows;

/* The smallest and largest frame of a table; without any, lowest > highest. Returns 0 if one lies outside. */
static int clipx_range(const int64_t *indices, size_t positions, int64_t frames, int64_t *lowest, int64_t *highest,
                       int *fills) {
    size_t p;
    *lowest = INT64_MAX, *highest = -1, *fills = 0;
    for (p = 0; p < positions; p++) {
        int64_t k = indices[p];
        if (k < 0) {
            if (k != -1) return 0;
            *fills = 1;
        } else {
            if (k < *lowest) *lowest = k;
            if (k > *highest) *highest = k;
        }
    }
    return *highest < frames;
}

static void clipx_fill(clipx_writer writer, char *dst, size_t n, const char *element, size_t itemsize) {
    char pattern[CLIPX_CHUNK];
    size_t period = itemsize, i;
    if (itemsize > CLIPX_CHUNK) {
        for (i = 0; i < n; i += itemsize) memcpy(dst + i, element, itemsize);
        return;
    }
    for (i = 0; i + itemsize <= CLIPX_CHUNK && i < n; i += itemsize) memcpy(pattern + i, element, itemsize);
    period = i;
    for (i = 0; i < n; i += period) clipx_put(writer, dst + i, pattern, n - i < period ? n - i : period);
}

/* Clip by clip: neighbouring positions that take neighbouring frames are one copy. */
static void clipx_gather_in_order(clipx_writer writer, const clipx_table *t, int merges) {
    size_t bytes = t->frame.bytes, p, n;
    for (p = 0; p < t->positions; p += n) {
        int64_t k = t->indices[p];
        char *dst = t->dst + p * bytes;
        const char *src = t->src + (ptrdiff_t)k * t->frame_stride;
        n = 1;
        if (k < 0) {
            while (p + n < t->positions && t->indices[p + n] < 0) n++;
            clipx_fill(writer, dst, n * bytes, t->fill, t->itemsize);
        } else if (merges) {
            while (p + n < t->positions && t->indices[p + n] == k + (int64_t)n) n++;
            clipx_put(writer, dst, src, n * bytes);
        } else {
            clipx_write_frame(writer, &t->frame, src, &dst, 1);
        }
    }
}

/* The positions of each frame, as linked lists in ascending order. */
typedef struct {
    int64_t *first; /* per frame from `lowest` on: its first position, or -1 */
    int64_t *next;  /* per position: the next position of the same frame, or -1 */
    char **targets; /* room for the addresses that one frame is written to */
} clipx_inverse;

/* Frame by frame: each is read once for all its positions. Frames whose positions all lie side by side are one copy. */
static void clipx_gather_by_frame(clipx_writer writer, const clipx_table *t, clipx_inverse *inverse, int64_t lowest,
                                  int64_t highest, int merges) {
    size_t bytes = t->frame.bytes, count, run;
    int64_t k, p;
    for (k = lowest; k <= highest; k += (int64_t)run) {
        run = 1, count = 0;
        for (p = inverse->first[k - lowest]; p >= 0; p = inverse->next[p]) {
            inverse->targets[count++] = t->dst + (size_t)p * bytes;
        }
        if (!count) continue;
        if (!merges) {
            clipx_write_frame(writer, &t->frame, t->src + (ptrdiff_t)k * t->frame_stride, inverse->targets, count);
            continue;
        }
        while (k + (int64_t)run <= highest) {
            size_t i = 0;
            for (p = inverse->first[k - lowest + (int64_t)run]; p >= 0 && i < count; p = inverse->next[p], i++)
                if (t->dst + (size_t)p * bytes != inverse->targets[i] + run * bytes) break;
            if (p >= 0 || i < count) break;
            run++;
        }
        clipx_write(writer, inverse->targets, count, 0, t->src + (ptrdiff_t)k * t->frame_stride, run * bytes);
    }
}

/* Returns 1 where some frame has several positions, so that going frame by frame saves reading it again. */
static int clipx_invert(const clipx_table *t, clipx_inverse *inverse, int64_t lowest, int64_t highest) {
    size_t range = (size_t)(highest - lowest + 1), p;
    int shared = 0;
    memset(inverse->first, 0xff, range * sizeof *inverse->first);
    for (p = t->positions; p-- > 0;) {
        int64_t k = t->indices[p];
        if (k < 0) continue;
        shared |= inverse->first[k - lowest] >= 0;
        inverse->next[p] = inverse->first[k - lowest];
        inverse->first[k - lowest] = (int64_t)p;
    }
    return shared;
}

/*
 * Frame by frame pays where a clip's frames have left the cache before the next clip asks for them: large frames of a
 * long source. The lists must also stay small beside what is written.
 */
static int clipx_goes_by_frame(const clipx_table *t, size_t range, size_t cache) {
    return t->frame.bytes >= CLIPX_LARGE_FRAME && range * t->frame.bytes > cache / 4 &&
           range < t->positions * t->frame.bytes / 64;
}

/* Fill dst from a checked table. Never fails: without memory for the lists it goes clip by clip. */
static void clipx_gather(const clipx_rows *rows, const clipx_table *t, int64_t lowest, int64_t highest, int streams,
                         size_t cache) {
    clipx_writer writer = clipx_make_writer(rows, streams);
    int merges = t->frame.ndim == 0 && t->frame_stride == (ptrdiff_t)t->frame.bytes;
    int by_frame = 0;
    size_t range = highest < lowest ? 0 : (size_t)(highest - lowest + 1);
    if (clipx_goes_by_frame(t, range, cache)) {
        clipx_inverse inverse = {malloc(range * sizeof(int64_t)), malloc(t->positions * sizeof(int64_t)),
                                 malloc(t->positions * sizeof(char *))};
        if (inverse.first && inverse.next && inverse.targets) {
            by_frame = clipx_invert(t, &inverse, lowest, highest);
            if (by_frame) {
                size_t p, n;
                clipx_gather_by_frame(writer, t, &inverse, lowest, highest, merges);
                for (p = 0; t->fill && p < t->positions; p += n) {
                    n = 1;
                    if (t->indices[p] >= 0) continue;
                    while (p + n < t->positions && t->indices[p + n] < 0) n++;
                    clipx_fill(writer, t->dst + p * t->frame.bytes, n * t->frame.bytes, t->fill, t->itemsize);
                }
            }
        }
        free(inverse.first);
        free(inverse.next);
        free(inverse.targets);
    }
    if (!by_frame) clipx_gather_in_order(writer, t, merges);
    if (streams) CLIPX_FENCE();
}

/* The same for windows that lie within the source. Returns 0 where there is no memory for their table. */
static int clipx_gather_windows(const clipx_rows *rows, clipx_table *t, const clipx_windows *w, int streams,
                                size_t cache) {
    int64_t span = w->dilation * ((int64_t)w->length - 1) + 1;
    int64_t last = w->first + w->stride * ((int64_t)w->count - 1) + span - 1, *indices;
    size_t bytes = t->frame.bytes, c, p, i = 0;
    int merges = t->frame.ndim == 0 && t->frame_stride == (ptrdiff_t)bytes;
    t->positions = w->count * w->length;
    if (merges && w->dilation == 1 && !clipx_goes_by_frame(t, (size_t)(last - w->first + 1), cache)) {
        /* Each is one run of bytes; side by side, all are. */
        clipx_writer writer = clipx_make_writer(rows, streams);
        size_t apart = w->stride != span, clips = apart ? w->count : 1, run = t->positions / clips * bytes;
        for (c = 0; c < clips; c++)
            clipx_put(writer, t->dst + c * run, t->src + (w->first + (int64_t)c * w->stride) * t->frame_stride, run);
        if (streams) CLIPX_FENCE();
        return 1;
    }
    indices = malloc(t->positions * sizeof(int64_t));
    if (!indices) return 0;
    for (c = 0; c < w->count; c++)
        for (p = 0; p < w->length; p++) indices[i++] = w->first + (int64_t)c * w->stride + (int64_t)p * w->dilation;
    t->indices = indices;
    clipx_gather(rows, t, w->first, last, streams, cache);
    free(indices);
    return 1;
}

#endif
