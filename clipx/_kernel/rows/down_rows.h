/*
 * Lines resampled down by one implementation, in the vector operations D_... that down.h defines before it includes
 * this; they are undefined again at the end. Two lines at a time: the words of both lie in turn.
 */

#if defined(D_MADD_BYTES)
/*
 * Bytes, where the products of `high` have 15 bits together: these are summed in words, of half as many operations.
 * Returns how many are done.
 */
D_TARGET CLIPX_INLINE size_t D_NAME(clipx_down_bytes)(const clipx_axis *axis, int y, const uint8_t *const *lines, size_t n,
                                                      uint8_t *dst) {
    const int16_t *high = axis->high + (size_t)y * (size_t)axis->taps, *low = axis->low + (size_t)y * (size_t)axis->taps;
    const int count = axis->count[y];
    size_t i;
    int k;
    for (i = 0; i + 2 * D_LANES <= n; i = i + 4 * D_LANES > n && i + 2 * D_LANES < n ? n - 2 * D_LANES : i + 2 * D_LANES) {
        const D_TYPE zero = D_SET(0), half = D_SET(1 << (CLIPX_EXACT_BITS - 1));
        D_TYPE s0 = half, s1 = half, s2 = half, s3 = half, h0 = zero, h1 = zero;
        for (k = 0; k < count; k += 2) {
            /* Behind the last line is one of weight 0. */
            D_TYPE a = D_LOAD(lines[k] + i), b = D_LOAD(lines[k + 1] + i), w, one = D_LOW_BYTES(a, b), two = D_HIGH_BYTES(a, b);
            int32_t pair;
            w = D_SET_WORDS((int16_t)(high[k] | high[k + 1] * 256));
            h0 = D_ADD_WORDS(h0, D_MADD_BYTES(one, w)), h1 = D_ADD_WORDS(h1, D_MADD_BYTES(two, w));
            memcpy(&pair, low + k, 4);
            w = D_SET(pair);
            s0 = D_ADD(s0, D_MADD(D_LOW_BYTES(one, zero), w)), s1 = D_ADD(s1, D_MADD(D_HIGH_BYTES(one, zero), w));
            s2 = D_ADD(s2, D_MADD(D_LOW_BYTES(two, zero), w)), s3 = D_ADD(s3, D_MADD(D_HIGH_BYTES(two, zero), w));
        }
        s0 = D_RIGHT(D_ADD(s0, D_LEFT(D_LOW(h0, zero), CLIPX_LOW_BITS)), CLIPX_EXACT_BITS);
        s1 = D_RIGHT(D_ADD(s1, D_LEFT(D_HIGH(h0, zero), CLIPX_LOW_BITS)), CLIPX_EXACT_BITS);
        s2 = D_RIGHT(D_ADD(s2, D_LEFT(D_LOW(h1, zero), CLIPX_LOW_BITS)), CLIPX_EXACT_BITS);
        s3 = D_RIGHT(D_ADD(s3, D_LEFT(D_HIGH(h1, zero), CLIPX_LOW_BITS)), CLIPX_EXACT_BITS);
        D_STORE_ALL(dst + i, D_ALL_BYTES(D_WORDS(s0, s1), D_WORDS(s2, s3)));
    }
    return i;
}
#endif

D_TARGET CLIPX_INLINE void D_NAME(clipx_down_body)(const clipx_axis *axis, int kind, int y, const uint8_t *const *lines,
                                                   size_t n, uint8_t *dst) {
    const int16_t *weights = (kind == CLIPX_EXACT ? axis->high : axis->fine) + (size_t)y * (size_t)axis->taps;
    const int16_t *weights_low = (kind == CLIPX_EXACT ? axis->low : axis->fine) + (size_t)y * (size_t)axis->taps;
    const size_t item = kind == CLIPX_EXACT ? 1 : 2;
    const int count = axis->count[y];
    size_t i = 0;
    int k;
#if defined(D_MADD_BYTES)
    if (kind == CLIPX_EXACT && axis->bytes && n >= 2 * D_LANES) i = D_NAME(clipx_down_bytes)(axis, y, lines, n, dst);
#endif
    for (; i + D_LANES <= n; i = i + 2 * D_LANES > n && i + D_LANES < n ? n - D_LANES : i + D_LANES) {
        const D_TYPE half = D_SET(1 << ((kind == CLIPX_EXACT ? CLIPX_EXACT_BITS : CLIPX_FINE_BITS) - 1));
        D_TYPE low = half, high = half, low2 = D_SET(0), high2 = D_SET(0);
        for (k = 0; k < count; k += 2) {
            /* Behind the last line is one of weight 0. */
            const uint8_t *one = lines[k] + i * item, *two = lines[k + 1] + i * item;
            D_TYPE a = kind == CLIPX_EXACT ? D_BYTES(one) : D_LOAD(one), b = kind == CLIPX_EXACT ? D_BYTES(two) : D_LOAD(two);
            D_TYPE pairs_low = D_LOW(a, b), pairs_high = D_HIGH(a, b), w;
            int32_t pair;
            if (kind == CLIPX_EXACT) {
                memcpy(&pair, weights_low + k, 4);
                w = D_SET(pair);
                low = D_ADD(low, D_MADD(pairs_low, w)), high = D_ADD(high, D_MADD(pairs_high, w));
                memcpy(&pair, weights + k, 4);
                w = D_SET(pair);
                low2 = D_ADD(low2, D_MADD(pairs_low, w)), high2 = D_ADD(high2, D_MADD(pairs_high, w));
            } else {
                memcpy(&pair, weights + k, 4);
                w = D_SET(pair);
                low = D_ADD(low, D_MADD(pairs_low, w)), high = D_ADD(high, D_MADD(pairs_high, w));
            }
        }
        if (kind == CLIPX_EXACT) {
            low = D_RIGHT(D_ADD(low, D_LEFT(low2, CLIPX_LOW_BITS)), CLIPX_EXACT_BITS);
            high = D_RIGHT(D_ADD(high, D_LEFT(high2, CLIPX_LOW_BITS)), CLIPX_EXACT_BITS);
            D_STORE_BYTES(dst + i, D_WORDS(low, high));
        } else {
            D_STORE(dst + 2 * i, D_WORDS(D_RIGHT(low, CLIPX_FINE_BITS), D_RIGHT(high, CLIPX_FINE_BITS)));
        }
    }
    D_CLEAR();
    clipx_down_plain(axis, kind, y, lines, i, n, dst);
}

D_TARGET static void D_NAME(clipx_down)(const clipx_axis *axis, int kind, int y, const uint8_t *const *lines, size_t n,
                                        uint8_t *dst) {
    if (kind == CLIPX_EXACT)
        D_NAME(clipx_down_body)(axis, CLIPX_EXACT, y, lines, n, dst);
    else
        D_NAME(clipx_down_body)(axis, CLIPX_FINE16, y, lines, n, dst);
}

#undef D_NAME
#undef D_TARGET
#undef D_CLEAR
#undef D_TYPE
#undef D_LANES
#undef D_SET
#undef D_LOAD
#undef D_BYTES
#undef D_LOW
#undef D_HIGH
#undef D_MADD
#undef D_ADD
#undef D_LEFT
#undef D_RIGHT
#undef D_WORDS
#undef D_STORE
#undef D_STORE_BYTES
#undef D_MADD_BYTES
#undef D_SET_WORDS
#undef D_ADD_WORDS
#undef D_LOW_BYTES
#undef D_HIGH_BYTES
#undef D_ALL_BYTES
#undef D_STORE_ALL
