// Rows of float32 to the input of a linear, one pass each: norm, activation, rotation and quantization.
#include <algorithm>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/rotate.cuh"

namespace kvasir::cuda {

namespace {

// Rows as they leave: float32, or quantized, or both.
struct RowsOut {
  float* f32;      // [rows, width] or nullptr
  int8_t* values;  // [rows, groups * 64] or nullptr
  float* scales;   // [rows, groups]
  int64_t rows, width, groups;
  bool rotate;
};

RowsOut OutOf(const Activations& out, int64_t rows, bool rotate) {
  const bool quantized = out.dtype == Dtype::kInt8;
  return {.f32 = out.f32,
          .values = quantized ? static_cast<int8_t*>(out.values) : nullptr,
          .scales = out.scales,
          .rows = rows,
          .width = out.width,
          .groups = (out.width + kGroup - 1) / kGroup,
          .rotate = rotate};
}

// Values [4 lane, 4 lane + 4) of a group, zeros past the row's end.
__device__ __forceinline__ void StoreGroup(const RowsOut& out, int64_t row, int64_t group, bool valid,
                                           float (&v)[4]) {
  const int lane = static_cast<int>(threadIdx.x % kGroupLanes);
  const int64_t first = group * kGroup + 4 * lane;
  if (out.f32 != nullptr && valid) StoreQuad(out.f32 + row * out.width + first, out.width - first, v);
  if (out.values == nullptr) return;
  const int64_t at = valid ? row * out.groups + group : 0;
  QuantizeGroup(v, lane, out.rotate, valid, {out.values + at * kGroup, out.scales + at});
}

constexpr int kTile = 2048;  // values of a row that lie in shared memory at once, a multiple of 64

// Values [base, base + kTile) of a row of n into shared memory, `fill` up to the next multiple of 64. Returns how many
// multiples of 64 there are.
__device__ __forceinline__ int LoadTile(const float* x, int64_t base, int64_t n, float fill,
                                        SharedPtr<float> tile) {
  const int64_t left = n - base;
  const int count = left < kTile ? static_cast<int>(left) : kTile;
  const int padded = (count + kGroup - 1) / kGroup * kGroup;
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += static_cast<int>(blockDim.x)) {
    tile[i] = i < count ? x[base + i] : fill;
  }
  return padded / kGroup;
}

// 1 / sqrt(mean(x^2) + eps). The CPU's 64 running sums (16 lanes of 4 vectors), each over values 64 apart, are two a
// lane of one warp: sums 2 l and 2 l + 1. Sum 16 j + i is lane i of vector j, so j changes with lane bits 3 and 4.
__device__ __forceinline__ float RmsScale(const float* x, int64_t n, float eps, SharedPtr<float> tile,
                                          SharedPtr<float> result) {
  const int lane = static_cast<int>(threadIdx.x);
  float a = 0, b = 0;
  for (int64_t base = 0; base < n; base += kTile) {
    if (base > 0) __syncthreads();  // the tile before this one is read
    const int groups = LoadTile(x, base, n, 0.0f, tile);
    __syncthreads();
    if (lane >= 32) continue;
    const SharedPtr<float2> pairs = SharedCast<float2>(tile);
#pragma unroll 4
    for (int g = 0; g < groups; ++g) {
      const float2 v = pairs[g * (kGroup / 2) + lane];
      a = __fmaf_rn(v.x, v.x, a);
      b = __fmaf_rn(v.y, v.y, b);
    }
  }
  if (lane < 32) {
    for (const int stride : {8, 16, 4, 2, 1}) {
      a = __fadd_rn(a, __shfl_xor_sync(kAllLanes, a, stride));
      b = __fadd_rn(b, __shfl_xor_sync(kAllLanes, b, stride));
    }
    const float mean = __fdiv_rn(__fadd_rn(a, b), static_cast<float>(n));
    if (lane == 0) result[0] = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(mean, eps)));
  }
  __syncthreads();
  return result[0];
}

// Sixteen running sums of x, or of (x - mean)^2, in lanes 0..15 of a warp and again in 16..31; then their tree.
template <bool kSquares>
__device__ __forceinline__ float MeanOf(const float* x, int64_t n, float mean, SharedPtr<float> tile,
                                        SharedPtr<float> result) {
  const int lane = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int64_t base = 0; base < n; base += kTile) {
    __syncthreads();
    // A missing value adds nothing: 0, or the mean less itself.
    const int vectors = 4 * LoadTile(x, base, n, kSquares ? mean : 0.0f, tile);
    __syncthreads();
    if (lane >= 32) continue;
#pragma unroll 4
    for (int i = 0; i < vectors; ++i) {
      const float v = tile[16 * i + lane % 16];
      if constexpr (kSquares) {
        const float centred = __fsub_rn(v, mean);
        sum = __fmaf_rn(centred, centred, sum);
      } else {
        sum = __fadd_rn(sum, v);
      }
    }
  }
  if (lane < 32) {
    sum = SumLanes16(sum);
    if (lane == 0) result[0] = __fdiv_rn(sum, static_cast<float>(n));
  }
  __syncthreads();
  return result[0];
}

struct NormArgs {
  const float* x;       // [rows, width]
  const float* weight;  // [width]
  const float* bias;    // [width] or nullptr
  float eps;
  RowsOut out;
};

// One block a row: its warps load it once, one warp runs the sums that the CPU's order ties together, then half a warp
// takes a group from x (by now in L1) to its bytes.
template <NormKind kKind>
__global__ void __launch_bounds__(512) NormRows(NormArgs a) {
  KVASIR_SHARED(float, tile, kTile);
  KVASIR_SHARED(float, result, 2);
  const int64_t row = blockIdx.x, n = a.out.width;
  const float* x = a.x + row * n;
  float mean = 0, scale;
  if constexpr (kKind == NormKind::kRms) {
    scale = RmsScale(x, n, a.eps, tile, result);
  } else {
    mean = MeanOf<false>(x, n, 0.0f, tile, result);
    const SharedPtr<float> second = SharedPtr<float>(result) + 1;
    const float variance = MeanOf<true>(x, n, mean, tile, second);
    scale = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(variance, a.eps)));
  }
  const int lane = static_cast<int>(threadIdx.x % kGroupLanes);
  const int stride = static_cast<int>(blockDim.x / kGroupLanes);
  for (int64_t group = threadIdx.x / kGroupLanes; group / 2 * 2 < a.out.groups; group += stride) {
    const int64_t first = group * kGroup + 4 * lane, left = n - first;
    float v[4], w[4];
    LoadQuad(x + first, left, v);
    LoadQuad(a.weight + first, left, w);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (kKind == NormKind::kLayer) v[i] = __fsub_rn(v[i], mean);
      v[i] = __fmul_rn(__fmul_rn(v[i], scale), w[i]);
    }
    if (kKind == NormKind::kLayer && a.bias != nullptr) {
      float b[4];
      LoadQuad(a.bias + first, left, b);
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = __fadd_rn(v[i], b[i]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) v[i] = i < left ? v[i] : 0.0f;
    StoreGroup(a.out, row, group, group < a.out.groups, v);
  }
}

__device__ __forceinline__ float Sigmoid(float x, float exponent) {
  return __fdiv_rn(x, __fadd_rn(1.0f, Exp(exponent)));
}

template <ActivationKind kKind>
__device__ __forceinline__ float Act(float x) {
  if constexpr (kKind == ActivationKind::kSilu) {
    return Sigmoid(x, __fsub_rn(0.0f, x));
  } else if constexpr (kKind == ActivationKind::kGeluTanh) {
    const float cube = __fmul_rn(__fmul_rn(x, x), x);
    return Sigmoid(x, __fmul_rn(__fmaf_rn(cube, 0.044715f, x), -1.5957691216f));
  } else {
    const float half = __fmul_rn(x, 0.5f);
    return __fmaf_rn(half, Erf(__fmul_rn(x, 0.70710678f)), half);
  }
}

// Rows as they are.
struct Plain {
  static __device__ __forceinline__ void Load(const float* x, int64_t row, int64_t first, int64_t width,
                                              float (&v)[4]) {
    LoadQuad(x + row * width + first, width - first, v);
  }
};

// act(gate) * up of [gate, up], or act(x).
template <ActivationKind kKind, bool kGated>
struct Activated {
  static __device__ __forceinline__ void Load(const float* x, int64_t row, int64_t first, int64_t width,
                                              float (&v)[4]) {
    const int64_t left = width - first;
    LoadQuad(x + row * width * (kGated ? 2 : 1) + first, left, v);
#pragma unroll
    for (float& value : v) value = Act<kKind>(value);
    if constexpr (kGated) {
      float up[4];
      LoadQuad(x + row * width * 2 + width + first, left, up);
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = __fmul_rn(v[i], up[i]);
    }
  }
};

constexpr int kThreads = 128;

// Half a warp a group, of whichever row.
template <typename Source>
__global__ void __launch_bounds__(kThreads) GroupRows(const float* x, RowsOut out) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kGroupLanes;
  if (at / 2 * 2 >= out.rows * out.groups) return;  // the whole warp
  const bool valid = at < out.rows * out.groups;
  const int64_t row = valid ? at / out.groups : 0, group = valid ? at % out.groups : 0;
  float v[4];
  Source::Load(x, row, group * kGroup + 4 * static_cast<int>(threadIdx.x % kGroupLanes), out.width, v);
  StoreGroup(out, row, group, valid, v);
}

template <typename Source>
void LaunchGroupRows(const float* x, const RowsOut& out, cudaStream_t stream) {
  constexpr int64_t kGroupsOfBlock = kThreads / kGroupLanes;
  const int64_t blocks = (out.rows * out.groups + kGroupsOfBlock - 1) / kGroupsOfBlock;
  if (blocks == 0) return;
  const LaunchConfig config = {
      .grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kThreads), .stream = stream};
  KVASIR_LAUNCH(GroupRows<Source>, config, x, out);
}

template <ActivationKind kKind>
void LaunchActivate(bool gated, const float* x, const RowsOut& out, cudaStream_t stream) {
  if (gated) {
    LaunchGroupRows<Activated<kKind, true>>(x, out, stream);
  } else {
    LaunchGroupRows<Activated<kKind, false>>(x, out, stream);
  }
}

}  // namespace

void Norm(const NormWeight& weight, const float* x, int64_t rows, const Activations& out,
          cudaStream_t stream) {
  const NormArgs args = {x, weight.weight, weight.bias, weight.eps, OutOf(out, rows, true)};
  if (rows == 0) return;
  // Half a warp a group, up to 16 warps: a decode step has one row, and its time is that of one block.
  const int64_t warps = std::min<int64_t>(16, (args.out.groups + 1) / 2);
  const LaunchConfig config = {.grid = dim3(static_cast<unsigned>(rows)),
                               .block = dim3(static_cast<unsigned>(32 * warps)),
                               .stream = stream};
  if (weight.kind == NormKind::kRms) {
    KVASIR_LAUNCH(NormRows<NormKind::kRms>, config, args);
  } else {
    KVASIR_LAUNCH(NormRows<NormKind::kLayer>, config, args);
  }
}

void Quantize(const float* x, int64_t rows, bool rotated, const Activations& out, cudaStream_t stream) {
  RowsOut to = OutOf(out, rows, !rotated);
  to.f32 = nullptr;  // x is the float32 form
  LaunchGroupRows<Plain>(x, to, stream);
}

void Activate(ActivationKind kind, bool gated, const float* x, int64_t rows, const Activations& out,
              cudaStream_t stream) {
  RowsOut to = OutOf(out, rows, true);
  if (out.dtype == Dtype::kInt8) to.f32 = nullptr;
  switch (kind) {
    case ActivationKind::kSilu: return LaunchActivate<ActivationKind::kSilu>(gated, x, to, stream);
    case ActivationKind::kGeluTanh: return LaunchActivate<ActivationKind::kGeluTanh>(gated, x, to, stream);
    case ActivationKind::kGeluErf: return LaunchActivate<ActivationKind::kGeluErf>(gated, x, to, stream);
  }
}

}  // namespace kvasir::cuda
