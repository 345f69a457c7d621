// The kernel of vector search on AArch64. Of its own, without the shared body: pairs of the lanes of simd_neon.h lie apart.
#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/vector_kernels.h"

namespace kvasir::cpu {
namespace isa_neon_vectors {

// Rows that share the query's registers: 4 x 4 sums, 4 of the query, 2 of the vectors and 2 of those widened.
constexpr int kRows = 4;

// Sixteen values of k.
inline void AddSixteen(int32x4_t (&acc)[4], int8x16_t vector, int16x8_t low, int16x8_t high) {
  const int16x8_t first = vmovl_s8(vget_low_s8(vector)), second = vmovl_high_s8(vector);
  acc[0] = vmlal_s16(acc[0], vget_low_s16(first), vget_low_s16(low));
  acc[1] = vmlal_high_s16(acc[1], first, low);
  acc[2] = vmlal_s16(acc[2], vget_low_s16(second), vget_low_s16(high));
  acc[3] = vmlal_high_s16(acc[3], second, high);
}

template <int kOfRows>
inline void DotRows(const int8_t* vectors, const int16_t* query, int64_t n, int32_t* dots) {
  int32x4_t acc[kOfRows][4];
#pragma GCC unroll 16
  for (int r = 0; r < kOfRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) acc[r][i] = vdupq_n_s32(0);
  }
  for (int64_t k = 0; k < n; k += 32) {
    const int16x8_t q0 = vld1q_s16(query + k), q1 = vld1q_s16(query + k + 8);
    const int16x8_t q2 = vld1q_s16(query + k + 16), q3 = vld1q_s16(query + k + 24);
#pragma GCC unroll 16
    for (int r = 0; r < kOfRows; ++r) {
      AddSixteen(acc[r], vld1q_s8(vectors + r * n + k), q0, q1);
      AddSixteen(acc[r], vld1q_s8(vectors + r * n + k + 16), q2, q3);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kOfRows; ++r) {
    dots[r] = vaddvq_s32(vaddq_s32(vaddq_s32(acc[r][0], acc[r][1]), vaddq_s32(acc[r][2], acc[r][3])));
  }
}

}  // namespace isa_neon_vectors

void DotVectorsNeon(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots) {
  using isa_neon_vectors::DotRows;
  using isa_neon_vectors::kRows;
  int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) DotRows<kRows>(vectors + row * n, query, n, dots + row);
  for (; row < rows; ++row) DotRows<1>(vectors + row * n, query, n, dots + row);
}

}  // namespace kvasir::cpu
