/*
 * Y'CbCr samples to R'G'B' bytes, in 16-bit fixed point with 5 bits of fraction.
 *
 * A sample is first shifted so that it fills 15 bits (y) or 16 bits around 0 (chroma). With mulr(a, b) = (a*b + 2^14) >> 15
 *     r = (mulr(y, ky) + bias + mulr(v, rv)) >> 5, saturated to a byte, likewise g and b.
 * Every term is rounded to 1/64 and every factor to 1/8192 or 1/4096, so that the sum is within 0.11 of the real value,
 * and its rounding within 1 of the real value's. All implementations do just these steps, so all give the same bits.
 */
#ifndef CLIPX_COLOR_H
#define CLIPX_COLOR_H

#include "cpu.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    int16_t y_left, y_right, c_left; /* shifts that make samples fill their lanes */
    int16_t ky, bias;                /* factor of y * 8192 a byte, and -32 * offset + 16 for rounding */
    int16_t rv, gu, gv, bu;          /* factors of chroma * 4096 */
} clipx_color;

enum { CLIPX_GRAY, CLIPX_FULL, CLIPX_PAIRED, CLIPX_INTERLEAVED }; /* chroma: none, a pixel, two pixels, two as U V U V */

/* One row: samples of `bytes` bytes each. For CLIPX_INTERLEAVED `u` is the plane of pairs. */
typedef struct {
    int chroma, bytes;
    const uint8_t *y, *u, *v;
    const clipx_color *color;
} clipx_samples;

typedef void (*clipx_color_fn)(const clipx_samples *row, size_t n, uint8_t *r, uint8_t *g, uint8_t *b);
typedef void (*clipx_pack_fn)(uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n);

/* One pixel, for the ends of rows and for processors without vectors here. */
CLIPX_INLINE int16_t clipx_mulr(int16_t a, int16_t b) { return (int16_t)(((int32_t)a * b + 0x4000) >> 15); }

CLIPX_INLINE uint8_t clipx_byte(int32_t sum) {
    int32_t value = sum >> 5;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

CLIPX_INLINE uint16_t clipx_sample(const uint8_t *plane, size_t i, int bytes) {
    uint16_t sample;
    if (bytes == 1) return plane[i];
    memcpy(&sample, plane + 2 * i, 2); /* little-endian, as are the formats and the processors with vectors here */
    return sample;
}

CLIPX_INLINE int16_t clipx_centred(uint16_t sample, int left) { return (int16_t)(uint16_t)((uint32_t)sample << left ^ 0x8000); }

static void clipx_color_pixels(const clipx_samples *row, size_t from, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    const clipx_color *c = row->color;
    size_t i;
    for (i = from; i < n; i++) {
        uint16_t sample = (uint16_t)((uint32_t)clipx_sample(row->y, i, row->bytes) << c->y_left);
        int32_t y = clipx_mulr((int16_t)(sample >> c->y_right), c->ky) + c->bias;
        int16_t u, v;
        if (row->chroma == CLIPX_GRAY) {
            r[i] = g[i] = b[i] = clipx_byte(y);
            continue;
        }
        if (row->chroma == CLIPX_INTERLEAVED) {
            u = clipx_centred(clipx_sample(row->u, i & ~(size_t)1, row->bytes), c->c_left);
            v = clipx_centred(clipx_sample(row->u, i | 1, row->bytes), c->c_left);
        } else {
            size_t at = row->chroma == CLIPX_PAIRED ? i >> 1 : i;
            u = clipx_centred(clipx_sample(row->u, at, row->bytes), c->c_left);
            v = clipx_centred(clipx_sample(row->v, at, row->bytes), c->c_left);
        }
        r[i] = clipx_byte(y + clipx_mulr(v, c->rv));
        g[i] = clipx_byte(y + clipx_mulr(u, c->gu) + clipx_mulr(v, c->gv));
        b[i] = clipx_byte(y + clipx_mulr(u, c->bu));
    }
}

static void clipx_pack_pixels(uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t from, size_t n) {
    size_t i;
    for (i = from; i < n; i++) dst[3 * i] = r[i], dst[3 * i + 1] = g[i], dst[3 * i + 2] = b[i];
}

#if defined(CLIPX_X86)

#define V_NAME(name) name##_baseline
#define V_TARGET
#define V_TYPE __m128i
#define V_LANES 8
#define V_SET(x) _mm_set1_epi16(x)
#define V_COUNT(n) _mm_cvtsi32_si128(n)
#define V_LEFT(a, n) _mm_sll_epi16(a, n)
#define V_RIGHT(a, n) _mm_srl_epi16(a, n)
#define V_XOR(a, b) _mm_xor_si128(a, b)
#define V_ADD(a, b) _mm_add_epi16(a, b)
/* From the halves of the product: (a*b + 2^14) >> 15. */
#define V_MULR(a, b)                                        \
    _mm_add_epi16(_mm_slli_epi16(_mm_mulhi_epi16(a, b), 1), \
                  _mm_srli_epi16(_mm_add_epi16(_mm_srli_epi16(_mm_mullo_epi16(a, b), 14), _mm_set1_epi16(1)), 1))
#define V_LOAD8(p) _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)(p)), _mm_setzero_si128())
#define V_LOAD16(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define V_PAIR8(p) clipx_pair8_baseline(p)
#define V_PAIR16(p) clipx_pair16_baseline(p)
#define V_UV8(p) clipx_pair16_baseline(p)
#define V_U8(uv) _mm_and_si128(uv, _mm_set1_epi16(255))
#define V_V8(uv) _mm_srli_epi16(uv, 8)
#define V_U16(uv) _mm_shufflehi_epi16(_mm_shufflelo_epi16(uv, _MM_SHUFFLE(2, 2, 0, 0)), _MM_SHUFFLE(2, 2, 0, 0))
#define V_V16(uv) _mm_shufflehi_epi16(_mm_shufflelo_epi16(uv, _MM_SHUFFLE(3, 3, 1, 1)), _MM_SHUFFLE(3, 3, 1, 1))
#define V_STORE(p, a) \
    _mm_storel_epi64((__m128i *)(void *)(p), _mm_packus_epi16(_mm_srai_epi16(a, 5), _mm_setzero_si128()))
CLIPX_INLINE __m128i clipx_pair8_baseline(const uint8_t *p) {
    int32_t four;
    __m128i x;
    memcpy(&four, p, 4);
    x = _mm_cvtsi32_si128(four);
    return _mm_unpacklo_epi8(_mm_unpacklo_epi8(x, x), _mm_setzero_si128());
}
CLIPX_INLINE __m128i clipx_pair16_baseline(const uint8_t *p) {
    __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm_unpacklo_epi16(x, x);
}
#include "color_rows.h"

static void clipx_pack_baseline(uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n) {
    clipx_pack_pixels(dst, r, g, b, 0, n);
}

#if defined(CLIPX_X86_TARGETS)

#define V_NAME(name) name##_avx2
#define V_TARGET CLIPX_TARGET("avx2")
#define V_TYPE __m256i
#define V_LANES 16
#define V_SET(x) _mm256_set1_epi16(x)
#define V_COUNT(n) _mm_cvtsi32_si128(n)
#define V_LEFT(a, n) _mm256_sll_epi16(a, n)
#define V_RIGHT(a, n) _mm256_srl_epi16(a, n)
#define V_XOR(a, b) _mm256_xor_si256(a, b)
#define V_ADD(a, b) _mm256_add_epi16(a, b)
#define V_MULR(a, b) _mm256_mulhrs_epi16(a, b)
#define V_LOAD8(p) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define V_LOAD16(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define V_PAIR8(p) clipx_pair8_avx2(p)
#define V_PAIR16(p) clipx_pair16_avx2(p)
#define V_UV8(p) clipx_pair16_avx2(p)
#define V_U8(uv) _mm256_and_si256(uv, _mm256_set1_epi16(255))
#define V_V8(uv) _mm256_srli_epi16(uv, 8)
#define V_U16(uv) \
    _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(uv, _MM_SHUFFLE(2, 2, 0, 0)), _MM_SHUFFLE(2, 2, 0, 0))
#define V_V16(uv) \
    _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(uv, _MM_SHUFFLE(3, 3, 1, 1)), _MM_SHUFFLE(3, 3, 1, 1))
#define V_STORE(p, a)                                                                                               \
    _mm_storeu_si128((__m128i *)(void *)(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(                       \
                                                 _mm256_packus_epi16(_mm256_srai_epi16(a, 5), _mm256_setzero_si256()), \
                                                 _MM_SHUFFLE(3, 1, 2, 0))))
CLIPX_TARGET("avx2") CLIPX_INLINE __m256i clipx_pair8_avx2(const uint8_t *p) {
    __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(x, x));
}
CLIPX_TARGET("avx2") CLIPX_INLINE __m256i clipx_pair16_avx2(const uint8_t *p) {
    __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_or_si256(x, _mm256_slli_epi32(x, 16));
}
#include "color_rows.h"

/* Three bytes a pixel from three rows, 16 pixels at a time: -1 leaves a place to the others. */
CLIPX_TARGET("avx2")
static void clipx_pack_avx2(uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n) {
    const __m128i r0 = _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    const __m128i g0 = _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    const __m128i b0 = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m128i r1 = _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    const __m128i g1 = _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    const __m128i b1 = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    const __m128i r2 = _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    const __m128i g2 = _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    const __m128i b2 = _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
    size_t i;
    for (i = 0; i + 16 <= n; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(r + i));
        __m128i y = _mm_loadu_si128((const __m128i *)(const void *)(g + i));
        __m128i z = _mm_loadu_si128((const __m128i *)(const void *)(b + i));
        __m128i *out = (__m128i *)(void *)(dst + 3 * i);
        _mm_storeu_si128(out, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, r0), _mm_shuffle_epi8(y, g0)),
                                           _mm_shuffle_epi8(z, b0)));
        _mm_storeu_si128(out + 1, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, r1), _mm_shuffle_epi8(y, g1)),
                                               _mm_shuffle_epi8(z, b1)));
        _mm_storeu_si128(out + 2, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, r2), _mm_shuffle_epi8(y, g2)),
                                               _mm_shuffle_epi8(z, b2)));
    }
    clipx_pack_pixels(dst, r, g, b, i, n);
}

#define V_NAME(name) name##_avx512
#define V_TARGET CLIPX_TARGET("avx512f,avx512bw,avx512dq,avx512vl")
#define V_TYPE __m512i
#define V_LANES 32
#define V_SET(x) _mm512_set1_epi16(x)
#define V_COUNT(n) _mm_cvtsi32_si128(n)
#define V_LEFT(a, n) _mm512_sll_epi16(a, n)
#define V_RIGHT(a, n) _mm512_srl_epi16(a, n)
#define V_XOR(a, b) _mm512_xor_si512(a, b)
#define V_ADD(a, b) _mm512_add_epi16(a, b)
#define V_MULR(a, b) _mm512_mulhrs_epi16(a, b)
#define V_LOAD8(p) _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define V_LOAD16(p) _mm512_loadu_si512((const void *)(p))
#define V_PAIR8(p) clipx_pair_avx512(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#define V_PAIR16(p) clipx_pair_avx512(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(p))))
#define V_UV8(p) V_PAIR16(p)
#define V_U8(uv) _mm512_and_si512(uv, _mm512_set1_epi16(255))
#define V_V8(uv) _mm512_srli_epi16(uv, 8)
#define V_U16(uv) \
    _mm512_shufflehi_epi16(_mm512_shufflelo_epi16(uv, _MM_SHUFFLE(2, 2, 0, 0)), _MM_SHUFFLE(2, 2, 0, 0))
#define V_V16(uv) \
    _mm512_shufflehi_epi16(_mm512_shufflelo_epi16(uv, _MM_SHUFFLE(3, 3, 1, 1)), _MM_SHUFFLE(3, 3, 1, 1))
#define V_STORE(p, a)                                \
    _mm256_storeu_si256((__m256i *)(void *)(p),      \
                        _mm512_cvtusepi16_epi8(_mm512_max_epi16(_mm512_srai_epi16(a, 5), _mm512_setzero_si512())))
CLIPX_TARGET("avx512f,avx512bw,avx512dq,avx512vl") CLIPX_INLINE __m512i clipx_pair_avx512(__m512i x) {
    return _mm512_or_si512(x, _mm512_slli_epi32(x, 16));
}
#include "color_rows.h"
#endif

#elif defined(CLIPX_NEON)

#define V_NAME(name) name##_neon
#define V_TARGET
#define V_TYPE int16x8_t
#define V_LANES 8
#define V_SET(x) vdupq_n_s16(x)
#define V_COUNT(n) vdupq_n_s16(n)
#define V_LEFT(a, n) vshlq_s16(a, n)
#define V_RIGHT(a, n) vreinterpretq_s16_u16(vshlq_u16(vreinterpretq_u16_s16(a), vnegq_s16(n)))
#define V_XOR(a, b) veorq_s16(a, b)
#define V_ADD(a, b) vaddq_s16(a, b)
#define V_MULR(a, b) vqrdmulhq_s16(a, b)
#define V_LOAD8(p) vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)))
#define V_LOAD16(p) vreinterpretq_s16_u8(vld1q_u8(p))
#define V_PAIR8(p) clipx_pair8_neon(p)
#define V_PAIR16(p) clipx_pair16_neon(p)
#define V_UV8(p) clipx_pair16_neon(p)
#define V_U8(uv) vandq_s16(uv, vdupq_n_s16(255))
#define V_V8(uv) vreinterpretq_s16_u16(vshrq_n_u16(vreinterpretq_u16_s16(uv), 8))
#define V_U16(uv) vtrn1q_s16(uv, uv)
#define V_V16(uv) vtrn2q_s16(uv, uv)
#define V_STORE(p, a) vst1_u8(p, vqmovun_s16(vshrq_n_s16(a, 5)))
CLIPX_INLINE int16x8_t clipx_pair8_neon(const uint8_t *p) {
    uint32_t four;
    uint8x8_t x;
    memcpy(&four, p, 4);
    x = vreinterpret_u8_u32(vdup_n_u32(four));
    return vreinterpretq_s16_u16(vmovl_u8(vzip1_u8(x, x)));
}
CLIPX_INLINE int16x8_t clipx_pair16_neon(const uint8_t *p) {
    int16x4_t x = vreinterpret_s16_u8(vld1_u8(p));
    return vcombine_s16(vzip1_s16(x, x), vzip2_s16(x, x));
}
#include "color_rows.h"

static void clipx_pack_neon(uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n) {
    size_t i;
    for (i = 0; i + 16 <= n; i += 16) {
        uint8x16x3_t pixels = {{vld1q_u8(r + i), vld1q_u8(g + i), vld1q_u8(b + i)}};
        vst3q_u8(dst + 3 * i, pixels);
    }
    clipx_pack_pixels(dst, r, g, b, i, n);
}
#endif

#if !defined(CLIPX_X86)
static void clipx_color_baseline(const clipx_samples *row, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    clipx_color_pixels(row, 0, n, r, g, b);
}
static void clipx_pack_baseline(uint8_t *dst, const uint8_t *r, const uint8_t *g, const uint8_t *b, size_t n) {
    clipx_pack_pixels(dst, r, g, b, 0, n);
}
#endif

#endif
