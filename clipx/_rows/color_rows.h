/*
 * Rows of one implementation, in the vector operations V_... that color.h defines before it includes this; they are
 * undefined again at the end. Whole vectors only; clipx_color_pixels does the rest of a row in the same steps.
 */

#define V_SAMPLES(wide, narrow, p) (bytes == 1 ? narrow(p) : wide(p))

V_TARGET CLIPX_INLINE size_t V_NAME(clipx_color_body)(const clipx_samples *row, size_t n, uint8_t *r, uint8_t *g,
                                                      uint8_t *b, int chroma, int bytes) {
    const clipx_color *c = row->color;
    const V_TYPE ky = V_SET(c->ky), bias = V_SET(c->bias), rv = V_SET(c->rv), gu = V_SET(c->gu), gv = V_SET(c->gv),
                 bu = V_SET(c->bu), centre = V_SET((int16_t)-0x8000);
    size_t i;
    for (i = 0; i + V_LANES <= n; i += V_LANES) {
        V_TYPE y = V_SAMPLES(V_LOAD16, V_LOAD8, row->y + i * (size_t)bytes), u, v;
        y = V_RIGHT(V_LEFT(y, V_COUNT(c->y_left)), V_COUNT(c->y_right));
        y = V_ADD(V_MULR(y, ky), bias);
        if (chroma == CLIPX_GRAY) {
            V_STORE(r + i, y);
            V_STORE(g + i, y);
            V_STORE(b + i, y);
            continue;
        }
        if (chroma == CLIPX_INTERLEAVED) {
            V_TYPE uv = V_SAMPLES(V_LOAD16, V_UV8, row->u + i * (size_t)bytes);
            u = bytes == 1 ? V_U8(uv) : V_U16(uv);
            v = bytes == 1 ? V_V8(uv) : V_V16(uv);
        } else if (chroma == CLIPX_PAIRED) {
            u = V_SAMPLES(V_PAIR16, V_PAIR8, row->u + i / 2 * (size_t)bytes);
            v = V_SAMPLES(V_PAIR16, V_PAIR8, row->v + i / 2 * (size_t)bytes);
        } else {
            u = V_SAMPLES(V_LOAD16, V_LOAD8, row->u + i * (size_t)bytes);
            v = V_SAMPLES(V_LOAD16, V_LOAD8, row->v + i * (size_t)bytes);
        }
        u = V_XOR(V_LEFT(u, V_COUNT(c->c_left)), centre);
        v = V_XOR(V_LEFT(v, V_COUNT(c->c_left)), centre);
        V_STORE(r + i, V_ADD(y, V_MULR(v, rv)));
        V_STORE(g + i, V_ADD(V_ADD(y, V_MULR(u, gu)), V_MULR(v, gv)));
        V_STORE(b + i, V_ADD(y, V_MULR(u, bu)));
    }
    return i;
}

V_TARGET static void V_NAME(clipx_color)(const clipx_samples *row, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
    size_t done;
    switch (row->chroma * 2 + row->bytes - 1) {
#define V_CASE(chroma, bytes)                                                           \
    case (chroma) * 2 + (bytes) - 1:                                                    \
        done = V_NAME(clipx_color_body)(row, n, r, g, b, chroma, bytes);                \
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
        default:
            done = 0;
    }
    clipx_color_pixels(row, done, n, r, g, b);
}

#undef V_SAMPLES
#undef V_NAME
#undef V_TARGET
#undef V_TYPE
#undef V_LANES
#undef V_SET
#undef V_COUNT
#undef V_LEFT
#undef V_RIGHT
#undef V_XOR
#undef V_ADD
#undef V_MULR
#undef V_LOAD8
#undef V_LOAD16
#undef V_PAIR8
#undef V_PAIR16
#undef V_UV8
#undef V_U8
#undef V_V8
#undef V_U16
#undef V_V16
#undef V_STORE
