// Rows of float32 to the input of a linear, one pass each: norm, activation, rotation and quantization.
#include <algorithm>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/norm.cuh"
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
  } else if constexpr (kKind == ActivationKind::kGeluErf) {
    const float half = __fmul_rn(x, 0.5f);
    return __fmaf_rn(half, Erf(__fmul_rn(x, 0.70710678f)), half);
  } else if constexpr (kKind == ActivationKind::kRelu) {
    return MaxOf(0.0f, x);
  } else if constexpr (kKind == ActivationKind::kRelu2) {
    const float positive = MaxOf(0.0f, x);
    return __fmul_rn(positive, positive);
  } else {
    static_assert(kKind == ActivationKind::kQuickGelu);
    return Sigmoid(x, __fmul_rn(x, -1.702f));
  }
}

// Four values of a row, and the numbers of the activation that has some.
struct Place {
  int64_t row, first, width;
};
struct Numbers {
  float alpha, limit;
};

// Rows as they are.
struct Plain {
  static __device__ __forceinline__ void Load(const float* x, const Place& at, const Numbers&,
                                              float (&v)[4]) {
    LoadQuad(x + at.row * at.width + at.first, at.width - at.first, v);
  }
};

// act(gate) * up of [gate, up], or act(x).
template <ActivationKind kKind, bool kGated>
struct Activated {
  static __device__ __forceinline__ void Load(const float* x, const Place& at, const Numbers&,
                                              float (&v)[4]) {
    const int64_t left = at.width - at.first;
    LoadQuad(x + at.row * at.width * (kGated ? 2 : 1) + at.first, left, v);
#pragma unroll
    for (float& value : v) value = Act<kKind>(value);
    if constexpr (kGated) {
      float up[4];
      LoadQuad(x + at.row * at.width * 2 + at.width + at.first, left, up);
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = __fmul_rn(v[i], up[i]);
    }
  }
};

// (u + 1) g sigmoid(alpha g) of [gate, up] within their limits, or g sigmoid(alpha g).
template <bool kGated>
struct ClampedSwiglu {
  static __device__ __forceinline__ void Load(const float* x, const Place& at, const Numbers& numbers,
                                              float (&v)[4]) {
    const int64_t left = at.width - at.first;
    LoadQuad(x + at.row * at.width * (kGated ? 2 : 1) + at.first, left, v);
#pragma unroll
    for (float& value : v) {
      const float g = MinOf(numbers.limit, value);
      value = Sigmoid(g, __fmul_rn(g, -numbers.alpha));
    }
    if constexpr (kGated) {
      float up[4];
      LoadQuad(x + at.row * at.width * 2 + at.width + at.first, left, up);
#pragma unroll
      // Past the row's end 1 * 0 sigmoid(0) is the zero that quantizing wants.
      for (int i = 0; i < 4; ++i) {
        const float u = MaxOf(-numbers.limit, MinOf(numbers.limit, up[i]));
        v[i] = __fmul_rn(__fadd_rn(u, 1.0f), v[i]);
      }
    }
  }
};

constexpr int kThreads = 128;

// Half a warp a group, of whichever row. 32 bits: a division of 64 costs more than a group's arithmetic.
template <typename Source>
__global__ void __launch_bounds__(kThreads) GroupRows(const float* x, RowsOut out, Numbers numbers) {
  const unsigned at = (blockIdx.x * kThreads + threadIdx.x) / kGroupLanes;
  const unsigned groups = static_cast<unsigned>(out.groups), all = static_cast<unsigned>(out.rows) * groups;
  if (at / 2 * 2 >= all) return;  // the whole warp
  const bool valid = at < all;
  const int64_t row = valid ? at / groups : 0, group = valid ? at % groups : 0;
  float v[4];
  const int lane = static_cast<int>(threadIdx.x % kGroupLanes);
  Source::Load(x, {row, group * kGroup + 4 * lane, out.width}, numbers, v);
  StoreGroup(out, row, group, valid, v);
}

template <typename Source>
void LaunchGroupRows(const float* x, const RowsOut& out, cudaStream_t stream, const Numbers& numbers = {}) {
  constexpr int64_t kGroupsOfBlock = kThreads / kGroupLanes;
  const int64_t blocks = (out.rows * out.groups + kGroupsOfBlock - 1) / kGroupsOfBlock;
  if (blocks == 0) return;
  const LaunchConfig config = {
      .grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kThreads), .stream = stream};
  KVASIR_LAUNCH(GroupRows<Source>, config, x, out, numbers);
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

void Activate(const ActivationForm& form, bool gated, const float* x, int64_t rows, const Activations& out,
              cudaStream_t stream) {
  const RowsOut to = OutOf(out, rows, true);
  switch (form.kind) {
    case ActivationKind::kSilu: return LaunchActivate<ActivationKind::kSilu>(gated, x, to, stream);
    case ActivationKind::kGeluTanh: return LaunchActivate<ActivationKind::kGeluTanh>(gated, x, to, stream);
    case ActivationKind::kGeluErf: return LaunchActivate<ActivationKind::kGeluErf>(gated, x, to, stream);
    case ActivationKind::kRelu: return LaunchActivate<ActivationKind::kRelu>(gated, x, to, stream);
    case ActivationKind::kRelu2: return LaunchActivate<ActivationKind::kRelu2>(gated, x, to, stream);
    case ActivationKind::kQuickGelu: return LaunchActivate<ActivationKind::kQuickGelu>(gated, x, to, stream);
    case ActivationKind::kClampedSwiglu:
      if (gated) return LaunchGroupRows<ClampedSwiglu<true>>(x, to, stream, {form.alpha, form.limit});
      return LaunchGroupRows<ClampedSwiglu<false>>(x, to, stream, {form.alpha, form.limit});
  }
}

}  // namespace kvasir::cuda
