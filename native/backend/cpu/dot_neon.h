// The INT8 dot product of every AArch64 processor. Included by simd_neon.h inside its namespace. Weights become signed first, so
// that sums begin at zero: DotOperands::start is what the offset of the weights would add. Two products of 127 x 127 fit an
// int16, pairs of which are added to int32 sums.

constexpr int kS8Rows =
    4;  // 4 x 4 sums, 4 of weights, 2 of inputs, 1 of products: 24 registers with what is constant
constexpr int kScoreRows = 4;

inline int8x16_t LoadSigned(const uint8_t* p) {
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(128)));
}
// Eight values of k, two quads of them, each four times.
struct TwoQuads {
  int8x16_t first, second;
  inline explicit TwoQuads(const int8_t* p) {
    const int32x2_t quads = vreinterpret_s32_s8(vld1_s8(p));
    first = vreinterpretq_s8_s32(vdupq_lane_s32(quads, 0));
    second = vreinterpretq_s8_s32(vdupq_lane_s32(quads, 1));
  }
};
// Eight values of k of four columns: two partial sums a column, columns 0, 1 in `low` and 2, 3 in `high`.
inline void AddEightK(int32x4_t& low, int32x4_t& high, int8x16_t w0, int8x16_t w1, const TwoQuads& x) {
  const int16x8_t first = vmull_s8(vget_low_s8(w0), vget_low_s8(x.first));
  low = vpadalq_s16(low, vmlal_s8(first, vget_low_s8(w1), vget_low_s8(x.second)));
  high = vpadalq_s16(high, vmlal_high_s8(vmull_high_s8(w0, x.first), w1, x.second));
}

// Eight columns from `column`.
template <int kRows>
inline void DotEight(const DotOperands& in, int column, int32x4_t (&dots)[kRows][2]) {
  int32x4_t acc[kRows][4];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) acc[r][i] = vdupq_n_s32(0);
  }
  const uint8_t* w = in.w + 4 * column;
  const Quantized* x = static_cast<const Quantized*>(in.x);
  for (int64_t quad = 0; quad < in.quads; quad += 2, w += 2 * in.ld_w, x += 8) {
    const int8x16_t w00 = LoadSigned(w), w01 = LoadSigned(w + 16);
    const int8x16_t w10 = LoadSigned(w + in.ld_w), w11 = LoadSigned(w + in.ld_w + 16);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const TwoQuads input(x + r * in.ld_x);
      AddEightK(acc[r][0], acc[r][1], w00, w10, input);
      AddEightK(acc[r][2], acc[r][3], w01, w11, input);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    dots[r][0] = vpaddq_s32(acc[r][0], acc[r][1]);
    dots[r][1] = vpaddq_s32(acc[r][2], acc[r][3]);
  }
}

template <int kVectors>
inline void DotRow(const DotOperands& in, int32x4_t (&dots)[4 * kVectors]) {
  int32x4_t acc[4 * kVectors][2];
#pragma GCC unroll 16
  for (int i = 0; i < 4 * kVectors; ++i) acc[i][0] = acc[i][1] = vdupq_n_s32(0);
  const uint8_t* w = in.w;
  const Quantized* x = static_cast<const Quantized*>(in.x);
  for (int64_t quad = 0; quad < in.quads; quad += 2, w += 2 * in.ld_w, x += 8) {
    const TwoQuads input(x);
#pragma GCC unroll 16
    for (int i = 0; i < 4 * kVectors; ++i) {
      AddEightK(acc[i][0], acc[i][1], LoadSigned(w + 16 * i), LoadSigned(w + in.ld_w + 16 * i), input);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4 * kVectors; ++i) dots[i] = vpaddq_s32(acc[i][0], acc[i][1]);
}
