// Small batches on tensor cores: up to 16 rows and one panel of 16 columns a block, whose warps share the groups of k as
// in gemv_s8.cu. The mma sums over k inside the tensor core, so neither dp4a nor shuffles are needed, and 8 rows cost what
// one does: 2 mma a group, none of it padding.
//
// A lane's two dots of a column leave with their scales as one float4; half a panel and 8 rows of them are a warp's,
// which adds them in order.
#include <algorithm>

#include "backend/cuda/launch.h"
#include "backend/cuda/linear_s8.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kMaxWarps = 8;
constexpr int kWarpGroups = 1;  // groups that a warp takes at once
constexpr int kChunkGroups = kMaxWarps * kWarpGroups;

// What a lane reads of one group of the panel.
struct Fragments {
  uint4 low, high;
  uint32_t scales;  // two halves: columns lane / 4 and lane / 4 + 8
};

// 8 * kTiles rows.
template <int kTiles>
__global__ void __launch_bounds__(32 * kMaxWarps, 3) GemmThinRows(LinearS8Args a) {
  // {float(dot), scale} of rows 2 (lane % 4) and the next: [2 chunks][group of the chunk][8 rows][half a panel][lane].
  constexpr int kParts = 2 * kTiles;
  KVASIR_SHARED(float4, terms, 2 * kChunkGroups * kParts * 32);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int groups = static_cast<int>(a.w.groups), last = groups - 1;
  const int chunk = static_cast<int>(blockDim.x / 32) * kWarpGroups;
  const int64_t first_group = static_cast<int64_t>(blockIdx.x) * groups;  // of the panel
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * (8 * kTiles);
  const uint4* weights = reinterpret_cast<const uint4*>(a.w.weights) + first_group * kPanelVectors + lane;
  const uint32_t* weight_scales =
      reinterpret_cast<const uint32_t*>(a.w.scales) + first_group * (kPanel / 2) + lane / 4;

  // Past the last group it is read again: nobody reads its dots.
  const auto load = [&](int first, Fragments(&f)[kWarpGroups]) {
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      const int group = min(first + u, last);
      const uint4* at = weights + group * kPanelVectors;
      f[u] = {__ldg(at), __ldg(at + kHalfVectors), __ldg(weight_scales + group * (kPanel / 2))};
    }
  };
  // Rows that do not exist are read as the last one, and not stored.
  const uint4* x[kTiles];
  const float* x_scales[kTiles][2];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int64_t row = first_row + 8 * i, last_row = a.rows - 1;
    x[i] =
        reinterpret_cast<const uint4*>(a.x) + min(row + lane / 4, last_row) * groups * kRowVectors + lane % 4;
    for (int j = 0; j < 2; ++j) x_scales[i][j] = a.scales + min(row + 2 * (lane % 4) + j, last_row) * groups;
  }
  Fragments next[kWarpGroups];
  load(warp * kWarpGroups, next);
  float2 sum = make_float2(0, 0);
  int buffer = 0;
  for (int base = 0; base < groups; base += chunk, buffer ^= 1) {
    const int first = base + warp * kWarpGroups;
    uint4 q[kWarpGroups][kTiles];
    float q_scales[kWarpGroups][kTiles][2];
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      const int group = min(first + u, last);
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        q[u][i] = __ldg(x[i] + group * kRowVectors);
        for (int j = 0; j < 2; ++j) q_scales[u][i][j] = __ldg(x_scales[i][j] + group);
      }
    }
    Fragments f[kWarpGroups];
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) f[u] = next[u];
    if (first + chunk < groups) load(first + chunk, next);
    const SharedPtr<float4> own_terms =
        SharedPtr<float4>(terms) + (buffer * kChunkGroups + warp * kWarpGroups) * kParts * 32 + lane;
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      const float scales[2] = {LowScale(f[u].scales), HighScale(f[u].scales)};
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        int d[4];
        DotGroup(d, f[u].low, f[u].high, q[u][i]);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          own_terms[(u * kParts + 2 * i + half) * 32] =
              make_float4(FloatOfDot(d[2 * half]), __fmul_rn(q_scales[u][i][0], scales[half]),
                          FloatOfDot(d[2 * half + 1]), __fmul_rn(q_scales[u][i][1], scales[half]));
        }
      }
    }
    // The other buffer may be written at once: whoever adds its terms gets to this barrier afterwards.
    __syncthreads();
    if (warp < kParts) {
      const int count = min(groups - base, chunk);
      const SharedPtr<float4> term =
          SharedPtr<float4>(terms) + (buffer * kChunkGroups * kParts + warp) * 32 + lane;
#pragma unroll 4
      for (int g = 0; g < count; ++g) {
        const float4 t = term[g * kParts * 32];
        sum.x = __fmaf_rn(t.x, t.y, sum.x);
        sum.y = __fmaf_rn(t.z, t.w, sum.y);
      }
    }
  }
  if (warp < kParts) {
    const int64_t row = first_row + 8 * (warp / 2) + 2 * (lane % 4);
    const int64_t column = static_cast<int64_t>(blockIdx.x) * kPanel + 8 * (warp % 2) + lane / 4;
    StoreSum(a, row, column, sum.x);
    StoreSum(a, row + 1, column, sum.y);
  }
}

}  // namespace

void GemmThinS8(const LinearS8Args& args, cudaStream_t stream) {
  const int64_t tiles = args.rows <= 8 ? 1 : 2;
  // At least a warp for each half panel and 8 rows: it adds their terms.
  const int64_t warps =
      std::max(2 * tiles, std::min<int64_t>(kMaxWarps, (args.w.groups + kWarpGroups - 1) / kWarpGroups));
  const int64_t panels = (args.n + kPanel - 1) / kPanel,
                row_blocks = (args.rows + 8 * tiles - 1) / (8 * tiles);
  const LaunchConfig config = {.grid = dim3(static_cast<unsigned>(panels), static_cast<unsigned>(row_blocks)),
                               .block = dim3(static_cast<unsigned>(32 * warps)),
                               .stream = stream};
  if (tiles == 1) {
    KVASIR_LAUNCH(GemmThinRows<1>, config, args);
  } else {
    KVASIR_LAUNCH(GemmThinRows<2>, config, args);
  }
}

}  // namespace kvasir::cuda
