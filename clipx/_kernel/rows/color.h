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

/* Pixel by pixel: for short rows and for processors without vectors here. */
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

#if !defined(CLIPX_X86)
static void clipx_color_baseline(const clipx_samples *row, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    clipx_color_pixels(row, 0, n, r, g, b);
}
#endif

/*
 * The same in vectors. Of samples of a byte, those of even and of odd pixels go through vectors of words apart, which
 * chroma of two pixels suits as it is, and V_BRAID brings them together: V_EVEN64 and V_ODD64 are 64 times the samples,
 * V_EVEN8, V_ODD8 and V_WIDE 256 times. V_BYTES takes the words of two vectors as they stand; V_DEAL_LOW and V_DEAL_HIGH
 * bring those of two bytes into that order.
 */
#if defined(CLIPX_X86)

#define V_NAME(name) name##_baseline
#define V_NARROWER(row, n, r, g, b) clipx_color_pixels(row, 0, n, r, g, b)
#define V_TARGET
/* From the halves of the product: (a*b + 2^14) >> 15. */
#define V_MULR(a, b)                                        \
    _mm_add_epi16(_mm_slli_epi16(_mm_mulhi_epi16(a, b), 1), \
                  _mm_srli_epi16(_mm_add_epi16(_mm_srli_epi16(_mm_mullo_epi16(a, b), 14), _mm_set1_epi16(1)), 1))
#define V_EVEN64(a) _mm_and_si128(_mm_slli_epi16(a, 6), _mm_set1_epi16(255 * 64))
#define V_ODD64(a) _mm_and_si128(_mm_srli_epi16(a, 2), _mm_set1_epi16(255 * 64))
#define V_BRAID(a, b) clipx_braid_baseline(V_BYTES(a, b))
CLIPX_INLINE __m128i clipx_braid_baseline(__m128i a) { return _mm_unpacklo_epi8(a, _mm_srli_si128(a, 8)); }
#include "color_sse.h"

#if defined(CLIPX_X86_TARGETS)

#define V_NAME(name) name##_ssse3
#define V_NARROWER(row, n, r, g, b) clipx_color_pixels(row, 0, n, r, g, b)
#define V_TARGET CLIPX_SSSE3
#define V_MULR(a, b) _mm_mulhrs_epi16(a, b)
#define V_EVEN64(a) _mm_maddubs_epi16(a, _mm_set1_epi16(64))
#define V_ODD64(a) _mm_maddubs_epi16(a, _mm_set1_epi16(64 << 8))
#define V_BRAID(a, b) _mm_shuffle_epi8(V_BYTES(a, b), CLIPX_BRAIDED)
#define CLIPX_BRAIDED _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15)
#include "color_sse.h"

#define V_NAME(name) name##_avx2
#define V_NARROWER(row, n, r, g, b) clipx_color_ssse3(row, n, r, g, b)
#define V_TARGET CLIPX_AVX2
#define V_CLEAR() _mm256_zeroupper()
#define V_TYPE __m256i
#define V_LANES 16
#define V_SET(x) _mm256_set1_epi16(x)
#define V_COUNT(n) _mm_cvtsi32_si128(n)
#define V_LEFT(a, n) _mm256_sll_epi16(a, n)
#define V_RIGHT(a, n) _mm256_srl_epi16(a, n)
#define V_XOR(a, b) _mm256_xor_si256(a, b)
#define V_ADD(a, b) _mm256_add_epi16(a, b)
#define V_MULR(a, b) _mm256_mulhrs_epi16(a, b)
#define V_LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define V_STORE(p, a) _mm256_storeu_si256((__m256i *)(void *)(p), a)
#define V_WIDE(p) clipx_wide_avx2(p)
#define V_LOW16(a) _mm256_unpacklo_epi16(a, a)
#define V_HIGH16(a) _mm256_unpackhi_epi16(a, a)
#define V_DEAL_LOW(a, b) _mm256_permute2x128_si256(a, b, 0x20)
#define V_DEAL_HIGH(a, b) _mm256_permute2x128_si256(a, b, 0x31)
#define V_EVEN64(a) _mm256_maddubs_epi16(a, _mm256_set1_epi16(64))
#define V_ODD64(a) _mm256_maddubs_epi16(a, _mm256_set1_epi16(64 << 8))
#define V_EVEN8(a) _mm256_slli_epi16(a, 8)
#define V_ODD8(a) _mm256_and_si256(a, _mm256_set1_epi16((int16_t)0xff00))
#define V_IN_ORDER(a) _mm256_permute4x64_epi64(a, _MM_SHUFFLE(3, 1, 2, 0))
#define V_EVEN16(a, b)                                                                \
    V_IN_ORDER(_mm256_packs_epi32(_mm256_srai_epi32(_mm256_slli_epi32(a, 16), 16), \
                                  _mm256_srai_epi32(_mm256_slli_epi32(b, 16), 16)))
#define V_ODD16(a, b) V_IN_ORDER(_mm256_packs_epi32(_mm256_srai_epi32(a, 16), _mm256_srai_epi32(b, 16)))
#define V_BYTES(a, b) _mm256_packus_epi16(_mm256_srai_epi16(a, 5), _mm256_srai_epi16(b, 5))
#define V_BRAID(a, b) _mm256_shuffle_epi8(V_BYTES(a, b), _mm256_broadcastsi128_si256(CLIPX_BRAIDED))
CLIPX_AVX2 CLIPX_INLINE __m256i clipx_wide_avx2(const uint8_t *p) {
    const __m256i high = _mm256_setr_epi8(-1, 0, -1, 1, -1, 2, -1, 3, -1, 4, -1, 5, -1, 6, -1, 7, -1, 8, -1, 9, -1, 10,
                                          -1, 11, -1, 12, -1, 13, -1, 14, -1, 15);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p)), high);
}
#include "color_rows.h"
#undef V_IN_ORDER

#define V_NAME(name) name##_avx512
#define V_NARROWER(row, n, r, g, b) clipx_color_avx2(row, n, r, g, b)
#define V_TARGET CLIPX_AVX512
#define V_CLEAR() _mm256_zeroupper()
#define V_TYPE __m512i
#define V_LANES 32
#define V_SET(x) _mm512_set1_epi16(x)
#define V_COUNT(n) _mm_cvtsi32_si128(n)
#define V_LEFT(a, n) _mm512_sll_epi16(a, n)
#define V_RIGHT(a, n) _mm512_srl_epi16(a, n)
#define V_XOR(a, b) _mm512_xor_si512(a, b)
#define V_ADD(a, b) _mm512_add_epi16(a, b)
#define V_MULR(a, b) _mm512_mulhrs_epi16(a, b)
#define V_LOAD(p) _mm512_loadu_si512((const void *)(p))
#define V_STORE(p, a) _mm512_storeu_si512((void *)(p), a)
#define V_WIDE(p) \
    _mm512_slli_epi16(_mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(p))), 8)
#define V_LOW16(a) _mm512_unpacklo_epi16(a, a)
#define V_HIGH16(a) _mm512_unpackhi_epi16(a, a)
#define V_DEAL_LOW(a, b) _mm512_shuffle_i64x2(a, b, _MM_SHUFFLE(2, 0, 2, 0))
#define V_DEAL_HIGH(a, b) _mm512_shuffle_i64x2(a, b, _MM_SHUFFLE(3, 1, 3, 1))
#define V_EVEN64(a) _mm512_maddubs_epi16(a, _mm512_set1_epi16(64))
#define V_ODD64(a) _mm512_maddubs_epi16(a, _mm512_set1_epi16(64 << 8))
#define V_EVEN8(a) _mm512_slli_epi16(a, 8)
#define V_ODD8(a) _mm512_and_si512(a, _mm512_set1_epi16((int16_t)0xff00))
#define V_EVEN16(a, b) clipx_narrow_avx512(a, b)
#define V_ODD16(a, b) clipx_narrow_avx512(_mm512_srli_epi32(a, 16), _mm512_srli_epi32(b, 16))
#define V_BYTES(a, b) _mm512_packus_epi16(_mm512_srai_epi16(a, 5), _mm512_srai_epi16(b, 5))
#define V_BRAID(a, b) _mm512_shuffle_epi8(V_BYTES(a, b), _mm512_broadcast_i32x4(CLIPX_BRAIDED))
CLIPX_AVX512 CLIPX_INLINE __m512i clipx_narrow_avx512(__m512i a, __m512i b) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(a)), _mm512_cvtepi32_epi16(b), 1);
}
#include "color_rows.h"
#undef CLIPX_BRAIDED
#endif

#elif defined(CLIPX_NEON)

#define V_NAME(name) name##_neon
#define V_NARROWER(row, n, r, g, b) clipx_color_pixels(row, 0, n, r, g, b)
#define V_TARGET
#define V_CLEAR() ((void)0)
#define V_TYPE int16x8_t
#define V_LANES 8
#define V_SET(x) vdupq_n_s16(x)
#define V_COUNT(n) vdupq_n_s16(n)
#define V_LEFT(a, n) vshlq_s16(a, n)
#define V_RIGHT(a, n) vreinterpretq_s16_u16(vshlq_u16(vreinterpretq_u16_s16(a), vnegq_s16(n)))
#define V_XOR(a, b) veorq_s16(a, b)
#define V_ADD(a, b) vaddq_s16(a, b)
#define V_MULR(a, b) vqrdmulhq_s16(a, b)
#define V_LOAD(p) vreinterpretq_s16_u8(vld1q_u8(p))
#define V_STORE(p, a) vst1q_u8(p, vreinterpretq_u8_s16(a))
#define V_WIDE(p) vreinterpretq_s16_u16(vshll_n_u8(vld1_u8(p), 8))
#define V_LOW16(a) vzip1q_s16(a, a)
#define V_HIGH16(a) vzip2q_s16(a, a)
#define V_DEAL_LOW(a, b) (a)
#define V_DEAL_HIGH(a, b) (b)
#define V_EVEN64(a) vandq_s16(vshlq_n_s16(a, 6), vdupq_n_s16(255 * 64))
#define V_ODD64(a) vandq_s16(vshrq_n_s16(a, 2), vdupq_n_s16(255 * 64))
#define V_EVEN8(a) vshlq_n_s16(a, 8)
#define V_ODD8(a) vandq_s16(a, vdupq_n_s16((int16_t)0xff00))
#define V_EVEN16(a, b) vuzp1q_s16(a, b)
#define V_ODD16(a, b) vuzp2q_s16(a, b)
#define V_BYTES(a, b) \
    vreinterpretq_s16_u8(vcombine_u8(vqmovun_s16(vshrq_n_s16(a, 5)), vqmovun_s16(vshrq_n_s16(b, 5))))
#define V_BRAID(a, b) clipx_braid_neon(vqmovun_s16(vshrq_n_s16(a, 5)), vqmovun_s16(vshrq_n_s16(b, 5)))
CLIPX_INLINE int16x8_t clipx_braid_neon(uint8x8_t a, uint8x8_t b) {
    return vreinterpretq_s16_u8(vcombine_u8(vzip1_u8(a, b), vzip2_u8(a, b)));
}
#include "color_rows.h"
#endif

#endif
