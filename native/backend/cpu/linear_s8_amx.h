// The INT8 product on tile registers. Included by kernels_amx.cc inside its namespace, after ops_table.h and the tiles.
//
// One instruction multiplies 16 rows by 16 columns over a whole group of 64 k, exactly, in 16 cycles. What the format asks
// of the float lanes then, a conversion, a product of scales and a fused addition for each of 16 rows, takes 48 cycles: while
// tiles are at work the processor has one 512-bit float pipe left of two. So tiles are loaded, multiplied and stored under
// that work, and kept one group ahead of it, in two buffers. docs/kernels.md has the measurements.
#pragma once

constexpr int kTileColumns = 16;
static_assert(kRowTile == 16 && kGroup == 64, "a tile is 16 rows of a group");
// Groups of half a panel that are made signed at a time: 24 KB, half of the L1 of all processors with tiles.
constexpr int64_t kSignedGroups = 24;
// Rows whose sums wait, in float, while the panel's next groups are made signed: 16 KB. Only of inputs wider than 1,536.
constexpr int64_t kWaitingRows = 256;

// A tile of rows, half a panel, and how far both have been multiplied.
struct TileRun {
  const int8_t* x;           // [groups][16 rows][64]
  const float* x_scales;     // [groups][16 rows]
  const int8_t* w;           // [groups][16 quads of k][16 columns][4]
  const uint16_t* w_scales;  // [16] of a group; those of the next one are an Int8Block further
  Prefetch next;
  int64_t offset;  // of the group in a panel, bytes
};

// sum[row] += float(dots[row]) * (scale of the row x w_scale), for four rows.
inline void AddFourRows(const TileRun& run, const int32_t (&dots)[kRowTile][kTileColumns], F32 w_scale,
                        int first, F32 (&sum)[kRowTile]) {
#pragma GCC unroll 4
  for (int r = first; r < first + 4; ++r) {
    sum[r] = Fma(FromInt(LoadInt(dots[r])), Mul(Set1(run.x_scales[r]), w_scale), sum[r]);
  }
}

// Multiplies a group into tile kSums and `dots`, and meanwhile adds the group before it, whose dots are in `before`, to the
// sums. Tiles of x are read past L1: it holds w, which all rows share.
template <int kSums>
inline void MultiplyAndAdd(TileRun& run, const int32_t (&before)[kRowTile][kTileColumns],
                           int32_t (&dots)[kRowTile][kTileColumns], F32 (&sum)[kRowTile]) {
  const F32 w_scale = LoadHalf(run.w_scales);
  ZeroTile<kSums>();
  LoadTileOnce<4 + kSums>(run.x, kGroup);
  AddFourRows(run, before, w_scale, 0, sum);
  LoadTile<6 + kSums>(run.w, kGroup);
  AddFourRows(run, before, w_scale, 4, sum);
  DotTiles<kSums, 4 + kSums, 6 + kSums>();
  AddFourRows(run, before, w_scale, 8, sum);
  AddFourRows(run, before, w_scale, 12, sum);
  StoreTileTo<kSums>(dots, sizeof(dots[0]));
  run.next.Chunk(run.offset);
  run.x += kRowTile * kGroup;
  run.w += kRowTile * kGroup;
  run.offset += static_cast<int64_t>(sizeof(Int8Block));
  run.x_scales += kRowTile;
  run.w_scales += sizeof(Int8Block) / sizeof(uint16_t);
}

// out [16 rows][16 columns] = the sums of `groups` groups, which begin at `from`, or at 0 where that is nullptr.
inline void MultiplyTile(TileRun run, int64_t groups, const float* from, float* out) {
  alignas(64) int32_t dots[2][kRowTile][kTileColumns];
  F32 sum[kRowTile];
#pragma GCC unroll 16
  for (int r = 0; r < kRowTile; ++r) sum[r] = from == nullptr ? Zero() : Load(from + r * kTileColumns);
  ZeroTile<0>();
  LoadTileOnce<4>(run.x, kGroup);
  LoadTile<6>(run.w, kGroup);
  DotTiles<0, 4, 6>();
  StoreTileTo<0>(dots[0], sizeof(dots[0][0]));
  run.next.Chunk(run.offset);
  run.x += kRowTile * kGroup;
  run.w += kRowTile * kGroup;
  run.offset += static_cast<int64_t>(sizeof(Int8Block));
  int64_t left = groups - 1;
  for (; left > 1; left -= 2) {
    MultiplyAndAdd<1>(run, dots[0], dots[1], sum);
    MultiplyAndAdd<0>(run, dots[1], dots[0], sum);
  }
  if (left == 1) MultiplyAndAdd<1>(run, dots[0], dots[1], sum);
  const F32 w_scale = LoadHalf(run.w_scales);
#pragma GCC unroll 4
  for (int r = 0; r < kRowTile; r += 4) AddFourRows(run, dots[left], w_scale, r, sum);
#pragma GCC unroll 16
  for (int r = 0; r < kRowTile; ++r) Store(out + r * kTileColumns, sum[r]);
}

// Half a panel's groups, w + 128 to w: turns the sign bits. Once for all rows; a sum that started at -128 * sum(x) instead
// would take an addition for each row and group.
inline void MakeSigned(const Int8Block* blocks, int64_t groups, int column, int8_t* out) {
  for (int64_t g = 0; g < groups; ++g) {
    for (int quad = 0; quad < kGroup / 4; ++quad, out += 4 * kTileColumns) {
      uint64_t words[kTileColumns / 2];
      __builtin_memcpy(words, blocks[g].weights[quad][column], sizeof(words));
      for (uint64_t& word : words) word ^= 0x8080808080808080u;
      __builtin_memcpy(out, words, sizeof(words));
    }
  }
}

// Rows [row, row + rows), whole tiles and at most kWaitingRows, of half a panel.
[[gnu::noinline]] void LinearTiles(const LinearS8Args& a, int64_t row, int64_t rows, int column) {
  alignas(64) int8_t w[kSignedGroups * kGroup * kTileColumns];
  alignas(64) float waiting[kWaitingRows][kTileColumns];
  const int64_t groups = a.x.groups;
  for (int64_t g = 0; g < groups; g += kSignedGroups) {
    const int64_t n = groups - g < kSignedGroups ? groups - g : kSignedGroups;
    MakeSigned(a.panel + g, n, column, w);
    for (int64_t r = 0; r < rows; r += kRowTile) {
      const int64_t index = RowIndex(row + r, groups) + g * kRowTile;
      const TileRun run = {
          .x = static_cast<const int8_t*>(a.x.values) + index * kGroup,
          .x_scales = a.x.scales + index,
          .w = w,
          .w_scales = a.panel[g].scales + column,
          .next = Prefetch(a.next, sizeof(Int8Block) / 64, column / kTileColumns * a.rows + row + r, kRowTile,
                           kPanelColumns / kTileColumns * a.rows),
          .offset = g * static_cast<int64_t>(sizeof(Int8Block)),
      };
      MultiplyTile(run, n, g == 0 ? nullptr : waiting[r], waiting[r]);
      if (g + n < groups) continue;
      for (int i = 0; i < kRowTile; ++i) StoreTile(a.epilogue, row + r + i, column, Load(waiting[r + i]));
    }
  }
}

// Whole tiles of rows on tile registers, the others as avx512vnni has them.
inline void LinearS8Tiles(const LinearS8Args& a) {
  if (a.rows < kRowTile) {
    LinearS8(a);
    return;
  }
  const int64_t whole = a.rows / kRowTile * kRowTile;
  for (int64_t row = 0; row < whole; row += kWaitingRows) {
    const int64_t rows = whole - row < kWaitingRows ? whole - row : kWaitingRows;
    for (int column = 0; column < kPanelColumns; column += kTileColumns) LinearTiles(a, row, rows, column);
  }
  if (whole == a.rows) return;
  for (int column = 0; column < kPanelColumns; column += 16 * kS8TileVectors)
    RowsS8<kS8Rows>(a, whole, column);
}
