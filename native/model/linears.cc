#include "model/linears.h"

#include "model/tensors.h"
#include "model/weight_plan.h"

namespace kvasir {

namespace {

bool IsLinear(const ModelTensor& tensor, const Weights& weights) {
  if (tensor.role == TensorRole::kVector) return false;
  return tensor.place != TensorPlace::kLmHead || !weights.is_tied();
}

}  // namespace

std::vector<NamedLinear> LinearsOf(const ModelSpec& spec, const Weights& weights) {
  std::vector<NamedLinear> linears;
  for (const ModelTensor& tensor : TensorsOf(spec)) {
    if (IsLinear(tensor, weights)) linears.push_back({tensor.name, LinearAt(tensor, &weights)});
  }
  return linears;
}

std::map<std::string, LinearWeight*> LinearsByName(const ModelSpec& spec, Weights* weights) {
  std::map<std::string, LinearWeight*> linears;
  for (const ModelTensor& tensor : TensorsOf(spec)) {
    if (IsLinear(tensor, *weights)) linears.emplace(tensor.name, LinearAt(tensor, weights));
  }
  return linears;
}

const LinearWeight* FindLinear(const ModelSpec& spec, const Weights& weights, const std::string& name) {
  for (const ModelTensor& tensor : TensorsOf(spec)) {
    if (tensor.name == name && IsLinear(tensor, weights)) return LinearAt(tensor, &weights);
  }
  return nullptr;
}

void LinkLinears(const ModelSpec& spec, Weights* weights) {
  LinearWeight* last = nullptr;
  const auto follow = [&](LinearWeight* linear) {
    if (linear->panels == nullptr) return;
    if (last != nullptr) last->next = linear;
    last = linear;
  };
  for (int64_t i = 0; i < spec.n_layers(); ++i) {
    LayerWeights& layer = weights->layers[static_cast<size_t>(i)];
    const int sides = spec.feed_forward_of(i).gated ? 2 : 1;
    layer.gate_up.sides = sides;
    layer.shared_gate_up.sides = sides;
    for (LinearWeight& expert : layer.expert_gate_up) expert.sides = sides;
    // Which experts come is not known: the next that is sure is fetched.
    for (LinearWeight* linear :
         {&layer.qkv, &layer.attn_gate, &layer.state_in, &layer.delta_gates, &layer.o, &layer.router,
          &layer.gate_up, &layer.shared_gate_up, &layer.down, &layer.shared_down}) {
      follow(linear);
    }
  }
  follow(&weights->lm_head);
}

}  // namespace kvasir
