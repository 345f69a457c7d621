// The ops that are kernels alone: each queues its own (kernels.h), or nothing while a recorded step is replayed.
#include "backend/cuda/cuda_backend.h"
#include "core/error.h"

namespace kvasir::cuda {

namespace {

[[noreturn]] void ThrowNoStates() {
  throw Error(ErrorCode::kUnsupportedArchitecture, "Layers with a state do not run on a GPU");
}

}  // namespace

void CudaBackend::Embed(const LinearWeight& table, const StepIndices& ids, float* x) {
  if (Queues()) cuda::Embed(table, tables_.At(ids), ids.count, x, stream());
}

void CudaBackend::UnpackRows(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) {
  const int64_t bytes = n * static_cast<int64_t>(sizeof(int32_t));
  ids_ = GrowOnDevice(gpu_, std::move(ids_), bytes, "ids");
  Upload(ids_->data(), ids, bytes);
  cuda::Embed(table, reinterpret_cast<const int32_t*>(ids_->data()), n, x, stream());
}

void CudaBackend::AddRows(const float* table, const StepIndices& indices, int64_t width, float* x) {
  if (Queues()) cuda::AddRows(table, tables_.At(indices), indices.count, width, x, stream());
}

void CudaBackend::GatherRows(const float* x, const StepIndices& indices, int64_t width, float* out) {
  if (Queues()) cuda::GatherRows(x, tables_.At(indices), indices.count, width, out, stream());
}

void CudaBackend::Norm(const NormWeight& weight, const float* x, int64_t rows, LinearInput* out) {
  if (Queues()) cuda::Norm(weight, x, rows, ActivationsOf(*out), stream());
}

void CudaBackend::Prepare(float* x, int64_t rows, int rotation, LinearInput* out) {
  const bool quantized = out->dtype == Dtype::kInt8;
  // The rotation of whole groups is the one that INT8 linears want.
  const bool rotated = quantized && rotation == kGroup;
  out->f32 = x;
  if (!Queues()) return;
  if (rotation > 1 && !rotated) RotateBlocks(x, rows, out->width, rotation, stream());
  if (quantized) Quantize(x, rows, rotated, ActivationsOf(*out), stream());
}

void CudaBackend::Linear(const LinearWeight& weight, const LinearInput& x, int64_t rows, float* out,
                         int64_t ld_out, bool accumulate) {
  if (Queues()) cuda::Linear(weight, ActivationsOf(x), rows, out, ld_out, accumulate, stream());
}

void CudaBackend::Activation(const ActivationForm& form, bool gated, const float* x, int64_t rows,
                             float* scratch, LinearInput* out) {
  out->f32 = scratch;
  if (Queues()) Activate(form, gated, x, rows, ActivationsOf(*out), stream());
}

void CudaBackend::LinearActivation(const LinearWeight& weight, const ActivationForm& form,
                                   const LinearInput& x, int64_t rows, float* wide, float* scratch,
                                   LinearInput* out) {
  Linear(weight, x, rows, wide, weight.n, false);
  // The float32 values are wanted only by a linear of that dtype.
  Activation(form, weight.n == 2 * out->width, wide, rows, out->dtype == Dtype::kF32 ? scratch : nullptr,
             out);
}

void CudaBackend::AddNorm(const AddNormForm& form, const float* y, int64_t rows, int64_t width, float* x) {
  if (Queues()) cuda::AddNorm(form, y, rows, width, x, stream());
}

void CudaBackend::AddScaledRows(const RowFactors& factors, const float* y, int64_t rows, int64_t width,
                                float* x) {
  if (Queues()) cuda::AddScaledRows(factors, y, rows, width, x, stream());
}

void CudaBackend::Scale(const Scaling& scaling, int64_t rows, int64_t width, float* x) {
  if (Queues()) cuda::Scale(scaling, rows, width, x, stream());
}

void CudaBackend::ApplyGate(const OutputGate& gate, int64_t rows, int64_t width, float* x) {
  if (!Queues()) return;
  if (gate.rotation > 1) RotateBlocks(x, rows, width, gate.rotation, stream());
  cuda::ApplyGate(gate.values, gate.ld, rows, width, x, stream());
}

void CudaBackend::StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv,
                          Queries* queries) {
  if (!Queues()) return;
  cuda::StoreKv(*args.shape, args.norm, PagesOf(args), tables_.WithPages(args.table), block, qkv, *queries,
                stream());
}

void CudaBackend::Attention(const AttentionArgs& args, const Queries& queries, float* out) {
  if (!Queues()) return;
  float* partials = partials_ == nullptr ? nullptr : reinterpret_cast<float*>(partials_->data());
  cuda::Attention(args, tables_.WithPages(args.table), queries, partials, out, stream());
}

// Models with such layers are refused where they are loaded (model/graph_support.h).
void CudaBackend::ShortConv(const ShortConvArgs&) { ThrowNoStates(); }

void CudaBackend::DeltaNet(const DeltaNetArgs&) { ThrowNoStates(); }

}  // namespace kvasir::cuda
