// Attention of a tile over a chunk of which its rows take all positions before n_valid, with scores as the products give
// them; and the merge of chunk states. Included by each kernels_<isa>.cc inside its own namespace. What is more than that
// is in ops_attention_kinds.h, which is compiled apart: there it takes nothing of the room that the compiler gives
// functions here.
#pragma once

#include "backend/cpu/ops_attention_tile.h"

// Rows that are computed side by side, of queries with K and then of weights with V, and in INT8 vectors of each.
template <typename Element, int kQueryRows, int kValueRows, int kQueryVectors = 0, int kValueVectors = 0>
inline void ChunkOfTile(const AttentionChunk& c) {
  constexpr bool kInt8 = kIsQuantized<Element>;
  alignas(64) float scores[kMaxTileRows][kChunkPositions];
  ChunkWeights weights;
  const int n = LargestValid(c);
  if (n == 0) return;
  const int n_pages = (n + kPagePositions - 1) / kPagePositions;
  const int n_padded = (n + 15) / 16 * 16;
  if (kInt8 && c.rows < kFullTileRows && !c.fetched) TouchPages(c, n_pages);
  // After each page's scores, each row's weights, and (INT8) each page's values: about the shares of one block of rows.
  NextChunk next(c.next, c.head_dim * kPagePositions * static_cast<int64_t>(sizeof(Element)),
                 n_pages + c.rows + (kInt8 ? n_pages : 0));
  if constexpr (kInt8) next.FetchScales();
  ScoresOfRows<Element, kQueryRows, kQueryVectors>(c, 0, n_pages, scores, next);
  // Pass by pass over all rows: one row's maximum is found while another's scores are on their way.
  float max[kMaxTileRows], sum[kMaxTileRows], largest[kMaxTileRows];
  for (int r = 0; r < c.rows; ++r) {
    TraceScores(c, r, scores[r]);
    max[r] = LargestScore(scores[r], c.n_valid[r]);
  }
  for (int r = 0; r < c.rows; ++r) {
    largest[r] = ChunkSoftmax(scores[r], c.n_valid[r], n_padded, max[r], &sum[r], ScaledByValues<Element>{c});
    next.FetchShare();
  }
  for (int r = 0; r < c.rows; ++r) {
    if (c.n_valid[r] == 0) continue;
    c.max[r] = max[r];
    c.sum[r] = sum[r];
    if constexpr (kInt8) weights.scale[r] = QuantizeWeights(scores[r], largest[r], n_padded, weights.q[r]);
  }
  if constexpr (kInt8) {
    PairsOfRows<kValueRows, kValueVectors>(c, 0, n, weights, next);
  } else {
    ValuesOfRows<Element, kValueRows>(c, 0, n, scores);
  }
}

void AttentionChunkF32(const AttentionChunk& c) { ChunkOfTile<float, kAttentionRows, kAttentionRows>(c); }
void AttentionChunkF16(const AttentionChunk& c) { ChunkOfTile<uint16_t, kAttentionRows, kAttentionRows>(c); }
void AttentionChunkS8(const AttentionChunk& c) {
  if constexpr (kStreamRows > 0) {
    if (c.rows <= kStreamRows) {
      ChunkOfTile<int8_t, kStreamRows, kStreamRows, kStreamVectors, kStreamVectors>(c);
      return;
    }
  }
  ChunkOfTile<int8_t, kScoreRows, kPairRows, kS8TileVectors, kPairVectors>(c);
}

void AttentionMerge(SoftmaxState state, SoftmaxState later, int rows, int head_dim) {
  static_assert(kMaxTileRows <= 16, "a lane a row");
  const F32 max = LoadFirst(state.max, rows, 0), later_max = LoadFirst(later.max, rows, 0);
  const F32 largest = Max(max, later_max);
  const F32 mine = ExpOfNegative(Sub(max, largest)), theirs = ExpOfNegative(Sub(later_max, largest));
  const F32 sum = Mul(LoadFirst(state.sum, rows, 0), mine);
  StoreFirst(state.max, rows, largest);
  StoreFirst(state.sum, rows, Add(sum, Mul(LoadFirst(later.sum, rows, 0), theirs)));
  float factors[2][16];
  Store(factors[0], mine);
  Store(factors[1], theirs);
  for (int r = 0; r < rows; ++r) {
    const F32 scale = Set1(factors[0][r]), later_scale = Set1(factors[1][r]);
    for (int d = r * head_dim; d < (r + 1) * head_dim; d += 16) {
      Store(state.acc + d, Fma(Load(state.acc + d), scale, Mul(Load(later.acc + d), later_scale)));
    }
  }
}

void AttentionFinish(const float* acc, float sum, int head_dim, float* out) {
  for (int d = 0; d < head_dim; d += 16) Store(out + d, Div(Load(acc + d), Set1(sum)));
}
