#include "testing/adapter_cases.h"

#include <cmath>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"

namespace kvasir::testing {

AdapterTensor RandomAdapterTensor(const std::string& name, int64_t rank, int64_t inputs, int64_t outputs,
                                  uint32_t seed) {
  Random random(seed);
  AdapterTensor tensor = {.name = name, .rank = rank, .scale = 0.75f};
  tensor.a = random.Bells(rank * inputs, 1 / std::sqrt(static_cast<float>(inputs)));
  tensor.b = random.Bells(outputs * rank, 1 / std::sqrt(static_cast<float>(rank)));
  return tensor;
}

std::vector<AdapterTensor> RandomAdapter(const ModelSpec& spec, uint32_t seed, int64_t every) {
  Random random(seed);
  std::vector<AdapterTensor> tensors;
  int64_t count = random.Integer(0, every - 1);
  for (const ModelTensor& tensor : TensorsOf(spec)) {
    if (tensor.role != TensorRole::kLinear || !CanAdapt(tensor.place)) continue;
    for (const TensorPart& part : tensor.parts) {
      if (count++ % every != 0) continue;
      tensors.push_back(RandomAdapterTensor(part.name, random.Integer(1, 9), tensor.columns, part.rows,
                                            seed + static_cast<uint32_t>(count)));
    }
  }
  return tensors;
}

int32_t LoadAdapter(Transformer& transformer, const std::vector<AdapterTensor>& tensors) {
  return transformer.LoadAdapter(tensors, cpu::ScalarKernels().pack_panel_s8);
}

}  // namespace kvasir::testing
