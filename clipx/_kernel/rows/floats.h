/*
 * Bytes to floats: x becomes ((x - high) - low) * factor, where high + low is the mean in units of x, split in two floats,
 * and factor is scale / std. Near the mean the first difference is exact, so that what is left of three roundings is
 * always below 2^-22 of the value: within 1e-6 of (x * scale - mean) / std however large the mean is beside std.
 * Sixteen-bit floats are that float rounded to nearest even. Implementations do just these steps and give the same bits,
 * and so does numbers.h for a number of any type that a byte can hold.
 */
#ifndef CLIPX_FLOATS_H
#define CLIPX_FLOATS_H

#include "copy.h"

/* Types of numbers. */
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
/* Kinds of output: bytes, floats, or from CLIPX_AS_IS on numbers of a type, as they are. */
enum { CLIPX_U8, CLIPX_F32, CLIPX_F16, CLIPX_BF16, CLIPX_AS_IS };

enum { CLIPX_EACH = -1 };    /* for `channel`: byte i is of channel i % 3 */
enum { CLIPX_PATTERN = 48 }; /* vectors of 4, 8 and 16 floats, three of each */

typedef struct {
    float high[CLIPX_PATTERN], low[CLIPX_PATTERN], factor[CLIPX_PATTERN]; /* of channel i % 3 */
} clipx_scale;

typedef struct {
    float high, low, factor;
} clipx_steps; /* of one channel */

static clipx_steps clipx_make_steps(double scale, double mean, double deviation) {
    double middle = mean / scale;
    clipx_steps steps;
    steps.high = (float)middle;
    steps.low = (float)(middle - steps.high);
    steps.factor = (float)(scale / deviation);
    return steps;
}

static void clipx_set_scale(clipx_scale *scale, int channel, clipx_steps steps) {
    int i;
    for (i = channel; i < CLIPX_PATTERN; i += 3)
        scale->high[i] = steps.high, scale->low[i] = steps.low, scale->factor[i] = steps.factor;
}

CLIPX_INLINE float clipx_from_byte(clipx_steps steps, float byte) {
    return ((byte - steps.high) - steps.low) * steps.factor;
}

/* n bytes to floats of a kind; `streams`: past the cache, to the start of a line. */
typedef void (*clipx_floats_fn)(const clipx_scale *scale, int kind, int channel, const uint8_t *src, size_t n, char *dst,
                                int streams);

static size_t clipx_number_bytes(int type) {
    return type == CLIPX_INT8 || type == CLIPX_UINT8 ? 1
           : type == CLIPX_INT16 || type == CLIPX_UINT16 || type == CLIPX_FLOAT16 ? 2
           : type == CLIPX_INT32 || type == CLIPX_UINT32 || type == CLIPX_FLOAT32 ? 4 : 8;
}

static size_t clipx_item_bytes(int kind) {
    return kind >= CLIPX_AS_IS ? clipx_number_bytes(kind - CLIPX_AS_IS) : kind == CLIPX_U8 ? 1 : kind == CLIPX_F32 ? 4 : 2;
}

CLIPX_INLINE uint16_t clipx_half(float value) {
    uint32_t bits, sign;
    memcpy(&bits, &value, 4);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x3ff)); /* not a number stays one */
    if (bits >= 0x477ff000) return (uint16_t)(sign | 0x7c00);                      /* rounds to 65536 or more */
    if (bits < 0x38800000) { /* below 2^-14: added to 0.5, a float's last bit is worth half's smallest step */
        float half, magnitude;
        memcpy(&magnitude, &bits, 4);
        half = magnitude + 0.5f;
        memcpy(&bits, &half, 4);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    return (uint16_t)(sign | ((bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13));
}

CLIPX_INLINE uint16_t clipx_brain(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

CLIPX_INLINE void clipx_put_float(char *dst, int kind, float value) {
    uint16_t narrow;
    if (kind == CLIPX_F32) {
        memcpy(dst, &value, 4);
    } else {
        narrow = kind == CLIPX_F16 ? clipx_half(value) : clipx_brain(value);
        memcpy(dst, &narrow, 2);
    }
}

static void clipx_float_bytes(const clipx_scale *scale, int kind, int channel, const uint8_t *src, size_t from, size_t n,
                              char *dst) {
    size_t item = clipx_item_bytes(kind), i;
    for (i = from; i < n; i++) {
        size_t c = channel == CLIPX_EACH ? i % 3 : (size_t)channel;
        clipx_steps steps = {scale->high[c], scale->low[c], scale->factor[c]};
        clipx_put_float(dst + i * item, kind, clipx_from_byte(steps, (float)src[i]));
    }
}

#if !defined(CLIPX_X86)
static void clipx_floats_baseline(const clipx_scale *scale, int kind, int channel, const uint8_t *src, size_t n,
                                  char *dst, int streams) {
    (void)streams;
    clipx_float_bytes(scale, kind, channel, src, 0, n, dst);
}
#endif

#if defined(CLIPX_X86)

#define F_NAME(name) name##_baseline
#define F_TARGET
#define F_CLEAR() ((void)0)
#define F_TYPE __m128
#define F_LANES 4
#define F_LOAD(p) _mm_loadu_ps(p)
#define F_SET(x) _mm_set1_ps(x)
#define F_SUB(a, b) _mm_sub_ps(a, b)
#define F_MUL(a, b) _mm_mul_ps(a, b)
#define F_BYTES(p) clipx_four_baseline(p)
#define F_HALVES(a, b) _mm_packs_epi32(clipx_half_baseline(a), clipx_half_baseline(b))
#define F_BRAINS(a, b) _mm_packs_epi32(clipx_brain_baseline(a), clipx_brain_baseline(b))
#define F_STORE(p, a) _mm_storeu_ps((float *)(void *)(p), a)
#define F_STREAM(p, a) _mm_stream_ps((float *)(void *)(p), a)
#define F_PAIR __m128i
#define F_STORE_PAIR(p, a) _mm_storeu_si128((__m128i *)(void *)(p), a)
#define F_STREAM_PAIR(p, a) _mm_stream_si128((__m128i *)(void *)(p), a)
CLIPX_INLINE __m128 clipx_four_baseline(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return _mm_cvtepi32_ps(_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), _mm_setzero_si128()),
                                              _mm_setzero_si128()));
}
/* clipx_half in vectors; the bits of each, with the sign repeated above them. */
CLIPX_INLINE __m128i clipx_half_baseline(__m128 a) {
    __m128i bits = _mm_castps_si128(a), sign = _mm_srai_epi32(bits, 31), even, half, tiny, is_tiny;
    /* What rounds to 65536 or more is infinite, as 65536 is. */
    __m128 of = _mm_min_ps(_mm_castsi128_ps(_mm_and_si128(bits, _mm_set1_epi32(0x7fffffff))), _mm_set1_ps(65536.0f));
    if (_mm_movemask_ps(_mm_cmpunord_ps(a, a))) { /* some are not numbers */
        float four[4];
        int32_t halves[4], i;
        _mm_storeu_ps(four, a);
        for (i = 0; i < 4; i++) halves[i] = (int16_t)clipx_half(four[i]);
        return _mm_loadu_si128((const __m128i *)(const void *)halves);
    }
    bits = _mm_castps_si128(of);
    even = _mm_and_si128(_mm_srli_epi32(bits, 13), _mm_set1_epi32(1));
    half = _mm_srli_epi32(_mm_add_epi32(bits, _mm_add_epi32(_mm_set1_epi32(0xfff - 0x38000000), even)), 13);
    tiny = _mm_sub_epi32(_mm_castps_si128(_mm_add_ps(of, _mm_set1_ps(0.5f))), _mm_set1_epi32(0x3f000000));
    is_tiny = _mm_cmplt_epi32(bits, _mm_set1_epi32(0x38800000));
    half = _mm_or_si128(_mm_and_si128(is_tiny, tiny), _mm_andnot_si128(is_tiny, half));
    return _mm_or_si128(half, _mm_slli_epi32(sign, 15));
}
CLIPX_INLINE __m128i clipx_brain_baseline(__m128 a) {
    __m128i bits = _mm_castps_si128(a), even = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(1));
    return _mm_srai_epi32(_mm_add_epi32(_mm_add_epi32(bits, _mm_set1_epi32(0x7fff)), even), 16);
}
#include "float_rows.h"

#if defined(CLIPX_X86_TARGETS)

#define F_NAME(name) name##_avx2
#define F_TARGET CLIPX_AVX2
#define F_CLEAR() _mm256_zeroupper()
#define F_TYPE __m256
#define F_LANES 8
#define F_LOAD(p) _mm256_loadu_ps(p)
#define F_SET(x) _mm256_set1_ps(x)
#define F_SUB(a, b) _mm256_sub_ps(a, b)
#define F_MUL(a, b) _mm256_mul_ps(a, b)
#define F_BYTES(p) _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p))))
#define F_HALVES(a, b)                                                                              \
    _mm256_inserti128_si256(_mm256_castsi128_si256(_mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT)), \
                            _mm256_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT), 1)
#define F_BRAINS(a, b) \
    _mm256_permute4x64_epi64(_mm256_packus_epi32(clipx_brain_avx2(a), clipx_brain_avx2(b)), _MM_SHUFFLE(3, 1, 2, 0))
#define F_STORE(p, a) _mm256_storeu_ps((float *)(void *)(p), a)
#define F_STREAM(p, a) _mm256_stream_ps((float *)(void *)(p), a)
#define F_PAIR __m256i
#define F_STORE_PAIR(p, a) _mm256_storeu_si256((__m256i *)(void *)(p), a)
#define F_STREAM_PAIR(p, a) _mm256_stream_si256((__m256i *)(void *)(p), a)
CLIPX_AVX2 CLIPX_INLINE __m256i clipx_brain_avx2(__m256 a) {
    __m256i bits = _mm256_castps_si256(a), even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), even), 16);
}
#include "float_rows.h"

#define F_NAME(name) name##_avx512
#define F_TARGET CLIPX_AVX512
#define F_CLEAR() _mm256_zeroupper()
#define F_TYPE __m512
#define F_LANES 16
#define F_LOAD(p) _mm512_loadu_ps(p)
#define F_SET(x) _mm512_set1_ps(x)
#define F_SUB(a, b) _mm512_sub_ps(a, b)
#define F_MUL(a, b) _mm512_mul_ps(a, b)
#define F_BYTES(p) _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#define F_HALVES(a, b)                                                                                \
    _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT)), \
                       _mm512_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT), 1)
#define F_BRAINS(a, b)                                                       \
    _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), \
                             _mm512_packus_epi32(clipx_brain_avx512(a), clipx_brain_avx512(b)))
#define F_STORE(p, a) _mm512_storeu_ps((void *)(p), a)
#define F_STREAM(p, a) _mm512_stream_ps((float *)(void *)(p), a)
#define F_PAIR __m512i
#define F_STORE_PAIR(p, a) _mm512_storeu_si512((void *)(p), a)
#define F_STREAM_PAIR(p, a) _mm512_stream_si512((void *)(p), a)
CLIPX_AVX512 CLIPX_INLINE __m512i clipx_brain_avx512(__m512 a) {
    __m512i bits = _mm512_castps_si512(a), even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), even), 16);
}
#include "float_rows.h"
#endif

#elif defined(CLIPX_NEON)

#define F_NAME(name) name##_neon
#define F_TARGET
#define F_CLEAR() ((void)0)
#define F_TYPE float32x4_t
#define F_LANES 4
#define F_LOAD(p) vld1q_f32(p)
#define F_SET(x) vdupq_n_f32(x)
#define F_SUB(a, b) vsubq_f32(a, b)
#define F_MUL(a, b) vmulq_f32(a, b)
#define F_BYTES(p) clipx_four_neon(p)
#define F_HALVES(a, b) vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a), b))
#define F_BRAINS(a, b) vuzp2q_u16(clipx_brain_neon(a), clipx_brain_neon(b))
#define F_STORE(p, a) vst1q_f32((float *)(void *)(p), a)
#define F_STREAM(p, a) F_STORE(p, a)
#define F_PAIR uint16x8_t
#define F_STORE_PAIR(p, a) vst1q_u16((uint16_t *)(void *)(p), a)
#define F_STREAM_PAIR(p, a) F_STORE_PAIR(p, a)
CLIPX_INLINE float32x4_t clipx_four_neon(const uint8_t *p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))))));
}
CLIPX_INLINE uint16x8_t clipx_brain_neon(float32x4_t a) {
    uint32x4_t bits = vreinterpretq_u32_f32(a), even = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    return vreinterpretq_u16_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), even));
}
#include "float_rows.h"
#endif

#endif
