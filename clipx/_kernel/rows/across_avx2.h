/*
 * Lines resampled across, eight together, in vectors of AVX2: four lines of four taps, and the same of the other quad. Wider
 * ones would hold more taps than most outputs have, so that AVX-512 takes these too.
 */
#ifndef CLIPX_ACROSS_AVX2_H
#define CLIPX_ACROSS_AVX2_H

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
    _mm_storeh_pi((__m64 *)(void *)d1, _mm_castsi128_ps(low));
    _mm_storel_epi64((__m128i *)(void *)d2, high);
    _mm_storeh_pi((__m64 *)(void *)d3, _mm_castsi128_ps(high));
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
                                                    ptrdiff_t ahead, size_t taps) {
    const clipx_run_avx2 run = {clipx_order_quads(kind, step), (const uint8_t *)((uintptr_t)src - (uintptr_t)shift * step),
                                other, axis->first, kind == CLIPX_EXACT ? axis->high : axis->fine,
                                kind == CLIPX_EXACT ? axis->low : axis->fine, taps,
                                dst[0], dst[1], dst[2], dst[3], dst[4], dst[5], dst[6], dst[7]};
    const int32_t *count = axis->count;
    const __m256i fewer = _mm256_set1_epi32((int)taps - CLIPX_TAPS_TOGETHER);
    int x;
    for (x = from; x < to; x = CLIPX_NEXT_OUTPUTS(x, 8)) {
        /* The hardware foresees whole rows, but not those of a rectangle. */
        const uint8_t *later = run.src + (ptrdiff_t)run.first[x] * (ptrdiff_t)step + ahead;
        if (kind == CLIPX_EXACT) {
            CLIPX_PREFETCH(later);
            CLIPX_PREFETCH(later + CLIPX_LINE);
            CLIPX_PREFETCH(later + other);
            CLIPX_PREFETCH(later + other + CLIPX_LINE);
        }
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
                                         int shift, int from, int to, uint8_t *const *dst, ptrdiff_t ahead) {
    if (to - from < 8 || quads < 2)
        clipx_across_baseline(axis, kind, quads, src, step, shift, from, to, dst, ahead);
    else
        CLIPX_ACROSS_KINDS(CLIPX_ACROSS_TAPS, src[0], src[1] - src[0], shift, from, to, dst, ahead);
}

#endif
