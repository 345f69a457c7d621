// Decode: 1 to 4 rows against all weights, which are read once. A block has one panel of 8 columns, so that 576 columns
// are 72 blocks; its warps share the groups of k. A lane loads 16 bytes of 4 groups, dots them with dp4a, and a warp hands
// each group's dot and scale to shared memory, where one thread an output adds them in order.
//
// Arithmetic: a scheduler of an H200 gets 4.8 TB/s / 132 SMs / 1.75 GHz / 4 = 5.2 bytes a cycle, so the 2 KiB of a warp's
// 4 groups take 394 cycles. Those cost, for one row, about 75 instructions; for 4 rows 240, 64 of them IDP at half
// rate. Beyond that the tensor cores need fewer (gemm_thin_s8.cu).
// In flight: 2 KiB of weights a warp. By Little's law 4.8 TB/s at 0.7 us need 3.4 MB, 25 KiB an SM: 13 warps; 32 to 64
// are resident.
#include <algorithm>

#include "backend/cuda/launch.h"
#include "backend/cuda/linear_s8.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kMaxWarps = 8;
constexpr int kWarpGroups = 4;  // groups that a warp takes at once, one for each lane that shares a column
constexpr int kChunkGroups = kMaxWarps * kWarpGroups;
constexpr int kGroupVectors = kPanel * kGroup / 16;  // 16-byte vectors of a panel's group: one a lane

// Lane q of the four that share a column gets the sum of part[q] over them.
__device__ __forceinline__ int SumOfQuarters(const int (&part)[kWarpGroups], int quarter) {
  const bool high = (quarter & 2) != 0, odd = (quarter & 1) != 0;
  const int even_sum = (high ? part[2] : part[0]) + __shfl_xor_sync(kAllLanes, high ? part[0] : part[2], 2);
  const int odd_sum = (high ? part[3] : part[1]) + __shfl_xor_sync(kAllLanes, high ? part[1] : part[3], 2);
  return (odd ? odd_sum : even_sum) + __shfl_xor_sync(kAllLanes, odd ? even_sum : odd_sum, 1);
}

__device__ __forceinline__ int Dot16(const uint4& a, const uint4& b) {
  int dot = __dp4a(static_cast<int>(a.x), static_cast<int>(b.x), 0);
  dot = __dp4a(static_cast<int>(a.y), static_cast<int>(b.y), dot);
  dot = __dp4a(static_cast<int>(a.z), static_cast<int>(b.z), dot);
  return __dp4a(static_cast<int>(a.w), static_cast<int>(b.w), dot);
}

// Vectors of groups [first, first + 4), of the last group where there are no more: nobody reads their dots. p stands at
// the lane's vector of group 0.
__device__ __forceinline__ void LoadGroups(const uint4* p, int stride, int first, int last, uint4 (&v)[kWarpGroups]) {
#pragma unroll
  for (int u = 0; u < kWarpGroups; ++u) v[u] = __ldg(p + min(first + u, last) * stride);
}

template <int kRows>
__global__ void __launch_bounds__(32 * kMaxWarps, kRows == 1 ? 4 : 2) GemvRows(LinearS8Args a) {
  // {float(dot), scale} of [2 chunks][row][group of the chunk][column]. A row's space is one group more: rows lie 64 bytes
  // apart modulo the banks, so that two rows are read without a conflict.
  constexpr int kRowTerms = (kChunkGroups + 1) * kPanel;
  KVASIR_SHARED(float2, terms, 2 * kRows * kRowTerms);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int column = lane / 4, quarter = lane % 4;
  const int groups = static_cast<int>(a.w.groups), last = groups - 1;
  const int chunk = static_cast<int>(blockDim.x / 32) * kWarpGroups;
  const int64_t first_group = static_cast<int64_t>(blockIdx.x) * groups;  // of the panel
  const uint4* weights = reinterpret_cast<const uint4*>(a.w.weights) + first_group * kGroupVectors + lane;
  const uint16_t* weight_scales = a.w.scales + first_group * kPanel + column;
  const uint4* x = reinterpret_cast<const uint4*>(a.x) + quarter;

  uint4 next[kWarpGroups];
  LoadGroups(weights, kGroupVectors, warp * kWarpGroups, last, next);
  float sum = 0;
  int buffer = 0;
  for (int base = 0; base < groups; base += chunk, buffer ^= 1) {
    const int first = base + warp * kWarpGroups, own = min(first + quarter, last);
    uint4 w[kWarpGroups], q[kRows][kWarpGroups];
    float x_scale[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      LoadGroups(x + r * groups * 4, 4, first, last, q[r]);
      x_scale[r] = __ldg(a.scales + r * groups + own);
    }
    const float weight_scale = HalfToFloat(__ldg(weight_scales + own * kPanel));
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) w[u] = next[u];
    if (first + chunk < groups) LoadGroups(weights, kGroupVectors, first + chunk, last, next);
    const SharedPtr<float2> chunk_terms = SharedPtr<float2>(terms) + buffer * kRows * kRowTerms;
    const SharedPtr<float2> own_term = chunk_terms + (warp * kWarpGroups + quarter) * kPanel + column;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      int part[kWarpGroups];
#pragma unroll
      for (int u = 0; u < kWarpGroups; ++u) part[u] = Dot16(w[u], q[r][u]);
      const float dot = static_cast<float>(SumOfQuarters(part, quarter));
      own_term[r * kRowTerms] = make_float2(dot, __fmul_rn(x_scale[r], weight_scale));
    }
    // The other buffer may be written at once: whoever adds its terms gets to this barrier afterwards.
    __syncthreads();
    if (threadIdx.x < kRows * kPanel) {
      const int count = groups - base < chunk ? groups - base : chunk;
      const SharedPtr<float2> term = chunk_terms + (lane / kPanel) * kRowTerms + lane % kPanel;
#pragma unroll 8
      for (int g = 0; g < count; ++g) {
        const float2 t = term[g * kPanel];
        sum = __fmaf_rn(t.x, t.y, sum);
      }
    }
  }
  if (threadIdx.x < kRows * kPanel) {
    StoreSum(a, lane / kPanel, static_cast<int64_t>(blockIdx.x) * kPanel + lane % kPanel, sum);
  }
}

}  // namespace

void GemvS8(const LinearS8Args& args, cudaStream_t stream) {
  const int64_t warps = std::min<int64_t>(kMaxWarps, (args.w.groups + kWarpGroups - 1) / kWarpGroups);
  // The panels that pad n to 32 columns have no output.
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
