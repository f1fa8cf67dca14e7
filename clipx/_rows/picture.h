/* A decoded picture: its rows to R'G'B', cropped and turned, each converted once and written to every place. */
#ifndef CLIPX_PICTURE_H
#define CLIPX_PICTURE_H

#include "frame.h"

enum { CLIPX_PACKED = CLIPX_INTERLEAVED + 1 }; /* pixels of `bytes` bytes in one plane, beside color.h's layouts */

/* What does not change from one picture of a stream to the next. */
typedef struct {
    int layout;           /* a chroma layout of color.h, or CLIPX_PACKED */
    int bytes;            /* of a sample; packed: of a pixel */
    int red, green, blue; /* packed: where they stand in a pixel */
    int chroma_rows;      /* 1 where a chroma row serves two rows of pixels, else 0 */
    int width, height;    /* of the picture */
    int x, y, w, h;       /* the crop */
    int flip;             /* left and right change places */
    int channels;         /* 3, or 1 for the luma alone */
    clipx_color color;
} clipx_picture;

typedef struct {
    const uint8_t *data[3];
    ptrdiff_t stride[3];
} clipx_planes;

static void clipx_unpack(const uint8_t *pixel, const clipx_picture *p, uint8_t *r, uint8_t *g, uint8_t *b) {
    int i;
    for (i = 0; i < p->w; i++, pixel += p->bytes) r[i] = pixel[p->red], g[i] = pixel[p->green], b[i] = pixel[p->blue];
}

static void clipx_turn(uint8_t *row, int n) {
    int i;
    for (i = 0; i < n / 2; i++) {
        uint8_t left = row[i];
        row[i] = row[n - 1 - i];
        row[n - 1 - i] = left;
    }
}

/* Row `at` of the picture, from pixel x (rounded down to even) to the end of the crop, into r, g and b. */
static void clipx_load_row(const clipx_rows *rows, const clipx_picture *p, const clipx_planes *planes, int at, uint8_t *r,
                           uint8_t *g, uint8_t *b) {
    int first = p->x & ~1;
    size_t n = (size_t)(p->x - first + p->w), bytes = (size_t)p->bytes;
    clipx_samples samples = {p->channels == 1 ? CLIPX_GRAY : p->layout, p->bytes, NULL, NULL, NULL, &p->color};
    samples.y = planes->data[0] + at * planes->stride[0] + (size_t)first * bytes;
    if (samples.chroma != CLIPX_GRAY) {
        ptrdiff_t row = at >> p->chroma_rows;
        size_t column = (size_t)(p->layout == CLIPX_PAIRED ? first / 2 : first) * bytes;
        samples.u = planes->data[1] + row * planes->stride[1] + column;
        if (p->layout != CLIPX_INTERLEAVED) samples.v = planes->data[2] + row * planes->stride[2] + column;
    }
    rows->color(&samples, n, r, g, b);
}

/* Write the picture to every place. `scratch` holds clipx_scratch_bytes(p) bytes. */
static size_t clipx_scratch_bytes(const clipx_picture *p) {
    size_t row = (size_t)p->w + 1;
    return 3 * row + CLIPX_CHUNK + CLIPX_LINE + row * (size_t)p->channels;
}

static void clipx_write_picture(const clipx_rows *rows, clipx_writer writer, const clipx_picture *p,
                                const clipx_planes *planes, char *const *places, size_t count, char *scratch) {
    size_t row = (size_t)p->w + 1, used = 0, at = 0;
    uint8_t *r = (uint8_t *)scratch, *g = r + row, *b = g + row;
    char *buffer = (char *)(b + row);
    int line, odd = p->layout == CLIPX_PACKED ? 0 : p->x & 1;
    for (line = 0; line < p->h; line++) {
        if (p->layout == CLIPX_PACKED)
            clipx_unpack(planes->data[0] + (p->y + line) * planes->stride[0] + (ptrdiff_t)p->x * p->bytes, p, r, g, b);
        else
            clipx_load_row(rows, p, planes, p->y + line, r, g, b);
        if (p->flip) {
            clipx_turn(r + odd, p->w);
            if (p->channels == 3) {
                clipx_turn(g + odd, p->w);
                clipx_turn(b + odd, p->w);
            }
        }
        if (p->channels == 1)
            memcpy(buffer + used, r + odd, (size_t)p->w);
        else
            rows->pack((uint8_t *)buffer + used, r + odd, g + odd, b + odd, (size_t)p->w);
        used += (size_t)p->w * (size_t)p->channels;
        if (used >= CLIPX_CHUNK) {
            /* Whole lines only, so that streaming stores meet no line twice. */
            size_t whole = used & ~(size_t)(CLIPX_LINE - 1);
            clipx_write(writer, places, count, at, buffer, whole);
            at += whole, used -= whole;
            memmove(buffer, buffer + whole, used);
        }
    }
    clipx_write(writer, places, count, at, buffer, used);
}

#endif
