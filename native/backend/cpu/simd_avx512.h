// Sixteen float lanes in one zmm register. Included inside a namespace of its own by kernels_avx512.cc, and with
// KVASIR_SIMD_VNNI by kernels_avx512vnni.cc and kernels_amx.cc. What differs is the INT8 dot product alone.

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};

inline F32 Zero() { return {_mm512_setzero_ps()}; }
inline F32 Set1(float x) { return {_mm512_set1_ps(x)}; }
inline F32 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void Store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline F32 LoadHalf(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void StoreHalf(uint16_t* p, F32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline uint16_t HalfBits(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }
inline float HalfValue(uint16_t bits) { return _cvtsh_ss(bits); }
inline F32 Add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 Sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 Mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 Div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 Fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 Max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 Min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 Abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
inline F32 CopySign(F32 magnitude, F32 sign) {
  const __m512 bit = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(bit, magnitude.v), _mm512_and_ps(bit, sign.v))};
}
inline F32 SelectLess(F32 a, F32 b, F32 if_less, F32 otherwise) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), otherwise.v, if_less.v)};
}
inline F32 SelectFirst(int n, F32 inside, F32 outside) {
  const __mmask16 mask = n >= 16 ? 0xffff : (n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1));
  return {_mm512_mask_blend_ps(mask, outside.v, inside.v)};
}
inline I32 Round(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
inline F32 FromInt(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
// p * 2^n where x is not below `least`, else 0. n is added to the exponent, which p and the product have room for.
inline F32 TimesPow2(F32 p, I32 n, F32 x, float least) {
  const __mmask16 counts = _mm512_cmp_ps_mask(x.v, _mm512_set1_ps(least), _CMP_NLT_UQ);
  return {_mm512_castsi512_ps(
      _mm512_maskz_add_epi32(counts, _mm512_castps_si512(p.v), _mm512_slli_epi32(n.v, 23)))};
}
// Lanes that differ by kStride: their sum in the lower one, lower - upper in the upper one. A fused multiply by 1 or -1
// rounds as the addition or subtraction alone would.
template <int kStride>
inline F32 Butterfly(F32 a) {
  __m512 other;
  if constexpr (kStride == 1) {
    other = _mm512_permute_ps(a.v, 0xb1);
  } else if constexpr (kStride == 2) {
    other = _mm512_permute_ps(a.v, 0x4e);
  } else if constexpr (kStride == 4) {
    other = _mm512_shuffle_f32x4(a.v, a.v, 0xb1);
  } else {
    other = _mm512_shuffle_f32x4(a.v, a.v, 0x4e);
  }
  constexpr auto kSign = [](int lane) { return (lane & kStride) != 0 ? -1.0f : 1.0f; };
  const __m512 sign =
      _mm512_setr_ps(kSign(0), kSign(1), kSign(2), kSign(3), kSign(4), kSign(5), kSign(6), kSign(7), kSign(8),
                     kSign(9), kSign(10), kSign(11), kSign(12), kSign(13), kSign(14), kSign(15));
  return {_mm512_fmadd_ps(a.v, sign, other)};
}
inline I32 MaxInt(I32 a, I32 b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline I32 MinInt(I32 a, I32 b) { return {_mm512_min_epi32(a.v, b.v)}; }
inline I32 SetInt(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline I32 LoadInt(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void StoreS8(int8_t* p, I32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
inline void StoreStartOfSums(int32_t /*start*/, const I32 (&/*q*/)[4], int32_t* /*out*/) {}
// Lanes i and i + 8, then i and i + 4, 2, 1: the same tree on every ISA.
inline float Sum(F32 a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float MaxLane(F32 a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
inline I32 AddInt(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline int32_t SumInt(I32 a) { return _mm512_reduce_add_epi32(a.v); }
inline void StoreInt(int32_t* p, I32 a) { _mm512_storeu_si512(p, a.v); }
inline I32 TimesByte(I32 a) { return {_mm512_slli_epi32(a.v, 8)}; }  // times 256
// The low and the high bytes of 64 values from 0 to 65,535, for tiles: bytes 4 (4 i + j) to 4 (4 i + j) + 3 are those of
// values 4 (4 j + i) to 4 (4 j + i) + 3, as packing leaves them.
inline void StoreWeightBytes(const I32 (&q)[4], uint8_t* low, uint8_t* high) {
  const __m512i first = _mm512_packus_epi32(q[0].v, q[1].v), second = _mm512_packus_epi32(q[2].v, q[3].v);
  const __m512i byte = _mm512_set1_epi16(0xff);
  _mm512_storeu_si512(low,
                      _mm512_packus_epi16(_mm512_and_si512(first, byte), _mm512_and_si512(second, byte)));
  _mm512_storeu_si512(high, _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8)));
}
// Sixteen pairs of bytes from each of two places, in turn.
inline void JoinPairs(const int8_t* first, const int8_t* second, int8_t* out) {
  const __m512i words =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first))),
                         _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)), 1);
  const __m512i in_turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_storeu_si512(out, _mm512_permutexvar_epi16(in_turn, words));
}
inline F32 Lane(F32 a, int lane) { return {_mm512_permutexvar_ps(_mm512_set1_epi32(lane), a.v)}; }
// In lane 4 i all lanes of a[i] joined, by the tree of Sum and MaxLane: registers that are halved fill up with the next one's.
template <typename Join>
inline __m512i JoinLanes(const __m512i (&a)[4], const Join& join) {
  __m512i eight[2];
  for (int i = 0; i < 2; ++i) {
    const __m512i low = _mm512_shuffle_i32x4(a[2 * i], a[2 * i + 1], 0x44);
    eight[i] = join(low, _mm512_shuffle_i32x4(a[2 * i], a[2 * i + 1], 0xee));
  }
  const __m512i low = _mm512_shuffle_i32x4(eight[0], eight[1], 0x88);
  const __m512i four = join(low, _mm512_shuffle_i32x4(eight[0], eight[1], 0xdd));
  const __m512i two = join(four, _mm512_shuffle_epi32(four, _MM_PERM_BADC));
  return join(two, _mm512_shuffle_epi32(two, _MM_PERM_CDAB));
}
#define KVASIR_FOUR_GROUPS
inline F32 MaxLanes(const F32 (&a)[4]) {
  const __m512i bits[4] = {_mm512_castps_si512(a[0].v), _mm512_castps_si512(a[1].v),
                           _mm512_castps_si512(a[2].v), _mm512_castps_si512(a[3].v)};
  return {_mm512_castsi512_ps(JoinLanes(bits, [](__m512i x, __m512i y) {
    return _mm512_castps_si512(_mm512_max_ps(_mm512_castsi512_ps(x), _mm512_castsi512_ps(y)));
  }))};
}
inline I32 SumLanes(const I32 (&a)[4]) {
  const __m512i ints[4] = {a[0].v, a[1].v, a[2].v, a[3].v};
  return {JoinLanes(ints, [](__m512i x, __m512i y) { return _mm512_add_epi32(x, y); })};
}

constexpr int kGemmRows = 12;     // 12 x 2 accumulators, 2 weights, 1 broadcast of 32 registers
constexpr int kDeltaVectors = 4;  // columns of S that go through the delta rule together, in vectors
constexpr int kPrefetchRowsF32 = 12;
constexpr int kAttentionRows = 12;  // in float32: 12 x 2 sums, 2 of K or V, 1 broadcast

// Sixteen pairs of int16: products are summed within a pair, exactly.
struct Pairs {
  __m512i v;
};
inline Pairs LoadPairs(const int8_t* p) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Pairs SetPair(const int16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return {_mm512_set1_epi32(pair)};
}
inline void StoreS16(int16_t* p, I32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}
constexpr int kPairRows = 12;  // 12 x 2 sums, 2 of V, 1 broadcast: 27 of 32 registers
constexpr int kPairVectors = 2;
// Of a tile with few rows K and V are read from front to back: 6 x 4 sums, 4 of K or V, 1 broadcast.
constexpr int kStreamRows = 6;
constexpr int kStreamVectors = 4;

#ifdef KVASIR_SIMD_VNNI
using Quantized = int8_t;
constexpr int kS8TileVectors = 2;
constexpr int kS8Rows =
    6;  // 6 x 2 int32 sums and as many float sums, 2 weights, 1 broadcast: 27 of 32 registers
constexpr int kScoreRows = 12;  // 12 x 2 sums, 2 of K, 1 broadcast
constexpr int kPrefetchRowsS8 = kS8Rows + 1;
inline void StoreQuantized(Quantized* p, I32 a) { StoreS8(p, a); }
using Ints = __m512i;
constexpr int kIntsPerI32 = 1;
inline Ints SetInts(int32_t x) { return _mm512_set1_epi32(x); }
inline Ints LoadInts(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline I32 JoinInts(const Ints* a) { return {a[0]}; }
// Inline asm: GCC 12 spills the accumulators of _mm512_dpbusd_epi32 inside the loop.
inline void DpBusd(Ints& acc, Ints w, Ints x) { asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x)); }
#include "backend/cpu/dot_vnni.h"
inline void AddDotPairs(I32& acc, const Pairs& a, const Pairs& b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(acc.v) : "v"(a.v), "v"(b.v));
}
#else
// Without VNNI both sides are widened to int16: vpmaddwd is exact, where vpmaddubsw would saturate at offset weights.
using Quantized = int16_t;
inline void AddDotPairs(I32& acc, const Pairs& a, const Pairs& b) {
  acc.v = _mm512_add_epi32(acc.v, _mm512_madd_epi16(a.v, b.v));
}
constexpr int kS8TileVectors = 1;
constexpr int kS8Rows = 8;      // 8 x 2 int32 sums, 8 float sums, 2 weights, 1 broadcast: 27 of 32 registers
constexpr int kScoreRows = 12;  // 12 x 2 sums of one vector
constexpr int kPrefetchRowsS8 = 2;  // tiles of half a panel's columns
inline void StoreQuantized(Quantized* p, I32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}
// dots[r][v] = start[r] + w[v] x x[r], exact; see DotOperands. Two partial sums a column: k 0,1 and k 2,3; columns 0..7
// and 8..15.
template <int kRows, int kVectors>
inline void DotBlock(const DotOperands& in, I32 (&dots)[kRows][kVectors]) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  for (int v = 0; v < kVectors; ++v) {
    __m512i lo[kRows], hi[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      lo[r] = hi[r] = _mm512_set1_epi64(static_cast<uint32_t>(in.start[r * in.ld_start]));
    }
    const uint8_t* w = in.w + 64 * v;
    const Quantized* x = static_cast<const Quantized*>(in.x);
    for (int64_t quad = 0; quad < in.quads; ++quad, w += in.ld_w, x += 4) {
      const __m256i* bytes = reinterpret_cast<const __m256i*>(w);
      const __m512i w_lo = _mm512_cvtepu8_epi16(_mm256_loadu_si256(bytes));
      const __m512i w_hi = _mm512_cvtepu8_epi16(_mm256_loadu_si256(bytes + 1));
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        int64_t words;
        __builtin_memcpy(&words, x + r * in.ld_x, 8);
        const __m512i input = _mm512_set1_epi64(words);
        lo[r] = _mm512_add_epi32(lo[r], _mm512_madd_epi16(w_lo, input));
        hi[r] = _mm512_add_epi32(hi[r], _mm512_madd_epi16(w_hi, input));
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      dots[r][v].v = _mm512_add_epi32(_mm512_permutex2var_epi32(lo[r], even, hi[r]),
                                      _mm512_permutex2var_epi32(lo[r], odd, hi[r]));
    }
  }
}
#endif
