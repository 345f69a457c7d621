// The tensors of one load: those of the table (model/tensors.h) that its source has, with where each goes. Arena, loading,
// prediction and quantized file all take them in this order, so that they cannot disagree. It reads nothing.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "model/model_spec.h"
#include "model/tensors.h"
#include "model/weights.h"

namespace kvasir {

// A linear of the graph: which tensors it stacks, [sum of rows, k].
struct LinearPlan {
  std::string name;  // "layers.3.qkv": what a quantized file calls it
  int64_t layer = ModelTensor::kBeforeLayers;
  std::vector<TensorPart> parts;
  int64_t rows = 0;
  int64_t k = 0;
  bool biased = false;
  bool float32 = false;  // whatever the load's dtype is
  LinearWeight* target = nullptr;

  int64_t n() const { return rows; }
  int64_t padded_n() const;  // to whole panels: the bias has as many values
  Dtype DtypeIn(const LoadOptions& options) const { return float32 ? Dtype::kF32 : options.DtypeOf(name); }
  std::string blocks_name() const { return name + ".blocks"; }
  std::string panels_name() const { return name + ".panels"; }  // of float32
  std::string bias_name() const { return name + ".bias"; }
};

// Float32 values that stay as they are, [rows, columns].
struct VectorPlan {
  std::string name;
  int64_t layer = ModelTensor::kBeforeLayers;
  int64_t rows = 1;
  int64_t columns = 0;
  const float** target = nullptr;
  float* values = nullptr;  // what *target reads, for who fills it: set where a load takes the memory
};

using TensorPlan = std::variant<LinearPlan, VectorPlan>;

// Names come from a quantized file: linears are stored as they lie in memory.
bool IsQuantized(const TensorMap& tensors);

// The plans point into *weights, whose layers are sized and whose norms get their kind; what is loaded there stays. What is
// optional and not in `tensors` has no plan: a tied head is weights->embed_tokens.
std::vector<TensorPlan> PlanTensors(const ModelSpec& spec, const TensorMap& tensors, Weights* weights);

// Where a tensor of a table or linear lies in *weights; nullptr for a vector.
LinearWeight* LinearAt(const ModelTensor& tensor, Weights* weights);
const LinearWeight* LinearAt(const ModelTensor& tensor, const Weights* weights);

// Where the address of a vector's values lies in *weights; nullptr for a table or linear.
const float** VectorAt(const ModelTensor& tensor, Weights* weights);

// The embedding goes by its bare name, linears by "<name>.weight".
std::string WeightName(const TensorPart& part, const TensorMap& tensors);

// Calls linear(LinearPlan&) or vector(VectorPlan&) for each, in order; const ones where the plans are.
template <typename Plans, typename LinearFn, typename VectorFn>
void VisitPlans(Plans&& plans, const LinearFn& linear, const VectorFn& vector) {
  for (auto& plan : plans) {
    if (auto* as_linear = std::get_if<LinearPlan>(&plan)) {
      linear(*as_linear);
    } else {
      vector(std::get<VectorPlan>(plan));
    }
  }
}

}  // namespace kvasir
