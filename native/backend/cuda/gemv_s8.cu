// Decode: 1 to 4 rows against all weights, which are read once. A block has one panel of 16 columns, so that 576 columns
// are 36 blocks; its warps share the groups of k. A lane loads 2 groups of 2 columns, 64 bytes, dots them with dp4a, and
// a warp hands each group's dot and scale to shared memory, where one thread an output adds them in order.
//
// Arithmetic: a scheduler of an H200 gets 4.8 TB/s / 132 SMs / 1.75 GHz / 4 = 5.2 bytes a cycle, so the 2 KiB of a warp's
// 2 groups take 394 cycles; see docs/cuda.md for the instructions they cost. From 5 rows on tensor cores need fewer
// (gemm_thin_s8.cu).
// In flight: 2 KiB of weights a warp. By Little's law 4.8 TB/s at 0.7 us need 3.4 MB, 25 KiB an SM: 13 warps.
#include <algorithm>

#include "backend/cuda/launch.h"
#include "backend/cuda/linear_s8.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kMaxWarps = 8;
constexpr int kWarpGroups = 2;  // groups that a warp takes at once
constexpr int kChunkGroups = kMaxWarps * kWarpGroups;

// Lane q of the four that share columns gets the sum of part[q] over them.
__device__ __forceinline__ int SumOfQuarters(const int (&part)[4], int quarter) {
  const bool high = (quarter & 2) != 0, odd = (quarter & 1) != 0;
  const int even_sum = (high ? part[2] : part[0]) + __shfl_xor_sync(kAllLanes, high ? part[0] : part[2], 2);
  const int odd_sum = (high ? part[3] : part[1]) + __shfl_xor_sync(kAllLanes, high ? part[1] : part[3], 2);
  return (odd ? odd_sum : even_sum) + __shfl_xor_sync(kAllLanes, odd ? even_sum : odd_sum, 1);
}

// The lane's part of one group for columns c and c + 8.
struct LaneWeights {
  uint4 low, high;  // halves of the group

  __device__ __forceinline__ int Dot(const uint4& x) const { return Dot4(low.x, low.z, high.x, high.z, x); }
  __device__ __forceinline__ int DotOfNext(const uint4& x) const {
    return Dot4(low.y, low.w, high.y, high.w, x);
  }

 private:
  static __device__ __forceinline__ int Dot4(uint32_t a, uint32_t b, uint32_t c, uint32_t d, const uint4& x) {
    int dot = __dp4a(static_cast<int>(a), static_cast<int>(x.x), 0);
    dot = __dp4a(static_cast<int>(b), static_cast<int>(x.y), dot);
    dot = __dp4a(static_cast<int>(c), static_cast<int>(x.z), dot);
    return __dp4a(static_cast<int>(d), static_cast<int>(x.w), dot);
  }
};

// Groups first and first + 1, or the last one where there are no more: nobody reads their dots. `weights` stands at the
// lane's vector of group 0.
__device__ __forceinline__ void LoadWeights(const uint4* weights, int first, int last,
                                            LaneWeights (&w)[kWarpGroups]) {
#pragma unroll
  for (int u = 0; u < kWarpGroups; ++u) {
    const uint4* group = weights + min(first + u, last) * kPanelVectors;
    w[u] = {__ldg(group), __ldg(group + kHalfVectors)};
  }
}

template <int kRows>
__global__ void __launch_bounds__(32 * kMaxWarps, kRows <= 2 ? 4 : 3) GemvRows(LinearS8Args a) {
  constexpr int kRowTerms = kChunkGroups * kPanel;
  // {float(dot), scale} of [2 chunks][row][group of the chunk][column].
  KVASIR_SHARED(float2, terms, 2 * kRows * kRowTerms);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int column = lane / 4, quarter = lane % 4;
  const int groups = static_cast<int>(a.w.groups), last = groups - 1;
  const int chunk = static_cast<int>(blockDim.x / 32) * kWarpGroups;
  const int64_t first_group = static_cast<int64_t>(blockIdx.x) * groups;  // of the panel
  const uint4* weights = reinterpret_cast<const uint4*>(a.w.weights) + first_group * kPanelVectors + lane;
  // After the sum over quarters lane q has group q / 2 and column `column` + 8 (q % 2).
  const uint16_t* weight_scales = a.w.scales + first_group * kPanel + 2 * column + quarter % 2;
  const int own_term = (warp * kWarpGroups + quarter / 2) * kPanel + column + 8 * (quarter % 2);
  const uint4* x = reinterpret_cast<const uint4*>(a.x) + quarter;

  LaneWeights next[kWarpGroups];
  LoadWeights(weights, warp * kWarpGroups, last, next);
  float sum = 0;
  int buffer = 0;
  for (int base = 0; base < groups; base += chunk, buffer ^= 1) {
    const int first = base + warp * kWarpGroups, own = min(first + quarter / 2, last);
    uint4 q[kRows][kWarpGroups];
    float x_scale[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int u = 0; u < kWarpGroups; ++u)
        q[r][u] = __ldg(x + (r * groups + min(first + u, last)) * kRowVectors);
      x_scale[r] = __ldg(a.scales + r * groups + own);
    }
    const float weight_scale = HalfToFloat(__ldg(weight_scales + own * kPanel));
    LaneWeights w[kWarpGroups];
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) w[u] = next[u];
    if (first + chunk < groups) LoadWeights(weights, first + chunk, last, next);
    const SharedPtr<float2> chunk_terms = SharedPtr<float2>(terms) + buffer * kRows * kRowTerms;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int part[4] = {w[0].Dot(q[r][0]), w[0].DotOfNext(q[r][0]), w[1].Dot(q[r][1]),
                           w[1].DotOfNext(q[r][1])};
      const float dot = static_cast<float>(SumOfQuarters(part, quarter));
      chunk_terms[r * kRowTerms + own_term] = make_float2(dot, __fmul_rn(x_scale[r], weight_scale));
    }
    // The other buffer may be written at once: whoever adds its terms gets to this barrier afterwards.
    __syncthreads();
    if (threadIdx.x < kRows * kPanel) {
      const int count = min(groups - base, chunk);
      const SharedPtr<float2> term =
          chunk_terms + (static_cast<int>(threadIdx.x) / kPanel * kRowTerms + lane % kPanel);
#pragma unroll 8
      for (int g = 0; g < count; ++g) {
        const float2 t = term[g * kPanel];
        sum = __fmaf_rn(t.x, t.y, sum);
      }
    }
  }
  if (threadIdx.x < kRows * kPanel) {
    StoreSum(a, threadIdx.x / kPanel, static_cast<int64_t>(blockIdx.x) * kPanel + lane % kPanel, sum);
  }
}

}  // namespace

void GemvS8(const LinearS8Args& args, cudaStream_t stream) {
  // A thread for each output, and no more warps than there is work for.
  const int64_t warps =
      std::max((args.rows * kPanel + 31) / 32,
               std::min<int64_t>(kMaxWarps, (args.w.groups + kWarpGroups - 1) / kWarpGroups));
  // The panel that pads n to 32 columns has no output.
  const int64_t panels = (args.n + kPanel - 1) / kPanel;
  const LaunchConfig config = {.grid = dim3(static_cast<unsigned>(panels)),
                               .block = dim3(static_cast<unsigned>(32 * warps)),
                               .stream = stream};
  switch (args.rows) {
    case 1: KVASIR_LAUNCH(GemvRows<1>, config, args); break;
    case 2: KVASIR_LAUNCH(GemvRows<2>, config, args); break;
    case 3: KVASIR_LAUNCH(GemvRows<3>, config, args); break;
    case 4: KVASIR_LAUNCH(GemvRows<4>, config, args); break;
  }
}

}  // namespace kvasir::cuda
