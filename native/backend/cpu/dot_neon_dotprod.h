// The INT8 dot product of processors with SDOT (ARMv8.2 and newer). Included by simd_neon.h inside its namespace. Weights become
// signed first, so that sums begin at zero: DotOperands::start is what the offset of the weights would add.

constexpr int kS8Rows = 8;  // 8 x 2 sums, 8 of inputs, 1 of weights and what is constant: 26 of 32 registers
constexpr int kScoreRows = 8;

// Adds the quad kLane of x [16] times four columns. As assembly, which needs no flags of a file's own.
template <int kLane>
inline void AddQuad(int32x4_t& acc, int8x16_t w, int8x16_t x) {
  asm(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.4b[%c3]" : "+w"(acc) : "w"(w), "w"(x), "i"(kLane));
}
inline int8x16_t LoadWeights(const uint8_t* p) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(128)));
}
inline int32x4_t StartOf(int32_t /*start*/) { return vdupq_n_s32(0); }

// One quad of k, kLane of x, of eight columns.
template <int kLane, int kRows>
inline void AddQuadOfEight(const uint8_t* w, const int8x16_t (&x)[kRows], int32x4_t (&acc)[kRows][2]) {
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const int8x16_t weights = LoadWeights(w + 16 * i);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) AddQuad<kLane>(acc[r][i], weights, x[r]);
  }
}

// Eight columns from `column`, sixteen values of k at a time.
template <int kRows>
inline void DotEight(const DotOperands& in, int column, int32x4_t (&dots)[kRows][2]) {
  int32x4_t acc[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) acc[r][0] = acc[r][1] = StartOf(in.start[r * in.ld_start]);
  const uint8_t* w = in.w + 4 * column;
  const Quantized* from = static_cast<const Quantized*>(in.x);
  for (int64_t quad = 0; quad < in.quads; quad += 4, w += 4 * in.ld_w, from += 16) {
    int8x16_t x[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) x[r] = vld1q_s8(from + r * in.ld_x);
    AddQuadOfEight<0>(w, x, acc);
    AddQuadOfEight<1>(w + in.ld_w, x, acc);
    AddQuadOfEight<2>(w + 2 * in.ld_w, x, acc);
    AddQuadOfEight<3>(w + 3 * in.ld_w, x, acc);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    dots[r][0] = acc[r][0];
    dots[r][1] = acc[r][1];
  }
}

#include "backend/cpu/dot_row_neon.h"
