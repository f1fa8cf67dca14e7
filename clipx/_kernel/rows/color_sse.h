/*
 * Rows of 128 bits for x86: the vector operations of color_rows.h but V_NAME, V_NARROWER, V_TARGET, V_MULR, V_EVEN64,
 * V_ODD64 and V_BRAID, which color.h defines before it includes this.
 */

#define V_CLEAR() ((void)0)
#define V_TYPE __m128i
#define V_LANES 8
#define V_SET(x) _mm_set1_epi16(x)
#define V_COUNT(n) _mm_cvtsi32_si128(n)
#define V_LEFT(a, n) _mm_sll_epi16(a, n)
#define V_RIGHT(a, n) _mm_srl_epi16(a, n)
#define V_XOR(a, b) _mm_xor_si128(a, b)
#define V_ADD(a, b) _mm_add_epi16(a, b)
#define V_LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define V_STORE(p, a) _mm_storeu_si128((__m128i *)(void *)(p), a)
#define V_WIDE(p) _mm_unpacklo_epi8(_mm_setzero_si128(), _mm_loadl_epi64((const __m128i *)(const void *)(p)))
#define V_LOW16(a) _mm_unpacklo_epi16(a, a)
#define V_HIGH16(a) _mm_unpackhi_epi16(a, a)
#define V_DEAL_LOW(a, b) (a)
#define V_DEAL_HIGH(a, b) (b)
#define V_EVEN8(a) _mm_slli_epi16(a, 8)
#define V_ODD8(a) _mm_and_si128(a, _mm_set1_epi16((int16_t)0xff00))
#define V_EVEN16(a, b) \
    _mm_packs_epi32(_mm_srai_epi32(_mm_slli_epi32(a, 16), 16), _mm_srai_epi32(_mm_slli_epi32(b, 16), 16))
#define V_ODD16(a, b) _mm_packs_epi32(_mm_srai_epi32(a, 16), _mm_srai_epi32(b, 16))
#define V_BYTES(a, b) _mm_packus_epi16(_mm_srai_epi16(a, 5), _mm_srai_epi16(b, 5))
#include "color_rows.h"
