/* Pixels of three bytes taken apart into three rows and put together again, and rows flipped. */
#ifndef CLIPX_PIXELS_H
#define CLIPX_PIXELS_H

#include "copy.h"

/* n pixels from three rows; `streams`: past the cache, to the start of a line. */
typedef void (*clipx_pack_fn)(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n, int streams);
/* n pixels to three rows. */
typedef void (*clipx_unpack_fn)(const uint8_t *pixels, size_t n, uint8_t *r, uint8_t *g, uint8_t *b);
/* A row of n bytes is flipped left to right. */
typedef void (*clipx_flip_fn)(uint8_t *row, size_t n);

static void clipx_pack_pixels(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t from, size_t n) {
    uint8_t *CLIPX_RESTRICT to = (uint8_t *)dst;
    size_t i;
    for (i = from; i < n; i++) to[3 * i] = r[i], to[3 * i + 1] = g[i], to[3 * i + 2] = b[i];
}

static void clipx_unpack_pixels(const uint8_t *pixels, size_t from, size_t n, uint8_t *CLIPX_RESTRICT r,
                                uint8_t *CLIPX_RESTRICT g, uint8_t *CLIPX_RESTRICT b) {
    size_t i;
    for (i = from; i < n; i++) r[i] = pixels[3 * i], g[i] = pixels[3 * i + 1], b[i] = pixels[3 * i + 2];
}

static void clipx_flip_bytes(uint8_t *row, size_t from, size_t n) {
    size_t i;
    for (i = from; i < n / 2; i++) {
        uint8_t left = row[i];
        row[i] = row[n - 1 - i];
        row[n - 1 - i] = left;
    }
}

#if defined(CLIPX_X86)
#define CLIPX_LOAD128(p) _mm_loadu_si128((const __m128i *)(const void *)(p))

/* Four pixels of red, green, blue and 0 without the zeros, and four zeros behind them. */
CLIPX_INLINE __m128i clipx_without_fourth(__m128i pixels) {
    const __m128i first = _mm_set1_epi64x(0xffffff), second = _mm_set1_epi64x(0xffffff000000);
    __m128i pairs = _mm_or_si128(_mm_and_si128(pixels, first), _mm_and_si128(_mm_srli_epi64(pixels, 8), second));
    __m128i low = _mm_move_epi64(pairs), high = _mm_srli_si128(pairs, 8);
    return _mm_or_si128(low, _mm_slli_si128(high, 6));
}

CLIPX_INLINE void clipx_pack_body_baseline(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n,
                                           int streams) {
    const __m128i zero = _mm_setzero_si128();
    size_t i;
    for (i = 0; i + 16 <= n; i += 16) {
        __m128i x = CLIPX_LOAD128(r + i), y = CLIPX_LOAD128(g + i), z = CLIPX_LOAD128(b + i);
        __m128i low = _mm_unpacklo_epi8(x, y), high = _mm_unpackhi_epi8(x, y);
        __m128i blue_low = _mm_unpacklo_epi8(z, zero), blue_high = _mm_unpackhi_epi8(z, zero);
        __m128i p0 = clipx_without_fourth(_mm_unpacklo_epi16(low, blue_low));
        __m128i p1 = clipx_without_fourth(_mm_unpackhi_epi16(low, blue_low));
        __m128i p2 = clipx_without_fourth(_mm_unpacklo_epi16(high, blue_high));
        __m128i p3 = clipx_without_fourth(_mm_unpackhi_epi16(high, blue_high));
        __m128i one = _mm_or_si128(p0, _mm_slli_si128(p1, 12));
        __m128i two = _mm_or_si128(_mm_srli_si128(p1, 4), _mm_slli_si128(p2, 8));
        __m128i three = _mm_or_si128(_mm_srli_si128(p2, 8), _mm_slli_si128(p3, 4));
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
    }
    clipx_pack_pixels(dst, r, g, b, i, n);
}

static void clipx_pack_baseline(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n, int streams) {
    if (streams)
        clipx_pack_body_baseline(dst, r, g, b, n, 1);
    else
        clipx_pack_body_baseline(dst, r, g, b, n, 0);
}
#else
static void clipx_pack_baseline(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n, int streams) {
    (void)streams;
    clipx_pack_pixels(dst, r, g, b, 0, n);
}
#endif

static void clipx_unpack_baseline(const uint8_t *pixels, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    clipx_unpack_pixels(pixels, 0, n, r, g, b);
}

static void clipx_flip_baseline(uint8_t *row, size_t n) { clipx_flip_bytes(row, 0, n); }

/* Blocks from both ends inwards, each reversed into where the other was. */
#define CLIPX_DEFINE_FLIP(NAME, ATTRIBUTE, VECTOR, WIDTH, LOAD, STORE, REVERSE) \
    ATTRIBUTE static void NAME(uint8_t *row, size_t n) {                        \
        size_t i = 0;                                                           \
        for (; n - 2 * i >= 2 * (WIDTH); i += (WIDTH)) {                        \
            VECTOR left = LOAD(row + i), right = LOAD(row + n - i - (WIDTH));   \
            STORE(row + i, REVERSE(right));                                     \
            STORE(row + n - i - (WIDTH), REVERSE(left));                        \
        }                                                                       \
        clipx_flip_bytes(row, i, n);                                            \
    }

#if defined(CLIPX_X86_TARGETS)

#include "pixels_ssse3.h"

#define CLIPX_LOAD256(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define CLIPX_STORE256(p, a) _mm256_storeu_si256((__m256i *)(void *)(p), a)

/* Byte i of a block of three vectors of pixels: -1 leaves it to the others. */
CLIPX_AVX2 CLIPX_INLINE void clipx_pack_body_avx2(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n,
                                                  int streams) {
#define CLIPX_BOTH(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))
    const __m256i r0 = CLIPX_BOTH(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    const __m256i g0 = CLIPX_BOTH(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    const __m256i b0 = CLIPX_BOTH(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m256i r1 = CLIPX_BOTH(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    const __m256i g1 = CLIPX_BOTH(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    const __m256i b1 = CLIPX_BOTH(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    const __m256i r2 = CLIPX_BOTH(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    const __m256i g2 = CLIPX_BOTH(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    const __m256i b2 = CLIPX_BOTH(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
#undef CLIPX_BOTH
    size_t i = 0;
    if (n < 32) {
        clipx_pack_pixels(dst, r, g, b, 0, n);
        return;
    }
    while (i < n) {
        __m256i x = CLIPX_LOAD256(r + i), y = CLIPX_LOAD256(g + i), z = CLIPX_LOAD256(b + i);
        /* Each half of these is a third of sixteen pixels. */
        __m256i one = _mm256_or_si256(_mm256_or_si256(_mm256_shuffle_epi8(x, r0), _mm256_shuffle_epi8(y, g0)),
                                      _mm256_shuffle_epi8(z, b0));
        __m256i two = _mm256_or_si256(_mm256_or_si256(_mm256_shuffle_epi8(x, r1), _mm256_shuffle_epi8(y, g1)),
                                      _mm256_shuffle_epi8(z, b1));
        __m256i three = _mm256_or_si256(_mm256_or_si256(_mm256_shuffle_epi8(x, r2), _mm256_shuffle_epi8(y, g2)),
                                        _mm256_shuffle_epi8(z, b2));
        __m256i *to = (__m256i *)(void *)(dst + 3 * i);
        x = _mm256_permute2x128_si256(one, two, 0x20);
        y = _mm256_blend_epi32(three, one, 0xf0);
        z = _mm256_permute2x128_si256(two, three, 0x31);
        if (streams) {
            _mm256_stream_si256(to, x);
            _mm256_stream_si256(to + 1, y);
            _mm256_stream_si256(to + 2, z);
        } else {
            _mm256_storeu_si256(to, x);
            _mm256_storeu_si256(to + 1, y);
            _mm256_storeu_si256(to + 2, z);
        }
        i += 32;
        if (i < n && i + 32 > n) i = n - 32;
    }
}

CLIPX_AVX2
static void clipx_pack_avx2(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n, int streams) {
    if (streams)
        clipx_pack_body_avx2(dst, r, g, b, n, 1);
    else
        clipx_pack_body_avx2(dst, r, g, b, n, 0);
}

CLIPX_AVX2
static void clipx_unpack_avx2(const uint8_t *pixels, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    clipx_unpack_body(pixels, n, r, g, b);
}

CLIPX_AVX2 CLIPX_INLINE __m256i clipx_reverse_avx2(__m256i a) {
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(a, order), _MM_SHUFFLE(1, 0, 3, 2));
}
CLIPX_DEFINE_FLIP(clipx_flip_avx2, CLIPX_AVX2, __m256i, 32, CLIPX_LOAD256, CLIPX_STORE256, clipx_reverse_avx2)

/* Byte j of the three vectors that 64 pixels fill comes from pixel j / 3 of row j % 3, and the other way round. */
#define CLIPX_TIMES16(X, i) \
    X(i), X(i + 1), X(i + 2), X(i + 3), X(i + 4), X(i + 5), X(i + 6), X(i + 7), X(i + 8), X(i + 9), X(i + 10), \
        X(i + 11), X(i + 12), X(i + 13), X(i + 14), X(i + 15)
#define CLIPX_TIMES64(X, i) \
    {CLIPX_TIMES16(X, i), CLIPX_TIMES16(X, i + 16), CLIPX_TIMES16(X, i + 32), CLIPX_TIMES16(X, i + 48)}
#define CLIPX_RED_GREEN(j) (uint8_t)((j) % 3 == 1 ? 64 + (j) / 3 : (j) / 3)
#define CLIPX_BLUE(j) (uint8_t)((j) / 3)
#define CLIPX_RED(j) (uint8_t)(3 * (j))
#define CLIPX_GREEN(j) (uint8_t)(3 * (j) + 1)
#define CLIPX_BLUES(j) (uint8_t)(3 * (j) + 2)
#define CLIPX_LAST(j) (uint8_t)(63 - (j))

static const uint8_t clipx_red_green[3][64] = {CLIPX_TIMES64(CLIPX_RED_GREEN, 0), CLIPX_TIMES64(CLIPX_RED_GREEN, 64),
                                               CLIPX_TIMES64(CLIPX_RED_GREEN, 128)};
static const uint8_t clipx_blue[3][64] = {CLIPX_TIMES64(CLIPX_BLUE, 0), CLIPX_TIMES64(CLIPX_BLUE, 64),
                                          CLIPX_TIMES64(CLIPX_BLUE, 128)};
static const uint8_t clipx_apart[3][64] = {CLIPX_TIMES64(CLIPX_RED, 0), CLIPX_TIMES64(CLIPX_GREEN, 0),
                                           CLIPX_TIMES64(CLIPX_BLUES, 0)};
static const uint8_t clipx_last[64] = CLIPX_TIMES64(CLIPX_LAST, 0);

#define CLIPX_LOAD512(p) _mm512_loadu_si512((const void *)(p))
#define CLIPX_STORE512(p, a) _mm512_storeu_si512((void *)(p), a)

CLIPX_AVX512 CLIPX_INLINE void clipx_pack_body_avx512(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b,
                                                      size_t n, int streams) {
    /* Bits of the bytes that are blue, from bit 2, 1 and 0 of the three vectors on. */
    const __mmask64 blue0 = 0x4924924924924924, blue1 = 0x2492492492492492, blue2 = 0x9249249249249249;
    const __m512i rg0 = CLIPX_LOAD512(clipx_red_green[0]), rg1 = CLIPX_LOAD512(clipx_red_green[1]),
                  rg2 = CLIPX_LOAD512(clipx_red_green[2]), b0 = CLIPX_LOAD512(clipx_blue[0]),
                  b1 = CLIPX_LOAD512(clipx_blue[1]), b2 = CLIPX_LOAD512(clipx_blue[2]);
    size_t i;
    for (i = 0; i + 64 <= n; i += 64) {
        __m512i x = CLIPX_LOAD512(r + i), y = CLIPX_LOAD512(g + i), z = CLIPX_LOAD512(b + i);
        __m512i one = _mm512_mask_permutexvar_epi8(_mm512_permutex2var_epi8(x, rg0, y), blue0, b0, z);
        __m512i two = _mm512_mask_permutexvar_epi8(_mm512_permutex2var_epi8(x, rg1, y), blue1, b1, z);
        __m512i three = _mm512_mask_permutexvar_epi8(_mm512_permutex2var_epi8(x, rg2, y), blue2, b2, z);
        char *to = dst + 3 * i;
        if (streams) {
            _mm512_stream_si512((void *)to, one);
            _mm512_stream_si512((void *)(to + 64), two);
            _mm512_stream_si512((void *)(to + 128), three);
        } else {
            CLIPX_STORE512(to, one);
            CLIPX_STORE512(to + 64, two);
            CLIPX_STORE512(to + 128, three);
        }
    }
    clipx_pack_avx2(dst + 3 * i, r + i, g + i, b + i, n - i, 0);
}

CLIPX_AVX512
static void clipx_pack_avx512(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n, int streams) {
    if (streams)
        clipx_pack_body_avx512(dst, r, g, b, n, 1);
    else
        clipx_pack_body_avx512(dst, r, g, b, n, 0);
}

/* Every third byte of 192. */
CLIPX_AVX512 CLIPX_INLINE __m512i clipx_third_avx512(__m512i a, __m512i b, __m512i c, const uint8_t *first) {
    const __m512i from = CLIPX_LOAD512(first);
    /* The index's low seven bits choose from a and b; in 128 bytes and on it is c's. */
    __mmask64 last = _mm512_cmpge_epu8_mask(from, _mm512_set1_epi8((char)128));
    return _mm512_mask_permutexvar_epi8(_mm512_permutex2var_epi8(a, from, b), last, from, c);
}

CLIPX_AVX512
static void clipx_unpack_avx512(const uint8_t *pixels, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    size_t i = 0;
    if (n < 64) {
        clipx_unpack_avx2(pixels, n, r, g, b);
        return;
    }
    while (i < n) {
        __m512i x = CLIPX_LOAD512(pixels + 3 * i), y = CLIPX_LOAD512(pixels + 3 * i + 64);
        __m512i z = CLIPX_LOAD512(pixels + 3 * i + 128);
        CLIPX_STORE512(r + i, clipx_third_avx512(x, y, z, clipx_apart[0]));
        CLIPX_STORE512(g + i, clipx_third_avx512(x, y, z, clipx_apart[1]));
        CLIPX_STORE512(b + i, clipx_third_avx512(x, y, z, clipx_apart[2]));
        i += 64;
        if (i < n && i + 64 > n) i = n - 64;
    }
}

CLIPX_AVX512 CLIPX_INLINE __m512i clipx_reverse_avx512(__m512i a) {
    return _mm512_permutexvar_epi8(CLIPX_LOAD512(clipx_last), a);
}
CLIPX_DEFINE_FLIP(clipx_flip_avx512, CLIPX_AVX512, __m512i, 64, CLIPX_LOAD512, CLIPX_STORE512, clipx_reverse_avx512)

#elif defined(CLIPX_NEON)

static void clipx_pack_neon(char *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n, int streams) {
    size_t i;
    (void)streams;
    for (i = 0; i + 16 <= n; i += 16) {
        uint8x16x3_t pixels = {{vld1q_u8(r + i), vld1q_u8(g + i), vld1q_u8(b + i)}};
        vst3q_u8((uint8_t *)dst + 3 * i, pixels);
    }
    clipx_pack_pixels(dst, r, g, b, i, n);
}

static void clipx_unpack_neon(const uint8_t *pixels, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    size_t i;
    for (i = 0; i + 16 <= n; i += 16) {
        uint8x16x3_t apart = vld3q_u8(pixels + 3 * i);
        vst1q_u8(r + i, apart.val[0]);
        vst1q_u8(g + i, apart.val[1]);
        vst1q_u8(b + i, apart.val[2]);
    }
    clipx_unpack_pixels(pixels, i, n, r, g, b);
}

CLIPX_INLINE uint8x16_t clipx_reverse_neon(uint8x16_t a) {
    uint8x16_t halves = vrev64q_u8(a);
    return vextq_u8(halves, halves, 8);
}
CLIPX_DEFINE_FLIP(clipx_flip_neon, , uint8x16_t, 16, vld1q_u8, vst1q_u8, clipx_reverse_neon)
#endif

#endif
