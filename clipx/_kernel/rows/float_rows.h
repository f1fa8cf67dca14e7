/*
 * Rows of one implementation, in the vector operations F_... that floats.h defines before it includes this; they are
 * undefined again at the end.
 */

#define F_VALUE(from, j) F_MUL(F_SUB(F_SUB(F_BYTES(src + (from)), high[j]), low[j]), factor[j])

/* Behind a block at i; the last one overlaps those before it, where it may. */
#define F_NEXT(i, block) ((i) + 2 * (block) > n && (i) + (block) < n && overlaps ? n - (block) : (i) + (block))

F_TARGET CLIPX_INLINE void F_NAME(clipx_floats_body)(const clipx_scale *scale, int kind, int channel, const uint8_t *src,
                                                     size_t n, char *dst, int streams, size_t period) {
    const size_t item = kind == CLIPX_F32 ? 4 : 2;
    const int overlaps = !streams && n % period == 0;
    F_TYPE high[3], low[3], factor[3];
    size_t i, j;
    for (j = 0; j < period; j++) {
        const size_t at = j * F_LANES;
        if (period == 1)
            high[j] = F_SET(scale->high[channel]), low[j] = F_SET(scale->low[channel]),
            factor[j] = F_SET(scale->factor[channel]);
        else
            high[j] = F_LOAD(scale->high + at), low[j] = F_LOAD(scale->low + at), factor[j] = F_LOAD(scale->factor + at);
    }
    if (kind == CLIPX_F32) {
        for (i = 0; i + period * F_LANES <= n; i = F_NEXT(i, period * F_LANES)) {
            for (j = 0; j < period; j++) {
                F_TYPE value = F_VALUE(i + j * F_LANES, j);
                char *to = dst + (i + j * F_LANES) * item;
                if (streams)
                    F_STREAM(to, value);
                else
                    F_STORE(to, value);
            }
        }
    } else {
        /* Two at a time: half a line that is streamed costs as much as a whole one. */
        for (i = 0; i + 2 * period * F_LANES <= n; i = F_NEXT(i, 2 * period * F_LANES)) {
            for (j = 0; j < 2 * period; j += 2) {
                F_TYPE one = F_VALUE(i + j * F_LANES, j % period), two = F_VALUE(i + (j + 1) * F_LANES, (j + 1) % period);
                F_PAIR both = kind == CLIPX_F16 ? F_HALVES(one, two) : F_BRAINS(one, two);
                char *to = dst + (i + j * F_LANES) * item;
                if (streams)
                    F_STREAM_PAIR(to, both);
                else
                    F_STORE_PAIR(to, both);
            }
        }
    }
    F_CLEAR(); /* not left to the compiler, which forgets it where it jumps to what is called last */
    clipx_float_bytes(scale, kind, channel, src, i, n, dst);
}

F_TARGET static void F_NAME(clipx_floats)(const clipx_scale *scale, int kind, int channel, const uint8_t *src, size_t n,
                                          char *dst, int streams) {
    int each = channel == CLIPX_EACH;
    switch (kind * 4 + each * 2 + (streams != 0)) {
#define F_CASE(kind, each, streams)                                                                               \
    case (kind) * 4 + (each) * 2 + (streams):                                                                     \
        F_NAME(clipx_floats_body)(scale, kind, (each) ? CLIPX_EACH : channel, src, n, dst, streams, (each) ? 3 : 1); \
        break;
#define F_CASES(kind) F_CASE(kind, 0, 0) F_CASE(kind, 0, 1) F_CASE(kind, 1, 0) F_CASE(kind, 1, 1)
        F_CASES(CLIPX_F32)
        F_CASES(CLIPX_F16)
        F_CASES(CLIPX_BF16)
#undef F_CASES
#undef F_CASE
    }
}

#undef F_NAME
#undef F_TARGET
#undef F_CLEAR
#undef F_TYPE
#undef F_LANES
#undef F_LOAD
#undef F_SET
#undef F_SUB
#undef F_MUL
#undef F_BYTES
#undef F_HALVES
#undef F_BRAINS
#undef F_STORE
#undef F_STREAM
#undef F_PAIR
#undef F_STORE_PAIR
#undef F_STREAM_PAIR
#undef F_VALUE
#undef F_NEXT
