#include "runtime/quantize.h"

#include "backend/cpu.h"
#include "model/stored_weights.h"
#include "model/weight_plan.h"

namespace kvasir {

int64_t QuantizeToFile(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                       const Container& container, const std::string& path,
                       std::map<std::string, std::string> metadata, const CancellationToken& cancellation,
                       const std::function<void(int64_t, int64_t)>& progress) {
  spec.Check();
  const std::unique_ptr<Backend> backend =
      MakeCpuBackend(options.threads, options.isa, options.context_length, spec.padded_head_dim());
  const std::unique_ptr<Weights> weights = LoadWeights(spec, tensors, options, container, backend->traits(),
                                                       cancellation, [&](int64_t loaded, int64_t total) {
                                                         if (progress && loaded < total)
                                                           progress(loaded, 2 * total);
                                                       });
  const std::vector<TensorToWrite> stored = StoredTensors(PlanTensors(spec, tensors, weights.get()));
  // What the file says of its scheme comes first: nothing that is given replaces it.
  std::map<std::string, std::string> all = StoredMetadata(stored);
  all.merge(std::move(metadata));
  const uint64_t size = WriteSafetensors(path, all, stored, [&](uint64_t written, uint64_t total) {
    cancellation.ThrowIfCancelled();
    if (progress) progress(static_cast<int64_t>(total + written), static_cast<int64_t>(2 * total));
  });
  return static_cast<int64_t>(size);
}

}  // namespace kvasir
