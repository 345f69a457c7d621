// The linears of a model by name, as the table of tensors names them: "embed.tokens", "layers.N.qkv", ..., and, where it is
// not tied to the embedding, "lm_head". They are what may be kept in float32, inspected and borrowed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/weights.h"

namespace kvasir {

struct NamedLinear {
  std::string name;
  const LinearWeight* weight;
};

// In the order of the graph.
std::vector<NamedLinear> LinearsOf(const ModelSpec& spec, const Weights& weights);

// A tied output layer goes by the embedding's name.
std::map<std::string, LinearWeight*> LinearsByName(const ModelSpec& spec, Weights* weights);
// nullptr for a name that is none.
const LinearWeight* FindLinear(const ModelSpec& spec, const Weights& weights, const std::string& name);

// Says to each linear which one a step reads after it, and which one has gate and up.
void LinkLinears(const ModelSpec& spec, Weights* weights);

}  // namespace kvasir
