#include "model/linears.h"

namespace kvasir {

namespace {

struct LayerLinear {
  const char* name;
  LinearWeight LayerWeights::*member;
};

constexpr LayerLinear kLayerLinears[] = {{"qkv", &LayerWeights::qkv},
                                         {"o", &LayerWeights::o},
                                         {"gate_up", &LayerWeights::gate_up},
                                         {"down", &LayerWeights::down}};

bool IsTied(const Weights& weights) { return weights.lm_head.panels == weights.embed_tokens.panels; }

std::string NameOf(size_t layer, const LayerLinear& linear) {
  return "layers." + std::to_string(layer) + "." + linear.name;
}

}  // namespace

std::vector<std::string> LinearNames(const Weights& weights) {
  std::vector<std::string> names = {"embed.tokens"};
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    for (const LayerLinear& linear : kLayerLinears) names.push_back(NameOf(layer, linear));
  }
  if (!IsTied(weights)) names.push_back("lm_head");
  return names;
}

LinearWeight* FindLinear(Weights* weights, const std::string& name) {
  if (name == "embed.tokens") return &weights->embed_tokens;
  if (name == "lm_head" && !IsTied(*weights)) return &weights->lm_head;
  for (size_t layer = 0; layer < weights->layers.size(); ++layer) {
    for (const LayerLinear& linear : kLayerLinears) {
      if (name == NameOf(layer, linear)) return &(weights->layers[layer].*linear.member);
    }
  }
  return nullptr;
}

void LinkLinears(const ModelSpec& spec, Weights* weights) {
  LinearWeight* last = nullptr;
  const auto follow = [&](LinearWeight* linear) {
    if (last != nullptr) last->next = linear;
    last = linear;
  };
  for (LayerWeights& layer : weights->layers) {
    layer.gate_up.sides = spec.gated ? 2 : 1;
    for (const LayerLinear& linear : kLayerLinears) follow(&(layer.*linear.member));
  }
  follow(&weights->lm_head);
}

const LinearWeight* FindLinear(const Weights& weights, const std::string& name) {
  return FindLinear(const_cast<Weights*>(&weights), name);
}

}  // namespace kvasir
