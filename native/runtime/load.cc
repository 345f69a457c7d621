#include "runtime/load.h"

#include "core/cpu_count.h"
#include "core/error.h"
#include "core/release_memory.h"

namespace kvasir {

namespace {

void CheckOptions(const ModelSpec& spec, const LoadOptions& options) {
  spec.Check();
  if (options.context_length < 1 || options.context_length > spec.max_positions) {
    throw Error(ErrorCode::kInvalidOption, "contextLength is " + std::to_string(options.context_length) +
                                               ", but this model has positions for 1.." +
                                               std::to_string(spec.max_positions));
  }
  if (options.kv_capacity < options.context_length || options.kv_capacity > (int64_t{1} << 31)) {
    throw Error(ErrorCode::kInvalidOption,
                "The KV cache must hold at least one context and at most 2^31 positions");
  }
}

std::unique_ptr<Backend> BackendFor(const ModelSpec& spec, const LoadOptions& options) {
  return MakeCpuBackend(options.threads, options.isa, options.context_length, spec.padded_head_dim());
}

}  // namespace

MemoryPrediction PredictMemory(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options) {
  CheckOptions(spec, options);
  LoadOptions one_thread = options;
  one_thread.threads = 1;
  const std::unique_ptr<Backend> backend = BackendFor(spec, one_thread);
  const int threads = options.threads == 0 ? AvailableCpus() : options.threads;
  const int64_t pages = KvCache::PagesFor(options.kv_capacity);
  return {PredictWeightBytes(spec, tensors, options, *backend).total,
          pages * spec.kv_layout(options.kv_dtype, spec.n_layers).PageBytes(),
          Stage::ScratchBytes(spec, options, *backend, threads)};
}

std::unique_ptr<Transformer> LoadTransformer(const ModelSpec& spec, const TensorMap& tensors,
                                             const LoadOptions& options, const Container& container,
                                             const CancellationToken& cancellation,
                                             const std::function<void(int64_t, int64_t)>& progress) {
  CheckOptions(spec, options);
  std::unique_ptr<Backend> backend = BackendFor(spec, options);
  std::unique_ptr<Weights> weights =
      LoadWeights(spec, tensors, options, container, *backend, cancellation, progress);
  ReleaseFreeMemory();
  return std::make_unique<Transformer>(spec, std::move(weights), std::move(backend), options);
}

}  // namespace kvasir
