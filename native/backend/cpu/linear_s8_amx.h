// The INT8 product on tile registers. Included by kernels_amx.cc inside its namespace, after ops_table.h and the tiles. It
// refuses rows that fill no tile: those are ops_linear.h's.
//
// One instruction multiplies 16 rows by 16 columns over a whole group of 64 k, exactly, in 16 cycles. What the format asks
// of the float lanes then, a conversion, a product of scales and a fused addition for each of 16 rows, takes 48 cycles: while
// tiles are at work the processor has one 512-bit float pipe left of two. So tiles are loaded, multiplied and stored under
// that work, and kept one group ahead of it, in two buffers. docs/kernels/linear-s8.md has the measurements.
#pragma once

constexpr int kTileColumns = 16;
static_assert(kRowTile == 16 && kGroup == 64, "a tile is 16 rows of a group");
// Groups of half a panel that are made signed at a time: 24 KB, half of the L1 of all processors with tiles.
constexpr int64_t kSignedGroups = 24;
// Rows whose sums wait, in float, while the panel's next groups are made signed (inputs wider than 1,536): 16 KB.
constexpr int64_t kWaitingRows = 256;

using TileDots = int32_t[kRowTile][kTileColumns];

// Half a panel, tiles of rows one after another, and how far they have been multiplied and added.
struct TileRun {
  const int8_t* x;           // [groups][16 rows][64]: what is multiplied next,
  const int8_t* w;           // [groups][16 quads of k][16 columns][4]
  const float* x_scales;     // [groups][16 rows]: and what is added next
  const uint16_t* w_scales;  // [16] of a group; those of the next one are an Int8Block further
  Prefetch next;
  int64_t offset;  // of the group in a panel, bytes
};

// sum[row] += float(dots[row]) * (scale of the row x w_scale), for four rows.
inline void AddFourRows(const TileRun& run, const TileDots& dots, F32 w_scale, int first,
                        F32 (&sum)[kRowTile]) {
#pragma GCC unroll 4
  for (int r = first; r < first + 4; ++r) {
    sum[r] = Fma(FromInt(LoadInt(dots[r])), Mul(Set1(run.x_scales[r]), w_scale), sum[r]);
  }
}

// Multiplies a group into tile kSums and `dots`, and meanwhile adds the group before it, whose dots are in `before`, to the
// sums. Tiles of x are read past L1: it holds w, which all rows share.
template <int kSums>
inline void MultiplyAndAdd(TileRun& run, const TileDots& before, TileDots& dots, F32 (&sum)[kRowTile]) {
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

// The very first group, with nothing to add meanwhile.
inline void MultiplyFirst(TileRun& run, TileDots& dots) {
  ZeroTile<0>();
  LoadTileOnce<4>(run.x, kGroup);
  LoadTile<6>(run.w, kGroup);
  DotTiles<0, 4, 6>();
  StoreTileTo<0>(dots, sizeof(dots[0]));
  run.x += kRowTile * kGroup;
  run.w += kRowTile * kGroup;
}

// Where the sums of a tile go: `accumulate` adds them to what is there.
struct TileOut {
  float* first;
  int64_t ld;
  bool accumulate;
};

// What a tile continues with: the first group of the next tile of rows, multiplied while the last of this one is added. With
// x nullptr there is none.
struct TileNext {
  const int8_t* x;
  const int8_t* w;
};

// The sums of a tile's `groups` groups, which begin at `from` [16 rows][16 columns], or at 0 where that is nullptr. The first
// group is in dots[kFirst] already. Returns where the next tile's is.
template <int kFirst>
[[gnu::noinline]] int MultiplyTile(TileRun& run_place, int64_t groups, const TileNext& next,
                                   const float* from, const TileOut& out, TileDots (&dots)[2]) {
  constexpr int kSecond = 1 - kFirst;
  TileRun run = run_place;
  F32 sum[kRowTile];
#pragma GCC unroll 16
  for (int r = 0; r < kRowTile; ++r) sum[r] = from == nullptr ? Zero() : Load(from + r * kTileColumns);
  int64_t left = groups - 1;
  for (; left > 1; left -= 2) {
    MultiplyAndAdd<kSecond>(run, dots[kFirst], dots[kSecond], sum);
    MultiplyAndAdd<kFirst>(run, dots[kSecond], dots[kFirst], sum);
  }
  if (left == 1) MultiplyAndAdd<kSecond>(run, dots[kFirst], dots[kSecond], sum);
  const int last = left == 1 ? kSecond : kFirst;
  run.x = next.x;
  run.w = next.w;
  if (next.x == nullptr) {
    const F32 w_scale = LoadHalf(run.w_scales);
#pragma GCC unroll 4
    for (int r = 0; r < kRowTile; r += 4) AddFourRows(run, dots[last], w_scale, r, sum);
  } else if (last == kFirst) {
    MultiplyAndAdd<kSecond>(run, dots[kFirst], dots[kSecond], sum);
  } else {
    MultiplyAndAdd<kFirst>(run, dots[kSecond], dots[kFirst], sum);
  }
  run_place = run;
  if (out.accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRowTile; ++r) sum[r] = Add(Load(out.first + r * out.ld), sum[r]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRowTile; ++r) Store(out.first + r * out.ld, sum[r]);
  return 1 - last;
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

// One in so many shares of the next panel is fetched by this tile of rows.
inline Prefetch NextPanel(const LinearS8Args& a, int64_t row, int column) {
  constexpr int kHalves = kPanelColumns / kTileColumns;
  return Prefetch(a.next, sizeof(Int8Block) / 64, column / kTileColumns * a.rows + row, kRowTile,
                  kHalves * a.rows);
}

// Rows [row, row + rows), whole tiles and at most kWaitingRows, of half a panel.
[[gnu::noinline]] void LinearTiles(const LinearS8Args& a, int64_t row, int64_t rows, int column) {
  alignas(64) int8_t w[kSignedGroups * kGroup * kTileColumns];
  alignas(64) float waiting[kWaitingRows][kTileColumns];
  alignas(64) TileDots dots[2];
  const int64_t groups = a.x.groups;
  const Epilogue& e = a.epilogue;
  const bool plain = e.bias == nullptr && e.n_valid - column >= kTileColumns;
  for (int64_t g = 0; g < groups; g += kSignedGroups) {
    const int64_t n = groups - g < kSignedGroups ? groups - g : kSignedGroups;
    const bool last = g + n == groups;
    MakeSigned(a.panel + g, n, column, w);
    const auto x = [&](int64_t r) {
      return static_cast<const int8_t*>(a.x.values) + (RowIndex(row + r, groups) + g * kRowTile) * kGroup;
    };
    TileRun run = {.x = x(0),
                   .w = w,
                   .x_scales = nullptr,
                   .w_scales = nullptr,
                   .next = NextPanel(a, row, column),
                   .offset = 0};
    int first = 0;
    MultiplyFirst(run, dots[0]);
    for (int64_t r = 0; r < rows; r += kRowTile) {
      run.x_scales = a.x.scales + RowIndex(row + r, groups) + g * kRowTile;
      run.w_scales = a.panel[g].scales + column;
      run.next = NextPanel(a, row + r, column);
      run.offset = g * static_cast<int64_t>(sizeof(Int8Block));
      const bool to_result = last && plain;
      const TileOut out = to_result ? TileOut{e.out + (row + r) * e.ld_out + column, e.ld_out, e.accumulate}
                                    : TileOut{waiting[r], kTileColumns, false};
      const TileNext next = {r + kRowTile < rows ? x(r + kRowTile) : nullptr, w};
      const float* from = g == 0 ? nullptr : waiting[r];
      first = first == 0 ? MultiplyTile<0>(run, n, next, from, out, dots)
                         : MultiplyTile<1>(run, n, next, from, out, dots);
      if (!last || to_result) continue;
      for (int i = 0; i < kRowTile; ++i) StoreTile(e, row + r + i, column, Load(waiting[r + i]));
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
  if (whole < a.rows) LinearS8From(a, whole);
}
