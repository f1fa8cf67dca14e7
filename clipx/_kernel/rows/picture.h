/*
 * A decoded picture: its rows to R'G'B', cropped and flipped, each converted once and written to every target.
 *
 * Pixels go through a strip in the first cache, row after row without a break, and leave it in blocks of BLOCK pixels,
 * which are whole lines of memory wherever the picture begins at one: so rows of any width can be streamed. A strip's
 * blocks go to one target after the other.
 */
#ifndef CLIPX_PICTURE_H
#define CLIPX_PICTURE_H

#include "frame.h"

enum {
    CLIPX_BLOCK_PIXELS = 64,
    CLIPX_STRIP = 512, /* pixels that are converted at a time: few enough that stores go on beside the arithmetic */
    CLIPX_STRIP_ROOM = 2 * CLIPX_STRIP + CLIPX_BLOCK_PIXELS,
    CLIPX_ROWS_AHEAD = 4
};
enum { CLIPX_PACKED = CLIPX_INTERLEAVED + 1 }; /* pixels of `bytes` bytes in one plane, beside color.h's layouts */

/* What does not change from one picture of a stream to the next. */
typedef struct {
    int layout;           /* a chroma layout of color.h, or CLIPX_PACKED */
    int bytes;            /* of a sample; packed: of a pixel */
    int red, green, blue; /* packed: their offsets in a pixel */
    int chroma_rows;      /* 1 where a chroma row serves two rows of pixels, else 0 */
    int width, height;    /* of the picture */
    clipx_color color;
} clipx_picture;

/* What is taken of a picture: a crop, and whether it is flipped. */
typedef struct {
    int y, x, h, w, flip;
} clipx_view;

/* How pixels are written: side by side, or each channel in a plane of its own. */
typedef struct {
    int kind;        /* CLIPX_U8, or one of the floats */
    int channels;    /* 3, or 1 for the luma alone */
    int planar;
    ptrdiff_t plane; /* planar: bytes from one channel to the next */
    clipx_scale scale;
} clipx_output;

typedef struct {
    const uint8_t *data[3];
    ptrdiff_t stride[3];
} clipx_planes;

/* Pixels on their way to the targets. */
typedef struct {
    CLIPX_ALIGNED(CLIPX_LINE) uint8_t strip[3][CLIPX_LINE + CLIPX_STRIP_ROOM]; /* a line of room before the first pixel */
    const clipx_rows *rows;
    const clipx_output *output;
    clipx_writer writer;
    char *const *targets;
    size_t count;
    size_t pixel; /* bytes from one pixel to the next */
    int direct;   /* blocks can be streamed straight to the targets */
    size_t first; /* pixels before the first block */
    size_t done;  /* pixels written */
    size_t used;  /* pixels in the strip */
} clipx_sink;

static uint8_t *clipx_room(clipx_sink *sink, int channel) { return sink->strip[channel] + CLIPX_LINE + sink->used; }

/* Pixels from the start of a target to its first line boundary that a pixel begins at; below CLIPX_BLOCK_PIXELS. */
static size_t clipx_first(const char *target, size_t pixel_bytes) {
    size_t n = 0;
    while (((uintptr_t)target + n * pixel_bytes) % CLIPX_LINE && n < CLIPX_BLOCK_PIXELS) n++;
    return n;
}

static void clipx_open_sink(clipx_sink *sink, const clipx_rows *rows, int streams, const clipx_output *output,
                            char *const *targets, size_t count) {
    size_t i;
    sink->rows = rows, sink->output = output, sink->writer = clipx_make_writer(rows, streams);
    sink->targets = targets, sink->count = count;
    sink->pixel = clipx_item_bytes(output->kind) * (size_t)(output->planar ? 1 : output->channels);
    sink->done = sink->used = 0;
    sink->first = streams ? clipx_first(targets[0], sink->pixel) : 0;
    sink->direct = streams && sink->first < CLIPX_BLOCK_PIXELS;
    if (output->planar && output->channels > 1) sink->direct &= output->plane % CLIPX_LINE == 0;
    for (i = 1; i < count; i++) sink->direct &= ((uintptr_t)targets[i] - (uintptr_t)targets[0]) % CLIPX_LINE == 0;
    if (!sink->direct) sink->first = 0;
}

/* n pixels to one place, of all channels or of one. rows: red, green and blue, and for floats of all pixels side by side. */
static void clipx_convert(const clipx_sink *sink, int channel, const uint8_t *const *rows, size_t n, char *dst,
                          int streams) {
    const clipx_output *output = sink->output;
    int each = channel == CLIPX_EACH;
    if (output->kind == CLIPX_U8)
        sink->rows->pack(dst, rows[0], rows[1], rows[2], n, streams);
    else
        sink->rows->floats(&output->scale, output->kind, channel, rows[each ? 3 : channel], each ? 3 * n : n, dst, streams);
}

/*
 * Write n pixels from pixel `from` of the strip on. `whole`: they are blocks, and begin at a line where that counts.
 *
 * Each target gets all of them before the next: where streams to several take turns, some processors write their lines
 * in parts. Bytes and float32 are converted for each target, which costs less than a copy in the first cache does.
 */
static void clipx_put_pixels(const clipx_sink *sink, size_t from, size_t n, int whole) {
    const clipx_output *output = sink->output;
    int apart = output->planar || output->channels == 1, planes = output->planar ? output->channels : 1, c;
    int streams = sink->writer.stream != NULL, cheap = output->kind == CLIPX_U8 || output->kind == CLIPX_F32;
    size_t at = (sink->done + from) * sink->pixel, bytes = n * sink->pixel, i;
    CLIPX_ALIGNED(CLIPX_LINE) uint8_t pixels[3 * CLIPX_STRIP_ROOM];
    CLIPX_ALIGNED(CLIPX_LINE) char buffer[3 * CLIPX_STRIP_ROOM * sizeof(float)];
    const uint8_t *rows[4] = {sink->strip[0] + CLIPX_LINE + from, sink->strip[1] + CLIPX_LINE + from,
                              sink->strip[2] + CLIPX_LINE + from, pixels};
    if (!apart && output->kind != CLIPX_U8) sink->rows->pack((char *)pixels, rows[0], rows[1], rows[2], n, 0);
    for (c = 0; c < planes; c++, at += (size_t)output->plane) {
        int channel = apart ? c : CLIPX_EACH;
        const char *converted = buffer;
        i = 0; /* targets that have them */
        if (apart && output->kind == CLIPX_U8) {
            converted = (const char *)rows[c];
        } else if (!streams) {
            clipx_convert(sink, channel, rows, n, sink->targets[0] + at, 0);
            converted = sink->targets[i++] + at;
        } else if (sink->direct && whole && (cheap || sink->count == 1)) {
            for (; i < sink->count; i++) clipx_convert(sink, channel, rows, n, sink->targets[i] + at, 1);
        } else {
            clipx_convert(sink, channel, rows, n, buffer, 0);
        }
        for (; i < sink->count; i++) clipx_put(sink->writer, sink->targets[i] + at, converted, bytes);
    }
}

/* Write the strip's whole blocks, or at the end all of it. */
static void clipx_flush(clipx_sink *sink, int all) {
    size_t n = 0, blocks;
    int c;
    if (sink->done == 0 && sink->first && sink->used >= sink->first) {
        clipx_put_pixels(sink, 0, sink->first, 0);
        n = sink->first;
    }
    blocks = (sink->used - n) & ~(size_t)(CLIPX_BLOCK_PIXELS - 1);
    if (blocks) clipx_put_pixels(sink, n, blocks, 1);
    n += blocks;
    if (all && n < sink->used) {
        clipx_put_pixels(sink, n, sink->used - n, 0);
        n = sink->used;
    }
    sink->done += n, sink->used -= n;
    for (c = 0; c < sink->output->channels; c++)
        memmove(sink->strip[c] + CLIPX_LINE, sink->strip[c] + CLIPX_LINE + n, sink->used);
}

/* n pixels of row y from column x on, to three rows that have a byte of room before them. */
CLIPX_INLINE void clipx_read(const clipx_rows *rows, const clipx_picture *p, const clipx_planes *planes, int channels,
                             int y, int x, size_t n, uint8_t *const *to) {
    const uint8_t *row = planes->data[0] + y * planes->stride[0];
    size_t bytes = (size_t)p->bytes, i;
    if (p->layout == CLIPX_PACKED) {
        row += (size_t)x * bytes;
        if (bytes == 1)
            memcpy(to[0], row, n);
        else if (bytes == 3 && p->green == 1)
            rows->unpack(row, n, to[p->red], to[1], to[p->blue]);
        else
            for (i = 0; i < n; i++, row += bytes)
                to[0][i] = row[p->red], to[1][i] = row[p->green], to[2][i] = row[p->blue];
    } else {
        /* Chroma is taken from an even column on: one pixel more, instead of the last one before. */
        size_t odd = (size_t)x & 1, first = (size_t)x - odd;
        uint8_t kept[3] = {to[0][-1], to[1][-1], to[2][-1]};
        clipx_samples samples = {channels == 1 ? CLIPX_GRAY : p->layout, p->bytes, NULL, NULL, NULL, &p->color};
        samples.y = row + first * bytes;
        if (samples.chroma != CLIPX_GRAY) {
            ptrdiff_t line = y >> p->chroma_rows;
            size_t column = (p->layout == CLIPX_PAIRED ? first / 2 : first) * bytes;
            samples.u = planes->data[1] + line * planes->stride[1] + column;
            if (p->layout != CLIPX_INTERLEAVED) samples.v = planes->data[2] + line * planes->stride[2] + column;
        }
        rows->color(&samples, n + odd, to[0] - odd, to[1] - odd, to[2] - odd);
        for (i = 0; i < 3; i++) to[i][-1] = kept[i];
    }
}

/* n pixels of row y from column x on, to the strip. */
static void clipx_load(clipx_sink *sink, const clipx_picture *p, const clipx_planes *planes, int y, int x, size_t n,
                       int flip) {
    uint8_t *to[3] = {clipx_room(sink, 0), clipx_room(sink, 1), clipx_room(sink, 2)};
    int c;
    clipx_read(sink->rows, p, planes, sink->output->channels, y, x, n, to);
    if (flip)
        for (c = 0; c < sink->output->channels; c++) sink->rows->flip(to[c], n);
    sink->used += n;
}

/* Ask for a view's part of a row that is read some rows later: the hardware foresees whole rows, but not those of a crop. */
static void clipx_ask_ahead(const clipx_picture *p, const clipx_planes *planes, const clipx_view *view, int y) {
    size_t bytes = (size_t)p->bytes, n = (size_t)view->w * bytes, i;
    const uint8_t *row = planes->data[0] + (y + CLIPX_ROWS_AHEAD) * planes->stride[0] + (size_t)view->x * bytes;
    if ((size_t)p->width * bytes < n + 2 * CLIPX_LINE) return;
    for (i = 0; i < n; i += CLIPX_LINE) CLIPX_PREFETCH(row + i);
}

/* Write a view of the picture to every target. */
static void clipx_write_picture(const clipx_rows *rows, int streams, const clipx_picture *p, const clipx_planes *planes,
                                const clipx_view *view, const clipx_output *output, char *const *targets, size_t count) {
    CLIPX_ALIGNED(CLIPX_LINE) clipx_sink sink;
    int line, x, n;
    clipx_open_sink(&sink, rows, streams, output, targets, count);
    for (line = 0; line < view->h; line++) {
        clipx_ask_ahead(p, planes, view, view->y + line);
        for (x = 0; x < view->w; x += n) {
            n = view->w - x < CLIPX_STRIP ? view->w - x : CLIPX_STRIP;
            clipx_load(&sink, p, planes, view->y + line, view->x + (view->flip ? view->w - x - n : x), (size_t)n,
                       view->flip);
            if (sink.used >= CLIPX_STRIP) clipx_flush(&sink, 0);
        }
    }
    clipx_flush(&sink, 1);
}

#endif
