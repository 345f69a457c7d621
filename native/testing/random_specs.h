// Specs drawn at random over the kinds that the graph computes: tiny models that differ in everything at once.
#pragma once

#include "testing/transformer_models.h"

namespace kvasir::testing {

// The same kind for the same seed.
ModelKind RandomKind(uint32_t seed);

}  // namespace kvasir::testing
