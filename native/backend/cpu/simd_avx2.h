// Sixteen float lanes in two ymm registers (AVX2, FMA, F16C). Included inside a namespace of its own by kernels_avx2.cc
// and kernels_avxvnni.cc; KVASIR_SIMD_VNNI says which. What differs is how integers are multiplied. Sixteen
// registers: tiles are small.

constexpr int kGemmRows = 3;  // 3 x 4 ymm accumulators, 3 broadcasts, 1 weight: all 16 registers
constexpr int kAttentionRows = 3;
constexpr int kS8TileVectors = 1;
constexpr int kS8Rows = 6;  // see DotBlock; float sums are touched once a group
constexpr int kScoreRows = 6;
constexpr int kDeltaVectors = 2;     // columns of S that go through the delta rule together, in vectors
constexpr int kPrefetchRowsF32 = 8;  // a short second pass is sooner done than what it would wait for
constexpr int kPrefetchRowsS8 = 2;   // tiles of half a panel's columns

struct F32 {
  __m256 lo, hi;
};
struct I32 {
  __m256i lo, hi;
};

inline F32 Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32 Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void Store(float* p, F32 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline F32 LoadHalf(const uint16_t* p) {
  const __m128i* q = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
inline void StoreHalf(uint16_t* p, F32 a) {
  __m128i* q = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(q, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(q + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
inline uint16_t HalfBits(float x) { return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }
inline float HalfValue(uint16_t bits) { return _cvtsh_ss(bits); }
inline F32 Add(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F32 Sub(F32 a, F32 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F32 Mul(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F32 Div(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F32 Fma(F32 a, F32 b, F32 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F32 Max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F32 Min(F32 a, F32 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F32 Abs(F32 a) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(bit, a.lo), _mm256_andnot_ps(bit, a.hi)};
}
inline F32 CopySign(F32 magnitude, F32 sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.lo), _mm256_and_ps(bit, sign.lo)),
          _mm256_or_ps(_mm256_andnot_ps(bit, magnitude.hi), _mm256_and_ps(bit, sign.hi))};
}
inline F32 SelectLess(F32 a, F32 b, F32 if_less, F32 otherwise) {
  return {_mm256_blendv_ps(otherwise.lo, if_less.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(otherwise.hi, if_less.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline F32 SelectFirst(int n, F32 inside, F32 outside) {
  const __m256i limit = _mm256_set1_epi32(n);
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i upper = _mm256_add_epi32(lanes, _mm256_set1_epi32(8));
  return {_mm256_blendv_ps(outside.lo, inside.lo, _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, lanes))),
          _mm256_blendv_ps(outside.hi, inside.hi, _mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, upper)))};
}
inline I32 Round(F32 a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline F32 FromInt(I32 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
// p * 2^n where x is not below `least`, else 0. n is added to the exponent, which p and the product have room for.
inline __m256 TimesPow2(__m256 p, __m256i n, __m256 x, float least) {
  const __m256 counts = _mm256_cmp_ps(x, _mm256_set1_ps(least), _CMP_NLT_UQ);
  const __m256i product = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(n, 23));
  return _mm256_and_ps(counts, _mm256_castsi256_ps(product));
}
inline F32 TimesPow2(F32 p, I32 n, F32 x, float least) {
  return {TimesPow2(p.lo, n.lo, x.lo, least), TimesPow2(p.hi, n.hi, x.hi, least)};
}
// Lanes that differ by kStride: their sum in the lower one, lower - upper in the upper one. A fused multiply by 1 or -1
// rounds as the addition or subtraction alone would.
template <int kStride>
inline __m256 Butterfly8(__m256 a) {
  __m256 other;
  if constexpr (kStride == 1) {
    other = _mm256_permute_ps(a, 0xb1);
  } else if constexpr (kStride == 2) {
    other = _mm256_permute_ps(a, 0x4e);
  } else {
    other = _mm256_permute2f128_ps(a, a, 0x01);
  }
  constexpr auto kSign = [](int lane) { return (lane & kStride) != 0 ? -1.0f : 1.0f; };
  const __m256 sign =
      _mm256_setr_ps(kSign(0), kSign(1), kSign(2), kSign(3), kSign(4), kSign(5), kSign(6), kSign(7));
  return _mm256_fmadd_ps(a, sign, other);
}
template <int kStride>
inline F32 Butterfly(F32 a) {
  if constexpr (kStride == 8) {
    return {_mm256_add_ps(a.lo, a.hi), _mm256_sub_ps(a.lo, a.hi)};
  } else {
    return {Butterfly8<kStride>(a.lo), Butterfly8<kStride>(a.hi)};
  }
}
inline I32 MaxInt(I32 a, I32 b) { return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)}; }
inline I32 MinInt(I32 a, I32 b) { return {_mm256_min_epi32(a.lo, b.lo), _mm256_min_epi32(a.hi, b.hi)}; }
inline I32 SetInt(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline __m256i PackS16(I32 a) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8); }
inline void StoreS8(int8_t* p, I32 a) {
  const __m256i words = PackS16(a);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
// Lanes i and i + 8, then i and i + 4, 2, 1: the same tree on every ISA.
inline float Sum(F32 a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float MaxLane(F32 a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
inline I32 AddInt(I32 a, I32 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline int32_t SumInt(I32 a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

// Sixteen pairs of int16: products are summed within a pair, exactly.
struct Pairs {
  __m256i lo, hi;
};
inline Pairs LoadPairs(const int8_t* p) {
  const __m128i* bytes = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtepi8_epi16(_mm_loadu_si128(bytes)), _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes + 1))};
}
inline Pairs SetPair(const int16_t* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return {_mm256_set1_epi32(pair), _mm256_set1_epi32(pair)};
}
inline void StoreS16(int16_t* p, I32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), PackS16(a)); }
constexpr int kPairRows =
    6;  // 6 x 2 ymm sums, 2 of V, 1 broadcast, without VNNI 1 product: 15 or 16 registers
constexpr int kPairVectors = 1;
constexpr int kStreamRows = 0;  // too few registers
constexpr int kStreamVectors = 0;

#ifdef KVASIR_SIMD_VNNI
using Quantized = int8_t;
inline void StoreQuantized(Quantized* p, I32 a) { StoreS8(p, a); }
inline void StoreStartOfSums(int32_t /*start*/, const I32 (&/*q*/)[4], int32_t* /*out*/) {}
using Ints = __m256i;
constexpr int kIntsPerI32 = 2;  // 6 rows x 2 sums, 2 weights and an input are 15 of 16 registers
inline Ints SetInts(int32_t x) { return _mm256_set1_epi32(x); }
inline Ints LoadInts(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline I32 JoinInts(const Ints* a) { return {a[0], a[1]}; }
// KVASIR_VNNI_ENCODING is {vex}, which processors without AVX-512 have. Inline asm, as in simd_avx512.h.
inline void DpBusd(Ints& acc, Ints w, Ints x) {
  asm(KVASIR_VNNI_ENCODING "vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(w), "x"(x));
}
inline void DpWssd(Ints& acc, Ints a, Ints b) {
  asm(KVASIR_VNNI_ENCODING "vpdpwssd %2, %1, %0" : "+x"(acc) : "x"(a), "x"(b));
}
#include "backend/cpu/dot_vnni.h"
inline void AddDotPairs(I32& acc, const Pairs& a, const Pairs& b) {
  DpWssd(acc.lo, a.lo, b.lo);
  DpWssd(acc.hi, a.hi, b.hi);
}
#else
// Both sides are widened to int16: vpmaddwd is exact, where vpmaddubsw would saturate at offset weights
// (255 * 127 * 2 > 32,767).
using Quantized = int16_t;
inline void StoreQuantized(Quantized* p, I32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), PackS16(a));
}
// Where a group's products of sums begin: see linear_s8_avx2.h.
inline void StoreStartOfSums(int32_t start, const I32 (&q)[4], int32_t* out) {
  __m256i twice[4];
  for (int i = 0; i < 4; ++i) {
    const __m256i words = PackS16(q[i]);
    twice[i] = _mm256_madd_epi16(words, _mm256_shuffle_epi32(words, 0xb1));
  }
  const I32 sums = {_mm256_add_epi32(twice[0], twice[1]), _mm256_add_epi32(twice[2], twice[3])};
  *out = start - SumInt(sums) / 2;
}
// Eight columns from `column` of a dot product: two partial sums a column (k 0,1 and k 2,3) are 2 registers a row, so
// that 6 rows share the 2 of the weights and each input is broadcast once for both.
template <int kRows>
inline void DotEight(const DotOperands& in, int column, __m256i (&dots)[kRows]) {
  const Quantized* x = static_cast<const Quantized*>(in.x);
  __m256i acc[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    acc[r][0] = acc[r][1] = _mm256_set1_epi64x(static_cast<uint32_t>(in.start[r * in.ld_start]));
  }
  const uint8_t* w = in.w + 4 * column;
  for (int64_t quad = 0; quad < in.quads; ++quad, w += in.ld_w) {
    const __m256i w0 = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w)));
    const __m256i w1 = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w + 16)));
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      __m256i input, product;
      // 12 sums, 2 weights, input and product are all 16 registers: GCC would spill.
      asm("vpbroadcastq %4, %2\n\tvpmaddwd %2, %5, %3\n\tvpaddd %3, %0, %0\n\t"
          "vpmaddwd %2, %6, %2\n\tvpaddd %2, %1, %1"
          : "+x"(acc[r][0]), "+x"(acc[r][1]), "=&x"(input), "=&x"(product)
          : "m"(*reinterpret_cast<const int64_t*>(x + r * in.ld_x + quad * 4)), "x"(w0), "x"(w1));
    }
  }
  // hadd interleaves the 128-bit halves: [c0 c1 c4 c5 | c2 c3 c6 c7]; the 64-bit permutation puts columns in order.
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    dots[r] = _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc[r][0], acc[r][1]), 0xd8);
  }
}
// One row: all its columns' sums fit the registers, so the weights are read once, front to back.
template <int kVectors>
inline void DotRow(const DotOperands& in, I32 (&dots)[kVectors]) {
  constexpr int kSums = 4 * kVectors;  // of four columns each, two partial sums a column
  __m256i acc[kSums];
#pragma GCC unroll 16
  for (__m256i& sum : acc) sum = _mm256_set1_epi64x(static_cast<uint32_t>(*in.start));
  const uint8_t* w = in.w;
  const Quantized* x = static_cast<const Quantized*>(in.x);
  for (int64_t quad = 0; quad < in.quads; ++quad, w += in.ld_w, x += 4) {
    int64_t words;
    __builtin_memcpy(&words, x, 8);
    const __m256i input = _mm256_set1_epi64x(words);
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) {
      __m256i product;
      // Asm, because GCC copies the intrinsics' sums around and spills them.
      asm("vpmovzxbw %2, %1\n\tvpmaddwd %1, %3, %1\n\tvpaddd %1, %0, %0"
          : "+x"(acc[i]), "=&x"(product)
          : "m"(*reinterpret_cast<const __m128i_u*>(w + 16 * i)), "x"(input));
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const __m256i lo = _mm256_hadd_epi32(acc[4 * v], acc[4 * v + 1]);
    const __m256i hi = _mm256_hadd_epi32(acc[4 * v + 2], acc[4 * v + 3]);
    dots[v] = {_mm256_permute4x64_epi64(lo, 0xd8), _mm256_permute4x64_epi64(hi, 0xd8)};
  }
}
// dots[r][v] = start[r] + w[v] x x[r], exact; see DotOperands.
template <int kRows, int kVectors>
inline void DotBlock(const DotOperands& in, I32 (&dots)[kRows][kVectors]) {
  if constexpr (kRows == 1) {
    DotRow(in, dots[0]);
    return;
  }
  for (int v = 0; v < kVectors; ++v) {
    __m256i lo[kRows], hi[kRows];
    DotEight(in, 16 * v, lo);
    DotEight(in, 16 * v + 8, hi);
    for (int r = 0; r < kRows; ++r) dots[r][v] = {lo[r], hi[r]};
  }
}
inline void AddDotPairs(I32& acc, const Pairs& a, const Pairs& b) {
  acc.lo = _mm256_add_epi32(acc.lo, _mm256_madd_epi16(a.lo, b.lo));
  acc.hi = _mm256_add_epi32(acc.hi, _mm256_madd_epi16(a.hi, b.hi));
}
#endif
