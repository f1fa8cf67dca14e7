/*
 * Whether what a file calls PCM may be frames of another codec, as compressed sound in WAV files is. FFmpeg then decodes
 * those; here more files are left to it than it decides so for, never fewer.
 */
#ifndef CLIPX_SYNCS_H
#define CLIPX_SYNCS_H

#include "cpu.h"

#include <stddef.h>
#include <stdint.h>

enum { CLIPX_ADTS, CLIPX_LOAS, CLIPX_MPEG, CLIPX_AC3, CLIPX_SYNCS };

/* FFmpeg decides at more frames, one after the other, than these; at the very beginning at so many. */
enum { CLIPX_MOST_FRAMES = 90, CLIPX_MOST_LONG_FRAMES = 200, CLIPX_FIRST_FRAMES = 3, CLIPX_FIRST_LONG_FRAMES = 7 };

CLIPX_INLINE int clipx_is_adts(const uint8_t *p) { return (p[0] == 0xff) & ((p[1] & 0xf6) == 0xf0); }

CLIPX_INLINE int clipx_is_loas(const uint8_t *p) { return (p[0] == 0x56) & ((p[1] & 0xe0) == 0xe0); }

/* A version, a layer, a bit rate and a sample rate that there are. */
CLIPX_INLINE int clipx_is_mpeg(const uint8_t *p) {
    int first = (p[0] == 0xff) & ((p[1] & 0xe0) == 0xe0) & ((p[1] & 0x18) != 0x08) & ((p[1] & 0x06) != 0);
    return first & ((p[2] & 0xf0) != 0xf0) & ((p[2] & 0xf0) != 0) & ((p[2] & 0x0c) != 0x0c);
}

CLIPX_INLINE int clipx_is_ac3(const uint8_t *p) {
    return ((p[0] == 0x0b) & (p[1] == 0x77)) | ((p[0] == 0x77) & (p[1] == 0x0b));
}

CLIPX_INLINE int clipx_is_four(const uint8_t *p, int a, int b, int c, int d) {
    return (p[0] == a) & (p[1] == b) & (p[2] == c) & (p[3] == d);
}

/* That of ID3, which FFmpeg passes over. */
CLIPX_INLINE int clipx_is_tag(const uint8_t *p) { return (p[0] == 'I') & (p[1] == 'D') & (p[2] == '3'); }

/* Rare four bytes: those of bursts of IEC 61937, of TrueHD, and of DTS in its five packings. */
CLIPX_INLINE int clipx_is_mark(const uint8_t *p) {
    return clipx_is_four(p, 0x72, 0xf8, 0x1f, 0x4e) | clipx_is_four(p, 0xf8, 0x72, 0x6f, 0xba) |
           clipx_is_four(p, 0x7f, 0xfe, 0x80, 0x01) | clipx_is_four(p, 0xfe, 0x7f, 0x01, 0x80) |
           clipx_is_four(p, 0x1f, 0xff, 0xe8, 0x00) | clipx_is_four(p, 0xff, 0x1f, 0x00, 0xe8) |
           clipx_is_four(p, 0x64, 0x58, 0x20, 0x25);
}

/* Frames from p on, one right behind the other, but no more than `most`. */
static int clipx_chain(int codec, const uint8_t *p, const uint8_t *end, int most) {
    int frames = 0;
    while (frames < most && end - p >= 7) {
        size_t size;
        if (codec == CLIPX_ADTS ? !clipx_is_adts(p) : !clipx_is_loas(p)) break;
        size = codec == CLIPX_ADTS ? (size_t)((p[3] & 3) << 11 | p[4] << 3 | p[5] >> 5)
                                   : (size_t)((p[1] & 0x1f) << 8 | p[2]) + 3;
        if (size < 7) break;
        frames++;
        if (size > (size_t)(end - p)) break;
        p += size;
    }
    return frames;
}

#define CLIPX_COUNT_SYNCS(TEST)                                    \
    for (i = 0; i < part; i++) here = (uint8_t)(here + TEST(p + i));

/* Positions of n that pass each test; marks: those of rare four bytes. Four bytes more are read. */
CLIPX_INLINE void clipx_count_body(const uint8_t *p, size_t n, uint32_t *counts, uint32_t *marks) {
    while (n) {
        size_t part = n < 128 ? n : 128, i;
        uint8_t here = 0;
        CLIPX_COUNT_SYNCS(clipx_is_adts)
        counts[CLIPX_ADTS] += here, here = 0;
        CLIPX_COUNT_SYNCS(clipx_is_loas)
        counts[CLIPX_LOAS] += here, here = 0;
        CLIPX_COUNT_SYNCS(clipx_is_mpeg)
        counts[CLIPX_MPEG] += here, here = 0;
        CLIPX_COUNT_SYNCS(clipx_is_ac3)
        counts[CLIPX_AC3] += here, here = 0;
        CLIPX_COUNT_SYNCS(clipx_is_mark)
        *marks += here;
        p += part, n -= part;
    }
}

typedef void (*clipx_syncs_fn)(const uint8_t *p, size_t n, uint32_t *counts, uint32_t *marks);

static void clipx_syncs_baseline(const uint8_t *p, size_t n, uint32_t *counts, uint32_t *marks) {
    clipx_count_body(p, n, counts, marks);
}

#if defined(CLIPX_X86_TARGETS)
/* The same loops in wider vectors. */
CLIPX_AVX2 static void clipx_syncs_avx2(const uint8_t *p, size_t n, uint32_t *counts, uint32_t *marks) {
    clipx_count_body(p, n, counts, marks);
}
#endif

static int clipx_may_be_coded(clipx_syncs_fn count, const uint8_t *p, size_t n) {
    uint32_t counts[CLIPX_SYNCS] = {0}, marks = 0;
    const uint8_t *end = p + n, *first = p;
    size_t i;
    int codec;
    if (n < 8) return 0;
    count(p, n - 4, counts, &marks);
    if (marks || counts[CLIPX_MPEG] > CLIPX_MOST_LONG_FRAMES || counts[CLIPX_AC3] > CLIPX_MOST_LONG_FRAMES) return 1;
    while (end - first > 4 && !*first) first++;
    if (clipx_is_tag(p) || clipx_is_tag(first)) return 1;
    if (counts[CLIPX_MPEG] >= CLIPX_FIRST_LONG_FRAMES && clipx_is_mpeg(first)) return 1;
    /* Dolby's frames may come behind 16 bytes of a header of their own. */
    if (counts[CLIPX_AC3] >= CLIPX_FIRST_LONG_FRAMES && (clipx_is_ac3(p) || clipx_is_four(p, 1, 0x10, 0, 0))) return 1;
    for (codec = CLIPX_ADTS; codec <= CLIPX_LOAS; codec++) {
        if (clipx_chain(codec, p, end, CLIPX_FIRST_FRAMES) >= CLIPX_FIRST_FRAMES) return 1;
        if (counts[codec] <= CLIPX_MOST_FRAMES) continue;
        for (i = 0; i + 7 <= n; i++)
            if (clipx_chain(codec, p + i, end, CLIPX_MOST_FRAMES) >= CLIPX_MOST_FRAMES) return 1;
    }
    return 0;
}

#endif
