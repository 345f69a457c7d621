// Matrix products over packed panels of 32 columns. Included by each kernels_<isa>.cc inside its own namespace.
// One sum per output, blocks of k (or groups) ascending, so a row's result depends neither on its neighbours in the tile
// nor on how rows are split: decode is the one-row tile of the same code.
#pragma once

#include "backend/cpu/ops_math.h"

inline void StoreTile(const Epilogue& e, int64_t row, int column, F32 sum) {
  float* out = e.out + row * e.ld_out + column;
  const int n = e.n_valid - column;
  if (n <= 0) return;
  if (e.bias != nullptr) sum = Add(sum, Load(e.bias + column));
  if (e.accumulate) sum = Add(LoadFirst(out, n, 0.0f), sum);
  StoreFirst(out, n, sum);
}

// While a panel meets many rows the next one is fetched into L2: its first tile would otherwise run at the speed of
// memory. A tile fetches its share of each chunk of the panel, a few lines at a time.
struct Prefetch {
  const char* first;
  int64_t lines;

  // The part [done, done + part) of `all` of every chunk.
  inline Prefetch(const void* panel, int64_t chunk_lines, int64_t done, int64_t part, int64_t all) {
    const int64_t begin = chunk_lines * done / all;
    first = static_cast<const char*>(panel) + 64 * begin;
    lines = panel == nullptr ? 0 : chunk_lines * (done + part) / all - begin;
  }

  inline void Chunk(int64_t offset) const {
    for (int64_t line = 0; line < lines; ++line) __builtin_prefetch(first + offset + 64 * line, 0, 2);
  }
};

// Terms of a float32 sum that one accumulator takes before it is added to the total: the rounding error of a sum grows
// with its length. On SmolLM2's logits 128 gives 0.7 times the error of PyTorch's float32, one accumulator 1.9 times.
constexpr int64_t kSumBlock = 128;
// Terms between prefetches: 32 lines of a panel.
constexpr int64_t kPrefetchTerms = 16;

template <int kRows>
inline void TileF32(const LinearF32Args& a, int64_t row) {
  const float* x = a.x + row * a.ld_x;
  const Prefetch next(a.next, kPrefetchTerms * kPanelColumns / 16, row, kRows, a.rows);
  F32 total[kRows][2];
  for (int r = 0; r < kRows; ++r) total[r][0] = total[r][1] = Zero();
  const float* w = a.panel;
  for (int64_t base = 0; base < a.k; base += kSumBlock) {
    F32 acc[kRows][2];
    for (int r = 0; r < kRows; ++r) acc[r][0] = acc[r][1] = Zero();
    const int64_t end = base + kSumBlock < a.k ? base + kSumBlock : a.k;
    for (int64_t k = base; k < end;) {
      next.Chunk(k * kPanelColumns * static_cast<int64_t>(sizeof(float)));
      const int64_t pause = k + kPrefetchTerms < end ? k + kPrefetchTerms : end;
      for (; k < pause; ++k, w += kPanelColumns) {
        const F32 w0 = Load(w), w1 = Load(w + 16);
        for (int r = 0; r < kRows; ++r) {
          const F32 b = Set1(x[r * a.ld_x + k]);
          acc[r][0] = Fma(b, w0, acc[r][0]);
          acc[r][1] = Fma(b, w1, acc[r][1]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      total[r][0] = Add(total[r][0], acc[r][0]);
      total[r][1] = Add(total[r][1], acc[r][1]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    StoreTile(a.epilogue, row + r, 0, total[r][0]);
    StoreTile(a.epilogue, row + r, 16, total[r][1]);
  }
}

// kVectors * 16 columns from `column`, kRows rows (of one tile of QuantizedRows): int32 sums of a group start at
// -128 * sum(x), because the stored weights are w + 128.
template <int kRows, int kVectors>
inline void TileS8(const LinearS8Args& a, int64_t row, int column) {
  const int64_t groups = a.x.groups;
  const int64_t index = RowIndex(row, groups), step = RowStep(groups);
  const Quantized* x = static_cast<const Quantized*>(a.x.values) + index * kGroup;
  const float* scales = a.x.scales + index;
  const int32_t* start = a.x.start + index;
  const Prefetch next(a.next, sizeof(Int8Block) / 64, column / (16 * kVectors) * a.rows + row, kRows,
                      kPanelColumns / (16 * kVectors) * a.rows);
  F32 sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sum[r][v] = Zero();
  }
  for (int64_t g = 0; g < groups; ++g) {
    const Int8Block& block = a.panel[g];
    next.Chunk(g * static_cast<int64_t>(sizeof(Int8Block)));
    I32 dots[kRows][kVectors];
    DotBlock({.w = block.weights[0][column],
              .ld_w = sizeof(block.weights[0]),
              .quads = kGroup / 4,
              .x = x + g * kRowTile * kGroup,
              .ld_x = step * kGroup,
              .start = start + g * kRowTile,
              .ld_start = step},
             dots);
    for (int v = 0; v < kVectors; ++v) {
      const F32 w_scale = LoadHalf(block.scales + column + 16 * v);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const F32 scale = Mul(Set1(scales[r * step + g * kRowTile]), w_scale);
        sum[r][v] = Fma(FromInt(dots[r][v]), scale, sum[r][v]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) StoreTile(a.epilogue, row + r, column + 16 * v, sum[r][v]);
  }
}

// Full tiles, then one tile of the remainder: kRows counts down at compile time to the one that fits.
template <int kRows>
inline void RowsF32(const LinearF32Args& a, int64_t row) {
  for (; a.rows - row >= kRows; row += kRows) TileF32<kRows>(a, row);
  if constexpr (kRows > 1) {
    if (row < a.rows) RowsF32<kRows - 1>(a, row);
  }
}

template <int kRows>
inline void RowsS8(const LinearS8Args& a, int64_t row, int column) {
  for (; a.rows - row >= kRows; row += kRows) TileS8<kRows, kS8TileVectors>(a, row, column);
  if constexpr (kRows > 1) {
    if (row < a.rows) RowsS8<kRows - 1>(a, row, column);
  }
}

void LinearF32(const LinearF32Args& args) { RowsF32<kGemmRows>(args, 0); }

// The rows from `row` on, all columns of the panel.
inline void LinearS8From(const LinearS8Args& args, int64_t row) {
  for (int column = 0; column < kPanelColumns; column += 16 * kS8TileVectors)
    RowsS8<kS8Rows>(args, row, column);
}

inline void LinearS8(const LinearS8Args& args) {
  if (args.rows == 1) {  // decode: memory-bound, so the panel is read once, in order
    TileS8<1, 2>(args, 0, 0);
  } else {
    LinearS8From(args, 0);
  }
}
