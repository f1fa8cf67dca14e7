/*
 * Frames of an array, (height, width, channels), resampled. Bytes in 1 or 3 channels are a picture's; bytes in others go
 * through the same lines, and all other numbers through lines of doubles.
 */
#ifndef CLIPX_RESAMPLED_NUMBERS_H
#define CLIPX_RESAMPLED_NUMBERS_H

#include "resampled.h"

typedef struct {
    const char *src;
    ptrdiff_t strides[4]; /* frame, row, column, channel */
    int type;             /* of the numbers; CLIPX_UINT8 with 1 or 3 channels side by side is read as pictures */
    int channels, width;
    const clipx_picture *picture; /* NULL: as numbers */
    const clipx_picture *packed;  /* a picture of packed pixels, of this size */
    const clipx_arithmetic *arithmetic; /* of each channel */
} clipx_source;

/* Rows of numbers, resampled across: the last of them. */
typedef struct {
    const clipx_source *source;
    const clipx_axis *x, *y;
    int from, to, low, high;
    int next, deep;
    double *ring, *loaded;
} clipx_number_stack;

static size_t clipx_open_numbers(clipx_number_stack *stack, const clipx_resampling *r, int from, int to, int top,
                                 const clipx_source *s, uint8_t *room) {
    size_t ring;
    stack->source = s, stack->x = &r->x, stack->y = &r->y, stack->from = from, stack->to = to;
    stack->low = r->x.first[from], stack->high = r->x.first[to - 1] + r->x.count[to - 1];
    stack->next = r->y.first[top], stack->deep = r->y.most;
    ring = (size_t)stack->deep * (size_t)s->channels * (size_t)(to - from);
    stack->ring = (double *)(void *)room, stack->loaded = stack->ring + ring;
    return (ring + (size_t)(stack->high - stack->low)) * sizeof(double);
}

static double *clipx_number_line(const clipx_number_stack *stack, int row, int channel) {
    size_t line = (size_t)(row % stack->deep) * (size_t)stack->source->channels + (size_t)channel;
    return stack->ring + line * (size_t)(stack->to - stack->from);
}

/* Have the rows that output y is made of in the ring. */
static void clipx_fill_numbers(clipx_number_stack *stack, const char *frame, int y) {
    const clipx_source *s = stack->source;
    const clipx_axis *axis = stack->x;
    int c, x, k, end = stack->y->first[y] + stack->y->count[y];
    if (stack->next < stack->y->first[y]) stack->next = stack->y->first[y];
    for (; stack->next < end; stack->next++) {
        for (c = 0; c < s->channels; c++) {
            double *line = clipx_number_line(stack, stack->next, c);
            clipx_load_numbers(s->type, frame + stack->next * s->strides[1] + stack->low * s->strides[2] + c * s->strides[3],
                               s->strides[2], (size_t)(stack->high - stack->low), stack->loaded);
            for (x = stack->from; x < stack->to; x++) {
                const double *w = axis->weights + (size_t)x * (size_t)axis->taps;
                const double *values = stack->loaded + (axis->first[x] - stack->low);
                double sum = w[0] * values[0];
                for (k = 1; k < axis->count[x]; k++) sum += w[k] * values[k];
                line[x - stack->from] = sum;
            }
        }
    }
}

static void clipx_take_numbers(const clipx_number_stack *stack, int y, int channel, double *dst) {
    const clipx_axis *axis = stack->y;
    const double *w = axis->weights + (size_t)y * (size_t)axis->taps;
    size_t n = (size_t)(stack->to - stack->from), i;
    int k;
    for (k = 0; k < axis->count[y]; k++) {
        const double *CLIPX_RESTRICT line = clipx_number_line(stack, axis->first[y] + k, channel);
        const double weight = w[k];
        if (k == 0)
            for (i = 0; i < n; i++) dst[i] = weight * line[i];
        else
            for (i = 0; i < n; i++) dst[i] += weight * line[i];
    }
}

#define CLIPX_STORE_EACH(NUMBER, TYPE, LEAST, MOST)                                                                  \
    case NUMBER:                                                                                                     \
        for (i = 0; i < n; i++) {                                                                                    \
            double x = rint(src[(ptrdiff_t)i * stride]);                                                             \
            TYPE number = x >= (double)(MOST) ? (MOST) : x > (double)(LEAST) ? (TYPE)x : (LEAST);                   \
            memcpy(dst + i * step, &number, sizeof number);                                                          \
        }                                                                                                            \
        break;

/* n numbers back to their type: integers rounded, halves to even, and clipped. */
static void clipx_store_numbers(int type, const double *src, ptrdiff_t stride, size_t n, char *dst, size_t step) {
    size_t i;
    switch (type) {
        CLIPX_STORE_EACH(CLIPX_INT8, int8_t, INT8_MIN, INT8_MAX)
        CLIPX_STORE_EACH(CLIPX_INT16, int16_t, INT16_MIN, INT16_MAX)
        CLIPX_STORE_EACH(CLIPX_INT32, int32_t, INT32_MIN, INT32_MAX)
        CLIPX_STORE_EACH(CLIPX_INT64, int64_t, INT64_MIN, INT64_MAX)
        CLIPX_STORE_EACH(CLIPX_UINT16, uint16_t, 0, UINT16_MAX)
        CLIPX_STORE_EACH(CLIPX_UINT32, uint32_t, 0, UINT32_MAX)
        CLIPX_STORE_EACH(CLIPX_UINT64, uint64_t, 0, UINT64_MAX)
        case CLIPX_FLOAT64:
            for (i = 0; i < n; i++) memcpy(dst + i * step, src + (ptrdiff_t)i * stride, sizeof(double));
            break;
    }
}

/* A view's part of a line of one channel, bytes or doubles, as the output says. */
static void clipx_store_line(const clipx_rows *rows, const clipx_output *output, const clipx_arithmetic *a, int type,
                             const char *line, const clipx_view *view, char *dst, size_t step) {
    size_t size = clipx_number_bytes(type), n = (size_t)view->w, i;
    const char *src = line + (size_t)(view->flip ? view->x + view->w - 1 : view->x) * size;
    ptrdiff_t one = view->flip ? -1 : 1;
    if (output->kind == CLIPX_U8)
        for (i = 0; i < n; i++) dst[i * step] = src[(ptrdiff_t)i * one];
    else if (output->kind >= CLIPX_AS_IS)
        clipx_store_numbers(output->kind - CLIPX_AS_IS, (const double *)(const void *)src, one, n, dst, step);
    else
        rows->numbers(type, src, one * (ptrdiff_t)size, n, a, output->kind, dst, step);
}

/* A frame's bytes as samples; of another number of channels than 1 or 3 too. */
static clipx_samples_of clipx_samples_of_source(const clipx_source *s, const char *frame) {
    clipx_samples_of samples = {(const uint8_t *)frame, s->strides[1], s->strides[2], s->strides[3], s->channels, 0,
                                {0, 1, 2, -1}, 1, 0, 0};
    if (s->picture && s->channels == 3) samples.packed = 3;
    return samples;
}

static void clipx_set_source_stack(clipx_resampled *r, const clipx_source *s, const char *frame) {
    r->picture = s->packed, r->count = 1;
    r->stacks[0].kind = CLIPX_EXACT, r->stacks[0].samples = clipx_samples_of_source(s, frame);
}

/* Bytes of room that these views of a frame take. */
static size_t clipx_source_room(const clipx_rows *rows, const clipx_resampling *resampling, const clipx_source *s,
                                const clipx_view_set *set) {
    int order[CLIPX_MOST_VIEWS], left, right, top, bottom, from, to, first, end;
    clipx_resampled r;
    clipx_number_stack numbers;
    size_t lines;
    clipx_columns(set, &left, &right);
    top = clipx_sort_views(set, order, &bottom);
    lines = CLIPX_LINE + (size_t)set->count * sizeof(clipx_sink) + 3 * (clipx_whole_lines((size_t)right) + CLIPX_LINE) +
            (size_t)right * sizeof(double);
    if (s->type == CLIPX_UINT8) {
        clipx_set_source_stack(&r, s, NULL);
        return lines + clipx_open_resampled(&r, rows, resampling, left, right, top, bottom, NULL);
    }
    if (!clipx_shown(left, right, resampling->left, resampling->x.n, &from, &to) ||
        !clipx_shown(top, bottom, resampling->top, resampling->y.n, &first, &end))
        return lines;
    return lines + clipx_open_numbers(&numbers, resampling, from, to, first, s, NULL);
}

/* Write each view of a resampled frame to `count` targets, number by number: those of the first view come first. */
static void clipx_write_resampled_numbers(const clipx_rows *rows, const clipx_resampling *resampling,
                                          const clipx_source *s, const char *frame, const clipx_view_set *set,
                                          const clipx_output *output, char *const *targets, size_t count) {
    size_t item = clipx_item_bytes(output->kind), step = output->planar ? item : item * (size_t)s->channels, k;
    uint8_t *room = (uint8_t *)set->room + ((size_t)(0 - (uintptr_t)set->room) & (CLIPX_LINE - 1));
    double *line = (double *)(void *)room;
    int order[CLIPX_MOST_VIEWS], left, right, bottom, top = clipx_sort_views(set, order, &bottom);
    int bytes = s->type == CLIPX_UINT8, from, to, first, end, shown, y, c, i;
    clipx_resampled r;
    clipx_number_stack numbers;
    clipx_columns(set, &left, &right);
    room += clipx_whole_lines((size_t)right * sizeof(double));
    shown = clipx_shown(left, right, resampling->left, resampling->x.n, &from, &to) &&
            clipx_shown(top, bottom, resampling->top, resampling->y.n, &first, &end);
    if (bytes) {
        clipx_set_source_stack(&r, s, frame);
        clipx_open_resampled(&r, rows, resampling, left, right, top, bottom, room);
    } else if (shown) {
        clipx_open_numbers(&numbers, resampling, from, to, first, s, room);
    }
    for (y = top; y < bottom; y++) {
        int out = y - resampling->top, made = shown && out >= 0 && out < resampling->y.n, any = 0;
        for (i = 0; i < set->count; i++) any |= clipx_shows(set->views + i, y);
        if (!any) continue;
        if (made && bytes) clipx_fill_stack(r.stacks, out);
        if (made && !bytes) clipx_fill_numbers(&numbers, frame, out);
        for (c = 0; c < s->channels; c++) {
            if (bytes) {
                memset((uint8_t *)line + left, (int)resampling->value, (size_t)(right - left));
                if (made) clipx_take_line(r.stacks, out, c, (uint8_t *)line + resampling->left + from);
            } else {
                for (i = left; i < right; i++) line[i] = resampling->value;
                if (made) clipx_take_numbers(&numbers, out, c, line + resampling->left + from);
            }
            for (i = 0; i < set->count; i++) {
                const clipx_view *view = set->views + i;
                size_t row = (size_t)(y - view->y) * (size_t)view->w * step;
                if (!clipx_shows(view, y)) continue;
                for (k = 0; k < count; k++) {
                    char *dst = targets[(size_t)i * count + k] + row;
                    dst += output->planar ? c * output->plane : (ptrdiff_t)((size_t)c * item);
                    clipx_store_line(rows, output, s->arithmetic + c, bytes ? CLIPX_UINT8 : CLIPX_FLOAT64, (const char *)line,
                                     view, dst, step);
                }
            }
        }
    }
}

/* Write each view of a resampled frame to `count` targets. */
static void clipx_format_resampled(const clipx_rows *rows, int streams, const clipx_resampling *resampling,
                                   const clipx_source *s, const char *frame, const clipx_view_set *set,
                                   const clipx_output *output, char *const *targets, size_t count) {
    clipx_resampled r;
    if (s->type == CLIPX_UINT8 && (s->channels == 1 || s->channels == 3)) {
        clipx_set_source_stack(&r, s, frame);
        clipx_write_resampled(rows, streams, resampling, &r, set, output, targets, count);
    } else {
        clipx_write_resampled_numbers(rows, resampling, s, frame, set, output, targets, count);
    }
}

#endif
