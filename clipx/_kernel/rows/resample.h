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
 * first on. ahead: from what is read to what is read next, in bytes, for which memory is asked meanwhile.
 */
typedef void (*clipx_across_fn)(const clipx_axis *axis, int kind, int quads, const uint8_t *const *src, size_t step,
                                int shift, int from, int to, uint8_t *const *dst, ptrdiff_t ahead);

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

#include "across.h"
#include "down.h"

#endif
