// Which positions a row of a tile attends to, and what becomes of its scores before the softmax: as the two policies that
// the attention kernels are compiled for. Causal: all positions up to the row's own, scores as they are. Kinds: what
// TileArgs::kind says. Pages before a tile's first position are not read: they may have no index.
#pragma once

#include "backend/cuda/attention.cuh"

namespace kvasir::cuda {

// One row of a tile. They lie in shared memory: as registers of each thread they would cost occupancy.
struct RowPlace {
  int length;    // positions that it attends to: up to its own; 0 past the tile's rows
  int head_row;  // row of [step_rows, n_heads]
};
struct KindPlace {
  int length;  // the end of the positions that it attends to; 0 past the tile's rows
  int head_row;
  int from, position;  // the first of them, and its own
};

// Of a row's positions, the end of those that lie in a chunk, from the chunk's first one on; 0: there are none.
__device__ __forceinline__ int Valid(const RowPlace& place, int chunk) {
  return max(0, min(place.length - chunk * kChunk, kChunk));
}
__device__ __forceinline__ int Valid(const KindPlace& place, int chunk) {
  const int end = min(place.length - chunk * kChunk, kChunk);
  return place.from - chunk * kChunk < end ? max(0, end) : 0;
}

struct Causal {
  static constexpr bool kHasSinks = false;
  using Place = RowPlace;

  static __device__ __forceinline__ Place PlaceOf(const TileArgs& a, const TileRows& rows, int row) {
    if (row >= rows.tile.rows) return {0, 0};
    const int local = rows.tile.first + row, token = local / a.group;
    return {rows.tile.start + token + 1,
            (rows.tile.step_row + token) * a.n_heads + rows.kv_head * a.group + local - token * a.group};
  }
  // The first position of a tile's rows.
  static __device__ __forceinline__ int From(const TileArgs&, const TileRows&) { return 0; }
  // Whether a chunk that the row attends to begins its state; `first`: the block's does.
  static __device__ __forceinline__ bool Begins(const Place&, int, bool first) { return first; }
  static __device__ __forceinline__ int FirstChunk(const Place&) { return 0; }
  // Whether the row attends to a position of the chunk, below `n_valid`.
  static __device__ __forceinline__ bool Attends(const Place&, int, int i, int n_valid) {
    return i < n_valid;
  }
  static __device__ __forceinline__ float Changed(const TileArgs&, const Place&, int, float score) {
    return score;
  }
};

struct Kinds {
  static constexpr bool kHasSinks = true;
  using Place = KindPlace;

  static __device__ __forceinline__ Place PlaceOf(const TileArgs& a, const TileRows& rows, int row) {
    const RowPlace causal = Causal::PlaceOf(a, rows, row);
    if (row >= rows.tile.rows) return {0, 0, 0, 0};
    const int position = causal.length - 1;
    return {min(a.kind.lengths[rows.tile.sequence], position + a.kind.after + 1), causal.head_row,
            max(0, position - a.kind.before), position};
  }
  static __device__ __forceinline__ int From(const TileArgs& a, const TileRows& rows) {
    return PlaceOf(a, rows, 0).from;
  }
  static __device__ __forceinline__ bool Begins(const Place& place, int chunk, bool first) {
    return first || place.from / kChunk == chunk;
  }
  static __device__ __forceinline__ int FirstChunk(const Place& place) { return place.from / kChunk; }
  static __device__ __forceinline__ bool Attends(const Place& place, int chunk, int i, int n_valid) {
    return i >= place.from - chunk * kChunk && i < n_valid;
  }
  // In the order of ScoreKind of backend/cpu/kernel_table.h.
  static __device__ __forceinline__ float Changed(const TileArgs& a, const Place& place, int position,
                                                  float score) {
    const ScoreKind& kind = a.kind;
    const int head = place.head_row % a.n_heads, distance = position - place.position;
    if (kind.soft_cap != 0) score = __fmul_rn(kind.soft_cap, Tanh(__fmul_rn(score, kind.inverse_cap)));
    if (kind.slopes != nullptr) {
      score = __fmaf_rn(-kind.slopes[head], AbsOf(static_cast<float>(distance)), score);
    }
    if (kind.distance_bias != nullptr) {
      const float* bias = kind.distance_bias + static_cast<int64_t>(head) * (2 * kind.reach + 1);
      score = __fadd_rn(score, bias[max(-kind.reach, min(distance, kind.reach)) + kind.reach]);
    }
    return score;
  }
};

// The first page of a chunk that a tile reads, from which position on it begins.
__device__ __forceinline__ int FirstPage(int from, int chunk) {
  return max(0, from - chunk * kChunk) / kPage;
}

// The state of the sink of a row's head: one more score, without a value.
__device__ __forceinline__ RowState SinkOf(const TileArgs& a, int head_row) {
  return {a.kind.sinks[head_row % a.n_heads], 1.0f};
}

// A row's scores in a chunk as the softmax takes them, -infinity where it does not attend; traced when asked for.
template <typename Policy>
__device__ __forceinline__ void LoadScores(const TileArgs& a, const typename Policy::Place& place, int chunk,
                                           SharedPtr<float> scores, float (&values)[kLaneValues]) {
  const int n_valid = Valid(place, chunk);
  const int row = ScoreRow(), lane = static_cast<int>(threadIdx.x) % 16;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    const int i = 16 * j + lane;
    values[j] = Policy::Attends(place, chunk, i, n_valid)
                    ? Policy::Changed(a, place, chunk * kChunk + i,
                                      static_cast<float>(scores[row * kScoreStride + i]))
                    : kNegativeInfinity;
  }
  if (a.trace == nullptr || n_valid == 0) return;
  float* trace = a.trace + place.head_row * a.trace_positions + chunk * kChunk;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    const int i = 16 * j + lane;
    if (Policy::Attends(place, chunk, i, n_valid)) trace[i] = values[j];
  }
}

}  // namespace kvasir::cuda
