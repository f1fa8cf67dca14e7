/*
 * A rectangle of a picture as a picture of another size, row by row, and its views to their targets.
 *
 * A row of what comes out is made of lines of stacks, which hold the rows of the picture that its taps name. Nothing is as
 * large as a picture.
 */
#ifndef CLIPX_RESAMPLED_H
#define CLIPX_RESAMPLED_H

#include "stack.h"
#include "views.h"

typedef struct {
    clipx_axis x, y;           /* of columns and rows */
    clipx_axis half_x, half_y; /* of chroma that serves two of them */
    int top, left;             /* where x.n by y.n pixels lie in a picture of `width` by `height`, */
    int width, height;
    double value;              /* whose other numbers are this */
} clipx_resampling;

/* A picture on its way to its targets. */
typedef struct {
    const clipx_resampling *resampling;
    const clipx_picture *picture;
    clipx_stack stacks[3]; /* of bytes, or of luma and chroma */
    int count;             /* of them */
    int from, to;          /* outputs that views show */
    clipx_color color;     /* of 15 bits */
    uint8_t *wide[3];      /* a line of these, for each plane */
} clipx_resampled;

/* The part of [first, end) that outputs fill, which begin at `at`: as outputs. */
static int clipx_shown(int first, int end, int at, int n, int *from, int *to) {
    *from = first > at ? first - at : 0;
    *to = end - at < n ? end - at : n;
    return *from < *to;
}

/* Columns that views show: of all from the leftmost on. */
static void clipx_columns(const clipx_view_set *set, int *left, int *right) {
    int i;
    *left = set->views[0].x, *right = *left + set->views[0].w;
    for (i = 1; i < set->count; i++) {
        const clipx_view *view = set->views + i;
        if (view->x < *left) *left = view->x;
        if (view->x + view->w > *right) *right = view->x + view->w;
    }
}

/* The picture's stacks, without their room. */
static void clipx_set_stacks(clipx_resampled *r, const clipx_picture *p, const clipx_planes *planes, int channels) {
    clipx_samples_of samples = {planes->data[0], planes->stride[0], p->bytes, 1, 1, 0, {0, 0, 0, 0}, 1, 0, 0};
    int i, kind = p->bytes == 1 ? CLIPX_FINE8 : CLIPX_FINE16;
    r->picture = p, r->count = 1;
    r->stacks[0].kind = kind;
    if (p->layout == CLIPX_PACKED) {
        r->stacks[0].kind = CLIPX_EXACT;
        samples.channels = channels;
        if (p->bytes == 3 || p->bytes == 4) {
            samples.packed = p->bytes;
            for (i = 0; i < 4; i++) samples.order[i] = i == p->red ? 0 : i == p->green ? 1 : i == p->blue ? 2 : -1;
        }
        r->stacks[0].samples = samples;
        return;
    }
    r->color = p->color;
    r->color.y_left = r->color.y_right = 0, r->color.c_left = 1;
    samples.bytes = p->bytes, samples.left = p->color.y_left, samples.right = p->color.y_right;
    r->stacks[0].samples = samples;
    if (channels == 1 || p->layout == CLIPX_GRAY) return;
    samples.left = p->color.c_left, samples.right = 1;
    r->count = p->layout == CLIPX_INTERLEAVED ? 2 : 3;
    for (i = 1; i < r->count; i++) {
        samples.data = planes->data[i], samples.row = planes->stride[i];
        if (p->layout == CLIPX_INTERLEAVED) samples.channels = 2, samples.channel = p->bytes, samples.column = 2 * p->bytes;
        r->stacks[i].kind = kind, r->stacks[i].samples = samples;
    }
}

/* Room for lines from `room` on; returns the bytes that they take. */
static size_t clipx_open_resampled(clipx_resampled *r, const clipx_rows *rows, const clipx_resampling *resampling, int left,
                                   int right, int top, int bottom, uint8_t *room) {
    size_t used = 0;
    int i, first, end;
    r->resampling = resampling;
    if (!clipx_shown(left, right, resampling->left, resampling->x.n, &r->from, &r->to)) r->from = r->to = 0;
    if (!clipx_shown(top, bottom, resampling->top, resampling->y.n, &first, &end) || r->from == r->to) {
        r->count = 0;
        return 0;
    }
    for (i = 0; i < r->count; i++) {
        const clipx_picture *p = r->picture;
        int halves = i && (p->layout == CLIPX_PAIRED || p->layout == CLIPX_INTERLEAVED);
        used += clipx_open_stack(r->stacks + i, rows, halves ? &resampling->half_x : &resampling->x,
                                 i && p->chroma_rows ? &resampling->half_y : &resampling->y, r->from, r->to, first, end,
                                 room + used);
    }
    for (i = 0; i < 3; i++) {
        r->wide[i] = room + used;
        used += clipx_whole_lines(2 * (size_t)(r->to - r->from));
    }
    return used;
}

/* Row y of the picture that comes out, its columns [left, right): red, green and blue. */
static void clipx_resampled_row(clipx_resampled *r, const clipx_rows *rows, int channels, int y, int left, int right,
                                uint8_t *const *line) {
    const clipx_resampling *resampling = r->resampling;
    int output = y - resampling->top, first = resampling->left + r->from, end = resampling->left + r->to, c, i;
    if (output < 0 || output >= resampling->y.n || !r->count) first = end = right;
    for (c = 0; c < channels && right - left > end - first; c++) {
        memset(line[c], (int)resampling->value, (size_t)(first - left));
        memset(line[c] + (end - left), (int)resampling->value, (size_t)(right - end));
    }
    if (first == end) return;
    for (i = 0; i < r->count; i++) clipx_fill_stack(r->stacks + i, output);
    if (r->picture->layout == CLIPX_PACKED) {
        for (c = 0; c < channels; c++) clipx_take_line(r->stacks, output, c, line[c] + (first - left));
    } else {
        clipx_samples samples = {r->count > 1 ? CLIPX_FULL : CLIPX_GRAY, 2, r->wide[0], r->wide[1], r->wide[2], &r->color};
        clipx_take_line(r->stacks, output, 0, r->wide[0]);
        if (r->count == 2) {
            clipx_take_line(r->stacks + 1, output, 0, r->wide[1]);
            clipx_take_line(r->stacks + 1, output, 1, r->wide[2]);
        } else if (r->count == 3) {
            clipx_take_line(r->stacks + 1, output, 0, r->wide[1]);
            clipx_take_line(r->stacks + 2, output, 0, r->wide[2]);
        }
        rows->color(&samples, (size_t)(end - first), line[0] + (first - left), line[1] + (first - left),
                    line[2] + (first - left));
    }
}

/* Bytes of room that these views of a resampled picture take. */
static size_t clipx_resampled_room(const clipx_rows *rows, const clipx_resampling *resampling, const clipx_picture *p,
                                   const clipx_view_set *set, int channels) {
    const clipx_planes none = {{NULL, NULL, NULL}, {0, 0, 0}};
    clipx_resampled r;
    int order[CLIPX_MOST_VIEWS], left, right, top, bottom;
    clipx_columns(set, &left, &right);
    top = clipx_sort_views(set, order, &bottom);
    clipx_set_stacks(&r, p, &none, channels);
    return CLIPX_LINE + (size_t)set->count * sizeof(clipx_sink) + 3 * (clipx_whole_lines((size_t)right) + CLIPX_LINE) +
           clipx_open_resampled(&r, rows, resampling, left, right, top, bottom, NULL);
}

/* Write each view of the resampled picture to `count` targets: those of the first view come first. */
static void clipx_write_resampled(const clipx_rows *rows, int streams, const clipx_resampling *resampling,
                                  const clipx_resampled *source, const clipx_view_set *set, const clipx_output *output,
                                  char *const *targets, size_t count) {
    clipx_resampled r = *source;
    clipx_sink *sinks = (clipx_sink *)(void *)(set->room + ((size_t)(0 - (uintptr_t)set->room) & (CLIPX_LINE - 1)));
    uint8_t *room = (uint8_t *)(sinks + set->count), *line[3], *part[3];
    int order[CLIPX_MOST_VIEWS], i, y, left, right, bottom, top = clipx_sort_views(set, order, &bottom);
    clipx_columns(set, &left, &right);
    for (i = 0; i < 3; i++, room += clipx_whole_lines((size_t)right) + CLIPX_LINE) line[i] = room + CLIPX_LINE;
    clipx_open_resampled(&r, rows, resampling, left, right, top, bottom, room);
    for (i = 0; i < set->count; i++)
        clipx_open_sink(sinks + i, rows, streams, output, targets + (size_t)i * count, count);
    for (y = top; y < bottom; y++) {
        int shown = 0;
        if (set->count == 1 && right - left <= CLIPX_STRIP) { /* straight to the strip */
            uint8_t *strip[3] = {clipx_room(sinks, 0), clipx_room(sinks, 1), clipx_room(sinks, 2)};
            clipx_resampled_row(&r, rows, output->channels, y, left, right, strip);
            for (i = 0; set->views->flip && i < output->channels; i++) rows->flip(strip[i], (size_t)(right - left));
            sinks->used += (size_t)(right - left);
            if (sinks->used >= CLIPX_STRIP) clipx_flush(sinks, 0);
            continue;
        }
        for (i = 0; i < set->count; i++) shown |= clipx_shows(set->views + i, y);
        if (!shown) continue;
        for (i = 0; i < 3; i++) part[i] = line[i] + left;
        clipx_resampled_row(&r, rows, output->channels, y, left, right, part);
        for (i = 0; i < set->count; i++)
            if (clipx_shows(set->views + i, y)) clipx_take(sinks + i, set->views + i, line);
    }
    for (i = 0; i < set->count; i++) clipx_flush(sinks + i, 1);
}

#endif
