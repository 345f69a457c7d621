// Attention over the INT8 cache on tensor cores. Per chunk of 256 positions: scores of 16 rows as exact integer dots
// (Q K^T, m16n8k32), their softmax by half a warp a row, the weights times the scales of V as 15-bit integers, and
// weights x V again as exact integers: q = 256 hi + lo, both bytes multiplied as u8 x s8. A chunk's sums stay below 2^31
// (256 * 32,767 * 127), those of hi below 2^22 and of lo below 2^23, so their order is free. Warps split the positions
// for the scores and the dimensions for the values.
//
// A lane of an mma holds 4 consecutive bytes of a row, and again 4 of the next half, but which k they stand for is free
// as long as both sides agree: lane t of a quad takes bytes [16 t, 16 t + 16) of a 64-byte row, one load for two mma.
#pragma once

#include "backend/cuda/attention_rows.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kWarpPositions = 32;  // scores of a chunk that a warp computes

// Words of 4 weights' bytes, [2: low, high][16 rows][80]: word 16 * page + l holds positions l, l + 16, l + 32, l + 48
// of a page, as they lie in V's pages and in the lane of the softmax that makes them. 16 words more than 64 a row put
// the rows of a quarter-warp's 16-byte reads in different banks.
constexpr int kWeightStride = kChunk / 4 + 16;
constexpr int kWeightPlane = kTileRows * kWeightStride;

constexpr float kWeightSteps = 32767;  // of a quantized attention weight

// Per row, from the softmax to the values.
struct RowFactors {
  float weight, mine, theirs, sum;
};

__device__ __forceinline__ uint4 LoadBytes(const void* p, bool valid) {
  return valid ? *static_cast<const uint4*>(p) : make_uint4(0, 0, 0, 0);
}

// sums += A B over the 64 k of a row: `low` and `high` are rows lane / 4 and lane / 4 + 8 of A, b column lane / 4.
template <bool kUnsigned>
__device__ __forceinline__ void Mma64(int (&sums)[4], const uint4& low, const uint4& high, const uint4& b) {
  const uint32_t a0[4] = {low.x, high.x, low.y, high.y}, a1[4] = {low.z, high.z, low.w, high.w};
  const uint32_t b0[2] = {b.x, b.y}, b1[2] = {b.z, b.w};
  if constexpr (kUnsigned) {
    MmaU8S8(sums, a0, b0);
    MmaU8S8(sums, a1, b1);
  } else {
    MmaS8(sums, a0, b0);
    MmaS8(sums, a1, b1);
  }
}

// Scores at 8 * kBlocks positions of a page from `slot`, number `first` of the chunk.
template <int kSteps, int kBlocks>
__device__ __forceinline__ void ScoresOfPositions(const TileArgs& a, const TileRows& rows,
                                                  const uint8_t* page, int slot, int first,
                                                  SharedPtr<float> scores) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int width = a.padded_head_dim;
  const uint8_t* k = page + a.cache.k + rows.kv_head * a.cache.head_bytes + (slot + g) * width + 16 * t;
  const int64_t query = rows.Query(a, g);
  const int8_t* q = static_cast<const int8_t*>(a.queries) + query * width + 16 * t;
  const bool low = g < rows.tile.rows, high = g + 8 < rows.tile.rows;
  int dots[kBlocks][4] = {};
#pragma unroll(kSteps <= 2 ? kSteps : 1)
  for (int step = 0; step < kSteps; ++step) {
    const bool inside = kGroup * step + 16 * t < width;
    uint4 keys[kBlocks];
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      keys[block] = LoadBytes(k + 8 * block * width + kGroup * step, inside);
    }
    const uint4 q_low = LoadBytes(q + kGroup * step, inside && low);
    const uint4 q_high = LoadBytes(q + 8 * width + kGroup * step, inside && high);
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) Mma64<false>(dots[block], q_low, q_high, keys[block]);
  }
  const float* k_scales =
      reinterpret_cast<const float*>(page + a.cache.k_scales) + rows.kv_head * kPage + slot + 2 * t;
  const float scale_low = low ? a.query_scales[query] : 0.0f;
  const float scale_high = high ? a.query_scales[query + 8] : 0.0f;
#pragma unroll
  for (int block = 0; block < kBlocks; ++block) {
    const float2 k_scale = *reinterpret_cast<const float2*>(k_scales + 8 * block);
    const float s0 = __fmul_rn(k_scale.x, a.scale), s1 = __fmul_rn(k_scale.y, a.scale);
    const int at = g * kScoreStride + first + 8 * block + 2 * t;
    const auto store = [&](int position, int d0, int d1, float q_scale) {
      SharedCast<float2>(scores)[position / 2] =
          make_float2(__fmul_rn(static_cast<float>(d0), __fmul_rn(q_scale, s0)),
                      __fmul_rn(static_cast<float>(d1), __fmul_rn(q_scale, s1)));
    };
    if (low) store(at, dots[block][0], dots[block][1], scale_low);
    if (high) store(at + 8 * kScoreStride, dots[block][2], dots[block][3], scale_high);
  }
}

// Scores at the warp's 32 positions of a chunk, of which the tile reads [begin, n). All loads at once where the
// cache comes from memory and the block is alone on its part of it; else in two halves, which leaves room for a third
// block on a multiprocessor.
template <int kSteps, bool kAtOnce>
__device__ __forceinline__ void ScoresOfChunk(const TileArgs& a, const TileRows& rows, int warp, int chunk,
                                              int begin, int n, SharedPtr<float> scores) {
  const int first = warp * kWarpPositions;
  if (first < begin || first >= n) return;
  const uint8_t* page = PageOf(a, rows, chunk * kPagesOfChunk + first / kPage);
  if constexpr (kAtOnce) {
    ScoresOfPositions<kSteps, 4>(a, rows, page, first % kPage, first, scores);
  } else {
#pragma unroll 1
    for (int i = 0; i < kWarpPositions; i += 16) {
      ScoresOfPositions<kSteps, 2>(a, rows, page, first % kPage + i, first + i, scores);
    }
  }
}

// Probabilities times the scales of V -> 15-bit integers as bytes, for the mma; returns what they are to be multiplied
// with. Weights past n_valid are 0 * scale: 0, or NaN if the scale is not finite, which neither max lets through.
__device__ __forceinline__ float QuantizeWeights(float (&p)[kLaneValues], SharedPtr<float> v_scales,
                                                 SharedPtr<uint32_t> weights) {
  const int lane = static_cast<int>(threadIdx.x) % 16;
  float largest = 0;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    p[j] = __fmul_rn(p[j], v_scales[16 * j + lane]);
    largest = fmaxf(p[j], largest);
  }
  largest = LargestOfLanes(largest);
  const float inverse = __fdiv_rn(kWeightSteps, largest);
  const float factor = inverse <= 3.4028234e38f ? inverse : 0.0f;
#pragma unroll
  for (int page = 0; page < kPagesOfChunk; ++page) {
    uint32_t q[4];  // the integer in the low 16 bits
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      q[j] = __float_as_uint(__fadd_rn(fmaxf(__fmul_rn(p[4 * page + j], factor), 0.0f), kRoundingShift));
    }
    const uint32_t even = (q[0] & 0xffffu) | q[1] << 16, odd = (q[2] & 0xffffu) | q[3] << 16;
    const SharedPtr<uint32_t> word = weights + ScoreRow() * kWeightStride + 16 * page + lane;
    word[0] = __byte_perm(even, odd, 0x6420);
    word[kWeightPlane] = __byte_perm(even, odd, 0x7531);
  }
  return __fdiv_rn(largest, kWeightSteps);
}

// A lane's values: dimensions 8 * (warp + 8 * step) + 2 t and + 1, rows g (first two) and g + 8.
template <int kSteps>
struct Values {
  float v[kSteps][4];
};

// Where the values of a chunk come from, and how a chunk joins those before it.
template <typename Policy>
struct ValueWork {
  const TileArgs& a;
  const TileRows& rows;
  int warp, chunk, first_page, n_pages;
  bool first;  // of the block's chunks
  SharedPtr<uint32_t> weights;
  SharedPtr<RowFactors> factors;
  SharedPtr<typename Policy::Place> places;
};

// V of a chunk as a warp reads it, for kCount steps of 64 dimensions: 16 registers each.
template <int kCount>
struct ValueBytes {
  uint4 v[kPagesOfChunk][kCount];

  template <typename Policy>
  __device__ __forceinline__ void Load(const ValueWork<Policy>& w, int first_step) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int page = 0; page < kPagesOfChunk; ++page) {
      // A page that is not there gives zeros: registers that nobody set would count as live all around the loop.
      const bool there = page >= w.first_page && page < w.n_pages;
      const uint8_t* values = PageOf(w.a, w.rows, w.chunk * kPagesOfChunk + (there ? page : w.first_page)) +
                              w.a.cache.v + w.rows.kv_head * w.a.cache.head_bytes + lane / 4 * kPage +
                              16 * (lane % 4);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        const int d = 64 * (first_step + i) + 8 * w.warp;
        v[page][i] = LoadBytes(values + d * kPage, there && d < w.a.padded_head_dim);
      }
    }
  }

  // values <- values joined with weights x V of the chunk.
  template <typename Policy, int kSteps>
  __device__ __forceinline__ void Join(const ValueWork<Policy>& w, int first_step,
                                       Values<kSteps>* values) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    int low[kCount][4] = {}, high[kCount][4] = {};
#pragma unroll
    for (int page = 0; page < kPagesOfChunk; ++page) {
      if (page >= w.n_pages) break;
      uint4 rows[2][2] = {{zero, zero}, {zero, zero}};  // [low, high byte][row g, g + 8]
#pragma unroll
      for (int plane = 0; plane < 2; ++plane) {
        const SharedPtr<uint4> words = SharedCast<uint4>(w.weights + plane * kWeightPlane +
                                                         g * kWeightStride + 16 * page + 4 * (lane % 4));
        if (g < w.rows.tile.rows) rows[plane][0] = words[0];
        if (g + 8 < w.rows.tile.rows) rows[plane][1] = words[8 * kWeightStride / 4];
      }
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
        Mma64<true>(low[i], rows[0][0], rows[0][1], v[page][i]);
        Mma64<true>(high[i], rows[1][0], rows[1][1], v[page][i]);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = g + 8 * half;
      if (row >= w.rows.tile.rows || Valid(w.places[row], w.chunk) == 0) continue;
      const RowFactors f = w.factors[row];
      const bool begins = Policy::Begins(w.places[row], w.chunk, w.first);
#pragma unroll
      for (int i = 0; i < kCount; ++i) {
#pragma unroll
        for (int j = 2 * half; j < 2 * half + 2; ++j) {
          const float later = __fmul_rn(static_cast<float>(256 * high[i][j] + low[i][j]), f.weight);
          float& value = values->v[first_step + i][j];
          value = begins ? later : MergeValue(value, later, {f.mine, f.theirs});
        }
      }
    }
  }
};

// Steps from kFirst on, two at a time, or one where the values of earlier chunks take many registers.
template <int kFirst, typename Policy, int kSteps>
__device__ __forceinline__ void JoinLate(const ValueWork<Policy>& work, Values<kSteps>* values) {
  if constexpr (kFirst < kSteps) {
    constexpr int kCount = kSteps == 4 || kSteps - kFirst < 2 ? 1 : 2;
    ValueBytes<kCount> bytes;
    bytes.Load(work, kFirst);
    bytes.Join(work, kFirst, values);
    JoinLate<kFirst + kCount>(work, values);
  }
}

// Calls store(dimension, value) for a lane's values of one row.
template <int kSteps, typename Store>
__device__ __forceinline__ void ForRowValues(const Values<kSteps>& values, int half, int n,
                                             const Store& store) {
  const int warp = static_cast<int>(threadIdx.x) / 32, t = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int d = 8 * (warp + 8 * step) + 2 * t + i;
      if (d < n) store(d, values.v[step][2 * half + i]);
    }
  }
}

template <typename Policy, int kSteps, bool kSplit>
__device__ __forceinline__ void TileOfS8(const TileArgs& a) {
  KVASIR_SHARED(float, scores, kTileRows* kScoreStride);
  KVASIR_SHARED(uint32_t, weights, 2 * kWeightPlane);
  KVASIR_SHARED(float, v_scales, kChunk);
  KVASIR_SHARED(RowFactors, factors, kTileRows);
  KVASIR_SHARED(typename Policy::Place, places, kTileRows);
  const TileRows rows = RowsOfBlock(a);
  if (rows.tile.rows == 0) return;
  const int from = Policy::From(a, rows);
  const int begin = kSplit ? static_cast<int>(blockIdx.z) : from / kChunk;
  const int length = Policy::PlaceOf(a, rows, rows.tile.rows - 1).length;
  const int end = kSplit ? begin + 1 : (length + kChunk - 1) / kChunk;
  if (begin * kChunk >= length || begin < from / kChunk) return;
  const int thread = static_cast<int>(threadIdx.x), warp = WarpOfBlock(), g = thread % 32 / 4;
  if (thread < kTileRows) places[thread] = Policy::PlaceOf(a, rows, thread);
  const int softmax_row = ScoreRow();
  // Steps of V that are on their way while the softmax runs, as far as registers go; of one chunk that comes from memory
  // (decode) even from the start.
  constexpr int kEarly = kSteps > 2 ? 0 : kSplit ? kSteps : 1;
  RowState state = {kNegativeInfinity, 0};
  Values<kSteps> values = {};
  for (int chunk = begin; chunk < end; ++chunk) {
    const int n = min(kChunk, length - chunk * kChunk);
    const int first_page = FirstPage(from, chunk);
    const ValueWork<Policy> work = {
        a, rows, warp, chunk, first_page, (n + kPage - 1) / kPage, chunk == begin, weights, factors, places};
    ValueBytes<kEarly == 0 ? 1 : kEarly> early;
    if constexpr (kSplit && kEarly == 1) early.Load(work, 0);
    float v_scale = 0;
    if (thread >= first_page * kPage && thread < n) {
      const uint8_t* page = PageOf(a, rows, chunk * kPagesOfChunk + thread / kPage);
      v_scale =
          reinterpret_cast<const float*>(page + a.cache.v_scales)[rows.kv_head * kPage + thread % kPage];
    }
    ScoresOfChunk<kSteps, kSteps == 1 || (kSplit && kSteps == 2)>(a, rows, warp, chunk, first_page * kPage, n,
                                                                  scores);
    if constexpr (kEarly > 0 && !(kSplit && kEarly == 1)) early.Load(work, 0);
    v_scales[thread] = v_scale;
    // Also: nobody reads the weights and factors of the chunk before any more.
    __syncthreads();
    if (warp / 2 * 4 + warp % 2 < rows.tile.rows) {
      const typename Policy::Place place = places[softmax_row];
      const int n_valid = Valid(place, chunk);
      float p[kLaneValues];
      LoadScores<Policy>(a, place, chunk, scores, p);
      const RowState later = ChunkSoftmax(p);
      RowFactors f = {QuantizeWeights(p, v_scales, weights), 0, 0, 0};
      if (Policy::Begins(place, chunk, chunk == begin)) {
        state = later;
      } else if (n_valid > 0) {
        const MergeFactors merge = MergeState(&state, later);
        f.mine = merge.mine;
        f.theirs = merge.theirs;
      }
      f.sum = state.sum;
      if (thread % 16 == 0) factors[softmax_row] = f;
      if (kSplit && thread % 16 == 0 && n_valid > 0) {
        float* partial = Partial(a, rows, chunk);
        partial[softmax_row] = state.max;
        partial[kTileRows + softmax_row] = state.sum;
      }
    }
    // The weights are there; the scores may be overwritten.
    __syncthreads();
    if constexpr (kEarly > 0) early.Join(work, 0, &values);
    JoinLate<kEarly>(work, &values);
  }
  const bool sinks = Policy::kHasSinks && !kSplit && a.kind.sinks != nullptr;
  if (sinks) {
    __syncthreads();
    if (warp / 2 * 4 + warp % 2 < rows.tile.rows) {
      const typename Policy::Place place = places[softmax_row];
      const MergeFactors merge = MergeState(&state, SinkOf(a, place.head_row));
      if (thread % 16 == 0) factors[softmax_row] = {0, merge.mine, merge.theirs, state.sum};
    }
    __syncthreads();
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = g + 8 * half;
    if (row >= rows.tile.rows) continue;
    if constexpr (kSplit) {
      float* partial = Partial(a, rows, begin) + 2 * kTileRows + row * a.padded_head_dim;
      ForRowValues<kSteps>(values, half, a.padded_head_dim, [=](int d, float value) { partial[d] = value; });
    } else {
      const RowFactors f = factors[row];
      const typename Policy::Place place = places[row];
      float* out = a.out + static_cast<int64_t>(place.head_row) * a.head_dim;
      ForRowValues<kSteps>(values, half, a.head_dim, [=](int d, float value) {
        out[d] = __fdiv_rn(sinks ? MergeValue(value, 0.0f, {f.mine, f.theirs}) : value, f.sum);
      });
    }
  }
}

}  // namespace

}  // namespace kvasir::cuda
