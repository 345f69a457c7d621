// Float32 linears. Decode: one block a panel of 32 columns, whose warps take blocks of 128 k, a lane a column; their sums
// meet in shared memory and are added in order. Prefill: 64 x 64 tiles through shared memory, 8 x 4 outputs a thread: 32
// fused adds for 3 loads of 16 bytes.
#include <cstddef>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/linear_f32.h"
#include "backend/cuda/math.cuh"
#include "quant/int8_layout.h"

namespace kvasir::cuda {

namespace {

constexpr int kSumBlock = 128;  // terms of a sum before it is added to the total, as on the CPU

__device__ __forceinline__ void StoreTotal(const LinearF32Args& a, int64_t row, int64_t column, float total) {
  if (row >= a.rows || column >= a.n) return;
  float* out = a.out + row * a.ld_out + column;
  if (a.bias != nullptr) total = __fadd_rn(total, a.bias[column]);
  *out = a.accumulate ? __fadd_rn(*out, total) : total;
}

constexpr int kGemvWarps = 8;

// kRows rows from blockIdx.y * kRows on, one panel.
template <int kRows>
__global__ void __launch_bounds__(32 * kGemvWarps, kRows <= 4 ? 3 : 2) GemvTerms(LinearF32Args a) {
  KVASIR_SHARED(float, inputs, kGemvWarps* kRows* kSumBlock);           // of each warp's block of k
  KVASIR_SHARED(float, parts, 2 * kGemvWarps * kRows * kPanelColumns);  // sums of blocks, twice: see below
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kRows;
  const float* panel = a.panels + static_cast<int64_t>(blockIdx.x) * a.k * kPanelColumns + lane;
  const SharedPtr<float> own_inputs = SharedPtr<float>(inputs) + warp * kRows * kSumBlock;
  float total = 0;  // of row `warp`, column `lane`
  int buffer = 0;
  for (int64_t base = 0; base < a.k; base += kGemvWarps * kSumBlock, buffer ^= 1) {
    const int64_t first = base + warp * kSumBlock;
    const int count =
        static_cast<int>(min(static_cast<int64_t>(kSumBlock), max(a.k - first, static_cast<int64_t>(0))));
    for (int r = 0; r < kRows; ++r) {
      const float* x = a.x + min(first_row + r, a.rows - 1) * a.k + first;
      for (int i = lane; i < count; i += 32) own_inputs[r * kSumBlock + i] = __ldg(x + i);
    }
    __syncwarp();
    float sums[kRows] = {};
    const float* w = panel + first * kPanelColumns;
    int i = 0;
    for (; i + 16 <= count; i += 16) {
      float columns[16];
#pragma unroll
      for (int j = 0; j < 16; ++j) columns[j] = __ldg(w + (i + j) * kPanelColumns);
#pragma unroll
      for (int j = 0; j < 16; j += 4) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const float4 x = SharedCast<float4>(own_inputs)[(r * kSumBlock + i + j) / 4];
          sums[r] = __fmaf_rn(x.x, columns[j], sums[r]);
          sums[r] = __fmaf_rn(x.y, columns[j + 1], sums[r]);
          sums[r] = __fmaf_rn(x.z, columns[j + 2], sums[r]);
          sums[r] = __fmaf_rn(x.w, columns[j + 3], sums[r]);
        }
      }
    }
    for (; i < count; ++i) {
      const float column = __ldg(w + i * kPanelColumns);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float x = own_inputs[r * kSumBlock + i];
        sums[r] = __fmaf_rn(x, column, sums[r]);
      }
    }
    const SharedPtr<float> parts_now = SharedPtr<float>(parts) + buffer * kGemvWarps * kRows * kPanelColumns;
#pragma unroll
    for (int r = 0; r < kRows; ++r) parts_now[(warp * kRows + r) * kPanelColumns + lane] = sums[r];
    // The other half may be written at once: whoever adds this one gets to the next barrier afterwards.
    __syncthreads();
    if (warp < kRows) {
      for (int block = 0; block < kGemvWarps && base + block * kSumBlock < a.k; ++block) {
        const float part = parts_now[(block * kRows + warp) * kPanelColumns + lane];
        total = __fadd_rn(total, part);
      }
    }
  }
  if (warp < kRows) {
    StoreTotal(a, first_row + warp, static_cast<int64_t>(blockIdx.x) * kPanelColumns + lane, total);
  }
}

constexpr int kTile = 64;  // rows and columns of a tile
constexpr int kStep = 16;  // k of a stage; divides kSumBlock
constexpr int kGemmThreads = 128;
constexpr int kThreadRows = 8, kThreadColumns = 4;
constexpr int kRowSpace =
    kTile + 4;  // rows of x in shared memory: keeps 16-byte loads aligned, spreads the stores

struct F32Stage {
  SharedPtr<float> x;   // [kStep][kRowSpace]
  SharedPtr<float4> w;  // [kStep][kTile / 4]
};

// One thread's share of a stage: k t % 16 of rows t / 16 + 8 i, and vectors t + 128 i of w.
struct HeldF32 {
  float x[kTile * kStep / kGemmThreads];
  float4 w[kTile * kStep / 4 / kGemmThreads];

  // Past k nothing is loaded: the sums stop there. Rows past the end are read as the last one, and not stored.
  __device__ __forceinline__ void Load(const LinearF32Args& a, int64_t row, int64_t panel, int64_t base) {
    const int t = static_cast<int>(threadIdx.x);
    const int64_t k = base + t % kStep, last_panel = (a.n - 1) / kPanelColumns;
#pragma unroll
    for (int i = 0; i < kTile * kStep / kGemmThreads; ++i) {
      const int64_t from = min(row + t / kStep + i * (kGemmThreads / kStep), a.rows - 1);
      x[i] = k < a.k ? __ldg(a.x + from * a.k + k) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kTile * kStep / 4 / kGemmThreads; ++i) {
      const int at = t + i * kGemmThreads, column = at % (kTile / 4) * 4;
      const int64_t of_k = base + at / (kTile / 4), from = min(panel + column / kPanelColumns, last_panel);
      const float* p = a.panels + (from * a.k + of_k) * kPanelColumns + column % kPanelColumns;
      w[i] = of_k < a.k ? __ldg(reinterpret_cast<const float4*>(p)) : make_float4(0, 0, 0, 0);
    }
  }
  __device__ __forceinline__ void Store(const F32Stage& to) const {
    const int t = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kTile * kStep / kGemmThreads; ++i) {
      to.x[t % kStep * kRowSpace + t / kStep + i * (kGemmThreads / kStep)] = x[i];
    }
#pragma unroll
    for (int i = 0; i < kTile * kStep / 4 / kGemmThreads; ++i) to.w[t + i * kGemmThreads] = w[i];
  }
};

__device__ __forceinline__ void AddTerm(const F32Stage& s, int k,
                                        float (&sums)[kThreadRows][kThreadColumns]) {
  const int t = static_cast<int>(threadIdx.x), row = t / (kTile / kThreadColumns) * kThreadRows;
  const SharedPtr<float4> rows = SharedCast<float4>(s.x + (k * kRowSpace + row));
  const float4 low = rows[0], high = rows[1], w = s.w[k * (kTile / 4) + t % (kTile / kThreadColumns)];
  const float x[kThreadRows] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
    sums[r][0] = __fmaf_rn(x[r], w.x, sums[r][0]);
    sums[r][1] = __fmaf_rn(x[r], w.y, sums[r][1]);
    sums[r][2] = __fmaf_rn(x[r], w.z, sums[r][2]);
    sums[r][3] = __fmaf_rn(x[r], w.w, sums[r][3]);
  }
}

__global__ void __launch_bounds__(kGemmThreads, 3) GemmTerms(LinearF32Args a) {
  KVASIR_SHARED(float, x, 2 * kStep * kRowSpace);
  KVASIR_SHARED(float4, w, 2 * kStep * kTile / 4);
  const auto stage = [&](int i) {
    return F32Stage{SharedPtr<float>(x) + i * kStep * kRowSpace,
                    SharedPtr<float4>(w) + i * (kStep * kTile / 4)};
  };
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t panel = static_cast<int64_t>(blockIdx.y) * (kTile / kPanelColumns);
  float totals[kThreadRows][kThreadColumns] = {}, sums[kThreadRows][kThreadColumns] = {};
  HeldF32 held;
  held.Load(a, row, panel, 0);
  held.Store(stage(0));
  int buffer = 0;
  for (int64_t base = 0; base < a.k; base += kStep, buffer ^= 1) {
    // The stage is there for all, and all have read the other one.
    __syncthreads();
    const bool more = base + kStep < a.k;
    if (more) held.Load(a, row, panel, base + kStep);
    const F32Stage now = stage(buffer);
    if (base + kStep <= a.k) {
#pragma unroll
      for (int k = 0; k < kStep; ++k) AddTerm(now, k, sums);
    } else {
      for (int k = 0; k < static_cast<int>(a.k - base); ++k) AddTerm(now, k, sums);
    }
    if (more) held.Store(stage(buffer ^ 1));
    if (more && (base + kStep) % kSumBlock != 0) continue;
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) {
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) {
        totals[r][c] = __fadd_rn(totals[r][c], sums[r][c]);
        sums[r][c] = 0;
      }
    }
  }
  const int t = static_cast<int>(threadIdx.x), threads_n = kTile / kThreadColumns;
  const int64_t first_column = panel * kPanelColumns + t % threads_n * kThreadColumns;
#pragma unroll
  for (int r = 0; r < kThreadRows; ++r) {
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) {
      StoreTotal(a, row + t / threads_n * kThreadRows + r, first_column + c, totals[r][c]);
    }
  }
}

template <int kRows>
void LaunchGemv(const LinearF32Args& args, cudaStream_t stream) {
  const LaunchConfig config = {.grid = dim3(static_cast<unsigned>(CeilDiv(args.n, kPanelColumns)),
                                            static_cast<unsigned>(CeilDiv(args.rows, kRows))),
                               .block = dim3(32 * kGemvWarps),
                               .stream = stream};
  KVASIR_LAUNCH(GemvTerms<kRows>, config, args);
}

}  // namespace

void GemvF32(const LinearF32Args& args, cudaStream_t stream) {
  if (args.rows == 1) return LaunchGemv<1>(args, stream);
  if (args.rows <= 2) return LaunchGemv<2>(args, stream);
  if (args.rows <= 4) return LaunchGemv<4>(args, stream);
  LaunchGemv<8>(args, stream);
}

void GemmF32(const LinearF32Args& args, cudaStream_t stream) {
  const LaunchConfig config = {.grid = dim3(static_cast<unsigned>(CeilDiv(args.rows, kTile)),
                                            static_cast<unsigned>(CeilDiv(args.n, kTile))),
                               .block = dim3(kGemmThreads),
                               .stream = stream};
  KVASIR_LAUNCH(GemmTerms, config, args);
}

// Up to two passes over the weights cost less than a tile of 64 rows that is mostly empty.
void LinearF32(const LinearF32Args& args, cudaStream_t stream) {
  if (args.rows <= 16) return GemvF32(args, stream);
  GemmF32(args, stream);
}

}  // namespace kvasir::cuda
