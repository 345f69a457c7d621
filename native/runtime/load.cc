#include "runtime/load.h"

#include <algorithm>

#include "backend/cpu.h"
#include "backend/cuda_library.h"
#include "core/error.h"
#include "core/release_memory.h"
#include "model/device_weights.h"
#include "model/graph_support.h"
#include "model/kv_layouts.h"
#include "model/state_layout.h"

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
  if (options.state_slots != 0 && (options.state_slots < 2 || options.state_slots > 65536)) {
    throw Error(ErrorCode::kInvalidOption,
                "stateSlots is " + std::to_string(options.state_slots) +
                    ", but a running sequence takes two states, and there are at most 65536");
  }
  if (options.kept_states < -1 || options.kept_states > 65536) {
    throw Error(ErrorCode::kInvalidOption,
                "keptStates is " + std::to_string(options.kept_states) + ", but there are 0 to 65536");
  }
  if (options.gpu_layers > spec.n_layers()) {
    throw Error(ErrorCode::kInvalidOption, "gpuLayers is " + std::to_string(options.gpu_layers) +
                                               ", but this model has " + std::to_string(spec.n_layers()) +
                                               " layers");
  }
}

std::unique_ptr<Backend> BackendFor(const ModelSpec& spec, const LoadOptions& options) {
  return MakeCpuBackend(options.threads, options.isa, options.context_length, spec.padded_head_dim(),
                        spec.least_step_rows(options.context_length));
}

// How many of the last layers the device has memory for, with the output layer and working memory.
int64_t FittingLayers(const ModelSpec& spec, const TensorMap& sources, const LoadOptions& options,
                      Weights* weights, Backend* device) {
  // CUDA's own memory for kernels, recorded graphs and pinned copies.
  constexpr int64_t kReserve = int64_t{256} << 20;
  const int64_t free =
      device->FreeBytes() - kReserve - Stage::ScratchBytes(spec, options, device->traits(), *device);
  const int64_t step_rows = std::min(device->traits().step_rows, options.kv_capacity);
  const KvTables tables = KvTablesOf(spec, options, step_rows);
  for (int64_t layers = spec.n_layers(); layers > 0; --layers) {
    const int64_t first = spec.n_layers() - layers;
    const int64_t bytes = DeviceWeightBytes(spec, sources, first, weights) +
                          KvLayoutsOf(spec, options.kv_dtype, tables, {first, spec.n_layers()}).Bytes();
    if (bytes <= free) return layers;
  }
  return 0;
}

Traits TraitsFor(const ModelSpec& spec, const LoadOptions& options) {
  return PredictCpuTraits(options.threads, options.isa, spec.least_step_rows(options.context_length));
}

int64_t PredictAdapters(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                        const std::vector<std::vector<AdapterShape>>& adapters) {
  int64_t bytes = 0, most_rank = 0;
  for (const std::vector<AdapterShape>& adapter : adapters) {
    bytes += PredictAdapterBytes(spec, tensors, options, adapter);
    for (const AdapterShape& shape : adapter) most_rank = std::max(most_rank, shape.rank);
  }
  return bytes + Stage::AdaptedRowBytes(spec, TraitsFor(spec, options), most_rank);
}

}  // namespace

MemoryPrediction PredictMemory(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                               const std::vector<std::vector<AdapterShape>>& adapters) {
  CheckOptions(spec, options);
  LoadOptions one_thread = options;
  one_thread.threads = 1;
  const std::unique_ptr<Backend> backend = BackendFor(spec, one_thread);
  const Traits traits = TraitsFor(spec, options);
  const KvTables kv = KvTablesOf(spec, options, std::min(traits.step_rows, options.kv_capacity));
  const KvLayouts layouts = KvLayoutsOf(spec, options.kv_dtype, kv, {0, spec.n_layers()});
  const StateCounts counts = StateCountsOf(spec, options);
  const StateLayout states = StateLayoutOf(spec, counts.all(), 0, spec.n_layers());
  return {PredictWeightBytes(spec, tensors, options).total,
          layouts.Bytes() + states.Bytes(),
          layouts.CheckpointBytes(kv) + counts.kept * states.SlotBytes(),
          kv.Windows(),
          Stage::ScratchBytes(spec, options, traits, *backend) +
              PredictCpuWork(options.threads, options.isa,
                             {.max_positions = options.context_length,
                              .padded_head_dim = spec.padded_head_dim(),
                              .logit_rows = spec.head == HeadKind::kLogits ? Stage::kLogitRows : 0,
                              .vocab = spec.vocab_size,
                              .n_candidates = std::min(Stage::kCandidates, spec.vocab_size)}),
          PredictAdapters(spec, tensors, options, adapters)};
}

std::unique_ptr<Transformer> PlaceLayers(const ModelSpec& spec, const TensorMap& tensors,
                                         const LoadOptions& options, std::unique_ptr<Weights> weights,
                                         std::unique_ptr<Backend> cpu, std::unique_ptr<Backend> gpu) {
  const int64_t layers = options.gpu_layers >= 0
                             ? options.gpu_layers
                             : FittingLayers(spec, tensors, options, weights.get(), gpu.get());
  if (layers == 0) return std::make_unique<Transformer>(spec, std::move(weights), std::move(cpu), options);
  const int64_t first = spec.n_layers() - layers;
  MoveToDevice(spec, tensors, first, gpu.get(), weights.get());
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<int64_t> first_layers;
  if (first > 0) {
    backends.push_back(std::move(cpu));
    first_layers.push_back(0);
  }
  backends.push_back(std::move(gpu));
  first_layers.push_back(first);
  return std::make_unique<Transformer>(spec, std::move(weights), std::move(backends), first_layers, options);
}

std::unique_ptr<Transformer> LoadTransformer(const ModelSpec& spec, const TensorMap& tensors,
                                             const LoadOptions& options, const Container& container,
                                             const CancellationToken& cancellation,
                                             const std::function<void(int64_t, int64_t)>& progress) {
  CheckOptions(spec, options);
  std::unique_ptr<Backend> backend = BackendFor(spec, options);
  std::unique_ptr<Backend> gpu;
  if (options.device >= 0 && options.gpu_layers != 0) {
    CheckGpuSupports(spec);
    gpu = MakeCudaBackend(options.cuda_library,
                          {.device = options.device,
                           .max_positions = options.context_length,
                           .padded_head_dim = spec.padded_head_dim(),
                           .least_step_rows = spec.least_step_rows(options.context_length),
                           .page_tables = MostKvTables(spec, options)});
  }
  std::unique_ptr<Weights> weights =
      LoadWeights(spec, tensors, options, container, backend->traits(), cancellation, progress);
  ReleaseFreeMemory();
  if (gpu != nullptr) {
    return PlaceLayers(spec, tensors, options, std::move(weights), std::move(backend), std::move(gpu));
  }
  return std::make_unique<Transformer>(spec, std::move(weights), std::move(backend), options);
}

}  // namespace kvasir
