// Attention over the float32 cache, for the comparison with INT8, and over one of binary16 numbers, which are made
// float32 where they are read. The order of every sum is the CPU's: a score adds
// dimensions in ascending order, a value positions in ascending order, chunk by chunk, so threads share the outputs of a
// chunk and never a sum. Scores: 4 rows x 4 positions a thread, K staged in shared memory 16 dimensions at a time (8
// 16-byte reads for 64 multiply-adds). Values: 4 dimensions of up to 4 rows a thread, V read from the cache.
#include "backend/cuda/attention.cuh"
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

// K of all n positions of a chunk, dimensions [d, d + 16). Element, here and below, is float or uint16_t (binary16).
template <typename Element>
__device__ __forceinline__ void StageKeys(const TileArgs& a, const TileRows& rows, int chunk, int n, int d,
                                          SharedPtr<float> stage) {
  const int position = static_cast<int>(threadIdx.x);
  if (position >= n) return;
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

// Scores of rows 4 * (thread / 64) + r at positions thread % 64 + 64 * p of a chunk with n.
template <typename Element>
__device__ __forceinline__ void ScoresOfChunk(const TileArgs& a, const TileRows& rows, int chunk, int n,
                                              SharedPtr<float> stage, SharedPtr<float> scores) {
  const int row = static_cast<int>(threadIdx.x) / 64 * 4, position = static_cast<int>(threadIdx.x) % 64;
  const float* q = static_cast<const float*>(a.queries) + rows.Query(a, 0) * a.padded_head_dim;
  float sums[4][kPagesOfChunk] = {};
  for (int d = 0; d < a.padded_head_dim; d += kStageDims) {
    StageKeys<Element>(a, rows, chunk, n, d, stage);
    __syncthreads();
    if (row < rows.tile.rows) {
#pragma unroll 1
      for (int i = 0; i < kStageDims; i += 4) {
        float4 keys[kPagesOfChunk];
#pragma unroll
        for (int p = 0; p < kPagesOfChunk; ++p) {
          keys[p] = make_float4(0, 0, 0, 0);
          if (position + kPage * p < n) {
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

// Scores -> probabilities, in place: a thread writes what it alone read. Zeros past a row's positions, as far as the
// tile's values go.
__device__ __forceinline__ RowState SoftmaxOfRow(const TileArgs& a, const RowPlace& place, int chunk,
                                                 SharedPtr<float> scores) {
  float p[kLaneValues];
  LoadScores(a, place, chunk, scores, p);
  const RowState state = ChunkSoftmax(p);
  const int lane = static_cast<int>(threadIdx.x) % 16, n_valid = Valid(place, chunk);
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    const int i = 16 * j + lane;
    scores[ScoreRow() * kScoreStride + i] = i < n_valid ? p[j] : 0.0f;
  }
  return state;
}

// A thread's values: dimensions [d, d + 4) of kRows rows from `row`.
template <int kRows>
struct ThreadValues {
  int row, d;
  float v[kRows][4];
};

// values of the chunk's n positions into sums.
template <typename Element, int kRows>
__device__ __forceinline__ void SumValues(const TileArgs& a, const TileRows& rows, int chunk, int n,
                                          SharedPtr<float> weights, const ThreadValues<kRows>& at,
                                          float (&sums)[kRows][4]) {
  for (int first = 0; first < n; first += kPage) {
    const uint8_t* page = PageOf(a, rows, chunk * kPagesOfChunk + first / kPage);
    const Element* v =
        reinterpret_cast<const Element*>(page + a.cache.v + rows.kv_head * a.cache.head_bytes) + at.d;
    const int end = min(kPage, n - first);
#pragma unroll 4
    for (int i = 0; i < end; ++i) {
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

// kRows rows a thread: head_dim / 64, so that 256 threads have all 16 rows of a head. Two blocks a multiprocessor, where
// 128 registers are enough for it: with 4 rows they are not on sm_120.
template <typename Element, int kRows, bool kSplit>
__global__ void __launch_bounds__(kAttentionThreads, kRows < 4 ? 2 : 1) AttentionF32Tile(TileArgs a) {
  KVASIR_SHARED(float, scores, kTileRows* kScoreStride);
  KVASIR_SHARED(float, stage, kChunk* kStageStride);
  KVASIR_SHARED(RowFactors, factors, kTileRows);
  KVASIR_SHARED(RowPlace, places, kTileRows);
  const TileRows rows = RowsOfBlock(a);
  if (rows.tile.rows == 0) return;
  const int begin = kSplit ? static_cast<int>(blockIdx.z) : 0;
  const int length = PlaceOf(a, rows, rows.tile.rows - 1).length;
  const int end = kSplit ? begin + 1 : (length + kChunk - 1) / kChunk;
  if (begin * kChunk >= length) return;
  const int thread = static_cast<int>(threadIdx.x), warp = WarpOfBlock();
  if (thread < kTileRows) places[thread] = PlaceOf(a, rows, thread);
  const int softmax_row = ScoreRow();
  const int quads = a.padded_head_dim / 4;
  ThreadValues<kRows> values = {thread / quads * kRows, thread % quads * 4, {}};
  const bool has_values = values.row < rows.tile.rows;
  RowState state = {kNegativeInfinity, 0};
  for (int chunk = begin; chunk < end; ++chunk) {
    const int n = min(kChunk, length - chunk * kChunk);
    ScoresOfChunk<Element>(a, rows, chunk, n, stage, scores);
    __syncthreads();
    if (warp / 2 * 4 + warp % 2 < rows.tile.rows) {
      const RowPlace place = places[softmax_row];
      const RowState later = SoftmaxOfRow(a, place, chunk, scores);
      RowFactors f = {0, 0, 0};
      if (chunk == begin) {
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
      SumValues<Element, kRows>(a, rows, chunk, n, scores, values, sums);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const int row = values.row + r;
        if (row >= rows.tile.rows || Valid(places[row], chunk) == 0) continue;
        const RowFactors f = factors[row];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& value = values.v[r][i];
          value = chunk == begin ? sums[r][i] : MergeValue(value, sums[r][i], {f.mine, f.theirs});
        }
      }
    }
    // The next chunk's first barrier comes after its K is staged: that is nobody's weights or factors.
  }
  if (!has_values) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int row = values.row + r;
    if (row >= rows.tile.rows) continue;
    const RowPlace place = places[row];
    const RowFactors f = factors[row];
    float* out = kSplit ? Partial(a, rows, begin) + 2 * kTileRows + row * a.padded_head_dim
                        : a.out + static_cast<int64_t>(place.head_row) * a.head_dim;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = values.d + i;
      if (d < a.head_dim) out[d] = kSplit ? values.v[r][i] : __fdiv_rn(values.v[r][i], f.sum);
    }
  }
}

template <typename Element, int kRows>
void LaunchRows(const TileArgs& args, bool split, cudaStream_t stream) {
  const LaunchConfig config = TileConfig(args, split, stream);
  if (split) {
    KVASIR_LAUNCH((AttentionF32Tile<Element, kRows, true>), config, args);
  } else {
    KVASIR_LAUNCH((AttentionF32Tile<Element, kRows, false>), config, args);
  }
}

template <typename Element>
void Launch(const TileArgs& args, bool split, cudaStream_t stream) {
  if (args.padded_head_dim <= 64) return LaunchRows<Element, 1>(args, split, stream);
  if (args.padded_head_dim <= 128) return LaunchRows<Element, 2>(args, split, stream);
  LaunchRows<Element, 4>(args, split, stream);
}

}  // namespace

void AttentionF32(const TileArgs& args, bool half, bool split, cudaStream_t stream) {
  if (half) {
    Launch<uint16_t>(args, split, stream);
  } else {
    Launch<float>(args, split, stream);
  }
}

}  // namespace kvasir::cuda
