/*
 * Samples of PCM, interleaved as files have them, to float32 or int16: as FFmpeg's decoders and its swresample give them.
 * Integers become floats by a power of two, rounded once, and int16 by their highest two bytes. Floats become int16
 * rounded to nearest even, and clipped; what is not a number, or no int32 once scaled, is -32768. Every step is exact or
 * rounded once, so that all implementations give the same bits.
 */
#ifndef CLIPX_PCM_H
#define CLIPX_PCM_H

#include "copy.h"

enum {
    CLIPX_PCM_U8,
    CLIPX_PCM_S8,
    CLIPX_PCM_S16,
    CLIPX_PCM_S24,
    CLIPX_PCM_S32,
    CLIPX_PCM_S64,
    CLIPX_PCM_F32,
    CLIPX_PCM_F64,
    CLIPX_PCM_LAW,
    CLIPX_PCM_TYPES
};

/* Bytes of samples that are worked on at a time: they and what becomes of them stay in the first cache. */
enum { CLIPX_PCM_ROOM = 4096 };

enum { CLIPX_PCM_MOST_CHANNELS = 64 };

typedef struct {
    int type, swapped; /* the bytes of a sample are in reverse */
    int wide;          /* written as float32, not as int16 */
    int channels, planar;
    int16_t law[256]; /* of CLIPX_PCM_LAW: the sample that each byte is */
} clipx_pcm;

static size_t clipx_pcm_bytes(int type) {
    static const uint8_t bytes[CLIPX_PCM_TYPES] = {1, 1, 2, 3, 4, 8, 4, 8, 1};
    return bytes[type];
}

static size_t clipx_pcm_item(const clipx_pcm *pcm) { return pcm->wide ? 4 : 2; }

/* n samples of the machine's order of bytes to n items, one after the other. */
typedef void (*clipx_pcm_fn)(const clipx_pcm *pcm, const uint8_t *src, size_t n, char *dst);

/* The items of n frames to planes, `plane` bytes apart. */
typedef void (*clipx_planes_fn)(const clipx_pcm *pcm, const char *src, size_t n, char *dst, size_t plane);

CLIPX_INLINE int32_t clipx_pcm_24(const uint8_t *p) {
    return (int32_t)((uint32_t)p[0] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 24);
}

/* Adding 1.5 * 2^52 leaves no bits behind the point, rounded to nearest even. */
CLIPX_INLINE int16_t clipx_pcm_short(double value) {
    double scaled = value * 32768.0, most = 32767.0, least = -32768.0;
    if (!(scaled < 2147483647.5)) return -32768;
    scaled = scaled < most ? scaled : most;
    scaled = scaled > least ? scaled : least;
    return (int16_t)(int32_t)((scaled + 6755399441055744.0) - 6755399441055744.0);
}

#define CLIPX_PCM_EACH(IN, OUT, LOAD, VALUE) \
    for (; i < n; i++) {                     \
        IN in;                               \
        OUT out;                             \
        LOAD;                                \
        out = (OUT)(VALUE);                  \
        memcpy((OUT *)(void *)dst + i, &out, sizeof out); \
    }                                        \
    break;

#define CLIPX_PCM_FROM(IN, OUT, VALUE) CLIPX_PCM_EACH(IN, OUT, memcpy(&in, src + i * sizeof in, sizeof in), VALUE)

/* Plain loops, which compilers make vectors of, from sample i on. */
CLIPX_INLINE void clipx_pcm_plain(const clipx_pcm *pcm, const uint8_t *CLIPX_RESTRICT src, size_t i, size_t n,
                                  char *CLIPX_RESTRICT dst) {
    size_t item = clipx_pcm_item(pcm);
    switch (pcm->type * 2 + pcm->wide) {
        case CLIPX_PCM_U8 * 2: CLIPX_PCM_FROM(uint8_t, int16_t, (in - 128) * 256)
        case CLIPX_PCM_S8 * 2: CLIPX_PCM_FROM(int8_t, int16_t, in * 256)
        case CLIPX_PCM_S24 * 2: CLIPX_PCM_EACH(int32_t, int16_t, in = clipx_pcm_24(src + 3 * i), in >> 16)
        case CLIPX_PCM_S32 * 2: CLIPX_PCM_FROM(int32_t, int16_t, in >> 16)
        case CLIPX_PCM_S64 * 2: CLIPX_PCM_FROM(int64_t, int16_t, in >> 48)
        case CLIPX_PCM_F32 * 2: CLIPX_PCM_FROM(float, int16_t, clipx_pcm_short(in))
        case CLIPX_PCM_F64 * 2: CLIPX_PCM_FROM(double, int16_t, clipx_pcm_short(in))
        case CLIPX_PCM_LAW * 2: CLIPX_PCM_FROM(uint8_t, int16_t, pcm->law[in])
        case CLIPX_PCM_U8 * 2 + 1: CLIPX_PCM_FROM(uint8_t, float, (float)(in - 128) * 0x1p-7f)
        case CLIPX_PCM_S8 * 2 + 1: CLIPX_PCM_FROM(int8_t, float, (float)in * 0x1p-7f)
        case CLIPX_PCM_S16 * 2 + 1: CLIPX_PCM_FROM(int16_t, float, (float)in * 0x1p-15f)
        case CLIPX_PCM_S24 * 2 + 1: CLIPX_PCM_EACH(int32_t, float, in = clipx_pcm_24(src + 3 * i), (float)in * 0x1p-31f)
        case CLIPX_PCM_S32 * 2 + 1: CLIPX_PCM_FROM(int32_t, float, (float)in * 0x1p-31f)
        case CLIPX_PCM_S64 * 2 + 1: CLIPX_PCM_FROM(int64_t, float, (float)in * 0x1p-63f)
        case CLIPX_PCM_F64 * 2 + 1: CLIPX_PCM_FROM(double, float, in)
        case CLIPX_PCM_LAW * 2 + 1: CLIPX_PCM_FROM(uint8_t, float, (float)pcm->law[in] * 0x1p-15f)
        case CLIPX_PCM_S16 * 2: /* as they are */
        case CLIPX_PCM_F32 * 2 + 1:
            memcpy(dst + i * item, src + i * item, (n - i) * item);
    }
}

#define CLIPX_PCM_PLANES(ITEM, CHANNELS)                                                                    \
    for (c = 0; c < (CHANNELS); c++) {                                                                      \
        ITEM *CLIPX_RESTRICT to = (ITEM *)(void *)(dst + c * plane);                                        \
        const ITEM *from = (const ITEM *)(const void *)src + c;                                             \
        for (i = 0; i < n; i++) to[i] = from[i * (CHANNELS)];                                               \
    }

/* A constant number of channels makes vectors. */
CLIPX_INLINE void clipx_pcm_split(const clipx_pcm *pcm, const char *CLIPX_RESTRICT src, size_t n, char *dst,
                                  size_t plane) {
    size_t channels = (size_t)pcm->channels, c, i;
    if (pcm->wide) {
        if (channels == 2) {
            CLIPX_PCM_PLANES(float, 2)
        } else {
            CLIPX_PCM_PLANES(float, channels)
        }
    } else if (channels == 2) {
        CLIPX_PCM_PLANES(int16_t, 2)
    } else {
        CLIPX_PCM_PLANES(int16_t, channels)
    }
}

#if defined(CLIPX_X86)
/* 8 floats to int16: beyond the range of int32 the conversion gives -2^31. */
CLIPX_INLINE size_t clipx_pcm_shorts(const uint8_t *src, size_t n, char *dst) {
    const __m128 scale = _mm_set1_ps(32768.0f);
    size_t i;
    for (i = 0; i + 8 <= n; i += 8) {
        const float *from = (const float *)(const void *)(src + 4 * i);
        __m128i low = _mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(from), scale));
        __m128i high = _mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(from + 4), scale));
        _mm_storeu_si128((__m128i *)(void *)(dst + 2 * i), _mm_packs_epi32(low, high));
    }
    return i;
}
#endif

#if defined(CLIPX_X86_TARGETS)
/* 8 samples of three bytes; the second load reads four bytes behind them. */
CLIPX_AVX2 CLIPX_INLINE __m256i clipx_pcm_eight_24(const uint8_t *src) {
    const __m256i spread = _mm256_setr_epi8(-1, 0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11,
                                            -1, 0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)src);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(src + 12));
    return _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), spread);
}

CLIPX_AVX2 static size_t clipx_pcm_from_24(const uint8_t *src, size_t n, int wide, char *dst) {
    const __m256 scale = _mm256_set1_ps(0x1p-31f);
    size_t i = 0;
    if (wide)
        for (; i + 10 <= n; i += 8) {
            __m256 floats = _mm256_cvtepi32_ps(clipx_pcm_eight_24(src + 3 * i));
            _mm256_storeu_ps((float *)(void *)(dst + 4 * i), _mm256_mul_ps(floats, scale));
        }
    else
        for (; i + 18 <= n; i += 16) {
            __m256i low = _mm256_srai_epi32(clipx_pcm_eight_24(src + 3 * i), 16);
            __m256i high = _mm256_srai_epi32(clipx_pcm_eight_24(src + 3 * i + 24), 16);
            __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
            _mm256_storeu_si256((__m256i *)(void *)(dst + 2 * i), both);
        }
    return i;
}

#define CLIPX_DEFINE_PCM(NAME, ATTRIBUTE)                                                                          \
    ATTRIBUTE static void clipx_pcm_##NAME(const clipx_pcm *pcm, const uint8_t *src, size_t n, char *dst) {        \
        size_t i = 0;                                                                                              \
        if (pcm->type == CLIPX_PCM_S24)                                                                            \
            i = clipx_pcm_from_24(src, n, pcm->wide, dst);                                                         \
        else if (pcm->type == CLIPX_PCM_F32 && !pcm->wide)                                                         \
            i = clipx_pcm_shorts(src, n, dst);                                                                     \
        clipx_pcm_plain(pcm, src, i, n, dst);                                                                      \
        _mm256_zeroupper();                                                                                        \
    }                                                                                                              \
    ATTRIBUTE static void clipx_planes_##NAME(const clipx_pcm *pcm, const char *src, size_t n, char *dst,          \
                                              size_t plane) {                                                      \
        clipx_pcm_split(pcm, src, n, dst, plane);                                                                  \
        _mm256_zeroupper();                                                                                        \
    }
CLIPX_DEFINE_PCM(avx2, CLIPX_AVX2)
CLIPX_DEFINE_PCM(avx512, CLIPX_AVX512)
#endif

static void clipx_pcm_baseline(const clipx_pcm *pcm, const uint8_t *src, size_t n, char *dst) {
    size_t i = 0;
#if defined(CLIPX_X86)
    if (pcm->type == CLIPX_PCM_F32 && !pcm->wide) i = clipx_pcm_shorts(src, n, dst);
#endif
    clipx_pcm_plain(pcm, src, i, n, dst);
}

static void clipx_planes_baseline(const clipx_pcm *pcm, const char *src, size_t n, char *dst, size_t plane) {
    clipx_pcm_split(pcm, src, n, dst, plane);
}

/* n samples of several bytes, in reverse; `to` may be where they lie. */
static void clipx_pcm_swap(const uint8_t *src, size_t n, size_t bytes, uint8_t *to) {
    size_t i;
    switch (bytes) {
        case 2:
            for (i = 0; i < n; i++) {
                uint16_t x;
                memcpy(&x, src + 2 * i, 2);
                x = (uint16_t)(x << 8 | x >> 8);
                memcpy(to + 2 * i, &x, 2);
            }
            break;
        case 3:
            for (i = 0; i < n; i++, src += 3, to += 3) {
                uint8_t first = src[0], middle = src[1];
                to[0] = src[2], to[1] = middle, to[2] = first;
            }
            break;
        case 4:
            for (i = 0; i < n; i++) {
                uint32_t x;
                memcpy(&x, src + 4 * i, 4);
                x = x << 24 | (x & 0xff00) << 8 | (x >> 8 & 0xff00) | x >> 24;
                memcpy(to + 4 * i, &x, 4);
            }
            break;
        case 8:
            for (i = 0; i < n; i++, src += 8, to += 8) {
                uint8_t bytes8[8];
                size_t k;
                for (k = 0; k < 8; k++) bytes8[k] = src[7 - k];
                memcpy(to, bytes8, 8);
            }
            break;
    }
}

/* n frames of so many bytes, `stride` bytes apart, side by side. */
static void clipx_pcm_pick(const uint8_t *src, size_t stride, size_t n, size_t bytes, uint8_t *to) {
    size_t i;
    switch (bytes) {
#define CLIPX_PCM_PICK(BYTES)                                                                \
    case BYTES:                                                                              \
        for (i = 0; i < n; i++, src += stride, to += (BYTES)) memcpy(to, src, (BYTES));      \
        break;
        CLIPX_PCM_PICK(1)
        CLIPX_PCM_PICK(2)
        CLIPX_PCM_PICK(4)
        CLIPX_PCM_PICK(8)
#undef CLIPX_PCM_PICK
        default:
            for (i = 0; i < n; i++, src += stride, to += bytes) memcpy(to, src, bytes);
    }
}

#endif
