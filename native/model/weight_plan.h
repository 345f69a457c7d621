// Every tensor that a model keeps, in the one order of arena, loading and quantized file, so that prediction, loading
// and writing cannot disagree. It knows canonical names (lib/native.ts lists them); it reads nothing.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "model/model_spec.h"
#include "model/weights.h"

namespace kvasir {

// Rows of one canonical tensor inside a packed linear.
struct Part {
  std::string name;  // without ".weight"
  int64_t rows;
};

// A linear of the graph: which tensors it stacks, [sum of rows, k].
struct LinearPlan {
  std::string name;  // "layers.3.qkv": what a quantized file calls it
  std::vector<Part> parts;
  int64_t k = 0;
  bool biased = false;
  LinearWeight* target = nullptr;

  int64_t n() const {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.rows;
    return rows;
  }
  int64_t padded_n() const;  // to whole panels: the bias has as many values
  std::string blocks_name() const { return name + ".blocks"; }
  std::string bias_name() const { return name + ".bias"; }
};

// Float32 values that stay as they are, [rows, columns].
struct VectorPlan {
  std::string name;
  int64_t rows = 1;
  int64_t columns = 0;
  const float** target = nullptr;
};

using TensorPlan = std::variant<LinearPlan, VectorPlan>;

// Names come from a quantized file: linears are stored as they lie in memory.
bool IsQuantized(const TensorMap& tensors);

// The plans point into *weights, whose layers are sized; what is loaded there stays. A tied head has no plan: it is
// weights->embed_tokens.
std::vector<TensorPlan> PlanTensors(const ModelSpec& spec, const TensorMap& tensors, Weights* weights);

// The embedding goes by its bare name, linears by "<name>.weight".
std::string WeightName(const Part& part, const TensorMap& tensors);

// Calls linear(const LinearPlan&) or vector(const VectorPlan&) for each, in order.
template <typename LinearFn, typename VectorFn>
void VisitPlans(const std::vector<TensorPlan>& plans, const LinearFn& linear, const VectorFn& vector) {
  for (const TensorPlan& plan : plans) {
    if (const auto* as_linear = std::get_if<LinearPlan>(&plan)) {
      linear(*as_linear);
    } else {
      vector(std::get<VectorPlan>(plan));
    }
  }
}

}  // namespace kvasir
