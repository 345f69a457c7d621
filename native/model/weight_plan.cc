#include "model/weight_plan.h"

#include "quant/int8_layout.h"

namespace kvasir {

namespace {

class Planner {
 public:
  Planner(const ModelSpec& spec, const TensorMap& tensors, Weights* weights)
      : s_(spec), tensors_(tensors), weights_(*weights) {}

  std::vector<TensorPlan> Plan() {
    weights_.layers.resize(static_cast<size_t>(s_.n_layers));
    Linear("embed.tokens", {{"embed.tokens", s_.vocab_size}}, s_.hidden_size, &weights_.embed_tokens);
    if (Has("embed.positions")) {
      Vector("embed.positions", s_.max_positions, s_.hidden_size, &weights_.embed_positions);
    }
    for (int64_t i = 0; i < s_.n_layers; ++i) {
      Layer("layers." + std::to_string(i) + ".", &weights_.layers[static_cast<size_t>(i)]);
    }
    Norm("final_norm", &weights_.final_norm);
    if (Has("lm_head.weight") || Has("lm_head.blocks")) {
      Linear("lm_head", {{"lm_head", s_.vocab_size}}, s_.hidden_size, &weights_.lm_head);
    }
    return std::move(plans_);
  }

 private:
  bool Has(const std::string& name) const { return tensors_.count(name) != 0; }

  void Layer(const std::string& at, LayerWeights* layer) {
    const int64_t heads = s_.n_heads * s_.head_dim, kv_heads = s_.n_kv_heads * s_.head_dim;
    Norm(at + "attn_norm", &layer->attn_norm);
    Linear(at + "qkv", {{at + "q", heads}, {at + "k", kv_heads}, {at + "v", kv_heads}}, s_.hidden_size,
           &layer->qkv);
    Linear(at + "o", {{at + "o", s_.hidden_size}}, heads, &layer->o);
    Norm(at + "ffn_norm", &layer->ffn_norm);
    std::vector<Part> gate_up;
    if (s_.gated) gate_up.push_back({at + "gate", s_.ffn_size});
    gate_up.push_back({at + "up", s_.ffn_size});
    Linear(at + "gate_up", std::move(gate_up), s_.hidden_size, &layer->gate_up);
    Linear(at + "down", {{at + "down", s_.hidden_size}}, s_.ffn_size, &layer->down);
  }

  void Linear(const std::string& name, std::vector<Part> parts, int64_t k, LinearWeight* target) {
    LinearPlan plan{name, std::move(parts), k, Has(name + ".bias"), target};
    for (const Part& part : plan.parts) plan.biased = plan.biased || Has(part.name + ".bias");
    plans_.emplace_back(std::move(plan));
  }

  void Vector(const std::string& name, int64_t rows, int64_t columns, const float** target) {
    plans_.emplace_back(VectorPlan{name, rows, columns, target});
  }

  void Norm(const std::string& name, NormWeight* norm) {
    norm->kind = s_.norm;
    norm->eps = s_.norm_eps;
    Vector(name + ".weight", 1, s_.hidden_size, &norm->weight);
    if (Has(name + ".bias")) Vector(name + ".bias", 1, s_.hidden_size, &norm->bias);
  }

  const ModelSpec& s_;
  const TensorMap& tensors_;
  Weights& weights_;
  std::vector<TensorPlan> plans_;
};

}  // namespace

int64_t LinearPlan::padded_n() const { return (n() + kPanelColumns - 1) / kPanelColumns * kPanelColumns; }

bool IsQuantized(const TensorMap& tensors) { return tensors.count("embed.tokens.blocks") != 0; }

std::vector<TensorPlan> PlanTensors(const ModelSpec& spec, const TensorMap& tensors, Weights* weights) {
  return Planner(spec, tensors, weights).Plan();
}

std::string WeightName(const Part& part, const TensorMap& tensors) {
  return tensors.count(part.name) != 0 ? part.name : part.name + ".weight";
}

}  // namespace kvasir
