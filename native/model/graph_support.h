// Which kinds of a spec the graph computes. The others are refused by name before a weight is read.
#pragma once

#include "model/model_spec.h"

namespace kvasir {

// Throws Error(kUnsupportedArchitecture).
void CheckGraphSupports(const ModelSpec& spec);

}  // namespace kvasir
