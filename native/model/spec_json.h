// The spec of a model as JSON, the one form in which it crosses the border to TypeScript and lies in a file. Its schema is
// lib/spec.ts: the same names and defaults.
#pragma once

#include <string_view>

#include "model/model_spec.h"

namespace kvasir {

// Throws Error(kModelFormat) for text that is no JSON, a field that is unknown, missing or of another type, and for values
// that ModelSpec::Check refuses.
ModelSpec SpecFromJson(std::string_view json);

}  // namespace kvasir
