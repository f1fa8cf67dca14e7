/* Frames of PCM, as a file has them, to the positions of a clip. */
#ifndef CLIPX_SOUND_H
#define CLIPX_SOUND_H

#include "rows.h"

/* Frames of interleaved PCM, and where their samples go. */
typedef struct {
    const uint8_t *src; /* the first frame */
    size_t stride;      /* bytes from one frame to the next that is written */
    size_t count;
    char *dst;    /* position of the first frame: in the first plane, or of all channels */
    size_t plane; /* bytes from one plane to the next */
} clipx_sound;

/* How far ahead of what is converted its source is asked for. */
enum { CLIPX_PCM_AHEAD = 4 * CLIPX_PCM_ROOM };

static void clipx_write_sound(const clipx_rows *rows, const clipx_pcm *pcm, const clipx_sound *sound) {
    CLIPX_ALIGNED(64) uint8_t picked[CLIPX_PCM_ROOM];
    CLIPX_ALIGNED(64) char items[4 * CLIPX_PCM_ROOM];
    size_t channels = (size_t)pcm->channels, sample = clipx_pcm_bytes(pcm->type), frame = channels * sample;
    size_t item = clipx_pcm_item(pcm), most = CLIPX_PCM_ROOM / frame, left = sound->count;
    int planes = pcm->planar && channels > 1;
    size_t wide = planes ? item : item * channels; /* from one position to the next */
    const uint8_t *src = sound->src;
    char *dst = sound->dst;
    while (left) {
        size_t n = left < most ? left : most, i;
        const uint8_t *from = src;
        if (sound->stride == frame)
            for (i = 0; i < n * frame; i += CLIPX_LINE) CLIPX_PREFETCH(src + CLIPX_PCM_AHEAD + i);
        if (sound->stride != frame) clipx_pcm_pick(src, sound->stride, n, frame, picked), from = picked;
        if (pcm->swapped) clipx_pcm_swap(from, n * channels, sample, picked), from = picked;
        rows->pcm(pcm, from, n * channels, planes ? items : dst);
        if (planes) rows->planes(pcm, items, n, dst, sound->plane);
        src += n * sound->stride, dst += n * wide, left -= n;
    }
}

#endif
