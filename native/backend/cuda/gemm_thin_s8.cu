// Small batches on tensor cores: up to 16 rows and one panel of 8 columns a block, whose warps share the groups of k as in
// gemv_s8.cu. The mma sums over k inside the tensor core, so neither dp4a nor shuffles are needed: about 30 instructions
// a group for 8 rows, where dp4a takes 8 * 15.
//
// A lane's two dots of a row leave with their scales as one float4; one warp for each half of the rows adds them in
// order.
#include <algorithm>

#include "backend/cuda/launch.h"
#include "backend/cuda/linear_s8.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kMaxWarps = 8;
constexpr int kWarpGroups = 2;  // groups that a warp takes at once
constexpr int kChunkGroups = kMaxWarps * kWarpGroups;

// What a lane reads of one group.
struct Fragments {
  uint4 w;
  uint32_t w_scales;  // two halves: columns 2 (lane % 4) and the next
};

// kHalves * 8 rows.
template <int kHalves>
__global__ void __launch_bounds__(32 * kMaxWarps) GemmThinRows(LinearS8Args a) {
  // {float(dot), scale} of a lane's two columns: [2 chunks][group of the chunk][half][lane].
  KVASIR_SHARED(float4, terms, 2 * kChunkGroups * kHalves * 32);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int groups = static_cast<int>(a.w.groups), chunk = static_cast<int>(blockDim.x / 32) * kWarpGroups;
  const int64_t first_group = static_cast<int64_t>(blockIdx.x) * groups;  // of the panel
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * (8 * kHalves) + lane / 4;
  const uint4* weights = reinterpret_cast<const uint4*>(a.w.weights) + first_group * 32 + lane;
  const uint32_t* weight_scales =
      reinterpret_cast<const uint32_t*>(a.w.scales) + first_group * (kPanel / 2) + lane % 4;

  const auto load = [&](int first, Fragments(&f)[kWarpGroups]) {
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      const bool exists = first + u < groups;
      f[u].w = exists ? __ldg(weights + static_cast<int64_t>(first + u) * 32) : make_uint4(0, 0, 0, 0);
      f[u].w_scales = exists ? __ldg(weight_scales + static_cast<int64_t>(first + u) * (kPanel / 2)) : 0;
    }
  };
  Fragments next[kWarpGroups];
  load(warp * kWarpGroups, next);
  float2 sum = make_float2(0, 0);
  int buffer = 0;
  for (int base = 0; base < groups; base += chunk, buffer ^= 1) {
    const int first = base + warp * kWarpGroups;
    Fragments f[kWarpGroups];
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) f[u] = next[u];
    load(first + chunk, next);  // in flight across the barrier
    uint4 x[kWarpGroups][2];
    float x_scales[kWarpGroups][kHalves];
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      x[u][1] = make_uint4(0, 0, 0, 0);  // rows that the tile lacks
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        const int64_t row = first_row + 8 * h, at = row * groups + first + u;
        const bool exists = first + u < groups && row < a.rows;
        x[u][h] = exists ? __ldg(reinterpret_cast<const uint4*>(a.x) + at * 4 + lane % 4) : make_uint4(0, 0, 0, 0);
        x_scales[u][h] = exists ? __ldg(a.scales + at) : 0.0f;
      }
    }
    const SharedPtr<float4> chunk_terms = SharedPtr<float4>(terms) + buffer * kChunkGroups * kHalves * 32;
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      int d[4];
      DotGroup(d, x[u][0], x[u][1], f[u].w);
      const float low = LowScale(f[u].w_scales), high = HighScale(f[u].w_scales);
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        chunk_terms[((first - base + u) * kHalves + h) * 32 + lane] =
            make_float4(FloatOfDot(d[2 * h]), __fmul_rn(x_scales[u][h], low), FloatOfDot(d[2 * h + 1]),
                        __fmul_rn(x_scales[u][h], high));
      }
    }
    // The other buffer may be written at once: whoever adds its terms gets to this barrier afterwards.
    __syncthreads();
    if (warp < kHalves) {
      const int count = groups - base < chunk ? groups - base : chunk;
#pragma unroll 4
      for (int g = 0; g < count; ++g) {
        const float4 t = chunk_terms[(g * kHalves + warp) * 32 + lane];
        sum.x = __fmaf_rn(t.x, t.y, sum.x);
        sum.y = __fmaf_rn(t.z, t.w, sum.y);
      }
    }
  }
  if (warp < kHalves) {
    StorePair(a, first_row + 8 * warp, static_cast<int64_t>(blockIdx.x) * kPanel + 2 * (lane % 4), sum);
  }
}

}  // namespace

void GemmThinS8(const LinearS8Args& args, cudaStream_t stream) {
  const int64_t halves = args.rows <= 8 ? 1 : 2;
  // At least a warp for each half of the rows: it adds that half's terms.
  const int64_t warps =
      std::max(halves, std::min<int64_t>(kMaxWarps, (args.w.groups + kWarpGroups - 1) / kWarpGroups));
  const int64_t panels = (args.n + kPanel - 1) / kPanel, tiles = (args.rows + 8 * halves - 1) / (8 * halves);
  const LaunchConfig config = {.grid = dim3(static_cast<unsigned>(panels), static_cast<unsigned>(tiles)),
                               .block = dim3(static_cast<unsigned>(32 * warps)),
                               .stream = stream};
  if (halves == 1) {
    KVASIR_LAUNCH(GemmThinRows<1>, config, args);
  } else {
    KVASIR_LAUNCH(GemmThinRows<2>, config, args);
  }
}

}  // namespace kvasir::cuda
