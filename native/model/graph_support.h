// Which kinds of a spec a GPU does not compute. They are refused by name before a weight is read.
#pragma once

#include "model/model_spec.h"

namespace kvasir {

// Of layers on a GPU, whose tables of a step are those of one shape of heads. Throws Error(kUnsupportedArchitecture).
void CheckGpuSupports(const ModelSpec& spec);

}  // namespace kvasir
