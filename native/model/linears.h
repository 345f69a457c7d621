// The linears of a model by name: "embed.tokens", "layers.N.qkv", "layers.N.o", "layers.N.gate_up", "layers.N.down" and,
// where it is not tied to the embedding, "lm_head". They are what may be kept in float32, inspected and borrowed; lib/
// knows the same names.
#pragma once

#include <string>
#include <vector>

#include "model/weights.h"

namespace kvasir {

// In the order of the graph.
std::vector<std::string> LinearNames(const Weights& weights);

// nullptr for a name that is none. A tied output layer goes by the embedding's name.
LinearWeight* FindLinear(Weights* weights, const std::string& name);
const LinearWeight* FindLinear(const Weights& weights, const std::string& name);

// Says to each linear which one a step reads after it, and which one has gate and up.
void LinkLinears(const ModelSpec& spec, Weights* weights);

}  // namespace kvasir
