/*
 * Rows of one implementation, in the vector operations V_... that color.h defines before it includes this; they are
 * undefined again at the end.
 */

/* What chroma of 16 bits adds to red, green and blue. */
#define V_TERMS(u, v, tr, tg, tb)                            \
    do {                                                     \
        V_TYPE cu = V_XOR(u, centre), cv = V_XOR(v, centre); \
        tr = V_MULR(cv, rv);                                 \
        tg = V_ADD(V_MULR(cu, gu), V_MULR(cv, gv));          \
        tb = V_MULR(cu, bu);                                 \
    } while (0)
#define V_CHROMA(sample) V_LEFT(sample, V_COUNT(c->c_left))
#define V_LUMA(sample) V_RIGHT(V_LEFT(sample, V_COUNT(c->y_left)), V_COUNT(c->y_right))

/* Two vectors of samples of two bytes at pixel i of a plane, in the order of V_BYTES. */
#define V_SAMPLES(plane, low, high)                                                        \
    do {                                                                                   \
        V_TYPE one = V_LOAD((plane) + 2 * i), two = V_LOAD((plane) + 2 * i + 2 * V_LANES); \
        low = V_DEAL_LOW(one, two), high = V_DEAL_HIGH(one, two);                          \
    } while (0)
#define V_OUT(a, b) (bytes == 1 ? V_BRAID(a, b) : V_BYTES(a, b))

/* Vectors over n pixels, 2 * V_LANES at least; an odd last pixel may be left. Returns how many are done. */
V_TARGET CLIPX_INLINE size_t V_NAME(clipx_color_body)(const clipx_samples *row, size_t n, uint8_t *r, uint8_t *g,
                                                      uint8_t *b, int chroma, int bytes) {
    const clipx_color *c = row->color;
    const V_TYPE ky = V_SET((int16_t)(bytes == 1 ? 2 * c->ky : c->ky)), bias = V_SET(c->bias), rv = V_SET(c->rv),
                 gu = V_SET(c->gu), gv = V_SET(c->gv), bu = V_SET(c->bu), centre = V_SET((int16_t)-0x8000);
    size_t i = 0;
    for (;;) {
        V_TYPE y0, y1, r0, r1, g0, g1, b0, b1;
        if (bytes == 1) {
            V_TYPE both = V_LOAD(row->y + i);
            y0 = V_EVEN64(both), y1 = V_ODD64(both); /* of 14 bits, not 15, which ky makes up for */
        } else {
            V_SAMPLES(row->y, y0, y1);
            y0 = V_LUMA(y0), y1 = V_LUMA(y1);
        }
        y0 = V_ADD(V_MULR(y0, ky), bias), y1 = V_ADD(V_MULR(y1, ky), bias);
        if (chroma == CLIPX_GRAY) {
            V_TYPE luma = V_OUT(y0, y1);
            V_STORE(r + i, luma);
            V_STORE(g + i, luma);
            V_STORE(b + i, luma);
        } else {
            if (chroma == CLIPX_FULL) {
                V_TYPE u0, u1, v0, v1;
                if (bytes == 1) {
                    V_TYPE u = V_LOAD(row->u + i), v = V_LOAD(row->v + i);
                    u0 = V_EVEN8(u), u1 = V_ODD8(u), v0 = V_EVEN8(v), v1 = V_ODD8(v);
                } else {
                    V_SAMPLES(row->u, u0, u1);
                    V_SAMPLES(row->v, v0, v1);
                    u0 = V_CHROMA(u0), u1 = V_CHROMA(u1), v0 = V_CHROMA(v0), v1 = V_CHROMA(v1);
                }
                V_TERMS(u0, v0, r0, g0, b0);
                V_TERMS(u1, v1, r1, g1, b1);
            } else {
                V_TYPE u, v;
                if (chroma == CLIPX_PAIRED) {
                    u = bytes == 1 ? V_WIDE(row->u + i / 2) : V_CHROMA(V_LOAD(row->u + i));
                    v = bytes == 1 ? V_WIDE(row->v + i / 2) : V_CHROMA(V_LOAD(row->v + i));
                } else {
                    V_TYPE one = V_LOAD(row->u + i * (size_t)bytes);
                    V_TYPE two = bytes == 1 ? one : V_LOAD(row->u + 2 * i + 2 * V_LANES);
                    u = bytes == 1 ? V_EVEN8(one) : V_CHROMA(V_EVEN16(one, two));
                    v = bytes == 1 ? V_ODD8(one) : V_CHROMA(V_ODD16(one, two));
                }
                V_TERMS(u, v, r0, g0, b0);
                r1 = r0, g1 = g0, b1 = b0;
                if (bytes == 2) {
                    r0 = V_LOW16(r1), r1 = V_HIGH16(r1);
                    g0 = V_LOW16(g1), g1 = V_HIGH16(g1);
                    b0 = V_LOW16(b1), b1 = V_HIGH16(b1);
                }
            }
            V_STORE(r + i, V_OUT(V_ADD(y0, r0), V_ADD(y1, r1)));
            V_STORE(g + i, V_OUT(V_ADD(y0, g0), V_ADD(y1, g1)));
            V_STORE(b + i, V_OUT(V_ADD(y0, b0), V_ADD(y1, b1)));
        }
        i += 2 * V_LANES;
        if (i + 1 >= n) return i;
        /* The last vectors overlap those before them; they begin at an even pixel. */
        if (i + 2 * V_LANES > n) i = (n - 2 * V_LANES) & ~(size_t)1;
    }
}

V_TARGET static void V_NAME(clipx_color)(const clipx_samples *row, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    size_t done = 0;
    if (n < 2 * V_LANES) {
        V_NARROWER(row, n, r, g, b);
        return;
    }
    switch (row->chroma * 2 + row->bytes - 1) {
#define V_CASE(chroma, bytes)                                            \
    case (chroma) * 2 + (bytes) - 1:                                     \
        done = V_NAME(clipx_color_body)(row, n, r, g, b, chroma, bytes); \
        break;
        V_CASE(CLIPX_GRAY, 1)
        V_CASE(CLIPX_GRAY, 2)
        V_CASE(CLIPX_FULL, 1)
        V_CASE(CLIPX_FULL, 2)
        V_CASE(CLIPX_PAIRED, 1)
        V_CASE(CLIPX_PAIRED, 2)
        V_CASE(CLIPX_INTERLEAVED, 1)
        V_CASE(CLIPX_INTERLEAVED, 2)
#undef V_CASE
    }
    V_CLEAR(); /* not left to the compiler, which forgets it where it jumps to what is called last */
    clipx_color_pixels(row, done, n, r, g, b);
}

#undef V_TERMS
#undef V_CHROMA
#undef V_LUMA
#undef V_SAMPLES
#undef V_OUT
#undef V_NAME
#undef V_NARROWER
#undef V_TARGET
#undef V_CLEAR
#undef V_TYPE
#undef V_LANES
#undef V_SET
#undef V_COUNT
#undef V_LEFT
#undef V_RIGHT
#undef V_XOR
#undef V_ADD
#undef V_MULR
#undef V_LOAD
#undef V_STORE
#undef V_WIDE
#undef V_LOW16
#undef V_HIGH16
#undef V_DEAL_LOW
#undef V_DEAL_HIGH
#undef V_EVEN64
#undef V_ODD64
#undef V_EVEN8
#undef V_ODD8
#undef V_EVEN16
#undef V_ODD16
#undef V_BYTES
#undef V_BRAID
