// From an open container to a model that is ready to run.
#pragma once

#include <functional>
#include <memory>

#include "core/cancellation.h"
#include "io/container.h"
#include "model/transformer.h"

namespace kvasir {

struct MemoryPrediction {
  int64_t weights = 0;
  int64_t kv = 0;  // all pages of the cache and all states; they take physical memory on first touch
  int64_t checkpoints =
      0;  // what of kv is there for checkpoints (model/kv_tables.h), and for states that are kept
  std::vector<int64_t> windows;  // whose layers hold them instead of whole contexts
  int64_t scratch = 0;
  int64_t adapters = 0;
};

// With `adapters`, also what they take when all of them are loaded. Throws Error as a load does, and as
// PredictAdapterBytes.
MemoryPrediction PredictMemory(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                               const std::vector<std::vector<AdapterShape>>& adapters = {});

// A model of loaded weights whose last options.gpu_layers layers (-1: as many as fit) are moved to `gpu`, those before
// run on `cpu`. Throws Error(kInsufficientMemory | kDeviceUnavailable).
std::unique_ptr<Transformer> PlaceLayers(const ModelSpec& spec, const TensorMap& tensors,
                                         const LoadOptions& options, std::unique_ptr<Weights> weights,
                                         std::unique_ptr<Backend> cpu, std::unique_ptr<Backend> gpu);

// Throws Error as LoadWeights does, kInvalidOption for a thread count or ISA that cannot be.
std::unique_ptr<Transformer> LoadTransformer(const ModelSpec& spec, const TensorMap& tensors,
                                             const LoadOptions& options, const Container& container,
                                             const CancellationToken& cancellation,
                                             const std::function<void(int64_t, int64_t)>& progress);

}  // namespace kvasir
