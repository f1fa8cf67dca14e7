/* Which implementations this compiler can build and this processor can run. */
#ifndef CLIPX_CPU_H
#define CLIPX_CPU_H

#if defined(__x86_64__) || defined(_M_X64)
#define CLIPX_X86 1
#include <immintrin.h>
#endif

#if defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define CLIPX_NEON 1
#include <arm_neon.h>
#endif

/* A function may use wider vectors than the build's target only where the compiler takes target attributes. */
#if defined(CLIPX_X86) && (defined(__GNUC__) || defined(__clang__))
#define CLIPX_X86_TARGETS 1
#define CLIPX_TARGET(features) __attribute__((target(features)))
#define CLIPX_SSSE3 CLIPX_TARGET("ssse3")
/* Every processor with AVX2 has F16C. */
#define CLIPX_AVX2 CLIPX_TARGET("avx2,f16c")
#define CLIPX_AVX512 CLIPX_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")
#endif

#if defined(__has_builtin)
#if defined(__aarch64__) && __has_builtin(__builtin_nontemporal_store)
#define CLIPX_NONTEMPORAL_BUILTIN 1
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define CLIPX_PREFETCH(address) __builtin_prefetch(address)
#define CLIPX_RESTRICT __restrict__
#define CLIPX_INLINE static inline __attribute__((always_inline))
#define CLIPX_ALIGNED(bytes) __attribute__((aligned(bytes)))
#elif defined(_MSC_VER)
#define CLIPX_PREFETCH(address) ((void)0)
#define CLIPX_RESTRICT __restrict
#define CLIPX_INLINE static __forceinline
#define CLIPX_ALIGNED(bytes) __declspec(align(bytes))
#else
#define CLIPX_PREFETCH(address) ((void)0)
#define CLIPX_RESTRICT
#define CLIPX_INLINE static inline
#define CLIPX_ALIGNED(bytes)
#endif

#if defined(_WIN32)
#define CLIPX_NO_SYSCONF 1
#else
#include <unistd.h>
#endif

#if defined(CLIPX_X86_TARGETS)

static int clipx_has_ssse3(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("ssse3") != 0;
}

static int clipx_has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") != 0;
}

/*
 * The AVX-512 subsets that the rows use, all there since Ice Lake and Zen 4. Those before, without VBMI, run AVX2: wider
 * colours and floats alone were 0 to 4 % faster, less than such processors lose by the lower clock of wide vectors.
 */
static int clipx_has_avx512(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi");
}

#endif

/*
 * Bytes of the last-level cache that one core can count on. Virtual machines report caches of the whole socket,
 * and a core's share of a shared one is rarely above 32 MiB: what the system says is held to 4 to 32 MiB.
 */
static size_t clipx_cache_bytes(void) {
    long bytes = 0;
#if !defined(CLIPX_NO_SYSCONF) && defined(_SC_LEVEL3_CACHE_SIZE)
    bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    if (bytes <= 0 || bytes > (long)32 << 20) return (size_t)32 << 20;
    return bytes < (long)4 << 20 ? (size_t)4 << 20 : (size_t)bytes;
}

#endif
