/* Several views of one picture: each row is converted once, and the part of it that a view shows goes to its targets. */
#ifndef CLIPX_VIEWS_H
#define CLIPX_VIEWS_H

#include "picture.h"

enum { CLIPX_MOST_VIEWS = 16 };

/* Views of one size. */
typedef struct {
    const clipx_view *views;
    int count; /* from 1 to CLIPX_MOST_VIEWS */
    char *room; /* where there are several: as many bytes as their writer asks for */
} clipx_view_set;

/* Bytes of a row of one channel, with room for a line before its first pixel. */
static size_t clipx_line_bytes(const clipx_picture *p) {
    return CLIPX_LINE + (((size_t)p->width + CLIPX_LINE - 1) & ~(size_t)(CLIPX_LINE - 1));
}

static size_t clipx_views_room(const clipx_picture *p, int count) {
    return CLIPX_LINE + (size_t)count * sizeof(clipx_sink) + 3 * clipx_line_bytes(p);
}

static int clipx_shows(const clipx_view *view, int y) { return y >= view->y && y - view->y < view->h; }

/* The views from left to right; returns the first row that one shows, and sets that behind the last. */
static int clipx_sort_views(const clipx_view_set *set, int *order, int *bottom) {
    int i, j, top = set->views[0].y;
    *bottom = top;
    for (i = 0; i < set->count; i++) {
        const clipx_view *view = set->views + i;
        if (view->y < top) top = view->y;
        if (view->y + view->h > *bottom) *bottom = view->y + view->h;
        for (j = i; j > 0 && set->views[order[j - 1]].x > view->x; j--) order[j] = order[j - 1];
        order[j] = i;
    }
    return top;
}

/* The next columns of row y that views show without a gap, from order[*i] on; 0 where there are no more. */
static int clipx_next_columns(const clipx_view_set *set, const int *order, int y, int *i, int *from, int *end) {
    while (*i < set->count && !clipx_shows(set->views + order[*i], y)) ++*i;
    if (*i == set->count) return 0;
    *from = *end = set->views[order[*i]].x;
    for (; *i < set->count; ++*i) {
        const clipx_view *view = set->views + order[*i];
        if (!clipx_shows(view, y)) continue;
        if (view->x > *end) break;
        if (view->x + view->w > *end) *end = view->x + view->w;
    }
    return 1;
}

/* A view's part of a row that has been converted, to its targets. */
static void clipx_take(clipx_sink *sink, const clipx_view *view, uint8_t *const *line) {
    int x, n, c;
    for (x = 0; x < view->w; x += n) {
        n = view->w - x < CLIPX_STRIP ? view->w - x : CLIPX_STRIP;
        for (c = 0; c < sink->output->channels; c++) {
            uint8_t *to = clipx_room(sink, c);
            memcpy(to, line[c] + view->x + (view->flip ? view->w - x - n : x), (size_t)n);
            if (view->flip) sink->rows->flip(to, (size_t)n);
        }
        sink->used += (size_t)n;
        if (sink->used >= CLIPX_STRIP) clipx_flush(sink, 0);
    }
}

/* Write each view of the picture to `count` targets: those of the first view come first. */
static void clipx_write_views(const clipx_rows *rows, int streams, const clipx_picture *p, const clipx_planes *planes,
                              const clipx_view_set *set, const clipx_output *output, char *const *targets, size_t count) {
    clipx_sink *sinks;
    uint8_t *line[3];
    int order[CLIPX_MOST_VIEWS], i, y, from, end, bottom;
    if (set->count == 1) {
        clipx_write_picture(rows, streams, p, planes, set->views, output, targets, count);
        return;
    }
    sinks = (clipx_sink *)(void *)(set->room + ((size_t)(0 - (uintptr_t)set->room) & (CLIPX_LINE - 1)));
    for (i = 0; i < 3; i++)
        line[i] = (uint8_t *)(sinks + set->count) + CLIPX_LINE + (size_t)i * clipx_line_bytes(p);
    for (i = 0; i < set->count; i++)
        clipx_open_sink(sinks + i, rows, streams, output, targets + (size_t)i * count, count);
    for (y = clipx_sort_views(set, order, &bottom); y < bottom; y++) {
        for (i = 0; clipx_next_columns(set, order, y, &i, &from, &end);) {
            uint8_t *to[3] = {line[0] + from, line[1] + from, line[2] + from};
            clipx_read(rows, p, planes, output->channels, y, from, (size_t)(end - from), to);
        }
        for (i = 0; i < set->count; i++)
            if (clipx_shows(set->views + i, y)) clipx_take(sinks + i, set->views + i, line);
    }
    for (i = 0; i < set->count; i++) clipx_flush(sinks + i, 1);
}

#endif
