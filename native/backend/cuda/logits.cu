// What sampling needs of a row of logits, so that only that leaves the device: the largest with their ids, the maximum,
// and the sums of the log-sum-exp.
//
// A logit and its id make one 64-bit key, larger for what comes first, so all keys differ and ties need no second rule.
// A block finds the 256 largest of 4,096 keys by bisection: it counts keys not below a threshold, one bit of it a step,
// until exactly 256 are left. Its result is one of 16 parts of a block of the next round; the last round has one block a
// row (two rounds up to a vocabulary of 65,536, three up to a million).
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/softmax.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kKept = 256;       // keys that a block hands on
constexpr int kThreadKeys = 16;  // of 4,096
constexpr int kSegment = kThreads * kThreadKeys;
constexpr uint64_t kMissing = 0;  // below all keys: a key's lower half is never 0

// Larger for larger logits, equal for both zeros, 0 for NaN; below it, larger for lower ids.
__device__ __forceinline__ uint64_t KeyOf(float logit, int64_t id) {
  const uint32_t bits = __float_as_uint(__fadd_rn(logit, 0.0f));  // -0 + 0 = +0
  const uint32_t order = logit != logit ? 0 : (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(order) << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

// Sum over the block, for every thread. `parts` [2][kWarps] is used in turn, so that one barrier a call is enough.
__device__ __forceinline__ int SumOfBlock(int value, int turn, SharedPtr<int> parts) {
#pragma unroll
  for (int stride = 16; stride > 0; stride /= 2) value += __shfl_xor_sync(kAllLanes, value, stride);
  const SharedPtr<int> mine = parts + turn % 2 * kWarps;
  if (threadIdx.x % 32 == 0) mine[threadIdx.x / 32] = value;
  __syncthreads();
  int sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += mine[warp];
  return sum;
}

// The largest threshold that at least `wanted` keys reach. There are that many keys; the search ends early when exactly
// `wanted` reach it.
__device__ __forceinline__ uint64_t Threshold(const uint64_t (&keys)[kThreadKeys], int wanted,
                                              SharedPtr<int> parts) {
  uint64_t threshold = 0;
  for (int bit = 63; bit >= 0; --bit) {
    const uint64_t higher = threshold | uint64_t{1} << bit;
    int count = 0;
#pragma unroll
    for (int i = 0; i < kThreadKeys; ++i) count += keys[i] >= higher ? 1 : 0;
    count = SumOfBlock(count, bit, parts);
    if (count >= wanted) threshold = higher;
    if (count == wanted) break;
  }
  return threshold;
}

// The keys from a threshold on, in no particular order, [kKept] with kMissing after them.
__device__ __forceinline__ void Keep(const uint64_t (&keys)[kThreadKeys], uint64_t threshold,
                                     SharedPtr<int> parts, SharedPtr<uint64_t> kept) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  kept[thread] = kMissing;
  int count = 0;
#pragma unroll
  for (int i = 0; i < kThreadKeys; ++i) count += keys[i] != kMissing && keys[i] >= threshold ? 1 : 0;
  int at = count;  // of this and the lanes before
#pragma unroll
  for (int stride = 1; stride < 32; stride *= 2) {
    const int before = __shfl_up_sync(kAllLanes, at, stride);
    if (lane >= stride) at += before;
  }
  // The sums of the search may still be read.
  __syncthreads();
  if (lane == 31) parts[warp] = at;
  __syncthreads();
  at -= count;
  for (int i = 0; i < warp; ++i) at += parts[i];
#pragma unroll
  for (int i = 0; i < kThreadKeys; ++i) {
    if (keys[i] == kMissing || keys[i] < threshold) continue;
    kept[at] = keys[i];
    ++at;
  }
  __syncthreads();
}

struct LargestArgs {
  const float* logits;    // [rows, vocab]
  const uint64_t* parts;  // [rows, n_in], the keys of the round before; nullptr in the first
  int64_t n_in;           // of a row: vocab in the first round
  uint64_t* kept;         // [rows, blocks, kKept]; nullptr in the last round
  float* segment_max;     // [rows, blocks], of the first round
  int64_t vocab;
  int count;       // wanted of a row, in the last round
  int32_t* ids;    // [rows, count]
  float* largest;  // [rows, count]
};

// The largest logit of a block that is not NaN.
__device__ __forceinline__ void MaxOfBlock(float max, SharedPtr<float> parts, float* out) {
  max = LargestOfLanes(max);
  max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 16));
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = max;
  __syncthreads();
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) max = fmaxf(max, parts[warp]);
  *out = max;
}

// One block: 4,096 keys of a row. grid (blocks of a row, rows)
template <bool kFirst, bool kLast>
__global__ void __launch_bounds__(kThreads) LargestKeys(LargestArgs a) {
  KVASIR_SHARED(int, parts, 2 * kWarps);
  KVASIR_SHARED(float, max_parts, kWarps);
  KVASIR_SHARED(uint64_t, kept, kKept);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.y, base = static_cast<int64_t>(blockIdx.x) * kSegment;
  uint64_t keys[kThreadKeys];
  float max = kNegativeInfinity;
#pragma unroll
  for (int i = 0; i < kThreadKeys; ++i) {
    const int64_t at = base + i * kThreads + thread;
    keys[i] = kMissing;
    if (at >= a.n_in) continue;
    if constexpr (kFirst) {
      const float logit = a.logits[row * a.vocab + at];
      keys[i] = KeyOf(logit, at);
      max = fmaxf(max, logit);
    } else {
      keys[i] = a.parts[row * a.n_in + at];
    }
  }
  if constexpr (kFirst) MaxOfBlock(max, max_parts, a.segment_max + row * gridDim.x + blockIdx.x);
  int present = 0;
#pragma unroll
  for (int i = 0; i < kThreadKeys; ++i) present += keys[i] != kMissing ? 1 : 0;
  present = SumOfBlock(present, 0, parts);
  const uint64_t threshold = present <= kKept ? 0 : Threshold(keys, kKept, parts);
  Keep(keys, threshold, parts, kept);
  const uint64_t key = kept[thread];
  if constexpr (!kLast) {
    a.kept[(row * gridDim.x + blockIdx.x) * kKept + thread] = key;
  } else {
    // A key's place is the number of larger ones: they all differ.
    int place = 0;
    for (int i = 0; i < kKept; ++i) place += static_cast<uint64_t>(kept[i]) > key ? 1 : 0;
    if (key == kMissing || place >= a.count) return;
    const int32_t id = static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key));
    a.ids[row * a.count + place] = id;
    a.largest[row * a.count + place] = a.logits[row * a.vocab + id];
  }
}

struct SumArgs {
  const float* logits;       // [rows, vocab]
  const float* segment_max;  // [rows, n_segments]
  const float* inverse;      // [rows]
  int64_t vocab, n_segments, n_sums;
  float* max;   // [rows]
  float* sums;  // [rows, 2, n_sums]
};

// Half a warp has 256 logits, as the CPU's sixteen lanes do. grid (segments, rows)
__global__ void __launch_bounds__(kThreads) SumExponentials(SumArgs a) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 16;
  const int64_t row = blockIdx.y;
  float max = kNegativeInfinity;
  for (int64_t i = lane; i < a.n_segments; i += 16) max = fmaxf(max, a.segment_max[row * a.n_segments + i]);
  max = LargestOfLanes(max);
  if (blockIdx.x == 0 && thread == 0) a.max[row] = max;
  const int64_t block = static_cast<int64_t>(blockIdx.x) * (kThreads / 16) + thread / 16;
  const float inverse = a.inverse[row];
  const float* x = a.logits + row * a.vocab + block * kSumBlock;
  const int64_t left = a.vocab - block * kSumBlock;
  float scaled = 0, plain = 0;
#pragma unroll
  for (int j = 0; j < kLaneValues; ++j) {
    // The CPU fills up the last sixteen, and no more.
    if (16 * j >= left) break;
    const float v = 16 * j + lane < left ? x[16 * j + lane] : kNegativeInfinity;
    const float difference = __fsub_rn(v, max);
    plain = __fadd_rn(plain, ExpOfDifference(difference));
    scaled = __fadd_rn(scaled, ExpOfDifference(__fmul_rn(difference, inverse)));
  }
  scaled = SumLanes16(scaled);
  plain = SumLanes16(plain);
  if (lane != 0 || left <= 0) return;
  a.sums[2 * row * a.n_sums + block] = scaled;
  a.sums[(2 * row + 1) * a.n_sums + block] = plain;
}

}  // namespace

// The keys of the first round and of the second, which later rounds use in turn, and the first round's maxima.
int64_t SummaryScratchBytes(int64_t rows, int64_t vocab) {
  const int64_t segments = CeilDiv(vocab, kSegment), merged = CeilDiv(segments * kKept, kSegment);
  return rows * ((segments + merged) * kKept * 8 + segments * 4);
}

void SummarizeLogits(const float* logits, int64_t rows, int64_t vocab, int64_t count, const float* inverse,
                     const LogitsOutput& out, cudaStream_t stream) {
  if (rows == 0) return;
  const int64_t segments = CeilDiv(vocab, kSegment), merged = CeilDiv(segments * kKept, kSegment);
  uint64_t* kept = static_cast<uint64_t*>(out.scratch);
  uint64_t* other = kept + rows * segments * kKept;
  float* segment_max = reinterpret_cast<float*>(other + rows * merged * kKept);
  const auto grid = [&](int64_t blocks) {
    return LaunchConfig{.grid = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(rows)),
                        .block = dim3(kThreads),
                        .stream = stream};
  };
  LargestArgs args = {.logits = logits,
                      .parts = nullptr,
                      .n_in = vocab,
                      .kept = kept,
                      .segment_max = segment_max,
                      .vocab = vocab,
                      .count = static_cast<int>(count),
                      .ids = out.ids,
                      .largest = out.logits};
  if (segments == 1) {
    KVASIR_LAUNCH((LargestKeys<true, true>), grid(1), args);
  } else {
    KVASIR_LAUNCH((LargestKeys<true, false>), grid(segments), args);
  }
  for (int64_t parts = segments; parts > 1;) {
    args.n_in = parts * kKept;
    args.parts = args.kept;
    args.kept = args.kept == kept ? other : kept;
    parts = CeilDiv(args.n_in, kSegment);
    if (parts == 1) {
      KVASIR_LAUNCH((LargestKeys<false, true>), grid(1), args);
    } else {
      KVASIR_LAUNCH((LargestKeys<false, false>), grid(parts), args);
    }
  }
  const SumArgs sums = {.logits = logits,
                        .segment_max = segment_max,
                        .inverse = inverse,
                        .vocab = vocab,
                        .n_segments = segments,
                        .n_sums = CeilDiv(vocab, kSumBlock),
                        .max = out.max,
                        .sums = out.sums};
  KVASIR_LAUNCH(SumExponentials, grid(segments), sums);
}

}  // namespace kvasir::cuda
