// The INT8 dot product of processors with the int8 matrix instructions (i8mm). Included by simd_neon.h inside its namespace.
// USMMLA multiplies eight unsigned values of k of two columns by eight signed ones of two rows; USDOT four of four columns by
// four of one row. Both take weights as they are stored.

constexpr int kS8Rows = 8;  // 8 x 2 sums, 8 of inputs, 3 of weights: 27 of 32 registers
constexpr int kScoreRows = 8;

// As assembly, which needs no flags of a file's own. Adds the quad kLane of x [16] times four columns.
template <int kLane>
inline void AddQuad(int32x4_t& acc, uint8x16_t w, int8x16_t x) {
  asm(".arch armv8.2-a+i8mm\n\tusdot %0.4s, %1.16b, %2.4b[%c3]" : "+w"(acc) : "w"(w), "w"(x), "i"(kLane));
}
// acc [2 columns][2 rows] += w [2 columns][8] times x [2 rows][8].
inline void AddEightK(int32x4_t& acc, uint8x16_t w, int8x16_t x) {
  asm(".arch armv8.2-a+i8mm\n\tusmmla %0.4s, %1.16b, %2.16b" : "+w"(acc) : "w"(w), "w"(x));
}
inline uint8x16_t LoadWeights(const uint8_t* p) { return vld1q_u8(p); }
inline int32x4_t StartOf(int32_t start) { return vdupq_n_s32(start); }

// Eight values of k, two quads of w ld_w bytes apart, of eight columns. A quad of four columns and the next one, zipped, are
// eight values of k of two columns each.
template <int kPairs>
inline void AddEightKOfEight(const uint8_t* w, int64_t ld_w, const int8x16_t (&x)[kPairs],
                             int32x4_t (&acc)[kPairs][4]) {
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const uint32x4_t quad = vreinterpretq_u32_u8(LoadWeights(w + 16 * i));
    const uint32x4_t next = vreinterpretq_u32_u8(LoadWeights(w + ld_w + 16 * i));
    const uint8x16_t low = vreinterpretq_u8_u32(vzip1q_u32(quad, next));
    const uint8x16_t high = vreinterpretq_u8_u32(vzip2q_u32(quad, next));
#pragma GCC unroll 16
    for (int p = 0; p < kPairs; ++p) {
      AddEightK(acc[p][2 * i], low, x[p]);
      AddEightK(acc[p][2 * i + 1], high, x[p]);
    }
  }
}

// Eight columns from `column`, sixteen values of k at a time. Rows go in pairs; the last of an odd number is multiplied twice.
template <int kRows>
inline void DotEight(const DotOperands& in, int column, int32x4_t (&dots)[kRows][2]) {
  constexpr int kPairs = (kRows + 1) / 2;
  constexpr auto kSecond = [](int pair) { return 2 * pair + 1 < kRows ? 2 * pair + 1 : 2 * pair; };
  int32x4_t acc[kPairs][4];
#pragma GCC unroll 16
  for (int p = 0; p < kPairs; ++p) {
    const int32x4_t first = StartOf(in.start[2 * p * in.ld_start]);
    const int32x4_t both = vzip1q_s32(first, StartOf(in.start[kSecond(p) * in.ld_start]));
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) acc[p][i] = both;
  }
  const uint8_t* w = in.w + 4 * column;
  const Quantized* from = static_cast<const Quantized*>(in.x);
  for (int64_t quad = 0; quad < in.quads; quad += 4, w += 4 * in.ld_w, from += 16) {
    int8x16_t low[kPairs], high[kPairs];
#pragma GCC unroll 16
    for (int p = 0; p < kPairs; ++p) {
      const int64x2_t first = vreinterpretq_s64_s8(vld1q_s8(from + 2 * p * in.ld_x));
      const int64x2_t second = vreinterpretq_s64_s8(vld1q_s8(from + kSecond(p) * in.ld_x));
      low[p] = vreinterpretq_s8_s64(vzip1q_s64(first, second));
      high[p] = vreinterpretq_s8_s64(vzip2q_s64(first, second));
    }
    AddEightKOfEight(w, in.ld_w, low, acc);
    AddEightKOfEight(w + 2 * in.ld_w, in.ld_w, high, acc);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const auto& a = acc[r / 2];
    dots[r][0] = r % 2 == 0 ? vuzp1q_s32(a[0], a[1]) : vuzp2q_s32(a[0], a[1]);
    dots[r][1] = r % 2 == 0 ? vuzp1q_s32(a[2], a[3]) : vuzp2q_s32(a[2], a[3]);
  }
}

#include "backend/cpu/dot_row_neon.h"
