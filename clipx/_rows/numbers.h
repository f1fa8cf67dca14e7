/* Numbers of any type to floats: each as a double, (x * scale - mean) / std, rounded to a float and from it to the kind. */
#ifndef CLIPX_NUMBERS_H
#define CLIPX_NUMBERS_H

#include "floats.h"

enum {
    CLIPX_INT8,
    CLIPX_INT16,
    CLIPX_INT32,
    CLIPX_INT64,
    CLIPX_UINT8,
    CLIPX_UINT16,
    CLIPX_UINT32,
    CLIPX_UINT64,
    CLIPX_FLOAT16,
    CLIPX_FLOAT32,
    CLIPX_FLOAT64
};
enum { CLIPX_NUMBERS = 256 }; /* a row's part that is worked on at a time */

static double clipx_from_half(uint16_t half) {
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

#define CLIPX_LOADS(NUMBER, TYPE, VALUE)             \
    case NUMBER:                                     \
        for (i = 0; i < n; i++, src += stride) {     \
            TYPE number;                             \
            memcpy(&number, src, sizeof number);     \
            values[i] = (double)VALUE;               \
        }                                            \
        break;

static void clipx_load_numbers(int type, const char *src, ptrdiff_t stride, size_t n, double *values) {
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

/* n numbers `stride` apart to floats `step` apart. */
static void clipx_write_numbers(int type, const char *src, ptrdiff_t stride, size_t n, double scale, double mean,
                                double deviation, int kind, char *dst, size_t step) {
    double values[CLIPX_NUMBERS];
    while (n) {
        size_t part = n < CLIPX_NUMBERS ? n : CLIPX_NUMBERS, i;
        clipx_load_numbers(type, src, stride, part, values);
        for (i = 0; i < part; i++, dst += step)
            clipx_put_float(dst, kind, (float)((values[i] * scale - mean) / deviation));
        src += (ptrdiff_t)part * stride, n -= part;
    }
}

#endif
