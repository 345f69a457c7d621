// Attention of a tile over a chunk where rows begin later than the chunk does (windows), or where scores are capped or get
// a bias before the softmax. Included by each kernels_<isa>_kinds.cc inside its own namespace. Products, sums and their
// order are those of ops_attention_tile.h.
#pragma once

#include "backend/cpu/ops_attention_tile.h"

// Lane i is inside where first <= at + i < end.
inline F32 SelectBetween(int at, int first, int end, const F32& inside, const F32& outside) {
  return SelectFirst(first - at, outside, SelectFirst(end - at, inside, outside));
}

// Whether all sixteen lanes from `at` are inside.
inline bool IsWhole(int at, int first, int end) { return first <= at && at + 16 <= end; }

// scores[i] = change(i, scores[i]) for the vectors that positions [first, end) lie in.
template <typename ChangeFn>
inline void ChangeScores(float* scores, int first, int end, const ChangeFn& change) {
  for (int i = first / 16 * 16; i < end; i += 16) Store(scores + i, change(i, Load(scores + i)));
}

// `distance` is that of position 0, in lanes for ChangeScores.
inline F32 Distances(int distance, int i) {
  alignas(64) static constexpr float kLanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return Add(Set1(static_cast<float>(distance + i)), Load(kLanes));
}

// Sixteen entries of a row's bias, for distances from `distance` on.
inline F32 BiasOfDistances(const float* bias, int reach, int distance) {
  if (distance >= reach) return Set1(bias[2 * reach]);
  if (distance + 15 <= -reach) return Set1(bias[0]);
  if (distance >= -reach && distance + 15 <= reach) return Load(bias + distance + reach);
  alignas(64) float lanes[16];
  for (int i = 0; i < 16; ++i) {
    const int d = distance + i;
    lanes[i] = bias[(d < -reach ? -reach : d > reach ? reach : d) + reach];
  }
  return Load(lanes);
}

// acc[r] += p[r][position] * V[position] for kRows rows and kVectors * 16 dimensions, positions ascending from `first` on.
template <typename Element, int kRows, int kVectors>
inline void WeightedValuesFrom(const AttentionChunk& c, int row, int d, int first, int n,
                               float (*p)[kChunkPositions]) {
  F32 acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) acc[r][v] = Zero();
  }
  for (int position = first; position < n; ++position) {
    const Element* values = static_cast<const Element*>(c.v_pages[position / kPagePositions]) +
                            (position % kPagePositions) * c.head_dim + d;
    F32 value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = LoadElements(values + 16 * v);
    for (int r = 0; r < kRows; ++r) {
      const F32 weight = Set1(p[row + r][position]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = Fma(weight, value[v], acc[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    if (c.n_valid[row + r] == 0) continue;
    for (int v = 0; v < kVectors; ++v) Store(c.acc + (row + r) * c.head_dim + d + 16 * v, acc[r][v]);
  }
}

template <typename Element, int kRows>
inline void ValuesOfRowsFrom(const AttentionChunk& c, int row, int first, int n,
                             float (*p)[kChunkPositions]) {
  for (; c.rows - row >= kRows; row += kRows) {
    int d = 0;
    for (; d + 32 <= c.head_dim; d += 32) WeightedValuesFrom<Element, kRows, 2>(c, row, d, first, n, p);
    for (; d < c.head_dim; d += 16) WeightedValuesFrom<Element, kRows, 1>(c, row, d, first, n, p);
  }
  if constexpr (kRows > 1) {
    if (row < c.rows) ValuesOfRowsFrom<Element, kRows - 1>(c, row, first, n, p);
  }
}

struct KindScores {
  const AttentionChunk& c;
  const ScoreKind& kind;

  // The earliest position of all rows.
  int First() const {
    int first = kChunkPositions;
    for (int r = 0; r < c.rows; ++r) {
      if (c.n_valid[r] > 0 && kind.first[r] < first) first = kind.first[r];
    }
    return first;
  }

  // Of the row's scores, changed in place, the largest.
  float Largest(int row, float* scores) const {
    const int first = kind.first[row], end = c.n_valid[row];
    if (kind.soft_cap != 0) {
      const F32 cap = Set1(kind.soft_cap), inverse = Set1(1.0f / kind.soft_cap);
      ChangeScores(scores, first, end,
                   [&](int, const F32& score) { return Mul(cap, Tanh(Mul(score, inverse))); });
    }
    if (kind.slopes != nullptr) {
      const F32 falling = Set1(-kind.slopes[row]);
      ChangeScores(scores, first, end, [&](int i, const F32& score) {
        return Fma(falling, Abs(Distances(kind.distance[row], i)), score);
      });
    }
    if (kind.distance_bias != nullptr) {
      ChangeScores(scores, first, end, [&](int i, const F32& score) {
        return Add(score, BiasOfDistances(kind.distance_bias[row], kind.reach, kind.distance[row] + i));
      });
    }
    TraceScores(c, row, scores);
    F32 largest = Set1(kNegativeInfinity);
    for (int i = first / 16 * 16; i < end; i += 16) {
      F32 score = Load(scores + i);
      if (!IsWhole(i, first, end)) score = SelectBetween(i, first, end, score, Set1(kNegativeInfinity));
      largest = Max(score, largest);
    }
    return MaxLane(largest);
  }

  // ChunkSoftmax, with zeros before the row's first position too.
  template <typename ScaledFn>
  float Softmax(int row, float* scores, int n_padded, float max, float* sum, const ScaledFn& scaled) const {
    const int first = kind.first[row], end = c.n_valid[row];
    const F32 shift = Set1(max);
    F32 total = Zero(), largest = Zero();
    for (int i = 0; i < first / 16 * 16; i += 16) Store(scores + i, Zero());
    for (int i = first / 16 * 16; i < end; i += 16) {
      const bool is_whole = IsWhole(i, first, end);
      F32 p = ExpOfNegative(Sub(Load(scores + i), shift));
      if (!is_whole) p = SelectBetween(i, first, end, p, Zero());
      F32 weight = scaled(i, p);
      if (!is_whole) weight = SelectBetween(i, first, end, weight, Zero());
      total = Add(total, p);
      largest = Max(weight, largest);
      Store(scores + i, weight);
    }
    for (int i = (end + 15) / 16 * 16; i < n_padded; i += 16) Store(scores + i, Zero());
    *sum = Sum(total);
    return MaxLane(largest);
  }
};

// As ChunkOfTile has it.
template <typename Element, int kQueryRows, int kValueRows, int kQueryVectors = 0, int kValueVectors = 0>
inline void ChunkOfKind(const AttentionChunk& c, const ScoreKind& kind) {
  constexpr bool kInt8 = kIsQuantized<Element>;
  alignas(64) float scores[kMaxTileRows][kChunkPositions];
  ChunkWeights weights;
  const int n = LargestValid(c);
  if (n == 0) return;
  const KindScores policy = {c, kind};
  const int n_pages = (n + kPagePositions - 1) / kPagePositions;
  const int n_padded = (n + 15) / 16 * 16;
  if (kInt8 && c.rows < kFullTileRows && !c.fetched) TouchPages(c, n_pages);
  NextChunk next(c.next, c.head_dim * kPagePositions * static_cast<int64_t>(sizeof(Element)),
                 n_pages + c.rows + (kInt8 ? n_pages : 0));
  if constexpr (kInt8) next.FetchScales();
  ScoresOfRows<Element, kQueryRows, kQueryVectors>(c, 0, n_pages, scores, next);
  float max[kMaxTileRows], sum[kMaxTileRows], largest[kMaxTileRows];
  for (int r = 0; r < c.rows; ++r) max[r] = policy.Largest(r, scores[r]);
  for (int r = 0; r < c.rows; ++r) {
    largest[r] = policy.Softmax(r, scores[r], n_padded, max[r], &sum[r], ScaledByValues<Element>{c});
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
    ValuesOfRowsFrom<Element, kValueRows>(c, 0, policy.First(), n, scores);
  }
}

void AttentionKindF32(const AttentionChunk& c, const ScoreKind& kind) {
  ChunkOfKind<float, kAttentionRows, kAttentionRows>(c, kind);
}
void AttentionKindF16(const AttentionChunk& c, const ScoreKind& kind) {
  ChunkOfKind<uint16_t, kAttentionRows, kAttentionRows>(c, kind);
}
void AttentionKindS8(const AttentionChunk& c, const ScoreKind& kind) {
  if constexpr (kStreamRows > 0) {
    if (c.rows <= kStreamRows) {
      ChunkOfKind<int8_t, kStreamRows, kStreamRows, kStreamVectors, kStreamVectors>(c, kind);
      return;
    }
  }
  ChunkOfKind<int8_t, kScoreRows, kPairRows, kS8TileVectors, kPairVectors>(c, kind);
}

constexpr AttentionKinds kKinds = {
    .chunk_f32 = AttentionKindF32, .chunk_f16 = AttentionKindF16, .chunk_s8 = AttentionKindS8};
