/* Lines resampled down: in plain C, and in the vectors of down_rows.h. */
#ifndef CLIPX_DOWN_H
#define CLIPX_DOWN_H

static void clipx_down_plain(const clipx_axis *axis, int kind, int y, const uint8_t *const *lines, size_t from, size_t n,
                             uint8_t *dst) {
    size_t at = (size_t)y * (size_t)axis->taps, i;
    int k, wide = kind == CLIPX_EXACT ? CLIPX_EXACT : CLIPX_FINE16;
    for (i = from; i < n; i++) {
        int32_t sum = 0;
        for (k = 0; k < axis->count[y]; k++)
            sum += clipx_sample_of(wide, lines[k], i) * clipx_weight_of(axis, kind, at + (size_t)k);
        clipx_put_sum(kind, CLIPX_FINE_BITS, sum, dst, i);
    }
}

#if defined(CLIPX_X86)

#define D_NAME(name) name##_baseline
#define D_TARGET
#define D_CLEAR() ((void)0)
#define D_TYPE __m128i
#define D_LANES 8
#define D_SET(x) _mm_set1_epi32(x)
#define D_LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define D_BYTES(p) _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)(p)), _mm_setzero_si128())
#define D_LOW(a, b) _mm_unpacklo_epi16(a, b)
#define D_HIGH(a, b) _mm_unpackhi_epi16(a, b)
#define D_MADD(a, b) _mm_madd_epi16(a, b)
#define D_ADD(a, b) _mm_add_epi32(a, b)
#define D_LEFT(a, n) _mm_slli_epi32(a, n)
#define D_RIGHT(a, n) _mm_srai_epi32(a, n)
#define D_WORDS(a, b) _mm_packs_epi32(a, b)
#define D_STORE(p, a) _mm_storeu_si128((__m128i *)(void *)(p), _mm_max_epi16(a, _mm_setzero_si128()))
#define D_STORE_BYTES(p, a) _mm_storel_epi64((__m128i *)(void *)(p), _mm_packus_epi16(a, a))
#include "down_rows.h"

#if defined(CLIPX_X86_TARGETS)

#define D_NAME(name) name##_avx2
#define D_TARGET CLIPX_AVX2
#define D_CLEAR() _mm256_zeroupper()
#define D_TYPE __m256i
#define D_LANES 16
#define D_SET(x) _mm256_set1_epi32(x)
#define D_LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define D_BYTES(p) _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define D_LOW(a, b) _mm256_unpacklo_epi16(a, b)
#define D_HIGH(a, b) _mm256_unpackhi_epi16(a, b)
#define D_MADD(a, b) _mm256_madd_epi16(a, b)
#define D_ADD(a, b) _mm256_add_epi32(a, b)
#define D_LEFT(a, n) _mm256_slli_epi32(a, n)
#define D_RIGHT(a, n) _mm256_srai_epi32(a, n)
#define D_WORDS(a, b) _mm256_packs_epi32(a, b)
#define D_STORE(p, a) _mm256_storeu_si256((__m256i *)(void *)(p), _mm256_max_epi16(a, _mm256_setzero_si256()))
#define D_STORE_BYTES(p, a)                  \
    _mm_storeu_si128((__m128i *)(void *)(p), \
                     _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi16(a, a), _MM_SHUFFLE(3, 1, 2, 0))))
#define D_MADD_BYTES(a, b) _mm256_maddubs_epi16(a, b)
#define D_SET_WORDS(x) _mm256_set1_epi16(x)
#define D_ADD_WORDS(a, b) _mm256_add_epi16(a, b)
#define D_LOW_BYTES(a, b) _mm256_unpacklo_epi8(a, b)
#define D_HIGH_BYTES(a, b) _mm256_unpackhi_epi8(a, b)
#define D_ALL_BYTES(a, b) _mm256_packus_epi16(a, b)
#define D_STORE_ALL(p, a) _mm256_storeu_si256((__m256i *)(void *)(p), a)
#include "down_rows.h"

#define D_NAME(name) name##_avx512
#define D_TARGET CLIPX_AVX512
#define D_CLEAR() _mm256_zeroupper()
#define D_TYPE __m512i
#define D_LANES 32
#define D_SET(x) _mm512_set1_epi32(x)
#define D_LOAD(p) _mm512_loadu_si512((const void *)(p))
#define D_BYTES(p) _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define D_LOW(a, b) _mm512_unpacklo_epi16(a, b)
#define D_HIGH(a, b) _mm512_unpackhi_epi16(a, b)
#define D_MADD(a, b) _mm512_madd_epi16(a, b)
#define D_ADD(a, b) _mm512_add_epi32(a, b)
#define D_LEFT(a, n) _mm512_slli_epi32(a, n)
#define D_RIGHT(a, n) _mm512_srai_epi32(a, n)
#define D_WORDS(a, b) _mm512_packs_epi32(a, b)
#define D_STORE(p, a) _mm512_storeu_si512((void *)(p), _mm512_max_epi16(a, _mm512_setzero_si512()))
#define D_STORE_BYTES(p, a)                     \
    _mm256_storeu_si256((__m256i *)(void *)(p), \
                        _mm512_cvtusepi16_epi8(_mm512_max_epi16(a, _mm512_setzero_si512())))
#define D_MADD_BYTES(a, b) _mm512_maddubs_epi16(a, b)
#define D_SET_WORDS(x) _mm512_set1_epi16(x)
#define D_ADD_WORDS(a, b) _mm512_add_epi16(a, b)
#define D_LOW_BYTES(a, b) _mm512_unpacklo_epi8(a, b)
#define D_HIGH_BYTES(a, b) _mm512_unpackhi_epi8(a, b)
#define D_ALL_BYTES(a, b) _mm512_packus_epi16(a, b)
#define D_STORE_ALL(p, a) _mm512_storeu_si512((void *)(p), a)
#include "down_rows.h"
#endif

#elif defined(CLIPX_NEON)

CLIPX_INLINE int32x4_t clipx_madd_neon(int16x8_t a, int16x8_t b) {
    return vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
}
#define D_NAME(name) name##_neon
#define D_TARGET
#define D_CLEAR() ((void)0)
#define D_TYPE int16x8_t
#define D_LANES 8
#define D_SET(x) vreinterpretq_s16_s32(vdupq_n_s32(x))
#define D_LOAD(p) vreinterpretq_s16_u8(vld1q_u8(p))
#define D_BYTES(p) vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)))
#define D_LOW(a, b) vzip1q_s16(a, b)
#define D_HIGH(a, b) vzip2q_s16(a, b)
#define D_MADD(a, b) vreinterpretq_s16_s32(clipx_madd_neon(a, b))
#define D_ADD(a, b) vreinterpretq_s16_s32(vaddq_s32(vreinterpretq_s32_s16(a), vreinterpretq_s32_s16(b)))
#define D_LEFT(a, n) vreinterpretq_s16_s32(vshlq_n_s32(vreinterpretq_s32_s16(a), n))
#define D_RIGHT(a, n) vreinterpretq_s16_s32(vshrq_n_s32(vreinterpretq_s32_s16(a), n))
#define D_WORDS(a, b) vcombine_s16(vqmovn_s32(vreinterpretq_s32_s16(a)), vqmovn_s32(vreinterpretq_s32_s16(b)))
#define D_STORE(p, a) vst1q_u8(p, vreinterpretq_u8_s16(vmaxq_s16(a, vdupq_n_s16(0))))
#define D_STORE_BYTES(p, a) vst1_u8(p, vqmovun_s16(a))
#include "down_rows.h"
#endif

#if !defined(CLIPX_X86)
static void clipx_down_baseline(const clipx_axis *axis, int kind, int y, const uint8_t *const *lines, size_t n,
                                uint8_t *dst) {
    clipx_down_plain(axis, kind, y, lines, 0, n, dst);
}
#endif

#endif
