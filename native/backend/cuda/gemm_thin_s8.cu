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
__global__ void __launch_bounds__(32 * kMaxWarps, 3) GemmThinRows(LinearS8Args a) {
  // {float(dot), scale} of a lane's two columns: [2 chunks][group of the chunk][half][lane].
  KVASIR_SHARED(float4, terms, 2 * kChunkGroups * kHalves * 32);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int groups = static_cast<int>(a.w.groups), last = groups - 1;
  const int chunk = static_cast<int>(blockDim.x / 32) * kWarpGroups;
  const int64_t first_group = static_cast<int64_t>(blockIdx.x) * groups;  // of the panel
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * (8 * kHalves) + lane / 4;
  const uint4* weights = reinterpret_cast<const uint4*>(a.w.weights) + first_group * 32 + lane;
  const uint32_t* weight_scales =
      reinterpret_cast<const uint32_t*>(a.w.scales) + first_group * (kPanel / 2) + lane % 4;

  // Past the last group it is read again: nobody reads its dots.
  const auto load = [&](int first, Fragments(&f)[kWarpGroups]) {
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      const int group = min(first + u, last);
      f[u] = {__ldg(weights + group * 32), __ldg(weight_scales + group * (kPanel / 2))};
    }
  };
  // Rows that do not exist are read as the last one, and not stored.
  const uint4* x[kHalves];
  const float* x_scales[kHalves];
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
    const int64_t row = min(first_row + 8 * h, a.rows - 1);
    x[h] = reinterpret_cast<const uint4*>(a.x) + row * groups * 4 + lane % 4;
    x_scales[h] = a.scales + row * groups;
  }
  Fragments next[kWarpGroups];
  load(warp * kWarpGroups, next);
  float2 sum = make_float2(0, 0);
  int buffer = 0;
  for (int base = 0; base < groups; base += chunk, buffer ^= 1) {
    const int first = base + warp * kWarpGroups;
    uint4 q[kWarpGroups][kHalves];
    float q_scales[kWarpGroups][kHalves];
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        const int group = min(first + u, last);
        q[u][h] = __ldg(x[h] + group * 4);
        q_scales[u][h] = __ldg(x_scales[h] + group);
      }
    }
    Fragments f[kWarpGroups];
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) f[u] = next[u];
    if (first + chunk < groups) load(first + chunk, next);
    const SharedPtr<float4> own_terms =
        SharedPtr<float4>(terms) + (buffer * kChunkGroups + warp * kWarpGroups) * kHalves * 32 + lane;
#pragma unroll
    for (int u = 0; u < kWarpGroups; ++u) {
      int d[4];
      // With 8 rows the lower half of the mma's 16 is zero.
      DotGroup(d, q[u][0], kHalves == 2 ? q[u][kHalves - 1] : make_uint4(0, 0, 0, 0), f[u].w);
      const float low = LowScale(f[u].w_scales), high = HighScale(f[u].w_scales);
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        own_terms[(u * kHalves + h) * 32] =
            make_float4(FloatOfDot(d[2 * h]), __fmul_rn(q_scales[u][h], low), FloatOfDot(d[2 * h + 1]),
                        __fmul_rn(q_scales[u][h], high));
      }
    }
    // The other buffer may be written at once: whoever adds its terms gets to this barrier afterwards.
    __syncthreads();
    if (warp < kHalves) {
      const int count = groups - base < chunk ? groups - base : chunk;
      const SharedPtr<float4> term =
          SharedPtr<float4>(terms) + (buffer * kChunkGroups * kHalves + warp) * 32 + lane;
#pragma unroll 4
      for (int g = 0; g < count; ++g) {
        const float4 t = term[g * kHalves * 32];
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
