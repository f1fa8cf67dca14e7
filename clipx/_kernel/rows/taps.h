/*
 * The source samples that an output of a resampling is made of, its taps, and their weights, along one axis.
 *
 * With antialiasing these are the taps of Pillow's Resample.c: the filter is as wide as the scale asks, taps end at the
 * edges of the picture, and weights add up to 1. Without it the filter keeps its width, and taps past an edge take the
 * sample at the edge.
 */
#ifndef CLIPX_TAPS_H
#define CLIPX_TAPS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

enum { CLIPX_NEAREST, CLIPX_AREA, CLIPX_BILINEAR, CLIPX_BICUBIC };
enum {
    CLIPX_EXACT_BITS = 22, /* of the weights of bytes, as in Pillow */
    CLIPX_LOW_BITS = 15,   /* of them in `low`, the others in `high` */
    CLIPX_FINE_BITS = 14,  /* of the weights of a picture's planes */
    CLIPX_TAPS_TOGETHER = 4
};

typedef struct {
    int size, n; /* source samples, outputs */
    int most;    /* taps of an output, at most */
    int taps;    /* that rounded up to CLIPX_TAPS_TOGETHER: from the weights of one output to those of the next */
    int dense;   /* no source sample is left out between the taps of an output and those of the next */
    int32_t *first, *count; /* of each output: its first tap, and their number */
    double *weights;        /* 0 behind an output's taps, as the others are */
    int16_t *high, *low;    /* in 22 bits: (high << 15) + low; NULL until they are asked for, as `fine` is */
    int bytes;              /* high lies from 0 to 127, so that the sum of its products with bytes has 15 bits */
    int16_t *fine;          /* in 14 bits */
} clipx_axis;

static void clipx_free_axis(clipx_axis *axis) {
    free(axis->first);
    free(axis->count);
    free(axis->weights);
    free(axis->high);
    free(axis->low);
    free(axis->fine);
    memset(axis, 0, sizeof *axis);
}

static double clipx_filter(int filter, double a, double x) {
    if (filter == CLIPX_AREA) return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    if (x < 0.0) x = -x;
    if (filter == CLIPX_BILINEAR) return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static int clipx_clamp(double x, int most) { return x < 0.0 ? 0 : x > (double)most ? most : (int)x; }

/* Taps and weights of outputs that are made of one sample. */
static void clipx_set_nearest(clipx_axis *axis, double start, double scale) {
    int i;
    for (i = 0; i < axis->n; i++) {
        axis->first[i] = clipx_clamp(start + (i + 0.5) * scale, axis->size - 1);
        axis->count[i] = 1;
    }
}

/* The sample that the filter's taps without antialiasing begin at; it may lie before the first one. */
static int clipx_begin(double centre, int support) { return (int)floor(centre - 0.5) - support + 1; }

static void clipx_set_ranges(clipx_axis *axis, int filter, int antialias, double start, double scale) {
    int support = filter == CLIPX_BICUBIC ? 2 : 1, i;
    double wide = scale < 1.0 ? 1.0 : scale, reach = wide * (filter == CLIPX_AREA ? 0.5 : (double)support);
    for (i = 0; i < axis->n; i++) {
        double centre = start + (i + 0.5) * scale;
        int first, end;
        if (antialias) {
            first = clipx_clamp(centre - reach + 0.5, axis->size - 1);
            end = clipx_clamp(centre + reach + 0.5, axis->size);
            if (end <= first) end = first + 1; /* where the last centre is rounded up to the edge */
        } else {
            int begin = clipx_begin(centre, support);
            first = clipx_clamp(begin, axis->size - 1);
            end = clipx_clamp(begin + 2 * support - 1, axis->size - 1) + 1;
        }
        axis->first[i] = first, axis->count[i] = end - first;
    }
}

static void clipx_set_weights(clipx_axis *axis, int filter, int antialias, double start, double scale) {
    int support = filter == CLIPX_BICUBIC ? 2 : 1, i, k;
    double narrow = 1.0 / (scale < 1.0 ? 1.0 : scale);
    for (i = 0; i < axis->n; i++) {
        double centre = start + (i + 0.5) * scale, sum = 0.0, *w = axis->weights + (size_t)i * (size_t)axis->taps;
        if (antialias) {
            for (k = 0; k < axis->count[i]; k++)
                sum += w[k] = clipx_filter(filter, -0.5, (k + axis->first[i] - centre + 0.5) * narrow);
            for (k = 0; k < axis->count[i]; k++) w[k] = sum != 0.0 ? w[k] / sum : 1.0 / axis->count[i];
        } else {
            int begin = clipx_begin(centre, support);
            for (k = begin; k < begin + 2 * support; k++)
                w[clipx_clamp(k, axis->size - 1) - axis->first[i]] += clipx_filter(filter, -0.75, k - centre + 0.5);
        }
    }
}

/* Room for the weights, once the taps are set; 0 where there is none. */
static int clipx_make_weights(clipx_axis *axis) {
    int i;
    axis->most = 1, axis->dense = 1;
    for (i = 0; i < axis->n; i++) {
        if (axis->count[i] > axis->most) axis->most = axis->count[i];
        if (i && axis->first[i] > axis->first[i - 1] + axis->count[i - 1]) axis->dense = 0;
    }
    axis->taps = (axis->most + CLIPX_TAPS_TOGETHER - 1) & ~(CLIPX_TAPS_TOGETHER - 1);
    axis->weights = (double *)calloc((size_t)axis->n * (size_t)axis->taps, sizeof(double));
    return axis->weights != NULL;
}

static int clipx_make_taps(clipx_axis *axis, int size, int n) {
    memset(axis, 0, sizeof *axis);
    axis->size = size, axis->n = n;
    axis->first = (int32_t *)malloc((size_t)n * sizeof(int32_t));
    axis->count = (int32_t *)malloc((size_t)n * sizeof(int32_t));
    return axis->first != NULL && axis->count != NULL;
}

/*
 * Set up an axis: n outputs over [start, start + extent) of `size` samples; it is to be freed in any case.
 *
 * Returns 0 where memory is short.
 */
static int clipx_make_axis(clipx_axis *axis, int size, double start, double extent, int n, int filter, int antialias) {
    double scale = extent / n;
    int i, same = scale == 1.0 && start == floor(start);
    if (!clipx_make_taps(axis, size, n)) return 0;
    if (same || filter == CLIPX_NEAREST || (filter == CLIPX_AREA && !antialias)) {
        clipx_set_nearest(axis, start, scale);
        if (!clipx_make_weights(axis)) return 0;
        for (i = 0; i < n; i++) axis->weights[(size_t)i * (size_t)axis->taps] = 1.0;
        return 1;
    }
    clipx_set_ranges(axis, filter, antialias, start, scale);
    if (!clipx_make_weights(axis)) return 0;
    clipx_set_weights(axis, filter, antialias, start, scale);
    return 1;
}

/* The axis of samples that each stand for two of this one; returns 0 where memory is short. */
static int clipx_fold_axis(const clipx_axis *axis, clipx_axis *folded) {
    int i, k;
    if (!clipx_make_taps(folded, (axis->size + 1) / 2, axis->n)) return 0;
    for (i = 0; i < axis->n; i++) {
        folded->first[i] = axis->first[i] / 2;
        folded->count[i] = (axis->first[i] + axis->count[i] - 1) / 2 - folded->first[i] + 1;
    }
    if (!clipx_make_weights(folded)) return 0;
    for (i = 0; i < axis->n; i++)
        for (k = 0; k < axis->count[i]; k++)
            folded->weights[(size_t)i * (size_t)folded->taps + (size_t)((axis->first[i] + k) / 2 - folded->first[i])] +=
                axis->weights[(size_t)i * (size_t)axis->taps + (size_t)k];
    return 1;
}

static int clipx_round_weight(double weight, int bits) {
    return (int)(weight * (1 << bits) + (weight < 0.0 ? -0.5 : 0.5));
}

/* The weights in 22 bits; returns 0 where memory is short. */
static int clipx_make_exact(clipx_axis *axis) {
    size_t n = (size_t)axis->n * (size_t)axis->taps, i;
    if (axis->high && axis->low) return 1;
    if (!axis->high) axis->high = (int16_t *)malloc(n * sizeof(int16_t));
    if (!axis->low) axis->low = (int16_t *)malloc(n * sizeof(int16_t));
    if (!axis->high || !axis->low) return 0;
    axis->bytes = 1;
    for (i = 0; i < n; i++) {
        int weight = clipx_round_weight(axis->weights[i], CLIPX_EXACT_BITS), high = weight >> CLIPX_LOW_BITS;
        axis->high[i] = (int16_t)high, axis->low[i] = (int16_t)(weight - high * (1 << CLIPX_LOW_BITS));
        axis->bytes &= high >= 0 && high < 128;
    }
    return 1;
}

/*
 * The weights in 14 bits: the differences of their rounded sums from the first on. So they add up to 1, and one color
 * stays that color, however many taps there are. Returns 0 where memory is short.
 */
static int clipx_make_fine(clipx_axis *axis) {
    size_t at, k;
    int i;
    if (axis->fine) return 1;
    axis->fine = (int16_t *)calloc((size_t)axis->n * (size_t)axis->taps, sizeof(int16_t));
    if (!axis->fine) return 0;
    for (i = 0; i < axis->n; i++) {
        double sum = 0.0;
        int before = 0, now;
        at = (size_t)i * (size_t)axis->taps;
        for (k = at; k < at + (size_t)axis->count[i]; k++, before = now) {
            sum += axis->weights[k];
            now = (int)floor(sum * (1 << CLIPX_FINE_BITS) + 0.5);
            axis->fine[k] = (int16_t)(now - before);
        }
    }
    return 1;
}

#endif
