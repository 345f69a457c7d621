// Random LoRA adapters for tests, drawn over the parts of a model's linears.
#pragma once

#include <vector>

#include "testing/transformer_models.h"

namespace kvasir::testing {

// As large as the weights' own output where `scale` is 1.
AdapterTensor RandomAdapterTensor(const std::string& name, int64_t rank, int64_t inputs, int64_t outputs,
                                  uint32_t seed);
// Of every `every`-th part of the linears that adapters may change, from one on that the seed says.
std::vector<AdapterTensor> RandomAdapter(const ModelSpec& spec, uint32_t seed, int64_t every);

int32_t LoadAdapter(Transformer& transformer, const std::vector<AdapterTensor>& tensors);

}  // namespace kvasir::testing
