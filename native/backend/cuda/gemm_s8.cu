// Prefill: tensor-core tiles, one group of 64 along k a step. Tiles of w and x lie in shared memory as they lie in global
// memory, where a lane's 16 bytes are its fragments in the order of the mma's registers (Int8Linear): a warp's load is 512
// bytes in order, so there are no bank conflicts, no swizzle, no ldmatrix and no register moves. cp.async fills three
// stages on sm_80 and later; sm_75 holds the next stage in registers while it computes.
#include <cstddef>

#include "backend/cuda/launch.h"
#include "backend/cuda/linear_s8.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kThreads = 128;
#if defined(KVASIR_CUDA_ARCH) && KVASIR_CUDA_ARCH < 800
constexpr bool kCopiesAsync = false;
#else
constexpr bool kCopiesAsync = true;
#endif
constexpr int kStages = kCopiesAsync ? 3 : 2;
constexpr int kScaleVectors = kPanel * 2 / 16;  // of a panel's scales of one group

// Four warps, kWarpsM side by side along columns and the others along rows, each with kTilesM x kTilesN mma tiles of 16
// columns (a panel) x 8 rows.
template <int kWarpsM_, int kTilesM_, int kTilesN_, int kBlocks_>
struct Shape {
  static constexpr int kBlocks = kBlocks_;  // resident on an SM, as far as registers go
  static constexpr int kWarpsM = kWarpsM_, kTilesM = kTilesM_, kTilesN = kTilesN_;
  static constexpr int kPanels = kWarpsM * kTilesM, kRows = kThreads / 32 / kWarpsM * kTilesN * 8;
  // 16-byte vectors of a stage, and how many of them a thread copies.
  static constexpr int kXVectors = kRows * kRowVectors, kWVectors = kPanels * kPanelVectors;
  static constexpr int kXLoads = kXVectors / kThreads, kWLoads = kWVectors / kThreads;
  static_assert(kXVectors % kThreads == 0 && kWVectors % kThreads == 0);
  static_assert(kRows <= kThreads && kPanels * kScaleVectors <= kThreads);
};

// One stage of the pipeline in shared memory.
struct Stage {
  SharedPtr<uint4> x;         // [rows][4 quarters]
  SharedPtr<uint4> w;         // [panels][2 halves][8 columns][4 quarters]
  SharedPtr<float> x_scales;  // [rows]
  SharedPtr<uint4> w_scales;  // [panels][2]: f16 [8 columns][2]
};

// What a thread copies, as places of group 0 in units of what it copies: 32 bits reach 32 GiB, and the addresses begin in
// constant memory, so they take half the registers of pointers. Rows and panels that do not exist are read as the last
// one; their sums are not stored.
template <typename S>
struct Source {
  int x[S::kXLoads], w[S::kWLoads];
  int x_scale, w_scales;

  __device__ __forceinline__ Source(const LinearS8Args& a, int row, int panel) {
    const int t = static_cast<int>(threadIdx.x), groups = static_cast<int>(a.w.groups);
    const int last_row = static_cast<int>(a.rows) - 1, last_panel = static_cast<int>(a.w.panels) - 1;
#pragma unroll
    for (int i = 0; i < S::kXLoads; ++i) {
      const int at = t + i * kThreads;
      x[i] = min(row + at / kRowVectors, last_row) * groups * kRowVectors + at % kRowVectors;
    }
#pragma unroll
    for (int i = 0; i < S::kWLoads; ++i) {
      const int at = t + i * kThreads;
      w[i] = min(panel + at / kPanelVectors, last_panel) * groups * kPanelVectors + at % kPanelVectors;
    }
    x_scale = min(row + t % S::kRows, last_row) * groups;
    w_scales =
        min(panel + t / kScaleVectors % S::kPanels, last_panel) * groups * kScaleVectors + t % kScaleVectors;
  }
};

// All but the scales of x: they are single floats in global memory, a register each.
template <typename S>
__device__ __forceinline__ void CopyStage(const LinearS8Args& a, const Source<S>& from, int group,
                                          const Stage& to) {
  const int t = static_cast<int>(threadIdx.x);
  const uint4* x = reinterpret_cast<const uint4*>(a.x);
  const uint4* w = reinterpret_cast<const uint4*>(a.w.weights);
#pragma unroll
  for (int i = 0; i < S::kXLoads; ++i)
    CopyAsync16(to.x + (t + i * kThreads), x + (from.x[i] + group * kRowVectors));
#pragma unroll
  for (int i = 0; i < S::kWLoads; ++i)
    CopyAsync16(to.w + (t + i * kThreads), w + (from.w[i] + group * kPanelVectors));
  if (t < S::kPanels * kScaleVectors) {
    const uint4* scales = reinterpret_cast<const uint4*>(a.w.scales);
    CopyAsync16(to.w_scales + t, scales + (from.w_scales + group * kScaleVectors));
  }
}

// A stage's share of one thread, between its loads and its stores.
template <typename S>
struct Held {
  uint4 x[S::kXLoads], w[S::kWLoads], w_scales;
  float x_scale;

  __device__ __forceinline__ void Load(const LinearS8Args& a, const Source<S>& from, int group) {
#pragma unroll
    for (int i = 0; i < S::kXLoads; ++i) {
      x[i] = __ldg(reinterpret_cast<const uint4*>(a.x) + (from.x[i] + group * kRowVectors));
    }
#pragma unroll
    for (int i = 0; i < S::kWLoads; ++i) {
      w[i] = __ldg(reinterpret_cast<const uint4*>(a.w.weights) + (from.w[i] + group * kPanelVectors));
    }
    x_scale = __ldg(a.scales + (from.x_scale + group));
    w_scales = __ldg(reinterpret_cast<const uint4*>(a.w.scales) + (from.w_scales + group * kScaleVectors));
  }
  __device__ __forceinline__ void Store(const Stage& to) const {
    const int t = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < S::kXLoads; ++i) to.x[t + i * kThreads] = x[i];
#pragma unroll
    for (int i = 0; i < S::kWLoads; ++i) to.w[t + i * kThreads] = w[i];
    if (t < S::kRows) to.x_scales[t] = x_scale;
    if (t < S::kPanels * kScaleVectors) to.w_scales[t] = w_scales;
  }
};

// Adds one group to a warp's sums. Of a tile a lane has column lane / 4 with rows 2 (lane % 4) and the next, then column
// lane / 4 + 8 with the same rows.
template <typename S>
__device__ __forceinline__ void AddGroup(const Stage& s, float (&sums)[S::kTilesM][S::kTilesN][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int panel = warp % S::kWarpsM * S::kTilesM, row = warp / S::kWarpsM * S::kTilesN * 8;
  const SharedPtr<uint32_t> w_scales = SharedCast<uint32_t>(s.w_scales);
  const SharedPtr<float2> x_scales = SharedCast<float2>(s.x_scales);
  uint4 low[S::kTilesM], high[S::kTilesM];
  float w_scale[S::kTilesM][2];
#pragma unroll
  for (int i = 0; i < S::kTilesM; ++i) {
    low[i] = s.w[(panel + i) * kPanelVectors + lane];
    high[i] = s.w[(panel + i) * kPanelVectors + kHalfVectors + lane];
    const uint32_t pair = w_scales[(panel + i) * (kPanel / 2) + lane / 4];
    w_scale[i][0] = LowScale(pair);
    w_scale[i][1] = HighScale(pair);
  }
#pragma unroll
  for (int j = 0; j < S::kTilesN; ++j) {
    const uint4 x = s.x[(row + 8 * j) * kRowVectors + lane];
    const float2 x_scale = x_scales[(row + 8 * j) / 2 + lane % 4];
#pragma unroll
    for (int i = 0; i < S::kTilesM; ++i) {
      int d[4];
      DotGroup(d, low[i], high[i], x);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float scale = __fmul_rn(e % 2 == 0 ? x_scale.x : x_scale.y, w_scale[i][e / 2]);
        sums[i][j][e] = __fmaf_rn(FloatOfDot(d[e]), scale, sums[i][j][e]);
      }
    }
  }
}

template <typename S>
__global__ void __launch_bounds__(kThreads, kCopiesAsync ? S::kBlocks : 2) GemmTiles(LinearS8Args a) {
  KVASIR_SHARED(uint4, x, kStages * S::kXVectors);
  KVASIR_SHARED(uint4, w, kStages * S::kWVectors);
  KVASIR_SHARED(float, x_scales, kStages* S::kRows);
  KVASIR_SHARED(uint4, w_scales, kStages * S::kPanels * kScaleVectors);
  const auto stage = [&](int i) {
    return Stage{SharedPtr<uint4>(x) + i * S::kXVectors, SharedPtr<uint4>(w) + i * S::kWVectors,
                 SharedPtr<float>(x_scales) + i * S::kRows,
                 SharedPtr<uint4>(w_scales) + i * S::kPanels * kScaleVectors};
  };
  // Blocks of one column tile follow each other: its weights come from memory once, x stays in L2.
  const int first_row = static_cast<int>(blockIdx.x) * S::kRows,
            first_panel = static_cast<int>(blockIdx.y) * S::kPanels;
  const Source<S> source(a, first_row, first_panel);
  const int groups = static_cast<int>(a.w.groups);
  float sums[S::kTilesM][S::kTilesN][4] = {};

  if constexpr (kCopiesAsync) {
    const int t = static_cast<int>(threadIdx.x), last = groups - 1;
    const float* scales = a.scales + source.x_scale;
#pragma unroll
    for (int g = 0; g < kStages - 1; ++g) {
      if (g < groups) CopyStage(a, source, g, stage(g));
      CopyAsyncCommit();  // empty ones too: the number of groups in flight is what CopyAsyncWait knows
    }
    if (t < S::kRows) stage(0).x_scales[t] = __ldg(scales);
    float next_scale = __ldg(scales + min(1, last));
    int slot = 0;
    for (int g = 0; g < groups; ++g) {
      CopyAsyncWait<kStages - 2>();
      // Stage g is there for all, and all have read stage g - 1, whose place the next copy takes.
      __syncthreads();
      const int next_slot = slot == kStages - 1 ? 0 : slot + 1,
                free_slot = slot == 0 ? kStages - 1 : slot - 1;
      if (g + kStages - 1 < groups) CopyStage(a, source, g + kStages - 1, stage(free_slot));
      CopyAsyncCommit();
      if (t < S::kRows) stage(next_slot).x_scales[t] = next_scale;
      next_scale = __ldg(scales + min(g + 2, last));
      AddGroup<S>(stage(slot), sums);
      slot = next_slot;
    }
  } else {
    Held<S> held;
    held.Load(a, source, 0);
    held.Store(stage(0));
    for (int g = 0; g < groups; ++g) {
      __syncthreads();  // as above
      if (g + 1 < groups) held.Load(a, source, g + 1);
      AddGroup<S>(stage(g % 2), sums);
      if (g + 1 < groups) held.Store(stage((g + 1) % 2));
    }
  }

  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int64_t row = first_row + warp / S::kWarpsM * S::kTilesN * 8 + 2 * (lane % 4);
  const int64_t column =
      static_cast<int64_t>(first_panel + warp % S::kWarpsM * S::kTilesM) * kPanel + lane / 4;
#pragma unroll
  for (int j = 0; j < S::kTilesN; ++j) {
#pragma unroll
    for (int i = 0; i < S::kTilesM; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        StoreSum(a, row + 8 * j + e % 2, column + kPanel * i + 8 * (e / 2), sums[i][j][e]);
      }
    }
  }
}

template <typename S>
void LaunchTiles(const LinearS8Args& args, cudaStream_t stream) {
  constexpr int64_t kColumns = S::kPanels * kPanel;
  const LaunchConfig config = {.grid = dim3(static_cast<unsigned>((args.rows + S::kRows - 1) / S::kRows),
                                            static_cast<unsigned>((args.n + kColumns - 1) / kColumns)),
                               .block = dim3(kThreads),
                               .stream = stream};
  KVASIR_LAUNCH(GemmTiles<S>, config, args);
}

}  // namespace

void GemmS8(GemmTile tile, const LinearS8Args& args, cudaStream_t stream) {
  switch (tile) {
    case GemmTile::k128x64: return LaunchTiles<Shape<2, 2, 8, 3>>(args, stream);
    case GemmTile::k64x64: return LaunchTiles<Shape<2, 2, 4, 4>>(args, stream);
    case GemmTile::k32x32: return LaunchTiles<Shape<2, 1, 2, 7>>(args, stream);
  }
}

}  // namespace kvasir::cuda
