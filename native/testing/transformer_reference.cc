#include "testing/transformer_reference.h"

#include <algorithm>
#include <cmath>

namespace kvasir::testing {

namespace {

std::string At(int64_t layer) { return "layers." + std::to_string(layer) + "."; }

double Capped(double x, float cap) { return cap > 0 ? cap * std::tanh(x / cap) : x; }

double Activated(const ActivationForm& form, double v) {
  switch (form.kind) {
    case ActivationKind::kSilu: return v / (1 + std::exp(-v));
    case ActivationKind::kGeluErf: return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0)));
    case ActivationKind::kGeluTanh: break;
    case ActivationKind::kRelu: return std::max(v, 0.0);
    case ActivationKind::kRelu2: return std::max(v, 0.0) * std::max(v, 0.0);
    case ActivationKind::kQuickGelu: return v / (1 + std::exp(-1.702 * v));
    case ActivationKind::kClampedSwiglu: {
      const double limited = std::min(v, static_cast<double>(form.limit));
      return limited / (1 + std::exp(-form.alpha * limited));
    }
  }
  return 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
}

// What gate multiplies.
double Up(const ActivationForm& form, double v) {
  if (form.kind != ActivationKind::kClampedSwiglu) return v;
  const double limit = form.limit;
  return std::clamp(v, -limit, limit) + 1;
}

// The experts of a row, the best first, and their weights, of the logits of its router.
struct Routed {
  std::vector<size_t> experts;
  std::vector<double> weights;
};

std::vector<double> Softmax(const std::vector<double>& x) {
  std::vector<double> out;
  double sum = 0;
  for (const double v : x) sum += std::exp(v);
  for (const double v : x) out.push_back(std::exp(v) / sum);
  return out;
}

// Indices of the largest n, largest first.
std::vector<size_t> Largest(const std::vector<double>& x, int64_t n) {
  std::vector<size_t> order(x.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
  order.resize(static_cast<size_t>(n));
  return order;
}

// The experts of all but the best groups are worth nothing.
void KeepGroups(const ExpertsSpec& e, std::vector<double>* choice) {
  const auto size = static_cast<size_t>(e.count / e.groups);
  std::vector<double> worth;
  for (size_t first = 0; first < choice->size(); first += size) {
    std::vector<double> group(choice->begin() + static_cast<int64_t>(first),
                              choice->begin() + static_cast<int64_t>(first + size));
    std::sort(group.rbegin(), group.rend());
    worth.push_back(group[0] + (e.group_score == GroupScore::kLargest ? 0 : group[1]));
  }
  std::vector<bool> kept(worth.size());
  for (const size_t group : Largest(worth, e.used_groups)) kept[group] = true;
  for (size_t i = 0; i < choice->size(); ++i) {
    if (!kept[i / size]) (*choice)[i] = -HUGE_VAL;
  }
}

Routed RoutedBy(const ExpertsSpec& e, const std::vector<double>& logits, const std::vector<float>* bias) {
  std::vector<double> scores = e.score == RouterScore::kSoftmax ? Softmax(logits) : logits;
  if (e.score == RouterScore::kSigmoid) {
    for (double& v : scores) v = 1 / (1 + std::exp(-v));
  }
  std::vector<double> choice = scores;
  for (size_t i = 0; bias != nullptr && i < choice.size(); ++i) choice[i] += (*bias)[i];
  if (e.groups > 1) KeepGroups(e, &choice);
  Routed routed = {Largest(choice, e.used), {}};
  for (const size_t expert : routed.experts) routed.weights.push_back(scores[expert]);
  if (e.score == RouterScore::kSoftmaxOfChosen) routed.weights = Softmax(routed.weights);
  double sum = e.sum_added;
  for (const double weight : routed.weights) sum += weight;
  const double divisor = e.renormalize ? std::max(sum, static_cast<double>(e.sum_least)) : 1;
  for (double& weight : routed.weights) weight = weight / divisor * e.scale;
  return routed;
}

// T5's buckets: one distance each up to half of a side, then from bucket k on at least exact (largest / exact)^(k / rest).
int64_t Bucket(const ScoreBiasSpec& bias, int64_t distance) {
  if (!bias.bidirectional && distance > 0) return 0;
  const int64_t side = bias.bidirectional ? bias.buckets / 2 : bias.buckets, exact = side / 2;
  const double far = static_cast<double>(std::abs(distance)),
               largest = static_cast<double>(bias.max_distance);
  const int64_t first = distance > 0 ? side : 0;
  if (far < static_cast<double>(exact)) return first + std::abs(distance);
  int64_t bucket = exact;
  const auto begins = [&](int64_t k) {
    const double part = static_cast<double>(k - exact) / static_cast<double>(side - exact);
    return static_cast<double>(exact) * std::pow(largest / static_cast<double>(exact), part);
  };
  while (bucket + 1 < side && far > begins(bucket + 1) - 1e-9) ++bucket;
  return first + bucket;
}

bool Sees(const AttentionSpec& a, int64_t position, int64_t key) {
  if (a.causal && key > position) return false;
  return a.window == 0 || std::abs(position - key) < a.window;
}

}  // namespace

bool Float64Model::NormsInput() const {
  return spec_.stack.form != BlockForm::kPost && spec_.stack.form != BlockForm::kAddNorm;
}

std::vector<double> Float64Model::Norm(const std::string& name, const Vector& x) const {
  const double n = static_cast<double>(x.size());
  double mean = 0, variance = 0;
  for (const double v : x) mean += v / n;
  if (spec_.norm == NormKind::kRms) mean = 0;
  for (const double v : x) variance += (v - mean) * (v - mean) / n;
  Vector out;
  for (size_t i = 0; i < x.size(); ++i) {
    const double bias = container_.Has(name + ".bias") ? container_.values(name + ".bias")[i] : 0;
    out.push_back(
        (x[i] - mean) / std::sqrt(variance + spec_.norm_eps) * container_.values(name + ".weight")[i] + bias);
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
  Adapt(name, x, &out);
  return out;
}

// out += scale B (A x)
void Float64Model::Adapt(const std::string& name, const Vector& x, Vector* out) const {
  if (adapter_ == nullptr) return;
  for (const AdapterTensor& tensor : *adapter_) {
    if (tensor.name != name) continue;
    const auto rank = static_cast<size_t>(tensor.rank);
    for (size_t r = 0; r < rank; ++r) {
      double low = 0;
      for (size_t i = 0; i < x.size(); ++i) low += tensor.a[r * x.size() + i] * x[i];
      for (size_t row = 0; row < out->size(); ++row) {
        (*out)[row] += tensor.scale * tensor.b[row * rank + r] * low;
      }
    }
  }
}

// Through a norm, if it has a name.
Float64Model::Rows Float64Model::Each(const Rows& x, const std::string& norm) const {
  if (norm.empty()) return x;
  Rows out;
  for (const Vector& row : x) out.push_back(Norm(norm, row));
  return out;
}

// The angle is a float32 product by the model's definition; all else is float64.
void Float64Model::Rope(const AttentionSpec& a, int64_t position, double* head) const {
  if (a.rope < 0) return;
  const RopeSpec& rope = spec_.ropes[static_cast<size_t>(a.rope)];
  const std::vector<float>& frequencies = rope.long_beyond > 0 && positions_ > rope.long_beyond
                                              ? rope.long_inverse_frequencies
                                              : rope.inverse_frequencies;
  const size_t half = frequencies.size();
  const bool interleaved = rope.kind == RopeKind::kInterleaved;
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<float>(position) * frequencies[i];
    const double cos = std::cos(angle) * rope.scale, sin = std::sin(angle) * rope.scale;
    const size_t low = interleaved ? 2 * i : i, high = interleaved ? 2 * i + 1 : i + half;
    const double x = head[low], y = head[high];
    head[low] = x * cos - y * sin;
    head[high] = x * sin + y * cos;
  }
}

void Float64Model::HeadNorm(const AttentionSpec& a, const std::string& name, Vector* heads) const {
  const std::vector<float>& weight = container_.values(name + ".weight");
  const size_t width = a.head_norm.kind == HeadNormKind::kFullRow ? heads->size() : weight.size();
  for (size_t first = 0; first < heads->size(); first += width) {
    double squares = 0;
    for (size_t i = 0; i < width; ++i) squares += (*heads)[first + i] * (*heads)[first + i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + spec_.norm_eps);
    for (size_t i = 0; i < width; ++i) (*heads)[first + i] *= scale * weight[i];
  }
}

// Norm of heads and rotary embedding, in their order.
std::vector<double> Float64Model::Rotated(const AttentionSpec& a, const std::string& norm, int64_t position,
                                          Vector heads) const {
  const bool normed = a.head_norm.kind != HeadNormKind::kNone;
  if (normed && !a.head_norm.after_rope) HeadNorm(a, norm, &heads);
  for (size_t first = 0; first < heads.size(); first += static_cast<size_t>(a.head_dim)) {
    Rope(a, position, heads.data() + first);
  }
  if (normed && a.head_norm.after_rope) HeadNorm(a, norm, &heads);
  return heads;
}

double Float64Model::Score(int64_t layer, int64_t head, int64_t position, int64_t key, double dot) const {
  const AttentionSpec& a = spec_.attention_of(layer);
  const double scale = a.scale > 0 ? a.scale : 1 / std::sqrt(static_cast<double>(a.head_dim));
  double score = Capped(dot * scale, a.soft_cap);
  if (a.score_bias.kind == ScoreBiasSpec::Kind::kAlibi) {
    score -= a.score_bias.slopes[static_cast<size_t>(head)] * static_cast<double>(std::abs(position - key));
  }
  if (a.score_bias.kind == ScoreBiasSpec::Kind::kBuckets) {
    const std::vector<float>& table = container_.values(At(layer) + "score_bias");
    score += table[static_cast<size_t>(Bucket(a.score_bias, key - position) * a.n_heads + head)];
  }
  return score;
}

Float64Model::Rows Float64Model::Attention(int64_t index, const Rows& x) const {
  const AttentionSpec& a = spec_.attention_of(index);
  const std::string layer = At(index);
  const auto dim = static_cast<size_t>(a.head_dim);
  Rows queries, keys, values, out;
  for (size_t p = 0; p < x.size(); ++p) {
    const auto position = static_cast<int64_t>(p);
    queries.push_back(Rotated(a, layer + "q_norm", position, Linear(layer + "q", x[p])));
    keys.push_back(Rotated(a, layer + "k_norm", position, Linear(layer + "k", x[p])));
    values.push_back(Linear(layer + "v", x[p]));
    if (a.query_scale_beta == 0) continue;
    const double blocks = std::floor(static_cast<double>(p) / static_cast<double>(a.query_scale_positions));
    for (double& q : queries.back()) q *= 1 + a.query_scale_beta * std::log(1 + blocks);
  }
  for (size_t p = 0; p < x.size(); ++p) {
    Vector attended(queries[p].size());
    for (size_t head = 0; head < static_cast<size_t>(a.n_heads); ++head) {
      const size_t kv = head / static_cast<size_t>(a.n_heads / a.n_kv_heads);
      double sum = a.sinks ? std::exp(container_.values(layer + "sinks")[head]) : 0;
      Vector weights(x.size());
      for (size_t key = 0; key < x.size(); ++key) {
        if (!Sees(a, static_cast<int64_t>(p), static_cast<int64_t>(key))) continue;
        double dot = 0;
        for (size_t d = 0; d < dim; ++d) dot += queries[p][head * dim + d] * keys[key][kv * dim + d];
        weights[key] = std::exp(Score(index, static_cast<int64_t>(head), static_cast<int64_t>(p),
                                      static_cast<int64_t>(key), dot));
        sum += weights[key];
      }
      for (size_t key = 0; key < x.size(); ++key) {
        for (size_t d = 0; d < dim; ++d) {
          attended[head * dim + d] += weights[key] / sum * values[key][kv * dim + d];
        }
      }
    }
    if (a.output_gate) {
      const Vector gate = Linear(layer + "attn_gate", x[p]);
      for (size_t i = 0; i < gate.size(); ++i) attended[i] /= 1 + std::exp(-gate[i]);
    }
    out.push_back(Linear(layer + "o", attended));
  }
  return out;
}

std::vector<double> Float64Model::FeedForward(const FeedForwardSpec& f, const std::string& at,
                                              const Vector& x) const {
  Vector up = Linear(at + "up", x);
  const Vector gate = f.gated ? Linear(at + "gate", x) : up;
  for (size_t i = 0; i < up.size(); ++i) {
    const double activated = Activated(f.activation, gate[i]);
    up[i] = f.gated ? activated * Up(f.activation, up[i]) : activated;
  }
  return Linear(at + "down", up);
}

std::vector<double> Float64Model::Experts(const FeedForwardSpec& f, const std::string& at,
                                          const Vector& x) const {
  const std::vector<float>* bias =
      f.experts.selection_bias ? &container_.values(at + "router_bias") : nullptr;
  const Routed routed = RoutedBy(f.experts, Linear(at + "router", x), bias);
  Vector out(x.size());
  const auto add = [&](double weight, const std::string& expert) {
    const Vector y = FeedForward(f, expert, x);
    for (size_t i = 0; i < out.size(); ++i) out[i] += weight * y[i];
  };
  for (size_t rank = 0; rank < routed.experts.size(); ++rank) {
    add(routed.weights[rank], at + "experts." + std::to_string(routed.experts[rank]) + ".");
  }
  if (f.experts.shared_size == 0) return out;
  const double gate = f.experts.shared_gate ? 1 / (1 + std::exp(-Linear(at + "shared_gate", x).front())) : 1;
  add(gate, at + "shared.");
  return out;
}

// x joined by what a part of a layer made of it; `post` names the norm of the forms that have one there.
void Float64Model::Join(Rows* x, const Rows& y, const std::string& post) const {
  const BlockForm form = spec_.stack.form;
  const bool norms_output = form == BlockForm::kPost || form == BlockForm::kSandwich;
  for (size_t p = 0; p < x->size(); ++p) {
    const Vector added = norms_output ? Norm(post, y[p]) : y[p];
    for (size_t i = 0; i < added.size(); ++i) (*x)[p][i] += spec_.residual_scale * added[i];
    if (form == BlockForm::kAddNorm) (*x)[p] = Norm(post, (*x)[p]);
  }
}

void Float64Model::RunLayer(int64_t layer, Rows* x) const {
  const BlockForm form = spec_.stack.form;
  const std::string at = At(layer), first = at + "attn_norm",
                    second = spec_.stack.shared_norm ? first : at + "ffn_norm";
  const bool sandwich = form == BlockForm::kSandwich;
  const bool first_norm = NormsInput() && (layer > 0 || spec_.stack.first_norm);
  const Rows before = *x;
  const Rows normed = Each(*x, first_norm ? first : "");
  Join(x, spec_.has_state(layer) ? State(layer, normed) : Attention(layer, normed),
       sandwich ? at + "attn_post_norm" : first);
  Rows fed;
  for (const Vector& row : Each(form == BlockForm::kParallel ? before : *x, NormsInput() ? second : "")) {
    const FeedForwardSpec& f = spec_.feed_forward_of(layer);
    fed.push_back(f.has_experts() ? Experts(f, at, row) : FeedForward(f, at, row));
  }
  Join(x, fed, sandwich ? at + "ffn_post_norm" : second);
}

Float64Model::Rows Float64Model::Embedded(const std::vector<int32_t>& tokens) const {
  const auto hidden = static_cast<size_t>(spec_.hidden_size);
  const EmbeddingSpec& e = spec_.embedding;
  Rows x;
  for (size_t p = 0; p < tokens.size(); ++p) {
    Vector row(hidden);
    const auto type = static_cast<size_t>(TypeOf(spec_, tokens[p]));
    for (size_t i = 0; i < hidden; ++i) {
      row[i] = e.scale * container_.values("embed.tokens")[static_cast<size_t>(tokens[p]) * hidden + i];
      const size_t position = p + static_cast<size_t>(e.position_offset);
      if (e.types > 0) row[i] += container_.values("embed.types")[type * hidden + i];
      if (e.positions > 0) row[i] += container_.values("embed.positions")[position * hidden + i];
    }
    x.push_back(e.norm ? Norm("embed.norm", row) : row);
  }
  return x;
}

std::vector<std::vector<double>> Float64Model::Hidden(const std::vector<int32_t>& tokens) const {
  Rows x = Embedded(tokens);
  for (int64_t layer = 0; layer < spec_.n_layers(); ++layer) RunLayer(layer, &x);
  return Each(x, spec_.final_norm ? "final_norm" : "");
}

std::vector<std::vector<double>> Float64Model::Logits(const std::vector<int32_t>& tokens) const {
  Rows logits;
  for (const Vector& row : Hidden(tokens)) {
    logits.push_back(Linear(tied_ ? "embed.tokens" : "lm_head", row));
    if (tied_) Adapt("lm_head", row, &logits.back());
    for (double& v : logits.back()) v = Capped(v * spec_.logits_scale, spec_.logits_soft_cap);
  }
  return logits;
}

std::vector<std::vector<double>> Float64Model::Outputs(const std::vector<int32_t>& tokens) const {
  return spec_.head == HeadKind::kLogits ? Logits(tokens) : Hidden(tokens);
}

}  // namespace kvasir::testing
