// INT8 products of many rows on AVX2, by products of sums. Included by kernels_avx2.cc inside its namespace.
//
// Winograd's inner product (IEEE Transactions on Computers C-17, 1968, p. 693): for a pair of k
//   x0 w0 + x1 w1 = (x0 + w1) (x1 + w0) - x0 x1 - w0 w1.
// The last two, summed over a group, depend on the row or the column alone. The first takes one vpmaddwd, two vpaddw and a
// vpaddd for four k of a column, where x w takes two vpmaddwd and two vpaddd: as many instructions, but two of Zen's four
// vector pipes multiply integers and all of them add (docs/kernels/linear-s8.md). k and k + 2 of a quad are a pair. All is exact:
// |x + w| <= 127 + 255.
#pragma once

#include "backend/cpu/ops_table.h"

// One group of a panel, its weights as int16.
struct WideGroup {
  static constexpr int kVectors = kPanelColumns / 8;  // of 8 columns
  static constexpr int kQuads = kGroup / 4;
  // [quad][vector][column][2]: k 2, 3 and k 0, 1 of a quad.
  __m256i high[kQuads][kVectors];
  __m256i low[kQuads][kVectors];
  __m256i cross[kVectors];  // [column]: sum of w[k] w[k + 2] over k % 4 < 2
  __m256 scales[kVectors];

  [[gnu::noinline]] explicit WideGroup(const Int8Block& block) {
    // Bytes 0, 1 and 2, 3 of each quad, as int16: 0x80 gives a zero.
    const __m256i low_bytes = _mm256_broadcastsi128_si256(
        _mm_setr_epi32(static_cast<int>(0x80018000), static_cast<int>(0x80058004),
                       static_cast<int>(0x80098008), static_cast<int>(0x800d800c)));
    const __m256i high_bytes = _mm256_add_epi16(low_bytes, _mm256_set1_epi16(2));
    for (int v = 0; v < kVectors; ++v) {
      const __m128i* half = reinterpret_cast<const __m128i*>(block.scales + 8 * v);
      scales[v] = _mm256_cvtph_ps(_mm_loadu_si128(half));
      cross[v] = _mm256_setzero_si256();
      for (int quad = 0; quad < kQuads; ++quad) {
        const __m256i bytes =
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.weights[quad][8 * v]));
        high[quad][v] = _mm256_shuffle_epi8(bytes, high_bytes);
        low[quad][v] = _mm256_shuffle_epi8(bytes, low_bytes);
        cross[v] = _mm256_add_epi32(cross[v], _mm256_madd_epi16(high[quad][v], low[quad][v]));
      }
    }
  }
};

// Two int16 values, read as one word.
using Pair [[gnu::may_alias]] = int32_t;

// A row's sums over the groups so far.
using RowSums = __m256[WideGroup::kVectors];

// Adds a group to kRows rows x all columns. 2 rows x 4 int32 sums, 4 of weights, 4 of inputs and products: all 16
// registers. The other weights are operands in memory; a broadcast, which takes Zen 3 as long as an addition, serves all
// four vectors.
template <int kRows>
inline void AddTile(const WideGroup& w, const QuantizedRows& x, RowSums* sums) {
  constexpr int kVectors = WideGroup::kVectors;
  static_assert(kVectors == 4);
  const Quantized* values = static_cast<const Quantized*>(x.values);
  const int64_t ld = x.groups * kGroup;
  __m256i acc[kRows][kVectors];
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
    const __m256i start = _mm256_set1_epi32(x.start_of_sums[r * x.groups]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] = _mm256_sub_epi32(start, w.cross[v]);
  }
#pragma GCC unroll 1
  for (int quad = 0; quad < WideGroup::kQuads; ++quad, values += 4) {
    const __m256i *high = w.high[quad], *low = w.low[quad];
    const __m256i high0 = high[0], high1 = high[1], high2 = high[2], high3 = high[3];
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      const Pair* pairs = reinterpret_cast<const Pair*>(values + r * ld);
      __m256i x_low, x_high, product, factor;
      // One statement: GCC would copy the sums around and spill.
      asm("vpbroadcastd %8, %4\n\tvpbroadcastd %9, %5\n\t"
          "vpaddw %4, %10, %6\n\tvpaddw %14, %5, %7\n\tvpmaddwd %6, %7, %6\n\tvpaddd %6, %0, %0\n\t"
          "vpaddw %4, %11, %6\n\tvpaddw %15, %5, %7\n\tvpmaddwd %6, %7, %6\n\tvpaddd %6, %1, %1\n\t"
          "vpaddw %4, %12, %6\n\tvpaddw %16, %5, %7\n\tvpmaddwd %6, %7, %6\n\tvpaddd %6, %2, %2\n\t"
          "vpaddw %4, %13, %4\n\tvpaddw %17, %5, %5\n\tvpmaddwd %4, %5, %4\n\tvpaddd %4, %3, %3"
          : "+x"(acc[r][0]), "+x"(acc[r][1]), "+x"(acc[r][2]), "+x"(acc[r][3]), "=&x"(x_low), "=&x"(x_high),
            "=&x"(product), "=&x"(factor)
          : "m"(pairs[0]), "m"(pairs[1]), "x"(high0), "x"(high1), "x"(high2), "x"(high3), "m"(low[0]),
            "m"(low[1]), "m"(low[2]), "m"(low[3]));
    }
  }
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r) {
    const __m256 x_scale = _mm256_set1_ps(x.scales[r * x.groups]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const __m256 scale = _mm256_mul_ps(x_scale, w.scales[v]);
      sums[r][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[r][v]), scale, sums[r][v]);
    }
  }
}

// Lines of the next panel's group, fetched into L2 a few before each tile.
struct NextGroup {
  const char* panel;  // nullptr: there is none
  int64_t line, end;  // of the panel
  int64_t step;

  inline void FetchSome() {
    if (panel == nullptr) return;
    for (const int64_t stop = line + step; line < stop && line < end; ++line) {
      __builtin_prefetch(panel + 64 * line, 0, 2);
    }
  }
};

// Adds a group to `rows` rows, kRows at a time; x stands at the first row's group.
template <int kRows>
inline void AddGroup(const WideGroup& w, QuantizedRows x, int64_t rows, NextGroup& next, RowSums* sums) {
  for (; rows >= kRows; rows -= kRows, sums += kRows) {
    next.FetchSome();
    AddTile<kRows>(w, x, sums);
    x.values = static_cast<Quantized*>(x.values) + kRows * x.groups * kGroup;
    x.scales += kRows * x.groups;
    x.start_of_sums += kRows * x.groups;
  }
  if constexpr (kRows > 1) {
    if (rows > 0) AddGroup<kRows - 1>(w, x, rows, next, sums);
  }
}

constexpr int64_t kSumsRows = 2;  // of a tile
// Rows whose sums (6 KB) and group (6 KB) lie in L1 with the wide weights (4 KB).
constexpr int64_t kSumsBlock = 48;
// Widening a group costs as much as it saves for 8 rows.
constexpr int64_t kLeastSumsRows = 8;

// A group of the panel at a time, so that its weights are widened once for all rows.
[[gnu::noinline]] void BlockOfSums(const LinearS8Args& a, int64_t row, int64_t rows, const void* next_panel) {
  RowSums sums[kSumsBlock];
  for (int64_t r = 0; r < rows; ++r) {
    for (__m256& sum : sums[r]) sum = _mm256_setzero_ps();
  }
  constexpr int64_t kLines = sizeof(Int8Block) / 64;
  const int64_t tiles = (rows + kSumsRows - 1) / kSumsRows;
  for (int64_t g = 0; g < a.x.groups; ++g) {
    NextGroup next = {.panel = static_cast<const char*>(next_panel),
                      .line = g * kLines,
                      .end = (g + 1) * kLines,
                      .step = (kLines + tiles - 1) / tiles};
    const int64_t index = row * a.x.groups + g;
    const QuantizedRows x = {.values = static_cast<Quantized*>(a.x.values) + index * kGroup,
                             .scales = a.x.scales + index,
                             .start = nullptr,
                             .start_of_sums = a.x.start_of_sums + index,
                             .groups = a.x.groups};
    AddGroup<kSumsRows>(WideGroup(a.panel[g]), x, rows, next, sums);
  }
  for (int64_t r = 0; r < rows; ++r) {
    StoreTile(a.epilogue, row + r, 0, {sums[r][0], sums[r][1]});
    StoreTile(a.epilogue, row + r, 16, {sums[r][2], sums[r][3]});
  }
}

inline void LinearS8OfSums(const LinearS8Args& a) {
  if (a.rows < kLeastSumsRows) {
    LinearS8(a);
    return;
  }
  for (int64_t row = 0; row < a.rows; row += kSumsBlock) {
    const int64_t left = a.rows - row;
    BlockOfSums(a, row, left < kSumsBlock ? left : kSumsBlock, row == 0 ? a.next : nullptr);
  }
}
