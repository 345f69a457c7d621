// Sixteen float lanes in four of the 32 vector registers of AArch64. Included inside a namespace of its own by kernels_neon.cc,
// kernels_neon_dotprod.cc and kernels_neon_i8mm.cc. What differs is the INT8 dot product alone: KVASIR_DOT names its file.

constexpr int kGemmRows = 3;  // 3 x 8 sums and 8 weights are all 32 registers: docs/kernels/neon.md
constexpr int kAttentionRows = 3;
constexpr int kS8TileVectors = 1;
constexpr int kDeltaVectors = 2;  // columns of S that go through the delta rule together, in vectors
constexpr int kPrefetchRowsF32 = kGemmRows + 1;
constexpr int kPrefetchRowsS8 = 2;  // tiles of half a panel's columns

struct F32 {
  float32x4_t a, b, c, d;
};
struct I32 {
  int32x4_t a, b, c, d;
};

template <typename Fn>
inline F32 Each(const Fn& fn, F32 x) {
  return {fn(x.a), fn(x.b), fn(x.c), fn(x.d)};
}
template <typename Fn>
inline F32 Each(const Fn& fn, F32 x, F32 y) {
  return {fn(x.a, y.a), fn(x.b, y.b), fn(x.c, y.c), fn(x.d, y.d)};
}
template <typename Fn>
inline I32 EachInt(const Fn& fn, I32 x, I32 y) {
  return {fn(x.a, y.a), fn(x.b, y.b), fn(x.c, y.c), fn(x.d, y.d)};
}

inline F32 Set1(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x), vdupq_n_f32(x)}; }
inline F32 Zero() { return Set1(0.0f); }
inline F32 Load(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
inline void Store(float* p, F32 x) {
  vst1q_f32(p, x.a);
  vst1q_f32(p + 4, x.b);
  vst1q_f32(p + 8, x.c);
  vst1q_f32(p + 12, x.d);
}
inline float32x4_t FourHalves(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
inline F32 LoadHalf(const uint16_t* p) {
  return {FourHalves(p), FourHalves(p + 4), FourHalves(p + 8), FourHalves(p + 12)};
}
inline uint16x4_t ToHalves(float32x4_t x) { return vreinterpret_u16_f16(vcvt_f16_f32(x)); }
inline void StoreHalf(uint16_t* p, F32 x) {
  vst1_u16(p, ToHalves(x.a));
  vst1_u16(p + 4, ToHalves(x.b));
  vst1_u16(p + 8, ToHalves(x.c));
  vst1_u16(p + 12, ToHalves(x.d));
}
inline uint16_t HalfBits(float x) { return vget_lane_u16(ToHalves(vdupq_n_f32(x)), 0); }
inline float HalfValue(uint16_t bits) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits))), 0);
}
inline F32 Add(F32 x, F32 y) {
  return Each([](float32x4_t s, float32x4_t t) { return vaddq_f32(s, t); }, x, y);
}
inline F32 Sub(F32 x, F32 y) {
  return Each([](float32x4_t s, float32x4_t t) { return vsubq_f32(s, t); }, x, y);
}
inline F32 Mul(F32 x, F32 y) {
  return Each([](float32x4_t s, float32x4_t t) { return vmulq_f32(s, t); }, x, y);
}
inline F32 Div(F32 x, F32 y) {
  return Each([](float32x4_t s, float32x4_t t) { return vdivq_f32(s, t); }, x, y);
}
inline F32 Fma(F32 x, F32 y, F32 z) {
  return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
          vfmaq_f32(z.d, x.d, y.d)};
}
// The second operand when they do not compare, as on x86: fmax and fmaxnm have rules of their own for NaN and zeros.
inline float32x4_t MaxFour(float32x4_t s, float32x4_t t) { return vbslq_f32(vcgtq_f32(s, t), s, t); }
inline F32 Max(F32 x, F32 y) { return Each(MaxFour, x, y); }
inline F32 Min(F32 x, F32 y) {
  return Each([](float32x4_t s, float32x4_t t) { return vbslq_f32(vcltq_f32(s, t), s, t); }, x, y);
}
inline F32 Abs(F32 x) {
  return Each([](float32x4_t s) { return vabsq_f32(s); }, x);
}
inline F32 CopySign(F32 magnitude, F32 sign) {
  const uint32x4_t bit = vdupq_n_u32(0x80000000u);
  return Each([=](float32x4_t s, float32x4_t t) { return vbslq_f32(bit, t, s); }, magnitude, sign);
}
inline F32 SelectLess(F32 x, F32 y, F32 if_less, F32 otherwise) {
  return {vbslq_f32(vcltq_f32(x.a, y.a), if_less.a, otherwise.a),
          vbslq_f32(vcltq_f32(x.b, y.b), if_less.b, otherwise.b),
          vbslq_f32(vcltq_f32(x.c, y.c), if_less.c, otherwise.c),
          vbslq_f32(vcltq_f32(x.d, y.d), if_less.d, otherwise.d)};
}
// Lane i gets `inside` where i < n, else `outside`.
inline F32 SelectFirst(int n, F32 inside, F32 outside) {
  const int32_t places[4] = {0, 1, 2, 3};
  const int32x4_t lanes = vld1q_s32(places);
  const auto first = [=](int base) { return vcgtq_s32(vdupq_n_s32(n - base), lanes); };
  return {vbslq_f32(first(0), inside.a, outside.a), vbslq_f32(first(4), inside.b, outside.b),
          vbslq_f32(first(8), inside.c, outside.c), vbslq_f32(first(12), inside.d, outside.d)};
}
// Nearest even; what does not fit (NaN too) becomes INT32_MIN, as on x86. The instruction saturates, and makes a zero of NaN.
inline int32x4_t RoundFour(float32x4_t x) {
  return vbslq_s32(vcltq_f32(x, vdupq_n_f32(2147483648.0f)), vcvtnq_s32_f32(x), vdupq_n_s32(INT32_MIN));
}
inline I32 Round(F32 x) { return {RoundFour(x.a), RoundFour(x.b), RoundFour(x.c), RoundFour(x.d)}; }
inline F32 FromInt(I32 x) {
  return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
}
// p * 2^n where x is not below `least`, else 0. n is added to the exponent, which p and the product have room for.
inline float32x4_t TimesPow2(float32x4_t p, int32x4_t n, float32x4_t x, float least) {
  const int32x4_t product = vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(n, 23));
  return vreinterpretq_f32_s32(vbicq_s32(product, vreinterpretq_s32_u32(vcltq_f32(x, vdupq_n_f32(least)))));
}
inline F32 TimesPow2(F32 p, I32 n, F32 x, float least) {
  return {TimesPow2(p.a, n.a, x.a, least), TimesPow2(p.b, n.b, x.b, least), TimesPow2(p.c, n.c, x.c, least),
          TimesPow2(p.d, n.d, x.d, least)};
}
// Lanes that differ by kStride: their sum in the lower one, lower - upper in the upper one. A fused multiply by 1 or -1
// rounds as the addition or subtraction alone would.
template <int kStride>
inline float32x4_t ButterflyFour(float32x4_t x) {
  constexpr auto kSign = [](int lane) { return (lane & kStride) != 0 ? -1.0f : 1.0f; };
  const float signs[4] = {kSign(0), kSign(1), kSign(2), kSign(3)};
  return vfmaq_f32(kStride == 1 ? vrev64q_f32(x) : vextq_f32(x, x, 2), x, vld1q_f32(signs));
}
template <int kStride>
inline F32 Butterfly(F32 x) {
  if constexpr (kStride == 8) {
    return {vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d), vsubq_f32(x.a, x.c), vsubq_f32(x.b, x.d)};
  } else if constexpr (kStride == 4) {
    return {vaddq_f32(x.a, x.b), vsubq_f32(x.a, x.b), vaddq_f32(x.c, x.d), vsubq_f32(x.c, x.d)};
  } else {
    return Each(ButterflyFour<kStride>, x);
  }
}
inline I32 MaxInt(I32 x, I32 y) {
  return EachInt([](int32x4_t s, int32x4_t t) { return vmaxq_s32(s, t); }, x, y);
}
inline I32 MinInt(I32 x, I32 y) {
  return EachInt([](int32x4_t s, int32x4_t t) { return vminq_s32(s, t); }, x, y);
}
inline I32 AddInt(I32 x, I32 y) {
  return EachInt([](int32x4_t s, int32x4_t t) { return vaddq_s32(s, t); }, x, y);
}
inline I32 SetInt(int32_t x) { return {vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x), vdupq_n_s32(x)}; }
inline int16x8_t Words(int32x4_t low, int32x4_t high) {
  return vcombine_s16(vmovn_s32(low), vmovn_s32(high));
}
inline void StoreS8(int8_t* p, I32 x) {
  vst1q_s8(p, vcombine_s8(vmovn_s16(Words(x.a, x.b)), vmovn_s16(Words(x.c, x.d))));
}
inline void StoreS16(int16_t* p, I32 x) {
  vst1q_s16(p, Words(x.a, x.b));
  vst1q_s16(p + 8, Words(x.c, x.d));
}
using Quantized = int8_t;
inline void StoreQuantized(Quantized* p, I32 x) { StoreS8(p, x); }
inline void StoreStartOfSums(int32_t /*start*/, const I32 (&/*q*/)[4], int32_t* /*out*/) {}
// Lanes i and i + 8, then i and i + 4, 2, 1: the same tree on every ISA.
inline float Sum(F32 x) {
  const float32x4_t four = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float MaxLane(F32 x) {
  const float32x4_t four = MaxFour(MaxFour(x.a, x.c), MaxFour(x.b, x.d));
  const float32x4_t two = MaxFour(four, vextq_f32(four, four, 2));
  return vgetq_lane_f32(MaxFour(two, vrev64q_f32(two)), 0);
}
inline int32_t SumInt(I32 x) { return vaddvq_s32(vaddq_s32(vaddq_s32(x.a, x.b), vaddq_s32(x.c, x.d))); }

// Of two positions of V sixteen dimensions each, as int16; or in all four the weights of both positions, of which lanes 0 and
// 1 of the first are read.
struct Pairs {
  int16x8_t first_low, first_high, second_low, second_high;
};
inline Pairs LoadPairs(const int8_t* p) {
  const int8x16x2_t bytes = vld2q_s8(p);
  return {vmovl_s8(vget_low_s8(bytes.val[0])), vmovl_high_s8(bytes.val[0]),
          vmovl_s8(vget_low_s8(bytes.val[1])), vmovl_high_s8(bytes.val[1])};
}
inline Pairs SetPair(const int16_t* p) {
  float both;
  __builtin_memcpy(&both, p, 4);  // a float goes to a vector register without a detour
  const int16x8_t weights = vreinterpretq_s16_f32(vdupq_n_f32(both));
  return {weights, weights, weights, weights};
}
inline void AddDotPairs(I32& acc, const Pairs& weights, const Pairs& value) {
  const int16x4_t weight = vget_low_s16(weights.first_low);
  acc.a = vmlal_lane_s16(acc.a, vget_low_s16(value.first_low), weight, 0);
  acc.b = vmlal_high_lane_s16(acc.b, value.first_low, weight, 0);
  acc.c = vmlal_lane_s16(acc.c, vget_low_s16(value.first_high), weight, 0);
  acc.d = vmlal_high_lane_s16(acc.d, value.first_high, weight, 0);
  acc.a = vmlal_lane_s16(acc.a, vget_low_s16(value.second_low), weight, 1);
  acc.b = vmlal_high_lane_s16(acc.b, value.second_low, weight, 1);
  acc.c = vmlal_lane_s16(acc.c, vget_low_s16(value.second_high), weight, 1);
  acc.d = vmlal_high_lane_s16(acc.d, value.second_high, weight, 1);
}
constexpr int kPairRows = 6;  // 6 x 4 sums, 4 of V, 3 of weights: 31 registers
constexpr int kPairVectors = 1;
constexpr int kStreamRows = 0;  // too few registers
constexpr int kStreamVectors = 0;

#include KVASIR_DOT

// dots[r][v] = start[r] + w[v] x x[r], exact; see DotOperands. Eight columns at a time for several rows; one row reads its
// weights once, front to back.
template <int kRows, int kVectors>
inline void DotBlock(const DotOperands& in, I32 (&dots)[kRows][kVectors]) {
  if constexpr (kRows == 1) {
    int32x4_t sums[4 * kVectors];
    DotRow<kVectors>(in, sums);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      dots[0][v] = {sums[4 * v], sums[4 * v + 1], sums[4 * v + 2], sums[4 * v + 3]};
    }
  } else {
    for (int v = 0; v < kVectors; ++v) {
      int32x4_t low[kRows][2], high[kRows][2];
      DotEight<kRows>(in, 16 * v, low);
      DotEight<kRows>(in, 16 * v + 8, high);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) dots[r][v] = {low[r][0], low[r][1], high[r][0], high[r][1]};
    }
  }
}
