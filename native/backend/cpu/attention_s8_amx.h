// Attention over an INT8 cache on tile registers: sixteen query rows by sixteen positions, or dimensions, at a time. Included
// by kernels_amx.cc inside its namespace, after ops_table.h and the tiles. The sums are those of ops_attention.h, exactly.
// It refuses tiles of fewer rows, which decode reads from memory, and heads of other than 64, 128, 192 or 256 dimensions: those
// are ops_attention.h's.
//
// A page of K is a right side as it lies: quads of dimensions, 64 positions each. V is not: its positions lie two by two, and
// are brought into fours. The 15-bit weights are two bytes, each multiplied by itself: the sum is 256 x that of the high bytes
// + that of the low ones.
#pragma once

constexpr int kTileDims = 64;  // of a head, that a tile of queries holds

// Of a chunk, the attention weights of 16 rows as bytes: tiles of 64 positions in the order of StoreWeightBytes.
struct WeightTiles {
  alignas(64) uint8_t low[ChunkPages::kMost][kRowTile][kPagePositions];
  alignas(64) uint8_t high[ChunkPages::kMost][kRowTile][kPagePositions];
  float scale[kRowTile];
};

struct QueryTile {
  alignas(64) int8_t q[kMaxHeadDim / kTileDims][kRowTile][kTileDims];
  alignas(64) int32_t start[kRowTile][kTileColumns];  // of each row, where its sums begin

  explicit QueryTile(const AttentionChunk& c) {
    for (int r = 0; r < kRowTile; ++r) {
      const int8_t* from = static_cast<const int8_t*>(c.q_s8) + r * c.head_dim;
      for (int d = 0; d < c.head_dim; d += kTileDims)
        __builtin_memcpy(q[d / kTileDims][r], from + d, kTileDims);
      StoreInt(start[r], SetInt(c.q_start[r]));
    }
  }
};

template <int kSums>
inline void MultiplyKeys(const uint8_t* k) {
  LoadTile<6 + kSums % 2>(k + 4 * kTileColumns * kSums, 4 * kPagePositions);
  DotTilesUnsigned<kSums, 4, 6 + kSums % 2>();
}

// dots [16 rows][chunk] = the products of 16 rows with a page's positions.
inline void MultiplyPage(const QueryTile& tile, const uint8_t* k, int head_dim, int32_t* dots) {
  constexpr int64_t kStride = sizeof(tile.start[0]), kRowBytes = kChunkPositions * sizeof(int32_t);
  LoadTile<0>(tile.start, kStride);
  LoadTile<1>(tile.start, kStride);
  LoadTile<2>(tile.start, kStride);
  LoadTile<3>(tile.start, kStride);
  for (int d = 0; d < head_dim; d += kTileDims) {
    LoadTile<4>(tile.q[d / kTileDims], kTileDims);
    const uint8_t* dims = k + d * kPagePositions;
    MultiplyKeys<0>(dims);
    MultiplyKeys<1>(dims);
    MultiplyKeys<2>(dims);
    MultiplyKeys<3>(dims);
  }
  StoreTileTo<0>(dots, kRowBytes);
  StoreTileTo<1>(dots + kTileColumns, kRowBytes);
  StoreTileTo<2>(dots + 2 * kTileColumns, kRowBytes);
  StoreTileTo<3>(dots + 3 * kTileColumns, kRowBytes);
}

// Of 16 rows and all positions of n_pages. Not inline: its registers are its own.
[[gnu::noinline]] void DotsOfTile(const AttentionChunk& c, int n_pages, int32_t (*dots)[kChunkPositions]) {
  const QueryTile tile(c);
  for (int page = 0; page < n_pages; ++page) {
    MultiplyPage(tile, static_cast<const uint8_t*>(c.k_pages[page]), c.head_dim,
                 dots[0] + page * kPagePositions);
  }
}

// Of some rows at a time, so that what one pass leaves for the next is still in L1.
constexpr int kSoftmaxRows = 4;

// Products to scores, float(dot) * (scale_q * k_scale), of one row. Returns the largest of those that count.
inline float ScaleDots(const int32_t* dots, const float* k_scales, float q_scale, int n_valid,
                       float* scores) {
  F32 largest = Set1(kNegativeInfinity);
  const auto scaled = [&](int i) {
    const F32 score = Mul(FromInt(LoadInt(dots + i)), Mul(Set1(q_scale), Load(k_scales + i)));
    Store(scores + i, score);
    return score;
  };
  const int whole = n_valid / 16 * 16;
  for (int i = 0; i < whole; i += 16) largest = Max(scaled(i), largest);
  if (whole < n_valid) {
    largest = Max(SelectFirst(n_valid - whole, scaled(whole), Set1(kNegativeInfinity)), largest);
  }
  return MaxLane(largest);
}

// weights [n], at most `largest`, as QuantizeWeights has them, into row `row` of the tiles; n is a multiple of 64.
inline void QuantizeToTiles(const float* weights, float largest, int n, int row, WeightTiles* out) {
  const F32 factor = WeightFactor(largest);
  for (int i = 0; i < n; i += kPagePositions) {
    I32 q[4];
    for (int j = 0; j < 4; ++j) q[j] = Round(Mul(Load(weights + i + 16 * j), factor));
    StoreWeightBytes(q, out->low[i / kPagePositions][row], out->high[i / kPagePositions][row]);
  }
  out->scale[row] = largest / kWeightSteps;
}

// 64 positions of 16 dimensions of V, from dimension d on, as a right side in the order of StoreWeightBytes.
inline void QuadsOfValues(const int8_t* v, int head_dim, int d, int8_t (*out)[4 * kTileColumns]) {
  for (int quad = 0; quad < kPagePositions / 4; ++quad) {
    const int8_t* pairs = v + (quad * 2 * head_dim + d) * 2;
    JoinPairs(pairs, pairs + 2 * head_dim, out[quad % 4 * 4 + quad / 4]);
  }
}

// Sums of low and high bytes in tiles kLow and kLow + 1.
template <int kLow>
inline void MultiplyValues(const int8_t (*values)[4 * kTileColumns]) {
  LoadTile<6 + kLow / 2>(values, sizeof(values[0]));
  DotUnsignedTiles<kLow, 4, 6 + kLow / 2>();
  DotUnsignedTiles<kLow + 1, 5, 6 + kLow / 2>();
}

template <int kLow>
inline void StoreValues(const AttentionChunk& c, const WeightTiles& weights, int d) {
  alignas(64) int32_t low[kRowTile][kTileColumns], high[kRowTile][kTileColumns];
  StoreTileTo<kLow>(low, sizeof(low[0]));
  StoreTileTo<kLow + 1>(high, sizeof(high[0]));
  for (int r = 0; r < kRowTile; ++r) {
    if (c.n_valid[r] == 0) continue;
    const I32 sum = AddInt(TimesByte(LoadInt(high[r])), LoadInt(low[r]));
    Store(c.acc + r * c.head_dim + d, Mul(FromInt(sum), Set1(weights.scale[r])));
  }
}

// acc[r] [head_dim] = the scale of row r * the sum of its weights times V over n_pages, 32 dimensions at a time.
[[gnu::noinline]] void ValuesOfTile(const AttentionChunk& c, int n_pages, const WeightTiles& weights) {
  alignas(64) int8_t values[ChunkPages::kMost][2][kPagePositions / 4][4 * kTileColumns];
  const auto arrange = [&](int d) {
    for (int page = 0; page < n_pages; ++page) {
      const int8_t* v = static_cast<const int8_t*>(c.v_pages[page]);
      QuadsOfValues(v, c.head_dim, d, values[page][0]);
      QuadsOfValues(v, c.head_dim, d + kTileColumns, values[page][1]);
    }
  };
  arrange(0);
  for (int d = 0; d < c.head_dim; d += 2 * kTileColumns) {
    ZeroTile<0>();
    ZeroTile<1>();
    ZeroTile<2>();
    ZeroTile<3>();
    for (int page = 0; page < n_pages; ++page) {
      LoadTile<4>(weights.low[page], kPagePositions);
      LoadTile<5>(weights.high[page], kPagePositions);
      MultiplyValues<0>(values[page][0]);
      MultiplyValues<2>(values[page][1]);
    }
    if (d + 2 * kTileColumns < c.head_dim) arrange(d + 2 * kTileColumns);  // while the tiles are multiplied
    StoreValues<0>(c, weights, d);
    StoreValues<2>(c, weights, d + kTileColumns);
  }
}

inline void AttentionChunkS8Tiles(const AttentionChunk& c) {
  if (c.rows < kRowTile || c.head_dim % kTileDims != 0) {
    AttentionChunkS8(c);
    return;
  }
  const int n = LargestValid(c);
  if (n == 0) return;
  const int n_pages = (n + kPagePositions - 1) / kPagePositions, n_padded = n_pages * kPagePositions;
  alignas(64) int32_t dots[kRowTile][kChunkPositions];
  DotsOfTile(c, n_pages, dots);
  alignas(64) float k_scales[kChunkPositions];
  for (int i = 0; i < n_padded; i += 16) {
    Store(k_scales + i, Mul(Load(c.k_scales[i / kPagePositions] + i % kPagePositions), Set1(c.scale)));
  }
  WeightTiles weights;
  for (int first = 0; first < kRowTile; first += kSoftmaxRows) {
    alignas(64) float scores[kSoftmaxRows][kChunkPositions];
    float max[kSoftmaxRows], sum[kSoftmaxRows], largest[kSoftmaxRows];
    for (int i = 0; i < kSoftmaxRows; ++i) {
      max[i] = ScaleDots(dots[first + i], k_scales, c.q_scales[first + i], c.n_valid[first + i], scores[i]);
      TraceScores(c, first + i, scores[i]);
    }
    for (int i = 0; i < kSoftmaxRows; ++i) {
      largest[i] =
          ChunkSoftmax(scores[i], c.n_valid[first + i], n_padded, max[i], &sum[i], ScaledByValues<int8_t>{c});
    }
    for (int i = 0; i < kSoftmaxRows; ++i) {
      QuantizeToTiles(scores[i], largest[i], n_padded, first + i, &weights);
      if (c.n_valid[first + i] == 0) continue;
      c.max[first + i] = max[i];
      c.sum[first + i] = sum[i];
    }
  }
  ValuesOfTile(c, n_pages, weights);
}
