#include "model/weight_plan.h"

#include "quant/int8_layout.h"

namespace kvasir {

namespace {

template <typename WeightsOf>
auto& LayerOf(const ModelTensor& tensor, WeightsOf* weights) {
  return weights->layers[static_cast<size_t>(tensor.layer)];
}

NormWeight* NormAt(const ModelTensor& tensor, Weights* weights) {
  switch (tensor.place) {
    case TensorPlace::kEmbedNorm: return &weights->embed_norm;
    case TensorPlace::kAttnNorm: return &LayerOf(tensor, weights).attn_norm;
    case TensorPlace::kAttnPostNorm: return &LayerOf(tensor, weights).attn_post_norm;
    case TensorPlace::kFfnNorm: return &LayerOf(tensor, weights).ffn_norm;
    case TensorPlace::kFfnPostNorm: return &LayerOf(tensor, weights).ffn_post_norm;
    case TensorPlace::kFinalNorm: return &weights->final_norm;
    default: return nullptr;
  }
}

bool Has(const TensorMap& tensors, const std::string& name) { return tensors.count(name) != 0; }

bool IsThere(const ModelTensor& tensor, const TensorMap& tensors) {
  if (tensor.role == TensorRole::kVector) return Has(tensors, tensor.name);
  return Has(tensors, tensor.name + ".blocks") || Has(tensors, WeightName(tensor.parts.front(), tensors));
}

LinearPlan PlanLinear(const ModelTensor& tensor, const TensorMap& tensors, Weights* weights) {
  LinearPlan plan = {.name = tensor.name,
                     .layer = tensor.layer,
                     .parts = tensor.parts,
                     .rows = tensor.rows,
                     .k = tensor.columns,
                     .biased = Has(tensors, tensor.name + ".bias"),
                     .float32 = tensor.float32,
                     .target = LinearAt(tensor, weights)};
  for (const TensorPart& part : plan.parts) plan.biased = plan.biased || Has(tensors, part.name + ".bias");
  return plan;
}

void SizeLayers(const ModelSpec& spec, Weights* weights) {
  weights->layers.resize(static_cast<size_t>(spec.n_layers()));
  for (int64_t i = 0; i < spec.n_layers(); ++i) {
    const auto experts = static_cast<size_t>(spec.feed_forward_of(i).experts.count);
    weights->layers[static_cast<size_t>(i)].expert_gate_up.resize(experts);
    weights->layers[static_cast<size_t>(i)].expert_down.resize(experts);
  }
}

// LinearWeight* of Weights*, const of const ones.
template <typename WeightsOf>
auto FindPlace(const ModelTensor& tensor, WeightsOf* weights) -> decltype(&weights->lm_head) {
  const auto expert = static_cast<size_t>(tensor.expert);
  switch (tensor.place) {
    case TensorPlace::kEmbedTokens: return &weights->embed_tokens;
    case TensorPlace::kLmHead: return &weights->lm_head;
    case TensorPlace::kQkv: return &LayerOf(tensor, weights).qkv;
    case TensorPlace::kAttnGate: return &LayerOf(tensor, weights).attn_gate;
    case TensorPlace::kStateIn: return &LayerOf(tensor, weights).state_in;
    case TensorPlace::kDeltaGates: return &LayerOf(tensor, weights).delta_gates;
    case TensorPlace::kO: return &LayerOf(tensor, weights).o;
    case TensorPlace::kRouter: return &LayerOf(tensor, weights).router;
    case TensorPlace::kGateUp: return &LayerOf(tensor, weights).gate_up;
    case TensorPlace::kDown: return &LayerOf(tensor, weights).down;
    case TensorPlace::kExpertGateUp: return &LayerOf(tensor, weights).expert_gate_up[expert];
    case TensorPlace::kExpertDown: return &LayerOf(tensor, weights).expert_down[expert];
    case TensorPlace::kSharedGateUp: return &LayerOf(tensor, weights).shared_gate_up;
    case TensorPlace::kSharedDown: return &LayerOf(tensor, weights).shared_down;
    case TensorPlace::kSharedGate: return &LayerOf(tensor, weights).shared_gate;
    default: return nullptr;
  }
}

}  // namespace

int64_t LinearPlan::padded_n() const { return (n() + kPanelColumns - 1) / kPanelColumns * kPanelColumns; }

bool IsQuantized(const TensorMap& tensors) { return Has(tensors, "embed.tokens.blocks"); }

LinearWeight* LinearAt(const ModelTensor& tensor, Weights* weights) { return FindPlace(tensor, weights); }

const LinearWeight* LinearAt(const ModelTensor& tensor, const Weights* weights) {
  return FindPlace(tensor, weights);
}

const float** VectorAt(const ModelTensor& tensor, Weights* weights) {
  if (tensor.role != TensorRole::kVector) return nullptr;
  switch (tensor.place) {
    case TensorPlace::kEmbedPositions: return &weights->embed_positions;
    case TensorPlace::kEmbedTypes: return &weights->embed_types;
    case TensorPlace::kQNorm: return &LayerOf(tensor, weights).q_norm;
    case TensorPlace::kKNorm: return &LayerOf(tensor, weights).k_norm;
    case TensorPlace::kSinks: return &LayerOf(tensor, weights).sinks;
    case TensorPlace::kScoreBias: return &LayerOf(tensor, weights).score_bias;
    case TensorPlace::kRouterBias: return &LayerOf(tensor, weights).router_bias;
    case TensorPlace::kConv: return &LayerOf(tensor, weights).conv;
    case TensorPlace::kConvBias: return &LayerOf(tensor, weights).conv_bias;
    case TensorPlace::kDeltaRate: return &LayerOf(tensor, weights).delta_rate;
    case TensorPlace::kDeltaDt: return &LayerOf(tensor, weights).delta_dt;
    case TensorPlace::kDeltaNorm: return &LayerOf(tensor, weights).delta_norm;
    default: break;
  }
  NormWeight* norm = NormAt(tensor, weights);
  return tensor.is_bias ? &norm->bias : &norm->weight;
}

std::vector<TensorPlan> PlanTensors(const ModelSpec& spec, const TensorMap& tensors, Weights* weights) {
  SizeLayers(spec, weights);
  std::vector<TensorPlan> plans;
  for (const ModelTensor& tensor : TensorsOf(spec)) {
    if (NormWeight* norm = NormAt(tensor, weights)) {
      norm->kind = spec.norm;
      norm->eps = spec.norm_eps;
    }
    if (tensor.optional && !IsThere(tensor, tensors)) continue;
    if (tensor.role == TensorRole::kVector) {
      plans.emplace_back(
          VectorPlan{tensor.name, tensor.layer, tensor.rows, tensor.columns, VectorAt(tensor, weights)});
    } else {
      plans.emplace_back(PlanLinear(tensor, tensors, weights));
    }
  }
  return plans;
}

std::string WeightName(const TensorPart& part, const TensorMap& tensors) {
  return Has(tensors, part.name) ? part.name : part.name + ".weight";
}

}  // namespace kvasir
