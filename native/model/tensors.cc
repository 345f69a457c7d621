#include "model/tensors.h"

namespace kvasir {

namespace {

class Table {
 public:
  explicit Table(const ModelSpec& spec) : s_(spec) {}

  std::vector<ModelTensor> Make() {
    Embedding();
    for (layer_ = 0; layer_ < s_.n_layers(); ++layer_) Layer();
    at_.clear();
    if (s_.final_norm) Norm(TensorPlace::kFinalNorm, "final_norm", s_.hidden_size);
    if (s_.head == HeadKind::kLogits) {
      Linear(TensorPlace::kLmHead, "lm_head", {{"lm_head", s_.vocab_size}}, s_.hidden_size).optional = true;
    }
    return std::move(tensors_);
  }

 private:
  void Embedding() {
    const EmbeddingSpec& e = s_.embedding;
    Linear(TensorPlace::kEmbedTokens, "embed.tokens", {{"embed.tokens", s_.vocab_size}}, s_.hidden_size)
        .role = TensorRole::kTable;
    if (e.positions > 0) Vector(TensorPlace::kEmbedPositions, "embed.positions", e.positions, s_.hidden_size);
    if (e.types > 0) Vector(TensorPlace::kEmbedTypes, "embed.types", e.types, s_.hidden_size);
    if (e.norm) Norm(TensorPlace::kEmbedNorm, "embed.norm", s_.hidden_size);
  }

  void Layer() {
    at_ = "layers." + std::to_string(layer_) + ".";
    const FeedForwardSpec& f = s_.feed_forward_of(layer_);
    const bool sandwich = s_.stack.form == BlockForm::kSandwich;
    if (layer_ > 0 || s_.stack.first_norm) Norm(TensorPlace::kAttnNorm, "attn_norm", s_.hidden_size);
    if (s_.has_state(layer_)) {
      State(s_.state_of(layer_));
    } else {
      Attention(s_.attention_of(layer_));
    }
    if (sandwich) Norm(TensorPlace::kAttnPostNorm, "attn_post_norm", s_.hidden_size);
    if (!s_.stack.shared_norm) Norm(TensorPlace::kFfnNorm, "ffn_norm", s_.hidden_size);
    if (f.has_experts()) {
      Experts(f);
    } else {
      FeedForward(TensorPlace::kGateUp, TensorPlace::kDown, "", f.gated, f.size);
    }
    if (sandwich) Norm(TensorPlace::kFfnPostNorm, "ffn_post_norm", s_.hidden_size);
  }

  void Attention(const AttentionSpec& a) {
    Linear(TensorPlace::kQkv, "qkv", {{"q", a.q_size()}, {"k", a.kv_size()}, {"v", a.kv_size()}},
           s_.hidden_size);
    if (a.head_norm.kind != HeadNormKind::kNone) {
      const bool whole = a.head_norm.kind == HeadNormKind::kFullRow;
      Vector(TensorPlace::kQNorm, "q_norm.weight", 1, whole ? a.q_size() : a.head_dim);
      Vector(TensorPlace::kKNorm, "k_norm.weight", 1, whole ? a.kv_size() : a.head_dim);
    }
    if (a.sinks) Vector(TensorPlace::kSinks, "sinks", 1, a.n_heads);
    if (a.score_bias.kind == ScoreBiasSpec::Kind::kBuckets) {
      Vector(TensorPlace::kScoreBias, "score_bias", a.score_bias.buckets, a.n_heads);
    }
    if (a.output_gate) {
      Linear(TensorPlace::kAttnGate, "attn_gate", {{"attn_gate", a.q_size()}}, s_.hidden_size);
    }
    Linear(TensorPlace::kO, "o", {{"o", s_.hidden_size}}, a.q_size());
  }

  void State(const StateSpec& s) {
    Vector(TensorPlace::kConv, "conv.weight", s.taps, s.conv_channels());
    if (s.is_delta_net()) {
      DeltaNet(s.heads);
    } else {
      ModelTensor& bias = Vector(TensorPlace::kConvBias, "conv.bias", 1, s.channels);
      bias.is_bias = true;
      bias.optional = true;
      Linear(TensorPlace::kStateIn, "conv_in", {{"conv_in", s.in_size()}}, s_.hidden_size);
    }
    Linear(TensorPlace::kO, "o", {{"o", s_.hidden_size}}, s.mixed_size());
  }

  void DeltaNet(const DeltaHeads& heads) {
    const int64_t keys = heads.key_size(), values = heads.value_size(), n = heads.value_heads;
    Linear(TensorPlace::kStateIn, "delta_in",
           {{"delta_q", keys}, {"delta_k", keys}, {"delta_v", values}, {"delta_z", values}}, s_.hidden_size);
    // What is wrong in a decay is taken to the power of all rows to come.
    Linear(TensorPlace::kDeltaGates, "delta_gates", {{"delta_b", n}, {"delta_a", n}}, s_.hidden_size)
        .float32 = true;
    Vector(TensorPlace::kDeltaRate, "delta_rate", 1, n);
    Vector(TensorPlace::kDeltaDt, "delta_dt", 1, n);
    Vector(TensorPlace::kDeltaNorm, "delta_norm.weight", 1, heads.value_dim);
  }

  void Experts(const FeedForwardSpec& f) {
    const ExpertsSpec& e = f.experts;
    // A rounded score would choose another expert.
    Linear(TensorPlace::kRouter, "router", {{"router", e.count}}, s_.hidden_size).float32 = true;
    if (e.selection_bias) Vector(TensorPlace::kRouterBias, "router_bias", 1, e.count);
    for (expert_ = 0; expert_ < e.count; ++expert_) {
      const std::string at = "experts." + std::to_string(expert_) + ".";
      FeedForward(TensorPlace::kExpertGateUp, TensorPlace::kExpertDown, at, f.gated, f.size);
    }
    expert_ = -1;
    if (e.shared_size == 0) return;
    FeedForward(TensorPlace::kSharedGateUp, TensorPlace::kSharedDown, "shared.", f.gated, e.shared_size);
    if (!e.shared_gate) return;
    Linear(TensorPlace::kSharedGate, "shared_gate", {{"shared_gate", 1}}, s_.hidden_size).float32 = true;
  }

  void FeedForward(TensorPlace gate_up, TensorPlace down, const std::string& at, bool gated, int64_t size) {
    std::vector<TensorPart> parts;
    if (gated) parts.push_back({at + "gate", size});
    parts.push_back({at + "up", size});
    Linear(gate_up, at + "gate_up", std::move(parts), s_.hidden_size);
    Linear(down, at + "down", {{at + "down", s_.hidden_size}}, size);
  }

  ModelTensor& Add(TensorPlace place, TensorRole role, const std::string& name) {
    return tensors_.emplace_back(
        ModelTensor{.place = place, .role = role, .name = at_ + name, .layer = layer_, .expert = expert_});
  }

  ModelTensor& Linear(TensorPlace place, const std::string& name, std::vector<TensorPart> parts, int64_t k) {
    ModelTensor& tensor = Add(place, TensorRole::kLinear, name);
    tensor.rows = 0;
    tensor.columns = k;
    for (TensorPart& part : parts) {
      part.name = at_ + part.name;
      tensor.rows += part.rows;
    }
    tensor.parts = std::move(parts);
    return tensor;
  }

  ModelTensor& Vector(TensorPlace place, const std::string& name, int64_t rows, int64_t columns) {
    ModelTensor& tensor = Add(place, TensorRole::kVector, name);
    tensor.rows = rows;
    tensor.columns = columns;
    return tensor;
  }

  void Norm(TensorPlace place, const std::string& name, int64_t size) {
    Vector(place, name + ".weight", 1, size);
    if (s_.norm != NormKind::kLayer) return;
    ModelTensor& bias = Vector(place, name + ".bias", 1, size);
    bias.is_bias = true;
    bias.optional = true;
  }

  const ModelSpec& s_;
  std::vector<ModelTensor> tensors_;
  std::string at_;
  int64_t layer_ = ModelTensor::kBeforeLayers;
  int64_t expert_ = -1;
};

}  // namespace

std::vector<ModelTensor> TensorsOf(const ModelSpec& spec) { return Table(spec).Make(); }

const char* ReadBy(const ModelTensor& tensor, const ModelSpec& spec) {
  switch (tensor.place) {
    case TensorPlace::kQkv:
    case TensorPlace::kAttnGate:
    case TensorPlace::kStateIn:
    case TensorPlace::kDeltaGates: return "attn_norm";
    case TensorPlace::kO: {
      const bool is_gated = !spec.has_state(tensor.layer) && spec.attention_of(tensor.layer).output_gate;
      return is_gated ? "attn_gated" : "attention";
    }
    case TensorPlace::kRouter:
    case TensorPlace::kGateUp:
    case TensorPlace::kExpertGateUp:
    case TensorPlace::kSharedGateUp:
    case TensorPlace::kSharedGate: return "ffn_norm";
    case TensorPlace::kDown:
    case TensorPlace::kExpertDown:
    case TensorPlace::kSharedDown: return kActivation;
    case TensorPlace::kEmbedTokens:
    case TensorPlace::kEmbedPositions:
    case TensorPlace::kEmbedTypes:
    case TensorPlace::kEmbedNorm:
    case TensorPlace::kAttnNorm:
    case TensorPlace::kAttnPostNorm:
    case TensorPlace::kQNorm:
    case TensorPlace::kKNorm:
    case TensorPlace::kConv:
    case TensorPlace::kConvBias:
    case TensorPlace::kDeltaRate:
    case TensorPlace::kDeltaDt:
    case TensorPlace::kDeltaNorm:
    case TensorPlace::kSinks:
    case TensorPlace::kScoreBias:
    case TensorPlace::kFfnNorm:
    case TensorPlace::kFfnPostNorm:
    case TensorPlace::kRouterBias:
    case TensorPlace::kFinalNorm:
    case TensorPlace::kLmHead: break;
  }
  return nullptr;
}

}  // namespace kvasir
