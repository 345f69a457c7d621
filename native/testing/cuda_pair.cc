#include "testing/cuda_pair.h"

#include "backend/cpu.h"
#include "backend/cuda_library.h"
#include "cuda_emulation.h"
#include "model/kv_tables.h"
#include "runtime/load.h"

namespace kvasir::testing {

std::unique_ptr<Transformer> LoadOnGpu(const Case& c, const RandomContainer& container, int64_t first) {
  const ModelSpec& spec = c.kind.spec;
  LoadOptions options = OptionsOf(c.setup);
  options.gpu_layers = spec.n_layers() - first;
  const int64_t least_rows = spec.least_step_rows(options.context_length);
  std::unique_ptr<Backend> cpu =
      MakeCpuBackend(1, "", options.context_length, spec.padded_head_dim(), least_rows);
  std::unique_ptr<Backend> gpu(kvasir_cuda_v1()->make_backend({.device = 0,
                                                               .max_positions = options.context_length,
                                                               .padded_head_dim = spec.padded_head_dim(),
                                                               .least_step_rows = least_rows,
                                                               .page_tables = MostKvTables(spec, options)}));
  std::unique_ptr<Weights> weights = LoadWeights(spec, container.canonical(), options, container,
                                                 cpu->traits(), CancellationToken(), nullptr);
  return PlaceLayers(spec, container.canonical(), options, std::move(weights), std::move(cpu),
                     std::move(gpu));
}

void ExpectNoReports() {
  for (const std::string& report : cuda_emulation::TakeReports()) KV_EXPECT_EQ(report, "");
}

std::vector<int32_t> Part(const std::vector<int32_t>& tokens, int64_t first, int64_t n) {
  return {tokens.begin() + first, tokens.begin() + first + n};
}

}  // namespace kvasir::testing
