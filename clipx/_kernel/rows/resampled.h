/*
 * A rectangle of a picture as a picture of another size, row by row, and its views to their targets.
 *
 * Each row of the picture that is wanted is resampled across once, into a ring of lines; a row of what comes out is made
 * of those that its taps name. Nothing is as large as a picture.
 */
#ifndef CLIPX_RESAMPLED_H
#define CLIPX_RESAMPLED_H

#include "views.h"

typedef struct {
    clipx_axis x, y;           /* of columns and rows */
    clipx_axis half_x, half_y; /* of chroma that serves two of them */
    int top, left;             /* where x.n by y.n pixels lie in a picture of `width` by `height`, */
    int width, height;
    double value;              /* whose other numbers are this */
} clipx_resampling;

/* Samples of a plane, or of all channels; those of a pixel's bytes lie side by side where `packed` says so. */
typedef struct {
    const uint8_t *data;
    ptrdiff_t row, column, channel; /* from one to the next */
    int channels;
    int packed;      /* bytes of a pixel, 3 or 4; 0: lines are interleaved */
    int order[4];    /* packed: the channel that each byte is of; -1: of none */
    int bytes;       /* of a sample */
    int left, right; /* shifts that make samples of two bytes 15 bits */
} clipx_samples_of;

/* Rows of samples, resampled across: the last of them. */
typedef struct {
    clipx_samples_of samples;
    const clipx_rows *rows;
    const clipx_axis *x, *y;
    int kind;
    int from, to;        /* outputs across, */
    int low, high;       /* and the samples that they are made of */
    int safe;            /* the first output whose taps are not read where they are, since vectors would read past the row */
    int next, last;      /* next row, and behind the last one that is wanted */
    int deep;            /* rows in the ring */
    size_t stride;       /* bytes of a line */
    size_t quad_bytes;   /* of four lines side by side */
    uint8_t *ring, *quads, *none; /* none: a line that nobody reads */
    const uint8_t **taps;
} clipx_stack;

static size_t clipx_whole_lines(size_t bytes) { return (bytes + CLIPX_LINE - 1) & ~(size_t)(CLIPX_LINE - 1); }

CLIPX_INLINE size_t clipx_stack_item(const clipx_stack *stack) { return stack->kind == CLIPX_EXACT ? 1 : 2; }

/* Rows that are resampled across together. */
static int clipx_rows_together(const clipx_samples_of *samples) {
    return samples->packed || samples->channels > 2 ? 2 : 8 / samples->channels;
}

/* Set up for outputs [from, to) of the rows of outputs [top, bottom); returns the bytes of room that it takes. */
static size_t clipx_open_stack(clipx_stack *stack, const clipx_rows *rows, const clipx_axis *x, const clipx_axis *y, int from,
                               int to, int top, int bottom, uint8_t *room) {
    const clipx_samples_of *samples = &stack->samples;
    size_t quad = stack->kind == CLIPX_FINE16 ? 8 : 4, ring, quads, margin = samples->packed ? (size_t)samples->packed : 1;
    stack->rows = rows, stack->x = x, stack->y = y, stack->from = from, stack->to = to;
    stack->low = x->first[from], stack->high = x->first[to - 1] + x->count[to - 1];
    stack->next = y->first[top], stack->last = y->first[bottom - 1] + y->count[bottom - 1];
    stack->deep = y->most + clipx_rows_together(samples) - 1;
    stack->stride = clipx_whole_lines((size_t)(to - from) * clipx_stack_item(stack));
    ring = (size_t)stack->deep * (size_t)samples->channels * stack->stride;
    stack->quad_bytes =
        clipx_whole_lines((size_t)(stack->high - stack->low + CLIPX_TAPS_TOGETHER) * quad + CLIPX_QUAD_MARGIN);
    quads = 2 * stack->quad_bytes;
    stack->ring = room, stack->none = room + ring, stack->quads = stack->none + stack->stride;
    stack->taps = (const uint8_t **)(void *)(stack->quads + quads);
    margin = (CLIPX_QUAD_MARGIN + margin - 1) / margin;
    for (stack->safe = to; stack->safe > from; stack->safe--)
        if ((size_t)x->first[stack->safe - 1] + (size_t)x->taps + margin <= (size_t)x->size) break;
    /* As many outputs as vectors make together are left for the copy of the row's end, where there are as many. */
    if (stack->safe < to && stack->safe > to - 8) stack->safe = to - 8 < from ? from : to - 8;
    return ring + stack->stride + quads + clipx_whole_lines((size_t)y->taps * sizeof(uint8_t *));
}

static uint8_t *clipx_stack_line(const clipx_stack *stack, int row, int channel) {
    return stack->ring + (size_t)(row % stack->deep * stack->samples.channels + channel) * stack->stride;
}

/* Resample one row of packed pixels across, or two. */
static void clipx_across_packed(const clipx_stack *stack, int row, int count) {
    const clipx_samples_of *samples = &stack->samples;
    const uint8_t *src[2] = {samples->data + row * samples->row, samples->data + (row + count - 1) * samples->row};
    const size_t step = (size_t)samples->packed;
    const clipx_axis *x = stack->x;
    uint8_t *dst[8];
    int c, i;
    for (i = 0; i < 2; i++)
        for (c = 0; c < 4; c++)
            dst[4 * i + c] = i < count && c < samples->packed && samples->order[c] >= 0
                                 ? clipx_stack_line(stack, row + i, samples->order[c]) : stack->none;
    if (stack->safe > stack->from) stack->rows->across(x, CLIPX_EXACT, count, src, step, 0, stack->from, stack->safe, dst);
    if (stack->safe < stack->to) {
        int low = x->first[stack->safe];
        size_t bytes = (size_t)(stack->high - low) * step;
        for (i = 0; i < count; i++) {
            uint8_t *end = stack->quads + (size_t)i * stack->quad_bytes;
            memcpy(end, src[i] + (size_t)low * step, bytes);
            src[i] = end;
        }
        for (i = 0; i < 8; i++) dst[i] += stack->safe - stack->from;
        stack->rows->across(x, CLIPX_EXACT, count, src, step, low, stack->safe, stack->to, dst);
    }
}

/* Resample eight lines across: of so many rows from `row` on, and of so many channels of each. */
static void clipx_across_lines(const clipx_stack *stack, int row, int count, int channel) {
    const clipx_samples_of *samples = &stack->samples;
    int across = samples->channels < 4 ? samples->channels : 4, each = 4 / across, quads = count > each ? 2 : 1, q, i;
    const uint8_t *begins[2] = {stack->quads, stack->quads + stack->quad_bytes};
    uint8_t *dst[8];
    for (q = 0; q < quads; q++) {
        const uint8_t *src[4];
        for (i = 0; i < 4; i++) {
            int at = row + q * each + i / across, c = channel + i % across;
            int some = at < row + count && i / across < each && c < samples->channels;
            src[i] = samples->data + (some ? at : row) * samples->row + (some ? c : channel) * samples->channel +
                     stack->low * samples->column;
            dst[4 * q + i] = some ? clipx_stack_line(stack, at, c) : stack->none;
        }
        clipx_interleave(src, samples->column, samples->bytes, samples->left, samples->right,
                         (size_t)(stack->high - stack->low), stack->quads + (size_t)q * stack->quad_bytes);
    }
    stack->rows->across(stack->x, stack->kind, quads, begins, stack->kind == CLIPX_FINE16 ? 8 : 4, stack->low, stack->from,
                        stack->to, dst);
}

/* Have the rows that output y is made of in the ring. */
static void clipx_fill_stack(clipx_stack *stack, int y) {
    const clipx_axis *axis = stack->y;
    int end = axis->first[y] + axis->count[y], last = axis->dense ? stack->last : end, c, rows;
    if (stack->next < axis->first[y]) stack->next = axis->first[y];
    for (; stack->next < end; stack->next += rows) {
        rows = clipx_rows_together(&stack->samples);
        if (rows > last - stack->next) rows = last - stack->next;
        if (stack->samples.packed)
            clipx_across_packed(stack, stack->next, rows);
        else
            for (c = 0; c < stack->samples.channels; c += 4) clipx_across_lines(stack, stack->next, rows, c);
    }
}

/* Output y of a channel, all that the stack is set up for. */
static void clipx_take_line(clipx_stack *stack, int y, int channel, uint8_t *dst) {
    const clipx_axis *axis = stack->y;
    const size_t row = (size_t)stack->samples.channels * stack->stride;
    const uint8_t *line = clipx_stack_line(stack, axis->first[y], channel), *end = stack->ring + (size_t)stack->deep * row;
    int k;
    for (k = 0; k < axis->count[y]; k++, line += row) {
        if (line >= end) line -= (size_t)stack->deep * row;
        stack->taps[k] = line;
    }
    if (k < axis->taps) stack->taps[k] = stack->taps[0];
    stack->rows->down(axis, stack->kind, y, stack->taps, (size_t)(stack->to - stack->from), dst);
}

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
