/* Frames of an array, (height, width, channels), to the positions of an index table, as an output says. */
#ifndef CLIPX_FORMATTED_H
#define CLIPX_FORMATTED_H

#include "gather.h"
#include "resampled_numbers.h"

/* Clips, and the source frame of each of their positions. */
typedef struct {
    const int64_t *indices;
    size_t count, length;
    char *dst;
    size_t clip_bytes, position_bytes; /* from one clip, and from one position, to the next */
    clipx_view_set set;                /* the views of the first clip */
    size_t view_bytes;                 /* from one view of a clip to the next */
    int same_views;                    /* all clips have these; else those of the next clip come behind them */
    const clipx_resampling **resamplings; /* of each clip, or of all where they have the same views; or NULL */
} clipx_clips;

static char *clipx_clip_target(const clipx_clips *clips, size_t p) {
    return clips->dst + p / clips->length * clips->clip_bytes + p % clips->length * clips->position_bytes;
}

static void clipx_format_numbers(const clipx_rows *rows, const clipx_source *s, const char *frame, const clipx_view *view,
                                 const clipx_output *output, char *target) {
    size_t item = clipx_item_bytes(output->kind), line = (size_t)view->w * item;
    size_t step = output->planar ? item : item * (size_t)s->channels;
    ptrdiff_t stride = view->flip ? -s->strides[2] : s->strides[2];
    int y, c;
    frame += view->y * s->strides[1] + (view->flip ? view->x + view->w - 1 : view->x) * s->strides[2];
    if (!output->planar) line *= (size_t)s->channels;
    for (y = 0; y < view->h; y++, frame += s->strides[1], target += line) {
        for (c = 0; c < s->channels; c++) {
            char *dst = target + (output->planar ? c * output->plane : (ptrdiff_t)((size_t)c * item));
            rows->numbers(s->type, frame + c * s->strides[3], stride, (size_t)view->w, s->arithmetic + c, output->kind, dst,
                          step);
        }
    }
}

/* Bytes of a row of a frame as it is written. */
static size_t clipx_numbers_room(const clipx_source *s, const clipx_output *output) {
    return (size_t)s->width * (size_t)s->channels * clipx_item_bytes(output->kind);
}

/* n pixels of so many bytes in reverse. */
static void clipx_copy_flipped(char *dst, const char *src, size_t n, size_t bytes) {
    size_t i;
    src += n * bytes;
    if (bytes == 4)
        for (i = 0; i < n; i++, dst += 4) memcpy(dst, src -= 4, 4);
    else if (bytes == 2)
        for (i = 0; i < n; i++, dst += 2) memcpy(dst, src -= 2, 2);
    else
        for (i = 0; i < n; i++, dst += bytes) memcpy(dst, src -= bytes, bytes);
}

/* Several views of a frame of numbers: each row is converted once. */
static void clipx_format_number_views(const clipx_rows *rows, const clipx_source *s, const char *frame,
                                      const clipx_view_set *set, const clipx_output *output, char *const *targets,
                                      size_t count) {
    size_t item = clipx_item_bytes(output->kind), channels = (size_t)s->channels, k;
    size_t planes = output->planar ? channels : 1, pixel = output->planar ? item : item * channels;
    int order[CLIPX_MOST_VIEWS], i, c, y, from, end, bottom;
    for (y = clipx_sort_views(set, order, &bottom); y < bottom; y++) {
        for (i = 0; clipx_next_columns(set, order, y, &i, &from, &end);)
            for (c = 0; c < s->channels; c++) {
                size_t at = output->planar ? (size_t)c * (size_t)s->width * item : (size_t)c * item;
                rows->numbers(s->type, frame + y * s->strides[1] + from * s->strides[2] + c * s->strides[3],
                              s->strides[2], (size_t)(end - from), s->arithmetic + c, output->kind,
                              set->room + at + (size_t)from * pixel, pixel);
            }
        for (i = 0; i < set->count; i++) {
            const clipx_view *view = set->views + i;
            size_t line = (size_t)view->w * pixel;
            if (!clipx_shows(view, y)) continue;
            for (k = 0; k < count * planes; k++) {
                const char *src = set->room + (k % planes * (size_t)s->width + (size_t)view->x) * pixel;
                char *dst = targets[(size_t)i * count + k / planes] + (ptrdiff_t)(k % planes) * output->plane;
                dst += (size_t)(y - view->y) * line;
                if (view->flip)
                    clipx_copy_flipped(dst, src, (size_t)view->w, pixel);
                else
                    memcpy(dst, src, line);
            }
        }
    }
}

static void clipx_format_frame(const clipx_rows *rows, int streams, const clipx_source *s, int64_t k,
                               const clipx_resampling *resampling, const clipx_view_set *set, const clipx_output *output,
                               char *const *targets, size_t count) {
    const char *frame = s->src + (ptrdiff_t)k * s->strides[0];
    size_t i;
    if (resampling) {
        clipx_format_resampled(rows, streams, resampling, s, frame, set, output, targets, count);
        return;
    }
    if (s->picture) {
        clipx_planes planes = {{(const uint8_t *)frame, NULL, NULL}, {s->strides[1], 0, 0}};
        clipx_write_views(rows, streams, s->picture, &planes, set, output, targets, count);
        return;
    }
    if (set->count > 1)
        clipx_format_number_views(rows, s, frame, set, output, targets, count);
    else
        for (i = 0; i < count; i++) clipx_format_numbers(rows, s, frame, set->views, output, targets[i]);
}

/* Write the positions of a checked table; those of index -1 are left alone. Never fails. */
static void clipx_format(const clipx_rows *rows, int streams, const clipx_source *s, const clipx_output *output,
                         const clipx_clips *clips, int64_t lowest, int64_t highest) {
    size_t n = clips->count * clips->length, views = (size_t)clips->set.count, p, i, range = highest < lowest ? 0 : (size_t)(highest - lowest + 1);
    int64_t k, next;
    int by_frame = 0;
    if (clips->same_views && (s->picture || clips->resamplings) && range && range <= n) {
        /* Frames that several clips hold are converted or resampled once. */
        clipx_table table;
        clipx_inverse inverse = {malloc(range * sizeof(int64_t)), malloc(n * sizeof(int64_t)),
                                 malloc(n * views * sizeof(char *))};
        table.indices = clips->indices, table.positions = n;
        if (inverse.first && inverse.next && inverse.targets) {
            by_frame = clipx_invert(&table, &inverse, lowest, highest);
            for (k = lowest; by_frame && k <= highest; k++) {
                size_t count = 0;
                for (next = inverse.first[k - lowest]; next >= 0; next = inverse.next[next])
                    inverse.targets[count++] = clipx_clip_target(clips, (size_t)next);
                for (i = count; i < count * views; i++) inverse.targets[i] = inverse.targets[i - count] + clips->view_bytes;
                if (count)
                    clipx_format_frame(rows, streams, s, k, clips->resamplings ? clips->resamplings[0] : NULL, &clips->set,
                                       output, inverse.targets, count);
            }
        }
        free(inverse.first);
        free(inverse.next);
        free(inverse.targets);
    }
    if (!by_frame) {
        for (p = 0; p < n; p++) {
            char *targets[CLIPX_MOST_VIEWS];
            clipx_view_set set = clips->set;
            const clipx_resampling *resampling = NULL;
            if (clips->resamplings) resampling = clips->resamplings[clips->same_views ? 0 : p / clips->length];
            targets[0] = clipx_clip_target(clips, p);
            if (!clips->same_views) set.views += p / clips->length * views;
            for (i = 1; i < views; i++) targets[i] = targets[i - 1] + clips->view_bytes;
            if (clips->indices[p] >= 0) clipx_format_frame(rows, streams, s, clips->indices[p], resampling, &set, output, targets, 1);
        }
    }
    if (streams) CLIPX_FENCE();
}

#endif
