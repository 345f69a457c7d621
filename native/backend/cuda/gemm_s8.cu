// Prefill: tensor-core tiles, one group of 64 along k a step. Tiles of x and w lie in shared memory as they lie in global
// memory: a lane's 16 bytes (row or column lane / 4, quarter lane % 4) are its fragments of the whole group, and a warp's
// load is 512 bytes in order, so there are no bank conflicts, no swizzle and no ldmatrix. cp.async fills three stages on
// sm_80 and later; sm_75 holds the next stage in registers while it computes.
//
// Arithmetic of the 128 x 64 tile, per warp (64 x 32) and group: 32 IMMA (m16n8k32), 64 outputs a lane times 3 float
// operations (bias, scale, fused add), 12 + 12 loads from shared memory, 8 conversions of scales: about 245 issue slots
// for 32 IMMA. An RTX 4090 needs 16 cycles an IMMA, 512 a group: the tensor cores bound it. An H200 needs about 6.4
// (mma.sync reaches some 62 % of wgmma): 205 cycles against 245 slots, so the format's scales bound it.
#include "backend/cuda/launch.h"
#include "backend/cuda/linear_s8.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kVectors = kGroup / 16;               // 16-byte vectors of a row's group
constexpr int kPanelVectors = kPanel * kVectors;    // of a panel's group
constexpr int kStages = kHasCpAsync ? 3 : 2;

// Four warps, kWarpsM x kWarpsN of them, each with kTilesM x kTilesN tiles of 16 x 8.
template <int kWarpsM_, int kWarpsN_, int kTilesM_, int kTilesN_>
struct Shape {
  static constexpr int kWarpsN = kWarpsN_, kTilesM = kTilesM_, kTilesN = kTilesN_;
  static constexpr int kRows = kWarpsM_ * kTilesM * 16, kPanels = kWarpsN * kTilesN;
  static constexpr int kXVectors = kRows * kVectors, kWVectors = kPanels * kPanelVectors;  // of a stage
  static constexpr int kXLoads = (kXVectors + kThreads - 1) / kThreads, kWLoads = (kWVectors + kThreads - 1) / kThreads;
  static_assert(kWarpsM_ * kWarpsN * 32 == kThreads && kRows <= kThreads && kPanels <= kThreads);
  static_assert(kXVectors % kThreads == 0 && kWVectors % kThreads == 0);
};

// One stage of the pipeline in shared memory.
struct Stage {
  SharedPtr<uint4> x;         // [rows][4 quarters]
  SharedPtr<uint4> w;         // [panels][8 columns][4 quarters]
  SharedPtr<float> x_scales;  // [rows]
  SharedPtr<uint4> w_scales;  // [panels], 8 halves each
};

// What a thread copies, at group 0. Rows and panels that do not exist are read as the last one; their sums are not
// stored.
template <typename S>
struct Source {
  const uint4* x[S::kXLoads];
  const uint4* w[S::kWLoads];
  const float* x_scales;
  const uint4* w_scales;

  __device__ __forceinline__ Source(const LinearS8Args& a, int64_t row, int64_t panel) {
    const int t = static_cast<int>(threadIdx.x);
    const int64_t groups = a.w.groups;
#pragma unroll
    for (int i = 0; i < S::kXLoads; ++i) {
      const int at = t + i * kThreads;
      const int64_t from = min(row + at / kVectors, a.rows - 1) * groups;
      x[i] = reinterpret_cast<const uint4*>(a.x) + from * kVectors + at % kVectors;
    }
#pragma unroll
    for (int i = 0; i < S::kWLoads; ++i) {
      const int at = t + i * kThreads;
      const int64_t from = min(panel + at / kPanelVectors, a.w.panels - 1) * groups;
      w[i] = reinterpret_cast<const uint4*>(a.w.weights) + from * kPanelVectors + at % kPanelVectors;
    }
    x_scales = a.scales + min(row + t % S::kRows, a.rows - 1) * groups;
    w_scales = reinterpret_cast<const uint4*>(a.w.scales) + min(panel + t % S::kPanels, a.w.panels - 1) * groups;
  }
};

template <typename S>
__device__ __forceinline__ void CopyAsync(const Source<S>& from, int group, const Stage& to) {
  const int t = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < S::kXLoads; ++i) CpAsync16(to.x + (t + i * kThreads), from.x[i] + group * kVectors, true);
#pragma unroll
  for (int i = 0; i < S::kWLoads; ++i) CpAsync16(to.w + (t + i * kThreads), from.w[i] + group * kPanelVectors, true);
  if (t < S::kRows) CpAsync4(to.x_scales + t, from.x_scales + group, true);
  if (t < S::kPanels) CpAsync16(to.w_scales + t, from.w_scales + group, true);
}

// A stage's share of one thread, between its loads and its stores.
template <typename S>
struct Held {
  uint4 x[S::kXLoads], w[S::kWLoads], w_scales;
  float x_scale;

  __device__ __forceinline__ void Load(const Source<S>& from, int group) {
#pragma unroll
    for (int i = 0; i < S::kXLoads; ++i) x[i] = __ldg(from.x[i] + group * kVectors);
#pragma unroll
    for (int i = 0; i < S::kWLoads; ++i) w[i] = __ldg(from.w[i] + group * kPanelVectors);
    x_scale = __ldg(from.x_scales + group);
    w_scales = __ldg(from.w_scales + group);
  }
  __device__ __forceinline__ void Store(const Stage& to) const {
    const int t = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < S::kXLoads; ++i) to.x[t + i * kThreads] = x[i];
#pragma unroll
    for (int i = 0; i < S::kWLoads; ++i) to.w[t + i * kThreads] = w[i];
    if (t < S::kRows) to.x_scales[t] = x_scale;
    if (t < S::kPanels) to.w_scales[t] = w_scales;
  }
};

// Adds one group to a warp's sums. A tile's lane has rows lane / 4 and 8 below, columns 2 (lane % 4) and the next.
template <typename S>
__device__ __forceinline__ void AddGroup(const Stage& s, float (&sums)[S::kTilesM][S::kTilesN][4]) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int row = warp / S::kWarpsN * S::kTilesM * 16, panel = warp % S::kWarpsN * S::kTilesN;
  const SharedPtr<uint32_t> pairs = SharedCast<uint32_t>(s.w_scales);
  uint4 w[S::kTilesN];
  float w_scale[S::kTilesN][2];
#pragma unroll
  for (int j = 0; j < S::kTilesN; ++j) {
    w[j] = s.w[(panel + j) * kPanelVectors + lane];
    const uint32_t pair = pairs[(panel + j) * (kPanel / 2) + lane % 4];
    w_scale[j][0] = LowScale(pair);
    w_scale[j][1] = HighScale(pair);
  }
#pragma unroll
  for (int i = 0; i < S::kTilesM; ++i) {
    const uint4 x0 = s.x[(row + 16 * i) * kVectors + lane], x1 = s.x[(row + 16 * i + 8) * kVectors + lane];
    const float x_scale[2] = {s.x_scales[row + 16 * i + lane / 4], s.x_scales[row + 16 * i + 8 + lane / 4]};
#pragma unroll
    for (int j = 0; j < S::kTilesN; ++j) {
      int d[4];
      DotGroup(d, x0, x1, w[j]);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float scale = __fmul_rn(x_scale[e / 2], w_scale[j][e % 2]);
        sums[i][j][e] = __fmaf_rn(FloatOfDot(d[e]), scale, sums[i][j][e]);
      }
    }
  }
}

template <typename S>
__global__ void __launch_bounds__(kThreads) GemmTiles(LinearS8Args a) {
  KVASIR_SHARED(uint4, x, kStages * S::kXVectors);
  KVASIR_SHARED(uint4, w, kStages * S::kWVectors);
  KVASIR_SHARED(float, x_scales, kStages * S::kRows);
  KVASIR_SHARED(uint4, w_scales, kStages * S::kPanels);
  const auto stage = [&](int i) {
    return Stage{SharedPtr<uint4>(x) + i * S::kXVectors, SharedPtr<uint4>(w) + i * S::kWVectors,
                 SharedPtr<float>(x_scales) + i * S::kRows, SharedPtr<uint4>(w_scales) + i * S::kPanels};
  };
  // Blocks of one column tile follow each other: its weights come from memory once, x stays in L2.
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * S::kRows;
  const int64_t first_panel = static_cast<int64_t>(blockIdx.y) * S::kPanels;
  const Source<S> source(a, first_row, first_panel);
  const int groups = static_cast<int>(a.w.groups);
  float sums[S::kTilesM][S::kTilesN][4] = {};

  if constexpr (kHasCpAsync) {
#pragma unroll
    for (int g = 0; g < kStages - 1; ++g) {
      if (g < groups) CopyAsync(source, g, stage(g));
      CpAsyncCommit();  // empty ones too: the count of groups in flight is what Wait knows
    }
    int slot = 0;
    for (int g = 0; g < groups; ++g) {
      CpAsyncWait<kStages - 2>();
      // Stage g is there for all, and all have read stage g - 1, whose place the next copy takes.
      __syncthreads();
      const int free_slot = slot == 0 ? kStages - 1 : slot - 1;
      if (g + kStages - 1 < groups) CopyAsync(source, g + kStages - 1, stage(free_slot));
      CpAsyncCommit();
      AddGroup<S>(stage(slot), sums);
      slot = slot == kStages - 1 ? 0 : slot + 1;
    }
  } else {
    Held<S> held;
    held.Load(source, 0);
    held.Store(stage(0));
    for (int g = 0; g < groups; ++g) {
      __syncthreads();  // as above
      if (g + 1 < groups) held.Load(source, g + 1);
      AddGroup<S>(stage(g % 2), sums);
      if (g + 1 < groups) held.Store(stage((g + 1) % 2));
    }
  }

  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int64_t row = first_row + warp / S::kWarpsN * S::kTilesM * 16 + lane / 4;
  const int64_t column = (first_panel + warp % S::kWarpsN * S::kTilesN) * kPanel + 2 * (lane % 4);
#pragma unroll
  for (int i = 0; i < S::kTilesM; ++i) {
#pragma unroll
    for (int j = 0; j < S::kTilesN; ++j) {
      StorePair(a, row + 16 * i, column + kPanel * j, make_float2(sums[i][j][0], sums[i][j][1]));
      StorePair(a, row + 16 * i + 8, column + kPanel * j, make_float2(sums[i][j][2], sums[i][j][3]));
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
    case GemmTile::k128x64: return LaunchTiles<Shape<2, 2, 4, 4>>(args, stream);
    case GemmTile::k64x64: return LaunchTiles<Shape<2, 2, 2, 4>>(args, stream);
    case GemmTile::k32x32: return LaunchTiles<Shape<2, 2, 1, 2>>(args, stream);
  }
}

}  // namespace kvasir::cuda
