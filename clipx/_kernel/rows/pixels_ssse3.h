/* Pixels taken apart and put together, and rows flipped, in vectors of 128 bits whose bytes are shuffled. */
#ifndef CLIPX_PIXELS_SSSE3_H
#define CLIPX_PIXELS_SSSE3_H

#include "copy.h"

#define CLIPX_STORE128(p, a) _mm_storeu_si128((__m128i *)(void *)(p), a)

/* Bytes of three vectors, each where its shuffle puts it; -1 leaves a byte to the others. */
CLIPX_SSSE3 CLIPX_INLINE __m128i clipx_shuffled(__m128i a, __m128i b, __m128i c, __m128i of_a, __m128i of_b, __m128i of_c) {
    return _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, of_a), _mm_shuffle_epi8(b, of_b)), _mm_shuffle_epi8(c, of_c));
}

CLIPX_SSSE3 CLIPX_INLINE void clipx_pack_body_ssse3(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b,
                                                    size_t n, int streams) {
    const __m128i r0 = _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    const __m128i g0 = _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    const __m128i b0 = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m128i r1 = _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    const __m128i g1 = _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    const __m128i b1 = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    const __m128i r2 = _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    const __m128i g2 = _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    const __m128i b2 = _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
    size_t i = 0;
    while (i + 16 <= n) {
        __m128i x = CLIPX_LOAD128(r + i), y = CLIPX_LOAD128(g + i), z = CLIPX_LOAD128(b + i);
        __m128i one = clipx_shuffled(x, y, z, r0, g0, b0), two = clipx_shuffled(x, y, z, r1, g1, b1);
        __m128i three = clipx_shuffled(x, y, z, r2, g2, b2);
        __m128i *to = (__m128i *)(void *)(dst + 3 * i);
        if (streams) {
            _mm_stream_si128(to, one);
            _mm_stream_si128(to + 1, two);
            _mm_stream_si128(to + 2, three);
        } else {
            _mm_storeu_si128(to, one);
            _mm_storeu_si128(to + 1, two);
            _mm_storeu_si128(to + 2, three);
        }
        i += 16;
        if (i < n && i + 16 > n && !streams) i = n - 16;
    }
    clipx_pack_pixels(dst, r, g, b, i, n);
}

CLIPX_SSSE3
static void clipx_pack_ssse3(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n, int streams) {
    if (streams)
        clipx_pack_body_ssse3(dst, r, g, b, n, 1);
    else
        clipx_pack_body_ssse3(dst, r, g, b, n, 0);
}

CLIPX_SSSE3 CLIPX_INLINE void clipx_unpack_body(const uint8_t *pixels, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    const __m128i x0 = _mm_setr_epi8(0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m128i y0 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1);
    const __m128i z0 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13);
    const __m128i x1 = _mm_setr_epi8(1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m128i y1 = _mm_setr_epi8(-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1);
    const __m128i z1 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14);
    const __m128i x2 = _mm_setr_epi8(2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m128i y2 = _mm_setr_epi8(-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1);
    const __m128i z2 = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15);
    size_t i = 0;
    while (i + 16 <= n) {
        const uint8_t *from = pixels + 3 * i;
        __m128i x = CLIPX_LOAD128(from), y = CLIPX_LOAD128(from + 16), z = CLIPX_LOAD128(from + 32);
        CLIPX_STORE128(r + i, clipx_shuffled(x, y, z, x0, y0, z0));
        CLIPX_STORE128(g + i, clipx_shuffled(x, y, z, x1, y1, z1));
        CLIPX_STORE128(b + i, clipx_shuffled(x, y, z, x2, y2, z2));
        i += 16;
        if (i < n && i + 16 > n) i = n - 16;
    }
    clipx_unpack_pixels(pixels, i, n, r, g, b);
}

CLIPX_SSSE3
static void clipx_unpack_ssse3(const uint8_t *pixels, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    clipx_unpack_body(pixels, n, r, g, b);
}

CLIPX_SSSE3 CLIPX_INLINE __m128i clipx_reverse_ssse3(__m128i a) {
    return _mm_shuffle_epi8(a, _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}
CLIPX_DEFINE_FLIP(clipx_flip_ssse3, CLIPX_SSSE3, __m128i, 16, CLIPX_LOAD128, CLIPX_STORE128, clipx_reverse_ssse3)

#endif
