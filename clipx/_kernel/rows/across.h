/* Lines resampled across, four or eight together: in plain C, and in vectors; across_avx2.h: those of AVX2. */
#ifndef CLIPX_ACROSS_H
#define CLIPX_ACROSS_H

static void clipx_across_plain(const clipx_axis *axis, int kind, const uint8_t *src, size_t step, int shift, int from,
                               int to, uint8_t *const *dst) {
    int x, k;
    size_t c;
    for (x = from; x < to; x++) {
        const uint8_t *p = src + (size_t)(axis->first[x] - shift) * step;
        size_t at = (size_t)x * (size_t)axis->taps;
        int32_t sums[4] = {0, 0, 0, 0};
        for (k = 0; k < axis->count[x]; k++, at++, p += step)
            for (c = 0; c < 4; c++)
                if (c < step) sums[c] += clipx_sample_of(kind, p, c) * clipx_weight_of(axis, kind, at);
        for (c = 0; c < 4; c++) clipx_put_sum(kind, clipx_lost_bits(kind), sums[c], dst[c], (size_t)(x - from));
    }
}

/* In vectors, at least so many outputs together. The kind and the step are known where a body is compiled. */
#define CLIPX_ACROSS_KINDS(BODY, ...)                                                    \
    if (kind == CLIPX_FINE16)                                                            \
        BODY(axis, CLIPX_FINE16, 8, __VA_ARGS__);                                        \
    else if (kind == CLIPX_FINE8)                                                        \
        BODY(axis, CLIPX_FINE8, 4, __VA_ARGS__);                                         \
    else if (step == 3)                                                                  \
        BODY(axis, CLIPX_EXACT, 3, __VA_ARGS__);                                         \
    else                                                                                 \
        BODY(axis, CLIPX_EXACT, 4, __VA_ARGS__)
#define CLIPX_ACROSS_QUADS(NAME, BODY, TOGETHER)                                                                 \
    static void NAME(const clipx_axis *axis, int kind, int quads, const uint8_t *const *src, size_t step,        \
                     int shift, int from, int to, uint8_t *const *dst, ptrdiff_t ahead) {                        \
        int q;                                                                                                   \
        (void)ahead;                                                                                             \
        for (q = 0; q < quads; q++, dst += 4) {                                                                  \
            if (to - from < (TOGETHER)) {                                                                        \
                clipx_across_plain(axis, kind, src[q], step, shift, from, to, dst);                              \
            } else {                                                                                             \
                CLIPX_ACROSS_KINDS(BODY, src[q], shift, from, to, dst);                                          \
            }                                                                                                    \
        }                                                                                                        \
    }
/* The output behind x, where so many are made together: the last ones overlap those before. */
#define CLIPX_NEXT_OUTPUTS(x, together) ((x) + 2 * (together) > to && (x) + (together) < to ? to - (together) : (x) + (together))

#if defined(CLIPX_X86)

/* The sums of a pixel: two taps at a time, of four lines. */
CLIPX_INLINE __m128i clipx_sum_baseline(int kind, const uint8_t *p, size_t step, const int16_t *weights,
                                        const int16_t *low, int taps) {
    __m128i sum = _mm_setzero_si128(), sum_low = _mm_setzero_si128(), pairs;
    int t;
    for (t = 0; t < taps; t += 2, p += 2 * step) {
        int32_t one, two, w;
        if (kind == CLIPX_FINE16) {
            pairs = _mm_unpacklo_epi16(_mm_loadl_epi64((const __m128i *)(const void *)p),
                                       _mm_loadl_epi64((const __m128i *)(const void *)(p + step)));
        } else {
            memcpy(&one, p, 4);
            memcpy(&two, p + step, 4);
            pairs = _mm_unpacklo_epi8(_mm_cvtsi32_si128(one), _mm_cvtsi32_si128(two));
            pairs = _mm_unpacklo_epi8(pairs, _mm_setzero_si128());
        }
        memcpy(&w, weights + t, 4);
        sum = _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_set1_epi32(w)));
        if (kind == CLIPX_EXACT) {
            memcpy(&w, low + t, 4);
            sum_low = _mm_add_epi32(sum_low, _mm_madd_epi16(pairs, _mm_set1_epi32(w)));
        }
    }
    return kind == CLIPX_EXACT ? _mm_add_epi32(_mm_slli_epi32(sum, CLIPX_LOW_BITS), sum_low) : sum;
}

CLIPX_INLINE void clipx_across_body_baseline(const clipx_axis *axis, int kind, size_t step, const uint8_t *src, int shift,
                                             int from, int to, uint8_t *const *dst) {
    const int taps = axis->taps;
    const int16_t *weights = kind == CLIPX_EXACT ? axis->high : axis->fine;
    const int16_t *low = kind == CLIPX_EXACT ? axis->low : axis->fine;
    const int bits = kind == CLIPX_EXACT ? CLIPX_EXACT_BITS : clipx_lost_bits(kind);
    const __m128i half = _mm_set1_epi32(1 << (bits - 1));
    int x, j;
    for (x = from; x < to; x = CLIPX_NEXT_OUTPUTS(x, 4)) {
        size_t at = (size_t)(x - from);
        __m128i s[4], lines01, lines23, more01, more23, c01, c23;
        for (j = 0; j < 4; j++) {
            size_t weight = (size_t)(x + j) * (size_t)taps;
            s[j] = clipx_sum_baseline(kind, src + (size_t)(axis->first[x + j] - shift) * step, step, weights + weight,
                                      low + weight, taps);
            s[j] = _mm_srai_epi32(_mm_add_epi32(s[j], half), bits);
        }
        lines01 = _mm_unpacklo_epi32(s[0], s[1]), lines23 = _mm_unpackhi_epi32(s[0], s[1]);
        more01 = _mm_unpacklo_epi32(s[2], s[3]), more23 = _mm_unpackhi_epi32(s[2], s[3]);
        c01 = _mm_packs_epi32(_mm_unpacklo_epi64(lines01, more01), _mm_unpackhi_epi64(lines01, more01));
        c23 = _mm_packs_epi32(_mm_unpacklo_epi64(lines23, more23), _mm_unpackhi_epi64(lines23, more23));
        if (kind == CLIPX_EXACT) {
            int32_t four[4];
            _mm_storeu_si128((__m128i *)(void *)four, _mm_packus_epi16(c01, c23));
            for (j = 0; j < 4; j++) memcpy(dst[j] + at, four + j, 4);
        } else {
            c01 = _mm_max_epi16(c01, _mm_setzero_si128()), c23 = _mm_max_epi16(c23, _mm_setzero_si128());
            _mm_storel_epi64((__m128i *)(void *)(dst[0] + 2 * at), c01);
            _mm_storeh_pi((__m64 *)(void *)(dst[1] + 2 * at), _mm_castsi128_ps(c01));
            _mm_storel_epi64((__m128i *)(void *)(dst[2] + 2 * at), c23);
            _mm_storeh_pi((__m64 *)(void *)(dst[3] + 2 * at), _mm_castsi128_ps(c23));
        }
    }
}
CLIPX_ACROSS_QUADS(clipx_across_baseline, clipx_across_body_baseline, 4)

#elif defined(CLIPX_NEON)

CLIPX_INLINE int32x4_t clipx_sum_neon(int kind, const uint8_t *p, size_t step, const int16_t *weights, const int16_t *low,
                                      int taps) {
    int32x4_t sum = vdupq_n_s32(0), sum_low = vdupq_n_s32(0);
    int t;
    for (t = 0; t < taps; t++, p += step) {
        int16x4_t samples;
        if (kind == CLIPX_FINE16) {
            samples = vreinterpret_s16_u8(vld1_u8(p));
        } else {
            uint32_t four;
            memcpy(&four, p, 4);
            samples = vreinterpret_s16_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))));
        }
        sum = vmlal_n_s16(sum, samples, weights[t]);
        if (kind == CLIPX_EXACT) sum_low = vmlal_n_s16(sum_low, samples, low[t]);
    }
    return kind == CLIPX_EXACT ? vaddq_s32(vshlq_n_s32(sum, CLIPX_LOW_BITS), sum_low) : sum;
}

CLIPX_INLINE void clipx_across_body_neon(const clipx_axis *axis, int kind, size_t step, const uint8_t *src, int shift,
                                         int from, int to, uint8_t *const *dst) {
    const int taps = axis->taps;
    const int16_t *weights = kind == CLIPX_EXACT ? axis->high : axis->fine;
    const int16_t *low = kind == CLIPX_EXACT ? axis->low : axis->fine;
    const int bits = kind == CLIPX_EXACT ? CLIPX_EXACT_BITS : clipx_lost_bits(kind);
    const int32x4_t half = vdupq_n_s32(1 << (bits - 1)), right = vdupq_n_s32(-bits);
    int x, j;
    for (x = from; x < to; x = CLIPX_NEXT_OUTPUTS(x, 4)) {
        size_t at = (size_t)(x - from);
        int16_t words[4][4]; /* output, line */
        for (j = 0; j < 4; j++) {
            size_t weight = (size_t)(x + j) * (size_t)taps;
            int32x4_t s = clipx_sum_neon(kind, src + (size_t)(axis->first[x + j] - shift) * step, step, weights + weight,
                                         low + weight, taps);
            vst1_s16(words[j], vqmovn_s32(vshlq_s32(vaddq_s32(s, half), right)));
        }
        {
            int16x4x4_t lines = vld4_s16(&words[0][0]);
            for (j = 0; j < 4; j++) {
                if (kind == CLIPX_EXACT) {
                    uint8x8_t bytes = vqmovun_s16(vcombine_s16(lines.val[j], lines.val[j]));
                    uint32_t four = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
                    memcpy(dst[j] + at, &four, 4);
                } else {
                    vst1_u8(dst[j] + 2 * at, vreinterpret_u8_s16(vmax_s16(lines.val[j], vdup_n_s16(0))));
                }
            }
        }
    }
}
CLIPX_ACROSS_QUADS(clipx_across_neon, clipx_across_body_neon, 4)

#endif

#if !defined(CLIPX_X86)
static void clipx_across_baseline(const clipx_axis *axis, int kind, int quads, const uint8_t *const *src, size_t step,
                                  int shift, int from, int to, uint8_t *const *dst, ptrdiff_t ahead) {
    int q;
    (void)ahead;
    for (q = 0; q < quads; q++) clipx_across_plain(axis, kind, src[q], step, shift, from, to, dst + 4 * q);
}
#endif

#if defined(CLIPX_X86_TARGETS)
#include "across_avx2.h"
#endif

#endif
