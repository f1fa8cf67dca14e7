/* Copying contiguous bytes: through the cache, or past it with streaming stores. */
#ifndef CLIPX_COPY_H
#define CLIPX_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cpu.h"

typedef void (*clipx_copy_fn)(char *dst, const char *src, size_t n);

/* Streaming stores fill whole lines: bytes before the first line boundary go the usual way. */
#define CLIPX_LINE 64

/* How far ahead of a streamed copy its source is asked for: measured, a tenth faster than the hardware alone. */
#define CLIPX_AHEAD 2048

CLIPX_INLINE size_t clipx_head(const char *dst, size_t n) {
    size_t head = (size_t)(0 - (uintptr_t)dst) & (CLIPX_LINE - 1);
    return head < n ? head : n;
}

#define CLIPX_DEFINE_STREAM(NAME, ATTRIBUTE, VECTOR, WIDTH, LOAD, STORE)                    \
    ATTRIBUTE static void NAME(char *dst, const char *src, size_t n) {                      \
        size_t head = clipx_head(dst, n), body, i, j;                                       \
        memcpy(dst, src, head);                                                             \
        dst += head, src += head, n -= head;                                                \
        body = n & ~(size_t)(CLIPX_LINE - 1);                                               \
        for (i = 0; i < body; i += CLIPX_LINE) {                                            \
            VECTOR v[CLIPX_LINE / (WIDTH)];                                                 \
            CLIPX_PREFETCH(src + i + CLIPX_AHEAD);                                          \
            for (j = 0; j < CLIPX_LINE / (WIDTH); j++)                                      \
                v[j] = LOAD((const VECTOR *)(const void *)(src + i + j * (WIDTH)));         \
            for (j = 0; j < CLIPX_LINE / (WIDTH); j++)                                      \
                STORE((VECTOR *)(void *)(dst + i + j * (WIDTH)), v[j]);                     \
        }                                                                                   \
        memcpy(dst + body, src + body, n - body);                                           \
    }

#if defined(CLIPX_X86)
CLIPX_DEFINE_STREAM(clipx_stream_baseline, , __m128i, 16, _mm_loadu_si128, _mm_stream_si128)
#define CLIPX_FENCE() _mm_sfence()
#elif defined(CLIPX_NONTEMPORAL_BUILTIN)
typedef uint8_t clipx_vector __attribute__((vector_size(16)));
CLIPX_INLINE clipx_vector clipx_load_vector(const clipx_vector *p) {
    clipx_vector v;
    memcpy(&v, p, sizeof v);
    return v;
}
#define CLIPX_STORE_VECTOR(p, v) __builtin_nontemporal_store(v, p)
CLIPX_DEFINE_STREAM(clipx_stream_baseline, , clipx_vector, 16, clipx_load_vector, CLIPX_STORE_VECTOR)
#define CLIPX_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#else
static void clipx_stream_baseline(char *dst, const char *src, size_t n) { memcpy(dst, src, n); }
#define CLIPX_FENCE() ((void)0)
#endif

#if defined(CLIPX_X86_TARGETS)
CLIPX_DEFINE_STREAM(clipx_stream_avx2, CLIPX_AVX2, __m256i, 32, _mm256_loadu_si256, _mm256_stream_si256)
CLIPX_DEFINE_STREAM(clipx_stream_avx512, CLIPX_AVX512, __m512i, 64, _mm512_loadu_si512, _mm512_stream_si512)
#endif

#endif
