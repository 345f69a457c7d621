// Attention over the float32 cache, for the comparison with INT8, and over one of binary16 numbers, which are made
// float32 where they are read. The order of every sum is the CPU's: a score adds
// dimensions in ascending order, a value positions in ascending order, chunk by chunk, so threads share the outputs of a
// chunk and never a sum. Scores: 4 rows x 4 positions a thread, K staged in shared memory 16 dimensions at a time (8
// 16-byte reads for 64 multiply-adds). Values: 4 dimensions of up to 4 rows a thread, V read from the cache.
#pragma once

#include "backend/cuda/attention_rows.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kStageDims = 16;
// Floats from position to position of staged K: 20, as eight 16-byte reads of neighbours then take all 32 banks once.
constexpr int kStageStride = kStageDims + 4;

// Per row, from the softmax to the values.
struct RowFactors {
  float mine, theirs, sum;
};

__device__ __forceinline__ float4 LoadFloats(const float* p) { return *reinterpret_cast<const float4*>(p); }
__device__ __forceinline__ float2 FloatsOf(uint32_t halves) {
  return make_float2(HalfToFloat(static_cast<uint16_t>(halves)),
                     HalfToFloat(static_cast<uint16_t>(halves >> 16)));
}
__device__ __forceinline__ float4 FloatsOf(uint32_t low, uint32_t high) {
  const float2 a = FloatsOf(low), b = FloatsOf(high);
  return make_float4(a.x, a.y, b.x, b.y);
}
__device__ __forceinline__ float4 LoadFloats(const uint16_t* p) {
  const uint2 halves = *reinterpret_cast<const uint2*>(p);
  return FloatsOf(halves.x, halves.y);
}

// Eight values of the cache.
__device__ __forceinline__ void LoadEight(const float* p, float4 (&values)[2]) {
  values[0] = LoadFloats(p);
  values[1] = LoadFloats(p + 4);
}
__device__ __forceinline__ void LoadEight(const uint16_t* p, float4 (&values)[2]) {
  const uint4 halves = *reinterpret_cast<const uint4*>(p);
  values[0] = FloatsOf(halves.x, halves.y);
  values[1] = FloatsOf(halves.z, halves.w);
}

// K of positions [first, n) of a chunk, dimensions [d, d + 16). Element, here and below, is float or uint16_t (binary16).
template <typename Element>
__device__ __forceinline__ void StageKeys(const TileArgs& a, const TileRows& rows, int chunk, int first,
                                          int n, int d, SharedPtr<float> stage) {
  const int position = static_cast<int>(threadIdx.x);
  if (position < first || position >= n) return;
  const uint8_t* page = PageOf(a, rows, chunk * kPagesOfChunk + position / kPage);
  const Element* k = reinterpret_cast<const Element*>(page + a.cache.k + rows.kv_head * a.cache.head_bytes) +
                     position % kPage * a.padded_head_dim + d;
  const SharedPtr<float4> to = SharedCast<float4>(stage + position * kStageStride);
#pragma unroll
  for (int i = 0; i < kStageDims / 8; ++i) {
    float4 keys[2];
    LoadEight(k + 8 * i, keys);
    to[2 * i] = keys[0];
    to[2 * i + 1] = keys[1];
  }
}

// Scores of rows 4 * (thread / 64) + r at positions thread % 64 + 64 * p of a chunk with n, of pages from first_page on.
template <typename Element>
__device__ __forceinline__ void ScoresOfChunk(const TileArgs& a, const TileRows& rows, int chunk,
                                              int first_page, int n, SharedPtr<float> stage,
                                              SharedPtr<float> scores) {
  const int row = static_cast<int>(threadIdx.x) / 64 * 4, position = static_cast<int>(threadIdx.x) % 64;
  const float* q = static_cast<const float*>(a.queries) + rows.Query(a, 0) * a.padded_head_dim;
  float sums[4][kPagesOfChunk] = {};
  for (int d = 0; d < a.padded_head_dim; d += kStageDims) {
    StageKeys<Element>(a, rows, chunk, first_page * kPage, n, d, stage);
    __syncthreads();
    if (row < rows.tile.rows) {
#pragma unroll 1
      for (int i = 0; i < kStageDims; i += 4) {
        float4 keys[kPagesOfChunk];
#pragma unroll
        for (int p = 0; p < kPagesOfChunk; ++p) {
          keys[p] = make_float4(0, 0, 0, 0);
          if (p >= first_page && position + kPage * p < n) {
            keys[p] = SharedCast<float4>(stage + (position + kPage * p) * kStageStride + i)[0];
          }
        }
#pragma unroll
        for (int r = 0; r < 4; ++r) {
          // Past the tile's rows: the last one again, whose scores nobody takes.
          const float4 query = LoadFloats(q + min(row + r, rows.tile.rows - 1) * a.padded_head_dim + d + i);
#pragma unroll
          for (int p = 0; p < kPagesOfChunk; ++p) {
            sums[r][p] = __fmaf_rn(query.x, keys[p].x, sums[r][p]);
            sums[r][p] = __fmaf_rn(query.y, keys[p].y, sums[r][p]);
            sums[r][p] = __fmaf_rn(query.z, keys[p].z, sums[r][p]);
            sums[r][p] = __fmaf_rn(query.w, keys[p].w, sums[r][p]);
          }
        }
      }
    }
    __syncthreads();
  }
  if (row >= rows.tile.rows) return;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
#pragma unroll
    for (int p = 0; p < kPagesOfChunk; ++p) {
      scores[(row + r) * kScoreStride + position + kPage * p] = __fmul_rn(sums[r][p], a.scale);
    }
  }
}

// Scores -> probabilities, in place: a thread writes what it alone read. Zeros where a row does not attend, as
// far as the tile's values go.
template <typename Policy>
__device__ __forceinline__ RowState SoftmaxOfRow(const TileArgs& a, const typename Policy::Place& place,
                                                 int chunk, SharedPtr<float> scores) {
  float p[kLaneValues];
  LoadScores<Policy>(a, place, chunk, scores, p);
  const RowState state = ChunkSoftmax(p);
  const int lane = static_cast<int>(threadIdx.x) % 16, n_valid = Valid(place, chunk);
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    const int i = 16 * j + lane;
    scores[ScoreRow() * kScoreStride + i] = Policy::Attends(place, chunk, i, n_valid) ? p[j] : 0.0f;
  }
  return state;
}

// A thread's values: dimensions [d, d + 4) of kRows rows from `row`.
template <int kRows>
struct ThreadValues {
  int row, d;
  float v[kRows][4];
};

// values of the chunk's positions [begin, n) into sums.
template <typename Element, int kRows>
__device__ __forceinline__ void SumValues(const TileArgs& a, const TileRows& rows, int chunk, int begin,
                                          int n, SharedPtr<float> weights, const ThreadValues<kRows>& at,
                                          float (&sums)[kRows][4]) {
  for (int first = begin / kPage * kPage; first < n; first += kPage) {
    const uint8_t* page = PageOf(a, rows, chunk * kPagesOfChunk + first / kPage);
    const Element* v =
        reinterpret_cast<const Element*>(page + a.cache.v + rows.kv_head * a.cache.head_bytes) + at.d;
    const int end = min(kPage, n - first);
#pragma unroll 4
    for (int i = max(0, begin - first); i < end; ++i) {
      const float4 value = LoadFloats(v + i * a.padded_head_dim);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        // Rows past the tile's repeat the last one.
        const float weight = weights[min(at.row + r, rows.tile.rows - 1) * kScoreStride + first + i];
        sums[r][0] = __fmaf_rn(weight, value.x, sums[r][0]);
        sums[r][1] = __fmaf_rn(weight, value.y, sums[r][1]);
        sums[r][2] = __fmaf_rn(weight, value.z, sums[r][2]);
        sums[r][3] = __fmaf_rn(weight, value.w, sums[r][3]);
      }
    }
  }
}

// kRows rows a thread: head_dim / 64, so that 256 threads have all 16 rows of a head.
template <typename Policy, typename Element, int kRows, bool kSplit>
__device__ __forceinline__ void TileOfF32(const TileArgs& a) {
  KVASIR_SHARED(float, scores, kTileRows* kScoreStride);
  KVASIR_SHARED(float, stage, kChunk* kStageStride);
  KVASIR_SHARED(RowFactors, factors, kTileRows);
  KVASIR_SHARED(typename Policy::Place, places, kTileRows);
  const TileRows rows = RowsOfBlock(a);
  if (rows.tile.rows == 0) return;
  const int from = Policy::From(a, rows);
  const int begin = kSplit ? static_cast<int>(blockIdx.z) : from / kChunk;
  const int length = Policy::PlaceOf(a, rows, rows.tile.rows - 1).length;
  const int end = kSplit ? begin + 1 : (length + kChunk - 1) / kChunk;
  if (begin * kChunk >= length || begin < from / kChunk) return;
  const int thread = static_cast<int>(threadIdx.x), warp = WarpOfBlock();
  if (thread < kTileRows) places[thread] = Policy::PlaceOf(a, rows, thread);
  const int softmax_row = ScoreRow();
  const int quads = a.padded_head_dim / 4;
  ThreadValues<kRows> values = {thread / quads * kRows, thread % quads * 4, {}};
  const bool has_values = values.row < rows.tile.rows;
  RowState state = {kNegativeInfinity, 0};
  for (int chunk = begin; chunk < end; ++chunk) {
    const int n = min(kChunk, length - chunk * kChunk);
    ScoresOfChunk<Element>(a, rows, chunk, FirstPage(from, chunk), n, stage, scores);
    __syncthreads();
    if (warp / 2 * 4 + warp % 2 < rows.tile.rows) {
      const typename Policy::Place place = places[softmax_row];
      const RowState later = SoftmaxOfRow<Policy>(a, place, chunk, scores);
      RowFactors f = {0, 0, 0};
      if (Policy::Begins(place, chunk, chunk == begin)) {
        state = later;
      } else if (Valid(place, chunk) > 0) {
        const MergeFactors merge = MergeState(&state, later);
        f.mine = merge.mine;
        f.theirs = merge.theirs;
      }
      f.sum = state.sum;
      if (thread % 16 == 0) factors[softmax_row] = f;
      if (kSplit && thread % 16 == 0 && Valid(place, chunk) > 0) {
        float* partial = Partial(a, rows, chunk);
        partial[softmax_row] = state.max;
        partial[kTileRows + softmax_row] = state.sum;
      }
    }
    __syncthreads();
    if (has_values) {
      float sums[kRows][4] = {};
      SumValues<Element, kRows>(a, rows, chunk, max(0, from - chunk * kChunk), n, scores, values, sums);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int row = values.row + r;
        if (row >= rows.tile.rows || Valid(places[row], chunk) == 0) continue;
        const RowFactors f = factors[row];
        const bool begins = Policy::Begins(places[row], chunk, chunk == begin);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& value = values.v[r][i];
          value = begins ? sums[r][i] : MergeValue(value, sums[r][i], {f.mine, f.theirs});
        }
      }
    }
    // The next chunk's first barrier comes after its K is staged: that is nobody's weights or factors.
  }
  const bool sinks = Policy::kHasSinks && !kSplit && a.kind.sinks != nullptr;
  if (sinks) {
    __syncthreads();
    if (warp / 2 * 4 + warp % 2 < rows.tile.rows) {
      const typename Policy::Place place = places[softmax_row];
      const MergeFactors merge = MergeState(&state, SinkOf(a, place.head_row));
      if (thread % 16 == 0) factors[softmax_row] = {merge.mine, merge.theirs, state.sum};
    }
    __syncthreads();
  }
  if (!has_values) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int row = values.row + r;
    if (row >= rows.tile.rows) continue;
    const typename Policy::Place place = places[row];
    const RowFactors f = factors[row];
    float* out = kSplit ? Partial(a, rows, begin) + 2 * kTileRows + row * a.padded_head_dim
                        : a.out + static_cast<int64_t>(place.head_row) * a.head_dim;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = values.d + i;
      float value = values.v[r][i];
      if (sinks) value = MergeValue(value, 0.0f, {f.mine, f.theirs});
      if (d < a.head_dim) out[d] = kSplit ? value : __fdiv_rn(value, f.sum);
    }
  }
}

}  // namespace

}  // namespace kvasir::cuda
