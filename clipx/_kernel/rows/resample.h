/*
 * Lines resampled: across, four at a time, and then down.
 *
 * Bytes are computed as Pillow does, to the bit: weights of 22 bits, and lines of bytes in between. Two products of 16
 * bits make one of a byte and such a weight. The planes of a decoded picture have samples and lines of 15 bits, so that
 * what is lost in between is far below a level of the color that is made of them, and weights of 14.
 *
 * Across, the samples of four lines lie side by side: those of a pixel, whose lines are its channels, or of four rows that
 * were interleaved. So a tap is the same for all lanes of a vector, whatever the scale. All implementations do the same
 * sums of integers and give the same bits.
 */
#ifndef CLIPX_RESAMPLE_H
#define CLIPX_RESAMPLE_H

#include "taps.h"

enum {
    CLIPX_EXACT, /* bytes to bytes */
    CLIPX_FINE8, /* across: bytes to 15 bits; down: 15 bits */
    CLIPX_FINE16 /* 15 bits in two bytes */
};
enum { CLIPX_QUAD_MARGIN = 16 }; /* bytes that are read behind an output's taps, at most */

/*
 * Outputs `from` to `to` of one or two quads, which are four lines each, to the start of dst[0] to dst[3] and dst[4] to
 * dst[7].
 *
 * src: where each quad begins. step: bytes from one sample of the lines to the next, 3 where the last line is not wanted.
 * shift: the sample that they begin at. Bytes can be read up to CLIPX_QUAD_MARGIN behind `taps` samples from an output's
 * first on.
 */
typedef void (*clipx_across_fn)(const clipx_axis *axis, int kind, int quads, const uint8_t *const *src, size_t step,
                                int shift, int from, int to, uint8_t *const *dst);

/* n samples of output y, from the lines of its `taps` taps: bytes, or of 15 bits. */
typedef void (*clipx_down_fn)(const clipx_axis *axis, int kind, int y, const uint8_t *const *lines, size_t n,
                              uint8_t *dst);

CLIPX_INLINE int32_t clipx_within(int32_t sum, int most) { return sum < 0 ? 0 : sum > most ? most : sum; }

CLIPX_INLINE int32_t clipx_weight_of(const clipx_axis *axis, int kind, size_t at) {
    return kind == CLIPX_EXACT ? axis->high[at] * (1 << CLIPX_LOW_BITS) + axis->low[at] : axis->fine[at];
}

/* Of a sum, what is written. */
CLIPX_INLINE void clipx_put_sum(int kind, int bits, int32_t sum, uint8_t *dst, size_t i) {
    uint16_t wide;
    if (kind == CLIPX_EXACT) {
        dst[i] = (uint8_t)clipx_within((sum + (1 << (CLIPX_EXACT_BITS - 1))) >> CLIPX_EXACT_BITS, 255);
    } else {
        wide = (uint16_t)clipx_within((sum + (1 << (bits - 1))) >> bits, 0x7fff);
        memcpy(dst + 2 * i, &wide, 2);
    }
}

/* Bits that a sum across loses: a byte has 7 fewer than its line of 15 bits. */
CLIPX_INLINE int clipx_lost_bits(int kind) { return kind == CLIPX_FINE8 ? CLIPX_FINE_BITS - 7 : CLIPX_FINE_BITS; }

CLIPX_INLINE int32_t clipx_sample_of(int kind, const uint8_t *p, size_t i) {
    uint16_t sample;
    if (kind != CLIPX_FINE16) return p[i];
    memcpy(&sample, p + 2 * i, 2);
    return sample;
}

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

/*
 * n samples of four lines, so many bytes apart, side by side. Those of two bytes become 15 bits, shifted left within 16 bits
 * and then right; what a damaged file has above them is left off.
 */
static void clipx_interleave(const uint8_t *const *src, ptrdiff_t column, int bytes, int left, int right, size_t n,
                             uint8_t *dst) {
    size_t i = 0, c;
#if defined(CLIPX_X86)
    if (column == bytes) {
        for (; i + 16 / (size_t)bytes <= n; i += 16 / (size_t)bytes) {
            __m128i v[4], low, high, low2, high2, *to = (__m128i *)(void *)(dst + 4 * i * (size_t)bytes);
            for (c = 0; c < 4; c++) {
                v[c] = _mm_loadu_si128((const __m128i *)(const void *)(src[c] + i * (size_t)bytes));
                if (bytes == 2)
                    v[c] = _mm_and_si128(
                        _mm_srl_epi16(_mm_sll_epi16(v[c], _mm_cvtsi32_si128(left)), _mm_cvtsi32_si128(right)),
                        _mm_set1_epi16(0x7fff));
            }
            if (bytes == 1) {
                low = _mm_unpacklo_epi8(v[0], v[1]), high = _mm_unpackhi_epi8(v[0], v[1]);
                low2 = _mm_unpacklo_epi8(v[2], v[3]), high2 = _mm_unpackhi_epi8(v[2], v[3]);
                _mm_storeu_si128(to, _mm_unpacklo_epi16(low, low2));
                _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(low, low2));
                _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(high, high2));
                _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(high, high2));
            } else {
                low = _mm_unpacklo_epi16(v[0], v[1]), high = _mm_unpackhi_epi16(v[0], v[1]);
                low2 = _mm_unpacklo_epi16(v[2], v[3]), high2 = _mm_unpackhi_epi16(v[2], v[3]);
                _mm_storeu_si128(to, _mm_unpacklo_epi32(low, low2));
                _mm_storeu_si128(to + 1, _mm_unpackhi_epi32(low, low2));
                _mm_storeu_si128(to + 2, _mm_unpacklo_epi32(high, high2));
                _mm_storeu_si128(to + 3, _mm_unpackhi_epi32(high, high2));
            }
        }
    }
#endif
    if (bytes == 1) {
        for (; i < n; i++)
            for (c = 0; c < 4; c++) dst[4 * i + c] = src[c][(ptrdiff_t)i * column];
        return;
    }
    for (; i < n; i++) {
        for (c = 0; c < 4; c++) {
            uint16_t sample;
            memcpy(&sample, src[c] + (ptrdiff_t)i * column, 2);
            sample = (uint16_t)((uint16_t)((uint32_t)sample << left) >> right & 0x7fff);
            memcpy(dst + 8 * i + 2 * c, &sample, 2);
        }
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
                     int shift, int from, int to, uint8_t *const *dst) {                                         \
        int q;                                                                                                   \
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
            _mm_storeh_pd((double *)(void *)(dst[1] + 2 * at), _mm_castsi128_pd(c01));
            _mm_storel_epi64((__m128i *)(void *)(dst[2] + 2 * at), c23);
            _mm_storeh_pd((double *)(void *)(dst[3] + 2 * at), _mm_castsi128_pd(c23));
        }
    }
}
CLIPX_ACROSS_QUADS(clipx_across_baseline, clipx_across_body_baseline, 4)

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

CLIPX_AVX2 CLIPX_INLINE __m256i clipx_four_weights(const int16_t *weights) {
    int64_t four;
    memcpy(&four, weights, 8);
    return _mm256_set1_epi64x(four);
}

/* Which bytes of a lane become its words: of two lines four taps each, or of 15 bits two taps of each line. */
typedef struct {
    __m256i bytes, weights, words;
} clipx_quad_order;

CLIPX_AVX2 CLIPX_INLINE clipx_quad_order clipx_order_quads(int kind, size_t step) {
    const char s = (char)step;
    clipx_quad_order order;
    if (kind == CLIPX_FINE16) {
        order.bytes = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
        order.weights = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4,
                                         5, 6, 7);
        order.words = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    } else {
        __m128i pair = _mm_setr_epi8(0, -1, s, -1, (char)(2 * s), -1, (char)(3 * s), -1, 1, -1, (char)(s + 1), -1,
                                     (char)(2 * s + 1), -1, (char)(3 * s + 1), -1);
        order.bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(pair), _mm_add_epi8(pair, _mm_set1_epi16(2)), 1);
        order.weights = _mm256_setzero_si256(); /* they serve both lanes as they are */
        order.words = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
    }
    return order;
}

/* Sums of an output of a quad, in two halves each: of two taps of four, in lanes of two lines; or of 15 bits in lanes of
 * two taps. */
#define CLIPX_SUM(p, w, w_low, sum, sum_low)                                                               \
    do {                                                                                                   \
        __m256i samples = kind == CLIPX_FINE16                                                             \
                              ? _mm256_loadu_si256((const __m256i *)(const void *)(p))                     \
                              : _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(p))); \
        samples = _mm256_shuffle_epi8(samples, order->bytes);                                              \
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(samples, w));                                        \
        if (kind == CLIPX_EXACT) sum_low = _mm256_add_epi32(sum_low, _mm256_madd_epi16(samples, w_low));   \
    } while (0)

/* An output of two quads, whose weights are read once for both. */
CLIPX_AVX2 CLIPX_INLINE void clipx_sums_avx2(int kind, const clipx_quad_order *order, const uint8_t *p, ptrdiff_t other,
                                             size_t step, const int16_t *weights, const int16_t *low, size_t taps,
                                             __m256i *one, __m256i *two) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i a = zero, b = zero, a_low = zero, b_low = zero;
    size_t t;
    for (t = 0; t < taps; t += CLIPX_TAPS_TOGETHER, p += CLIPX_TAPS_TOGETHER * step) {
        __m256i w = clipx_four_weights(weights + t), w_low = zero;
        if (kind == CLIPX_FINE16) w = _mm256_shuffle_epi8(w, order->weights);
        if (kind == CLIPX_EXACT) w_low = clipx_four_weights(low + t);
        CLIPX_SUM(p, w, w_low, a, a_low);
        CLIPX_SUM(p + other, w, w_low, b, b_low);
    }
    if (kind == CLIPX_EXACT) {
        a = _mm256_add_epi32(_mm256_slli_epi32(a, CLIPX_LOW_BITS), a_low);
        b = _mm256_add_epi32(_mm256_slli_epi32(b, CLIPX_LOW_BITS), b_low);
    }
    *one = a, *two = b;
}
#undef CLIPX_SUM

/* What _mm256_hadd_epi32 gives, in less. */
CLIPX_AVX2 CLIPX_INLINE __m256i clipx_add_pairs_avx2(__m256i a, __m256i b) {
    __m256 one = _mm256_castsi256_ps(a), two = _mm256_castsi256_ps(b);
    return _mm256_add_epi32(_mm256_castps_si256(_mm256_shuffle_ps(one, two, 0x88)),
                            _mm256_castps_si256(_mm256_shuffle_ps(one, two, 0xdd)));
}

/* The two halves of the sums of two outputs together: of FINE16 the outputs in a lane each, else the lines. */
CLIPX_AVX2 CLIPX_INLINE __m256i clipx_whole_sums_avx2(int kind, __m256i a, __m256i b) {
    const int bits = kind == CLIPX_EXACT ? CLIPX_EXACT_BITS : clipx_lost_bits(kind);
    __m256i both = kind == CLIPX_FINE16
                       ? _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31))
                       : clipx_add_pairs_avx2(a, b);
    return _mm256_srai_epi32(_mm256_add_epi32(both, _mm256_set1_epi32(1 << (bits - 1))), bits);
}

/* Four outputs as words: of two lines in each lane, the outputs of one line side by side. */
CLIPX_AVX2 CLIPX_INLINE __m256i clipx_words_avx2(int kind, const clipx_quad_order *order, __m256i first, __m256i second) {
    __m256i words = _mm256_shuffle_epi8(_mm256_packs_epi32(first, second), order->words);
    if (kind == CLIPX_FINE16) {
        __m128i even = _mm256_castsi256_si128(words), odd = _mm256_extracti128_si256(words, 1);
        words = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi16(even, odd)),
                                        _mm_unpackhi_epi16(even, odd), 1);
    }
    return kind == CLIPX_EXACT ? words : _mm256_max_epi16(words, _mm256_setzero_si256());
}

CLIPX_AVX2 CLIPX_INLINE void clipx_put_lines_avx2(__m256i lines, uint8_t *d0, uint8_t *d1, uint8_t *d2, uint8_t *d3) {
    __m128i low = _mm256_castsi256_si128(lines), high = _mm256_extracti128_si256(lines, 1);
    _mm_storel_epi64((__m128i *)(void *)d0, low);
    _mm_storeh_pd((double *)(void *)d1, _mm_castsi128_pd(low));
    _mm_storel_epi64((__m128i *)(void *)d2, high);
    _mm_storeh_pd((double *)(void *)d3, _mm_castsi128_pd(high));
}

/* What does not change along a row; in a value of its own, since stores of bytes might change what a pointer leads to. */
typedef struct {
    clipx_quad_order order;
    const uint8_t *src; /* where the first sample of the first quad's row would be */
    ptrdiff_t other;    /* from there to the other quad's */
    const int32_t *first;
    const int16_t *weights, *low;
    size_t apart; /* from the weights of one output to those of the next */
    uint8_t *d0, *d1, *d2, *d3, *e0, *e1, *e2, *e3;
} clipx_run_avx2;

/* Two outputs of two quads, as clipx_words_avx2 takes them. */
CLIPX_AVX2 CLIPX_INLINE void clipx_pair_avx2(const clipx_run_avx2 *run, int kind, size_t step, size_t i, size_t taps,
                                             __m256i *one, __m256i *two) {
    __m256i left, left_two, right, right_two;
    const int16_t *weights = run->weights + i * run->apart, *low = run->low + i * run->apart;
    clipx_sums_avx2(kind, &run->order, run->src + (ptrdiff_t)run->first[i] * (ptrdiff_t)step, run->other, step, weights, low,
                    taps, &left, &left_two);
    clipx_sums_avx2(kind, &run->order, run->src + (ptrdiff_t)run->first[i + 1] * (ptrdiff_t)step, run->other, step,
                    weights + run->apart, low + run->apart, taps, &right, &right_two);
    *one = clipx_whole_sums_avx2(kind, left, right), *two = clipx_whole_sums_avx2(kind, left_two, right_two);
}

/* Eight outputs from i on, to where output `at` goes. */
CLIPX_AVX2 CLIPX_INLINE void clipx_eight_avx2(const clipx_run_avx2 *run, int kind, size_t step, size_t i, size_t at,
                                              size_t taps) {
    __m256i a, b, c, d, one, two, one_high, two_high;
    clipx_pair_avx2(run, kind, step, i, taps, &a, &b);
    clipx_pair_avx2(run, kind, step, i + 2, taps, &c, &d);
    one = clipx_words_avx2(kind, &run->order, a, c), two = clipx_words_avx2(kind, &run->order, b, d);
    clipx_pair_avx2(run, kind, step, i + 4, taps, &a, &b);
    clipx_pair_avx2(run, kind, step, i + 6, taps, &c, &d);
    one_high = clipx_words_avx2(kind, &run->order, a, c), two_high = clipx_words_avx2(kind, &run->order, b, d);
    if (kind == CLIPX_EXACT) {
        one = _mm256_shuffle_epi32(_mm256_packus_epi16(one, one_high), _MM_SHUFFLE(3, 1, 2, 0));
        two = _mm256_shuffle_epi32(_mm256_packus_epi16(two, two_high), _MM_SHUFFLE(3, 1, 2, 0));
        clipx_put_lines_avx2(one, run->d0 + at, run->d1 + at, run->d2 + at, run->d3 + at);
        clipx_put_lines_avx2(two, run->e0 + at, run->e1 + at, run->e2 + at, run->e3 + at);
    } else {
        at *= 2;
        clipx_put_lines_avx2(one, run->d0 + at, run->d1 + at, run->d2 + at, run->d3 + at);
        clipx_put_lines_avx2(two, run->e0 + at, run->e1 + at, run->e2 + at, run->e3 + at);
        at += 8;
        clipx_put_lines_avx2(one_high, run->d0 + at, run->d1 + at, run->d2 + at, run->d3 + at);
        clipx_put_lines_avx2(two_high, run->e0 + at, run->e1 + at, run->e2 + at, run->e3 + at);
    }
}

CLIPX_AVX2 CLIPX_INLINE void clipx_across_body_avx2(const clipx_axis *axis, int kind, size_t step, const uint8_t *src,
                                                    ptrdiff_t other, int shift, int from, int to, uint8_t *const *dst,
                                                    size_t taps) {
    const clipx_run_avx2 run = {clipx_order_quads(kind, step), (const uint8_t *)((uintptr_t)src - (uintptr_t)shift * step),
                                other, axis->first, kind == CLIPX_EXACT ? axis->high : axis->fine,
                                kind == CLIPX_EXACT ? axis->low : axis->fine, taps,
                                dst[0], dst[1], dst[2], dst[3], dst[4], dst[5], dst[6], dst[7]};
    const int32_t *count = axis->count;
    const __m256i fewer = _mm256_set1_epi32((int)taps - CLIPX_TAPS_TOGETHER);
    int x;
    for (x = from; x < to; x = CLIPX_NEXT_OUTPUTS(x, 8)) {
        /* Of many taps, most outputs have fewer than those that have the most. */
        __m256i counts = _mm256_loadu_si256((const __m256i *)(const void *)(count + x));
        if (taps <= 8 || _mm256_movemask_epi8(_mm256_cmpgt_epi32(counts, fewer)))
            clipx_eight_avx2(&run, kind, step, (size_t)x, (size_t)(x - from), taps);
        else
            clipx_eight_avx2(&run, kind, step, (size_t)x, (size_t)(x - from), taps - CLIPX_TAPS_TOGETHER);
    }
    _mm256_zeroupper();
}

#define CLIPX_ACROSS_TAPS(axis, kind, step, ...)                                                  \
    do {                                                                                          \
        if ((axis)->taps == 4)                                                                    \
            clipx_across_body_avx2(axis, kind, step, __VA_ARGS__, 4);                             \
        else if ((axis)->taps == 8)                                                               \
            clipx_across_body_avx2(axis, kind, step, __VA_ARGS__, 8);                             \
        else if ((axis)->taps == 12)                                                              \
            clipx_across_body_avx2(axis, kind, step, __VA_ARGS__, 12);                            \
        else                                                                                      \
            clipx_across_body_avx2(axis, kind, step, __VA_ARGS__, (size_t)(axis)->taps);          \
    } while (0)
CLIPX_AVX2 static void clipx_across_avx2(const clipx_axis *axis, int kind, int quads, const uint8_t *const *src, size_t step,
                                         int shift, int from, int to, uint8_t *const *dst) {
    if (to - from < 8 || quads < 2)
        clipx_across_baseline(axis, kind, quads, src, step, shift, from, to, dst);
    else
        CLIPX_ACROSS_KINDS(CLIPX_ACROSS_TAPS, src[0], src[1] - src[0], shift, from, to, dst);
}

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
static void clipx_across_baseline(const clipx_axis *axis, int kind, int quads, const uint8_t *const *src, size_t step,
                                  int shift, int from, int to, uint8_t *const *dst) {
    int q;
    for (q = 0; q < quads; q++) clipx_across_plain(axis, kind, src[q], step, shift, from, to, dst + 4 * q);
}

static void clipx_down_baseline(const clipx_axis *axis, int kind, int y, const uint8_t *const *lines, size_t n,
                                uint8_t *dst) {
    clipx_down_plain(axis, kind, y, lines, 0, n, dst);
}
#endif

#endif
