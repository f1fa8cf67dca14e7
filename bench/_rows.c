/*
 * The kernel's rows by themselves, timed: bench_rows.py compiles this as the kernel is compiled, and calls it.
 *
 * A task reads its source once and writes its target once, in a call for each strip as the kernel makes it. Its bound is
 * implementation -1: as many bytes copied, and those that are read or written beyond them read or filled.
 */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "rows/formatted.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT
#endif

typedef struct {
    const clipx_rows *rows;
    const char *src;
    char *dst;
    size_t n; /* pixels, or bytes, a call */
} work;

static const clipx_color color = {7, 0, 8, 9539, -152 * 32 + 16, 13075, -3209, -6660, 16525};
static clipx_scale scale; /* set before each task is timed */
static const clipx_arithmetic arithmetic = {1.0 / 255, 0.485, 0.229, {123.675f, 1e-6f, 0.0171f}};

static void to_rgb(const work *w, int chroma, int bytes, size_t u) {
    const uint8_t *y = (const uint8_t *)w->src;
    clipx_samples row = {chroma, bytes, y, y + w->n * (size_t)bytes, NULL, &color};
    uint8_t *to = (uint8_t *)w->dst;
    row.v = row.u + u;
    w->rows->color(&row, w->n, to, to + w->n, to + 2 * w->n);
}
static void color_gray(const work *w) { to_rgb(w, CLIPX_GRAY, 1, 0); }
static void color_420(const work *w) { to_rgb(w, CLIPX_PAIRED, 1, w->n / 2); }
static void color_420_10(const work *w) { to_rgb(w, CLIPX_PAIRED, 2, w->n); }
static void color_444(const work *w) { to_rgb(w, CLIPX_FULL, 1, w->n); }
static void color_nv12(const work *w) { to_rgb(w, CLIPX_INTERLEAVED, 1, 0); }

static void pack(const work *w) {
    const uint8_t *r = (const uint8_t *)w->src;
    w->rows->pack(w->dst, r, r + w->n, r + 2 * w->n, w->n, 0);
}
static void unpack(const work *w) {
    uint8_t *to = (uint8_t *)w->dst;
    w->rows->unpack((const uint8_t *)w->src, w->n, to, to + w->n, to + 2 * w->n);
}
static void flip(const work *w) { w->rows->flip((uint8_t *)w->dst, w->n); }

static void to_floats(const work *w, int kind, int channel) {
    w->rows->floats(&scale, kind, channel, (const uint8_t *)w->src,
                    channel == CLIPX_EACH ? w->n / 3 * 3 : w->n, w->dst, 0);
}
static void float32(const work *w) { to_floats(w, CLIPX_F32, 0); }
static void float16(const work *w) { to_floats(w, CLIPX_F16, 0); }
static void bfloat16(const work *w) { to_floats(w, CLIPX_BF16, 0); }
static void float32_each(const work *w) { to_floats(w, CLIPX_F32, CLIPX_EACH); }

static void from_numbers(const work *w, int type, ptrdiff_t stride, int kind) {
    w->rows->numbers(type, w->src, stride, w->n, &arithmetic, kind, w->dst, clipx_item_bytes(kind));
}
static void from_int16(const work *w) { from_numbers(w, CLIPX_INT16, 2, CLIPX_F32); }
static void from_float32(const work *w) { from_numbers(w, CLIPX_FLOAT32, 4, CLIPX_F32); }
static void to_float16(const work *w) { from_numbers(w, CLIPX_FLOAT32, 4, CLIPX_F16); }

static void stream(const work *w) {
    w->rows->stream(w->dst, w->src, w->n);
    CLIPX_FENCE();
}

static const struct {
    const char *name;
    double read, written; /* bytes a pixel, or a byte */
    void (*run)(const work *);
} tasks[] = {
    {"stream, past the cache", 1, 1, stream},
    {"color, gray", 1, 3, color_gray},
    {"color, 4:2:0", 2, 3, color_420},
    {"color, 4:2:0 of 10 bits", 4, 3, color_420_10},
    {"color, 4:2:0 as U V U V", 2, 3, color_nv12},
    {"color, 4:4:4", 3, 3, color_444},
    {"pack", 3, 3, pack},
    {"unpack", 3, 3, unpack},
    {"flip", 1, 1, flip},
    {"floats, float32", 1, 4, float32},
    {"floats, float32 of pixels", 1, 4, float32_each},
    {"floats, float16", 1, 2, float16},
    {"floats, bfloat16", 1, 2, bfloat16},
    {"numbers, int16 to float32", 2, 4, from_int16},
    {"numbers, float32", 4, 4, from_float32},
    {"numbers, float32 to float16", 4, 2, to_float16},
};

/* The name of a task, and the bytes that it reads and writes; NULL behind the last. */
EXPORT const char *clipx_bench_task(int task, double *read, double *written) {
    if (task >= (int)(sizeof tasks / sizeof tasks[0])) return NULL;
    *read = tasks[task].read, *written = tasks[task].written;
    return tasks[task].name;
}

/* The name of an implementation, best first: "" where this processor does not run it, NULL behind the last. */
EXPORT const char *clipx_bench_implementation(int i) {
    if (i >= CLIPX_IMPLEMENTATIONS) return NULL;
    return clipx_implementations[i].runs() ? clipx_implementations[i].name : "";
}

/* Of this thread's own time, where the system counts it: others may run meanwhile. */
static double now(void) {
    struct timespec t;
#if defined(CLOCK_THREAD_CPUTIME_ID)
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
#else
    timespec_get(&t, TIME_UTC);
#endif
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* No byte of src is 255. */
static size_t bound(const work *w, size_t read, size_t written) {
    size_t copied = read < written ? read : written;
    memcpy(w->dst, w->src, copied);
    if (written > copied) memset(w->dst + copied, 1, written - copied);
    return read > copied && memchr(w->src + copied, 255, read - copied) != NULL;
}

/* Seconds of `calls` calls of a task; implementation -1 is its bound. */
EXPORT double clipx_bench_run(int task, int implementation, const char *src, char *dst, size_t n, int calls) {
    work w = {clipx_implementations + (implementation < 0 ? 0 : implementation), src, dst, n};
    size_t read = (size_t)(tasks[task].read * (double)n), written = (size_t)(tasks[task].written * (double)n);
    volatile size_t found = 0;
    double start;
    int i;
    for (i = 0; i < 3; i++) clipx_set_scale(&scale, i, arithmetic.steps);
    start = now();
    for (i = 0; i < calls; i++) {
        if (implementation < 0)
            found = found + bound(&w, read, written);
        else
            tasks[task].run(&w);
    }
    return now() - start;
}
