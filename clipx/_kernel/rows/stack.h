/*
 * The rows of a plane, or of all channels, resampled across, each once, as far as they are wanted: the last of them in a ring
 * of lines, of which rows of outputs are made.
 */
#ifndef CLIPX_STACK_H
#define CLIPX_STACK_H

#include "rows.h"

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
    if (stack->safe > stack->from)
        stack->rows->across(x, CLIPX_EXACT, count, src, step, 0, stack->from, stack->safe, dst, count * samples->row);
    if (stack->safe < stack->to) {
        int low = x->first[stack->safe];
        size_t bytes = (size_t)(stack->high - low) * step;
        for (i = 0; i < count; i++) {
            uint8_t *end = stack->quads + (size_t)i * stack->quad_bytes;
            memcpy(end, src[i] + (size_t)low * step, bytes);
            src[i] = end;
        }
        for (i = 0; i < 8; i++) dst[i] += stack->safe - stack->from;
        stack->rows->across(x, CLIPX_EXACT, count, src, step, low, stack->safe, stack->to, dst, 0);
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
                        stack->to, dst, 0);
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

#endif
