/*
 * Numbers of any type to floats. A number's value alone says what becomes of it, not its type: one that a byte can hold, a
 * whole number from 0 to 255, goes the steps of floats.h; any other becomes (x * scale - mean) / std in double, rounded to a
 * float. From that float it is rounded to the kind.
 */
#ifndef CLIPX_NUMBERS_H
#define CLIPX_NUMBERS_H

#include "floats.h"

enum { CLIPX_NUMBERS = 256 }; /* a row's part that is worked on at a time */

typedef struct {
    double scale, mean, deviation;
    clipx_steps steps;
} clipx_arithmetic; /* of one channel */

/* n numbers `stride` apart to floats of a kind, `step` bytes apart. */
typedef void (*clipx_numbers_fn)(int type, const char *src, ptrdiff_t stride, size_t n, const clipx_arithmetic *a,
                                 int kind, char *dst, size_t step);

CLIPX_INLINE double clipx_from_half(uint16_t half) {
    uint32_t exponent = half >> 10 & 31, mantissa = half & 0x3ff, bits;
    float value;
    if (exponent == 0) {
        value = (float)mantissa / 16777216.0f; /* steps of 2^-24 */
    } else {
        bits = (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
        memcpy(&value, &bits, 4);
    }
    return half & 0x8000 ? -value : value;
}

#define CLIPX_LOAD_EACH(TYPE, VALUE, STRIDE)                                 \
    for (i = 0; i < n; i++) {                                                \
        TYPE number;                                                         \
        memcpy(&number, src + (ptrdiff_t)i * (ptrdiff_t)(STRIDE), sizeof number); \
        values[i] = (double)VALUE;                                           \
    }
/* Compilers make vectors of the loop over numbers side by side. */
#define CLIPX_LOADS(NUMBER, TYPE, VALUE)                \
    case NUMBER:                                        \
        if (stride == (ptrdiff_t)sizeof(TYPE)) {        \
            CLIPX_LOAD_EACH(TYPE, VALUE, sizeof(TYPE))  \
        } else {                                        \
            CLIPX_LOAD_EACH(TYPE, VALUE, stride)        \
        }                                               \
        break;

CLIPX_INLINE void clipx_load_numbers(int type, const char *src, ptrdiff_t stride, size_t n, double *values) {
    size_t i;
    switch (type) {
        CLIPX_LOADS(CLIPX_INT8, int8_t, number)
        CLIPX_LOADS(CLIPX_INT16, int16_t, number)
        CLIPX_LOADS(CLIPX_INT32, int32_t, number)
        CLIPX_LOADS(CLIPX_INT64, int64_t, number)
        CLIPX_LOADS(CLIPX_UINT8, uint8_t, number)
        CLIPX_LOADS(CLIPX_UINT16, uint16_t, number)
        CLIPX_LOADS(CLIPX_UINT32, uint32_t, number)
        CLIPX_LOADS(CLIPX_UINT64, uint64_t, number)
        CLIPX_LOADS(CLIPX_FLOAT16, uint16_t, clipx_from_half(number))
        CLIPX_LOADS(CLIPX_FLOAT32, float, number)
        CLIPX_LOADS(CLIPX_FLOAT64, double, number)
    }
}

CLIPX_INLINE uint64_t clipx_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}

CLIPX_INLINE double clipx_double(uint64_t bits) {
    double x;
    memcpy(&x, &bits, 8);
    return x;
}

/* 0 for a number that a byte can hold: 2^52 more, its low bits are the number, and taking them back leaves it. */
CLIPX_INLINE uint64_t clipx_not_byte(double x) {
    const double large = 4503599627370496.0;
    double byte = clipx_double(clipx_bits(large) | (clipx_bits(x + large) & 255)) - large;
    return clipx_bits(x + 0.0) ^ clipx_bits(byte); /* a negative zero is 0 */
}

/* Loops that compilers make vectors of: bits are compared and chosen, since comparisons of floats are branches to them. */
CLIPX_INLINE void clipx_compute(const double *values, size_t n, const clipx_arithmetic *a, int bytes, float *floats) {
    double chosen[CLIPX_NUMBERS];
    uint64_t others = 0;
    size_t i;
    if (!bytes)
        for (i = 0; i < n; i++) others |= clipx_not_byte(values[i]);
    for (i = 0; i < n; i++) floats[i] = clipx_from_byte(a->steps, (float)values[i]);
    if (!others) return;
    for (i = 0; i < n; i++) {
        double other = (double)(float)((values[i] * a->scale - a->mean) / a->deviation);
        uint64_t no = clipx_not_byte(values[i]), mask = 0 - ((no | (0 - no)) >> 63);
        chosen[i] = clipx_double((clipx_bits((double)floats[i]) & ~mask) | (clipx_bits(other) & mask));
    }
    for (i = 0; i < n; i++) floats[i] = (float)chosen[i];
}

CLIPX_INLINE void clipx_numbers_body(int type, const char *src, ptrdiff_t stride, size_t n, const clipx_arithmetic *a,
                                     int kind, char *dst, size_t step) {
    double values[CLIPX_NUMBERS];
    float floats[CLIPX_NUMBERS];
    while (n) {
        size_t part = n < CLIPX_NUMBERS ? n : CLIPX_NUMBERS, i;
        clipx_load_numbers(type, src, stride, part, values);
        clipx_compute(values, part, a, type == CLIPX_UINT8, floats);
        if (kind == CLIPX_F32 && step == sizeof(float))
            memcpy(dst, floats, part * sizeof(float));
        else
            for (i = 0; i < part; i++) clipx_put_float(dst + i * step, kind, floats[i]);
        dst += part * step;
        src += (ptrdiff_t)part * stride, n -= part;
    }
}

static void clipx_numbers_baseline(int type, const char *src, ptrdiff_t stride, size_t n, const clipx_arithmetic *a,
                                   int kind, char *dst, size_t step) {
    clipx_numbers_body(type, src, stride, n, a, kind, dst, step);
}

#if defined(CLIPX_X86_TARGETS)
/* The same loops in wider vectors. */
CLIPX_AVX2 static void clipx_numbers_avx2(int type, const char *src, ptrdiff_t stride, size_t n,
                                          const clipx_arithmetic *a, int kind, char *dst, size_t step) {
    clipx_numbers_body(type, src, stride, n, a, kind, dst, step);
}
#endif

#endif
