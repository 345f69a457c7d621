// Attention over an INT8 cache on tile registers: sixteen query rows by sixteen positions, or dimensions, at a time. Included
// by kernels_amx.cc inside its namespace, after ops_table.h and the tiles. The sums are those of ops_attention.h, exactly.
//
// A page of K is a right side as it lies: quads of dimensions, 64 positions each. V is not: its positions lie two by two, and
// are brought into fours. The 15-bit weights are two bytes, each multiplied by itself: the sum is 256 x that of the high bytes
// + that of the low ones.
#pragma once

// Fewer rows leave more of a tile empty than it saves.
constexpr int kLeastTileRows = 8;
constexpr int kTileDims = 64;  // of a head, that a tile of queries holds

// Of a chunk, the attention weights of 16 rows as bytes: tiles of 64 positions in the order of StoreWeightBytes.
struct WeightTiles {
  alignas(64) uint8_t low[ChunkPages::kMost][kRowTile][kPagePositions];
  alignas(64) uint8_t high[ChunkPages::kMost][kRowTile][kPagePositions];
  float scale[kRowTile];
};

// Tile 0 or 1 = the start of each row + its products with 16 positions of K.
template <int kSums>
inline void MultiplyKeys(const int8_t (*q)[kRowTile][kTileDims], const int32_t (&start)[kRowTile][kTileColumns],
                         const uint8_t* k, int n_dims) {
  LoadTile<kSums>(start, sizeof(start[0]));
  for (int d = 0; d < n_dims; d += kTileDims) {
    LoadTile<4 + kSums>(q[d / kTileDims], kTileDims);
    LoadTile<6 + kSums>(k + d * kPagePositions, 4 * kPagePositions);
    DotTilesUnsigned<kSums, 4 + kSums, 6 + kSums>();
  }
}

inline void StoreScores(const AttentionChunk& c, int position, const int32_t (&dots)[kRowTile][kTileColumns],
                        float (*scores)[kChunkPositions]) {
  const float* k_scales = c.k_scales[position / kPagePositions] + position % kPagePositions;
  const F32 k_scale = Mul(Load(k_scales), Set1(c.scale));
  for (int r = 0; r < c.rows; ++r) {
    Store(scores[r] + position, Mul(FromInt(LoadInt(dots[r])), Mul(Set1(c.q_scales[r]), k_scale)));
  }
}

// Scores of all rows at all positions of n_pages. Not inline: its tiles and registers are its own.
[[gnu::noinline]] void ScoresOfTile(const AttentionChunk& c, int n_pages, float (*scores)[kChunkPositions]) {
  alignas(64) int8_t q[kMaxHeadDim / kTileDims][kRowTile][kTileDims] = {};
  alignas(64) int32_t start[kRowTile][kTileColumns] = {};
  alignas(64) int32_t dots[2][kRowTile][kTileColumns];
  for (int r = 0; r < c.rows; ++r) {
    for (int d = 0; d < c.head_dim; d += kTileDims) {
      __builtin_memcpy(q[d / kTileDims][r], static_cast<const int8_t*>(c.q_s8) + r * c.head_dim + d, kTileDims);
    }
    StoreInt(start[r], SetInt(c.q_start[r]));
  }
  const auto keys = [&](int position) {
    return static_cast<const uint8_t*>(c.k_pages[position / kPagePositions]) + position % kPagePositions * 4;
  };
  const int n = n_pages * kPagePositions;
  static_assert(kPagePositions % (2 * kTileColumns) == 0);
  MultiplyKeys<0>(q, start, keys(0), c.head_dim);
  for (int position = 0; position < n; position += 2 * kTileColumns) {
    MultiplyKeys<1>(q, start, keys(position + kTileColumns), c.head_dim);
    StoreTileTo<0>(dots[0], sizeof(dots[0][0]));
    StoreScores(c, position, dots[0], scores);
    const int next = position + 2 * kTileColumns;
    if (next < n) MultiplyKeys<0>(q, start, keys(next), c.head_dim);
    StoreTileTo<1>(dots[1], sizeof(dots[1][0]));
    StoreScores(c, position + kTileColumns, dots[1], scores);
  }
}

// weights [n], at most `largest`, as QuantizeWeights has them, into row `row` of the tiles; n is a multiple of 64.
inline void QuantizeToTiles(const float* weights, float largest, int n, int row, WeightTiles* out) {
  const float inverse = kWeightSteps / largest;
  const F32 factor = Set1(inverse <= 3.4028234e38f ? inverse : 0.0f);
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

// acc[r] [head_dim] = the scale of row r * the sum of its weights times V over n_pages.
[[gnu::noinline]] void ValuesOfTile(const AttentionChunk& c, int n_pages, const WeightTiles& weights) {
  alignas(64) int8_t values[ChunkPages::kMost][kPagePositions / 4][4 * kTileColumns];
  alignas(64) int32_t sums[2][kRowTile][kTileColumns];
  for (int d = 0; d < c.head_dim; d += kTileColumns) {
    for (int page = 0; page < n_pages; ++page) {
      QuadsOfValues(static_cast<const int8_t*>(c.v_pages[page]), c.head_dim, d, values[page]);
    }
    ZeroTile<0>();
    ZeroTile<1>();
    for (int page = 0; page < n_pages; ++page) {
      LoadTile<6>(values[page], sizeof(values[page][0]));
      LoadTile<4>(weights.low[page], kPagePositions);
      DotUnsignedTiles<0, 4, 6>();
      LoadTile<5>(weights.high[page], kPagePositions);
      DotUnsignedTiles<1, 5, 6>();
    }
    StoreTileTo<0>(sums[0], sizeof(sums[0][0]));
    StoreTileTo<1>(sums[1], sizeof(sums[1][0]));
    for (int r = 0; r < c.rows; ++r) {
      if (c.n_valid[r] == 0) continue;
      const I32 sum = AddInt(TimesByte(LoadInt(sums[1][r])), LoadInt(sums[0][r]));
      Store(c.acc + r * c.head_dim + d, Mul(FromInt(sum), Set1(weights.scale[r])));
    }
  }
}

inline void AttentionChunkS8Tiles(const AttentionChunk& c) {
  if (c.rows < kLeastTileRows || c.head_dim % kTileDims != 0) {
    AttentionChunkS8(c);
    return;
  }
  alignas(64) float scores[kRowTile][kChunkPositions];
  WeightTiles weights;
  const int n = LargestValid(c);
  if (n == 0) return;
  const int n_pages = (n + kPagePositions - 1) / kPagePositions;
  ScoresOfTile(c, n_pages, scores);
  float max[kRowTile], largest[kRowTile];
  KeepMaxima(c, scores, max);
  for (int r = 0; r < c.rows; ++r) {
    float sum;
    largest[r] = ChunkSoftmax(scores[r], c.n_valid[r], n_pages * kPagePositions, max[r], &sum,
                              ScaledByValues<int8_t>{c});
    if (c.n_valid[r] == 0) continue;
    c.max[r] = max[r];
    c.sum[r] = sum;
  }
  for (int r = 0; r < c.rows; ++r) {
    QuantizeToTiles(scores[r], largest[r], n_pages * kPagePositions, r, &weights);
  }
  ValuesOfTile(c, n_pages, weights);
}
