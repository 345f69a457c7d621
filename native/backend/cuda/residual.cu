// How a block's result joins the residual stream (backend/op_forms.h), factors of whole rows, the soft cap and the output
// gate.
#include "backend/cuda/flat.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/norm.cuh"

namespace kvasir::cuda {

namespace {

// x / (1 + exp(-gate))
__device__ __forceinline__ float TimesSigmoid(float x, float gate) {
  return __fdiv_rn(x, __fadd_rn(1.0f, Exp(__fsub_rn(0.0f, gate))));
}

__global__ void AddScaledKernel(const float* y, int64_t n, float scale, float* x) {
  for (int64_t i = FlatThread(); i < n; i += FlatThreads()) x[i] = __fmaf_rn(y[i], scale, x[i]);
}

__global__ void AddScaledRowsKernel(RowFactors factors, const float* y, int64_t rows, int64_t width,
                                    float* x) {
  for (int64_t i = FlatThread(); i < rows * width; i += FlatThreads()) {
    const float value = factors.values[i / width];
    x[i] = __fmaf_rn(y[i], factors.sigmoid ? TimesSigmoid(1.0f, value) : value, x[i]);
  }
}

__global__ void ScaleKernel(Scaling scaling, int64_t n, float* x) {
  for (int64_t i = FlatThread(); i < n; i += FlatThreads()) {
    const float v = __fmul_rn(x[i], scaling.scale);
    x[i] = scaling.cap > 0 ? __fmul_rn(Tanh(__fdiv_rn(v, scaling.cap)), scaling.cap) : v;
  }
}

__global__ void GateKernel(const float* gate, int64_t ld_gate, int64_t rows, int64_t width, float* x) {
  for (int64_t i = FlatThread(); i < rows * width; i += FlatThreads()) {
    x[i] = TimesSigmoid(x[i], gate[i / width * ld_gate + i % width]);
  }
}

struct NormAddArgs {
  const float* y;       // [rows, width]
  const float* weight;  // [width]
  const float* bias;    // [width] or nullptr
  float eps, scale;
  int64_t width;
  float* x;  // [rows, width]
};

// One block a row.
template <NormKind kKind>
__global__ void __launch_bounds__(512) NormAddRows(NormAddArgs a) {
  KVASIR_SHARED(float, tile, kTile);
  KVASIR_SHARED(float, result, 2);
  const int64_t n = a.width, row = static_cast<int64_t>(blockIdx.x) * n;
  float mean = 0, scale;
  if constexpr (kKind == NormKind::kRms) {
    scale = RmsScale(a.y + row, n, a.eps, tile, result);
  } else {
    mean = MeanOf<false>(a.y + row, n, 0.0f, tile, result);
    const SharedPtr<float> second = SharedPtr<float>(result) + 1;
    const float variance = MeanOf<true>(a.y + row, n, mean, tile, second);
    scale = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(variance, a.eps)));
  }
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    float v = a.y[row + i];
    if constexpr (kKind == NormKind::kLayer) v = __fsub_rn(v, mean);
    v = __fmul_rn(__fmul_rn(v, scale), a.weight[i]);
    if (kKind == NormKind::kLayer && a.bias != nullptr) v = __fadd_rn(v, a.bias[i]);
    a.x[row + i] = __fmaf_rn(v, a.scale, a.x[row + i]);
  }
}

}  // namespace

void AddNorm(const AddNormForm& form, const float* y, int64_t rows, int64_t width, float* x,
             cudaStream_t stream) {
  if (rows == 0) return;
  if (form.join == JoinForm::kNormThenAdd) {
    const NormAddArgs args = {y, form.norm->weight, form.norm->bias, form.norm->eps, form.scale, width, x};
    const int64_t warps = std::min<int64_t>(16, CeilDiv(width, 32));
    const LaunchConfig config = {.grid = dim3(static_cast<unsigned>(rows)),
                                 .block = dim3(static_cast<unsigned>(32 * warps)),
                                 .stream = stream};
    if (form.norm->kind == NormKind::kRms) {
      KVASIR_LAUNCH(NormAddRows<NormKind::kRms>, config, args);
    } else {
      KVASIR_LAUNCH(NormAddRows<NormKind::kLayer>, config, args);
    }
    return;
  }
  const bool norms = form.join == JoinForm::kAddThenNorm;
  if (y != nullptr) {
    KVASIR_LAUNCH(AddScaledKernel, Flat(rows * width, stream), y, rows * width, norms ? 1.0f : form.scale, x);
  }
  // In place: a thread stores what it alone has loaded, after the block's sums.
  if (norms) Norm(*form.norm, x, rows, {.dtype = Dtype::kF32, .width = width, .f32 = x}, stream);
}

void AddScaledRows(const RowFactors& factors, const float* y, int64_t rows, int64_t width, float* x,
                   cudaStream_t stream) {
  if (rows == 0) return;
  KVASIR_LAUNCH(AddScaledRowsKernel, Flat(rows * width, stream), factors, y, rows, width, x);
}

void Scale(const Scaling& scaling, int64_t rows, int64_t width, float* x, cudaStream_t stream) {
  if (rows == 0) return;
  KVASIR_LAUNCH(ScaleKernel, Flat(rows * width, stream), scaling, rows * width, x);
}

void ApplyGate(const float* gate, int64_t ld_gate, int64_t rows, int64_t width, float* x,
               cudaStream_t stream) {
  if (rows == 0) return;
  KVASIR_LAUNCH(GateKernel, Flat(rows * width, stream), gate, ld_gate, rows, width, x);
}

}  // namespace kvasir::cuda
