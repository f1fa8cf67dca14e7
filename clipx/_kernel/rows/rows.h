/*
 * The implementations of the rows; the best that runs is chosen once, at import.
 *
 *     cpu.h                    which implementations this compiler builds and this processor runs
 *     copy.h                   bytes, through the cache or past it
 *     pixels.h                 three rows packed to RGB, and back; a row flipped; pixels_ssse3.h: with shuffles of bytes
 *     color.h, color_rows.h    Y'CbCr to R'G'B': in plain C, and in vectors; color_sse.h: those of SSE2 and SSSE3
 *     floats.h, float_rows.h   bytes to float32, float16 and bfloat16: in plain C, and in vectors
 *     numbers.h                numbers of any type to floats
 *     pcm.h                    samples of sound to float32 and int16
 *     taps.h                   the samples that a resampled one is made of, and their weights
 *     resample.h               lines resampled: across.h, across_avx2.h, and down: down.h, down_rows.h
 *     syncs.h                  whether these are frames of another codec
 *
 * Their callers: frame.h writes one frame of any strides, gather.h an index table of frames, picture.h a decoded
 * picture, views.h several views of one, stack.h, resampled.h and resampled_numbers.h what is resampled on the way,
 * formatted.h an index table of an array's frames that have a format, and sound.h frames of PCM.
 */
#ifndef CLIPX_ROWS_H
#define CLIPX_ROWS_H

#include "color.h"
#include "copy.h"
#include "floats.h"
#include "numbers.h"
#include "pcm.h"
#include "pixels.h"
#include "resample.h"
#include "syncs.h"

typedef struct {
    const char *name;
    int (*runs)(void);
    clipx_copy_fn stream;
    clipx_color_fn color;
    clipx_pack_fn pack;
    clipx_unpack_fn unpack;
    clipx_flip_fn flip;
    clipx_floats_fn floats;
    clipx_numbers_fn numbers;
    clipx_pcm_fn pcm;
    clipx_planes_fn planes;
    clipx_syncs_fn syncs;
    clipx_across_fn across;
    clipx_down_fn down;
} clipx_rows;

static int clipx_always(void) { return 1; }

/* Best first. */
static const clipx_rows clipx_implementations[] = {
#if defined(CLIPX_X86_TARGETS)
    {"avx512", clipx_has_avx512, clipx_stream_avx512, clipx_color_avx512, clipx_pack_avx512,
     clipx_unpack_avx512, clipx_flip_avx512, clipx_floats_avx512,
     clipx_numbers_avx2, clipx_pcm_avx512, clipx_planes_avx512, clipx_syncs_avx2,
     clipx_across_avx2, clipx_down_avx512},
    {"avx2", clipx_has_avx2, clipx_stream_avx2, clipx_color_avx2, clipx_pack_avx2,
     clipx_unpack_avx2, clipx_flip_avx2, clipx_floats_avx2,
     clipx_numbers_avx2, clipx_pcm_avx2, clipx_planes_avx2, clipx_syncs_avx2,
     clipx_across_avx2, clipx_down_avx2},
    {"ssse3", clipx_has_ssse3, clipx_stream_baseline, clipx_color_ssse3, clipx_pack_ssse3,
     clipx_unpack_ssse3, clipx_flip_ssse3, clipx_floats_baseline,
     clipx_numbers_baseline, clipx_pcm_baseline, clipx_planes_baseline, clipx_syncs_baseline,
     clipx_across_baseline, clipx_down_baseline},
#elif defined(CLIPX_NEON)
    {"neon", clipx_always, clipx_stream_baseline, clipx_color_neon, clipx_pack_neon,
     clipx_unpack_neon, clipx_flip_neon, clipx_floats_neon,
     clipx_numbers_baseline, clipx_pcm_baseline, clipx_planes_baseline, clipx_syncs_baseline,
     clipx_across_neon, clipx_down_neon},
#endif
    {"baseline", clipx_always, clipx_stream_baseline, clipx_color_baseline, clipx_pack_baseline,
     clipx_unpack_baseline, clipx_flip_baseline, clipx_floats_baseline,
     clipx_numbers_baseline, clipx_pcm_baseline, clipx_planes_baseline, clipx_syncs_baseline,
     clipx_across_baseline, clipx_down_baseline},
};
enum { CLIPX_IMPLEMENTATIONS = sizeof clipx_implementations / sizeof clipx_implementations[0] };

#endif
