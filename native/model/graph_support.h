// Which kinds of a spec the graph computes. The others are refused by name before a weight is read.
#pragma once

#include "model/model_spec.h"

namespace kvasir {

// Throws Error(kUnsupportedArchitecture).
void CheckGraphSupports(const ModelSpec& spec);
// The same for layers on a GPU, whose tables of a step are those of one shape of heads.
void CheckGpuSupports(const ModelSpec& spec);

}  // namespace kvasir
