// Dot products of INT8 vectors with a query of int16, whose digits are no part of what is lost; widening the vectors costs
// nothing beside reading them. Included by each kernels_<isa>_vectors.cc inside its own namespace.
#pragma once

#include "backend/cpu/ops_math.h"

// Rows that share the query's registers: 4 x 2 sums, 2 of the query and 2 of the vectors on AVX2.
constexpr int kVectorRows = 4;
// How far ahead vectors are fetched: hardware stops at the ends of pages, and with four rows side by side falls behind.
constexpr int64_t kVectorsAhead = 2048;
static_assert(sizeof(Pairs) == 32 * sizeof(int16_t));

template <int kRows>
inline void DotRows(const int8_t* vectors, const int16_t* query, int64_t n, int32_t* dots) {
  I32 acc[kRows];
#pragma GCC unroll 16
  for (I32& sum : acc) sum = SetInt(0);
  for (int64_t k = 0; k < n; k += 32) {
    // As many bytes as this turn reads; beyond the last vector they are hints that nothing comes of.
    for (int64_t byte = 0; byte < 32 * kRows; byte += 64) {
      __builtin_prefetch(vectors + kVectorsAhead + kRows * k + byte, 0, 3);
    }
    // 32 values as they lie, which is what LoadPairs makes of int8. A copy would go through the stack in halves.
    const Pairs& q = *reinterpret_cast<const Pairs*>(query + k);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) AddDotPairs(acc[r], LoadPairs(vectors + r * n + k), q);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) dots[r] = SumInt(acc[r]);
}

inline void DotAllRows(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots) {
  int64_t row = 0;
  for (; row + kVectorRows <= rows; row += kVectorRows) {
    DotRows<kVectorRows>(vectors + row * n, query, n, dots + row);
  }
  for (; row < rows; ++row) DotRows<1>(vectors + row * n, query, n, dots + row);
}
