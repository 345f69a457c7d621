#include "testing/transformer_reference.h"

#include <algorithm>
#include <cmath>

namespace kvasir::testing {

std::vector<double> Float64Model::Norm(const std::string& name, const Vector& x) const {
  const double n = static_cast<double>(x.size());
  double mean = 0, variance = 0;
  for (const double v : x) mean += v / n;
  if (kind_.spec.norm == NormKind::kRms) mean = 0;
  for (const double v : x) variance += (v - mean) * (v - mean) / n;
  Vector out;
  for (size_t i = 0; i < x.size(); ++i) {
    const double bias = container_.Has(name + ".bias") ? container_.values(name + ".bias")[i] : 0;
    out.push_back((x[i] - mean) / std::sqrt(variance + kind_.spec.norm_eps) *
                      container_.values(name + ".weight")[i] +
                  bias);
  }
  return out;
}

std::vector<double> Float64Model::Linear(const std::string& name, const Vector& x) const {
  const std::vector<float>& weight = container_.values(container_.Has(name) ? name : name + ".weight");
  Vector out(weight.size() / x.size());
  for (size_t row = 0; row < out.size(); ++row) {
    for (size_t i = 0; i < x.size(); ++i) out[row] += weight[row * x.size() + i] * x[i];
    if (container_.Has(name + ".bias")) out[row] += container_.values(name + ".bias")[row];
  }
  return out;
}

// The angle is a float32 product by the model's definition; all else is float64.
void Float64Model::Rope(int64_t position, double* head) const {
  const RopeSpec& rope = kind_.spec.ropes[0];
  const size_t half = rope.inverse_frequencies.size();
  const bool interleaved = rope.kind == RopeKind::kInterleaved;
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<float>(position) * rope.inverse_frequencies[i];
    const size_t low = interleaved ? 2 * i : i, high = interleaved ? 2 * i + 1 : i + half;
    const double a = head[low], b = head[high];
    head[low] = a * std::cos(angle) - b * std::sin(angle);
    head[high] = a * std::sin(angle) + b * std::cos(angle);
  }
}

std::vector<double> Float64Model::Attend(const std::vector<Vector>& keys, const std::vector<Vector>& values,
                                         const Vector& q) const {
  const AttentionSpec& s = kind_.spec.attentions[0];
  const size_t dim = static_cast<size_t>(s.head_dim);
  Vector out(q.size());
  for (size_t head = 0; head < static_cast<size_t>(s.n_heads); ++head) {
    const size_t kv = head / static_cast<size_t>(s.n_heads / s.n_kv_heads);
    Vector weights;
    double sum = 0;
    for (const Vector& key : keys) {
      double score = 0;
      for (size_t d = 0; d < dim; ++d) score += q[head * dim + d] * key[kv * dim + d];
      weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
      sum += weights.back();
    }
    for (size_t i = 0; i < values.size(); ++i) {
      for (size_t d = 0; d < dim; ++d) out[head * dim + d] += weights[i] / sum * values[i][kv * dim + d];
    }
  }
  return out;
}

std::vector<double> Float64Model::FeedForward(const std::string& layer, const Vector& x) const {
  const auto act = [&](double v) {
    switch (kind_.spec.feed_forwards[0].activation) {
      case ActivationKind::kSilu: return v / (1 + std::exp(-v));
      case ActivationKind::kGeluErf: return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
      case ActivationKind::kRelu: return std::max(v, 0.0);
      case ActivationKind::kRelu2: return std::max(v, 0.0) * std::max(v, 0.0);
      case ActivationKind::kQuickGelu: return v / (1 + std::exp(-1.702 * v));
      case ActivationKind::kClampedSwiglu:
        return std::min(v, 7.0) / (1 + std::exp(-1.702 * std::min(v, 7.0)));
      case ActivationKind::kGeluTanh: break;
    }
    return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
  };
  Vector up = Linear(layer + "up", x);
  const bool gated = kind_.spec.feed_forwards[0].gated;
  const bool clamped = kind_.spec.feed_forwards[0].activation == ActivationKind::kClampedSwiglu;
  const Vector gate = gated ? Linear(layer + "gate", x) : up;
  for (size_t i = 0; i < up.size(); ++i) {
    const double factor = clamped ? std::clamp(up[i], -7.0, 7.0) + 1 : up[i];
    up[i] = gated ? act(gate[i]) * factor : act(up[i]);
  }
  return Linear(layer + "down", up);
}

std::vector<std::vector<double>> Float64Model::Logits(const std::vector<int32_t>& tokens) const {
  const ModelSpec& s = kind_.spec;
  const size_t hidden = static_cast<size_t>(s.hidden_size);
  std::vector<std::vector<Vector>> keys(static_cast<size_t>(s.n_layers())), values = keys;
  std::vector<Vector> logits;
  const auto add = [](Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  };
  for (size_t position = 0; position < tokens.size(); ++position) {
    const size_t token = static_cast<size_t>(tokens[position]);
    Vector x(hidden);
    for (size_t i = 0; i < hidden; ++i) {
      x[i] = container_.values("embed.tokens")[token * hidden + i];
      if (s.embedding.positions > 0) x[i] += container_.values("embed.positions")[position * hidden + i];
    }
    for (size_t l = 0; l < static_cast<size_t>(s.n_layers()); ++l) {
      const std::string layer = "layers." + std::to_string(l) + ".";
      const Vector normed = Norm(layer + "attn_norm", x);
      Vector q = Linear(layer + "q", normed), k = Linear(layer + "k", normed);
      for (Vector* heads : {&q, &k}) {
        for (size_t at = 0; at < heads->size() && s.attentions[0].rope >= 0;
             at += static_cast<size_t>(s.attentions[0].head_dim)) {
          Rope(static_cast<int64_t>(position), heads->data() + at);
        }
      }
      keys[l].push_back(k);
      values[l].push_back(Linear(layer + "v", normed));
      add(x, Linear(layer + "o", Attend(keys[l], values[l], q)));
      add(x, FeedForward(layer, Norm(layer + "ffn_norm", x)));
    }
    logits.push_back(Linear(kind_.tied ? "embed.tokens" : "lm_head", Norm("final_norm", x)));
  }
  return logits;
}

}  // namespace kvasir::testing
