#include "model/model_spec.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace kvasir {

namespace {

// Far above any model that fits a machine, far below where products of two would overflow.
constexpr int64_t kLargestSize = int64_t{1} << 24;

[[noreturn]] void Fail(const std::string& what) {
  throw Error(ErrorCode::kModelFormat, "The model's " + what);
}

void InRange(const std::string& what, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  Fail(what + " is " + std::to_string(value) + ", outside " + std::to_string(least) + ".." +
       std::to_string(most));
}

void Positive(const std::string& what, int64_t value, int64_t most = kLargestSize) {
  InRange(what, value, 1, most);
}

void NotNegative(const std::string& what, float value) {
  if (value >= 0 && std::isfinite(value)) return;
  Fail(what + " is negative or not a number");
}

void Finite(const std::string& what, float value) {
  if (std::isfinite(value)) return;
  Fail(what + " is not a number");
}

void CheckScoreBias(const AttentionSpec& a) {
  const ScoreBiasSpec& bias = a.score_bias;
  if (bias.kind == ScoreBiasSpec::Kind::kAlibi) {
    if (static_cast<int64_t>(bias.slopes.size()) != a.n_heads) Fail("ALiBi slopes are not one for each head");
    for (const float slope : bias.slopes) Finite("ALiBi slope", slope);
  }
  if (bias.kind == ScoreBiasSpec::Kind::kBuckets) {
    InRange("number of relative buckets", bias.buckets, 4, 4096);
    InRange("largest relative distance", bias.max_distance, bias.buckets, int64_t{1} << 20);
  }
}

void CheckAttention(const AttentionSpec& a, const std::vector<RopeSpec>& ropes, int64_t max_positions) {
  Positive("number of heads", a.n_heads, 4096);
  Positive("number of key/value heads", a.n_kv_heads, 4096);
  Positive("head dimension", a.head_dim, 1024);
  if (a.n_heads % a.n_kv_heads != 0) {
    Fail(std::to_string(a.n_heads) + " heads do not divide among " + std::to_string(a.n_kv_heads) +
         " key/value heads");
  }
  InRange("rotary embedding of an attention", a.rope, -1, static_cast<int64_t>(ropes.size()) - 1);
  if (a.rope >= 0 &&
      2 * static_cast<int64_t>(ropes[static_cast<size_t>(a.rope)].inverse_frequencies.size()) > a.head_dim) {
    Fail("rotary frequencies do not fit the head dimension " + std::to_string(a.head_dim));
  }
  InRange("attention window", a.window, 0, int64_t{1} << 28);
  NotNegative("attention scale", a.scale);
  NotNegative("attention soft cap", a.soft_cap);
  NotNegative("query scale", a.query_scale_beta);
  if (a.query_scale_beta > 0)
    Positive("positions of the query scale", a.query_scale_positions, max_positions);
  CheckScoreBias(a);
}

void CheckState(const StateSpec& s) {
  InRange("number of a convolution's taps", s.taps, 2, kMostTaps);
  if (!s.is_delta_net()) {
    Positive("number of a convolution's channels", s.channels);
    return;
  }
  const DeltaHeads& heads = s.heads;
  Positive("number of key heads of a delta rule", heads.key_heads, 4096);
  Positive("number of value heads of a delta rule", heads.value_heads, 4096);
  Positive("key dimension of a delta rule", heads.key_dim, kMostStateHead);
  Positive("value dimension of a delta rule", heads.value_dim, kMostStateHead);
  if (heads.value_heads % heads.key_heads != 0) {
    Fail(std::to_string(heads.value_heads) + " value heads do not divide among " +
         std::to_string(heads.key_heads) + " key heads");
  }
}

void CheckExperts(const ExpertsSpec& e) {
  Positive("number of experts", e.count, kMaxExperts);
  Positive("number of experts used", e.used, e.count);
  Positive("number of expert groups", e.groups, std::min<int64_t>(e.count, kMaxExpertGroups));
  Positive("number of expert groups used", e.used_groups, e.groups);
  if (e.count % e.groups != 0 || e.used > e.count / e.groups * e.used_groups) {
    Fail(std::to_string(e.count) + " experts do not divide among " + std::to_string(e.groups) + " groups");
  }
  if (e.groups > 1 && e.group_score == GroupScore::kSumOfTwoLargest && e.count / e.groups < 2) {
    Fail("expert groups have one expert each, of which no two are summed");
  }
  NotNegative("addition to the sum of expert weights", e.sum_added);
  NotNegative("least sum of expert weights", e.sum_least);
  InRange("size of the shared expert", e.shared_size, 0, kLargestSize);
  if (e.shared_gate && e.shared_size == 0) Fail("shared expert has a gate and no size");
  NotNegative("scale of experts", e.scale);
}

void CheckFeedForward(const FeedForwardSpec& f) {
  Positive("feed-forward size", f.size);
  if (f.activation.kind == ActivationKind::kClampedSwiglu) {
    if (!f.gated) Fail("clamped SwiGLU has no gate");
    Finite("slope of the clamped SwiGLU", f.activation.alpha);
    NotNegative("limit of the clamped SwiGLU", f.activation.limit);
  }
  if (f.has_experts()) CheckExperts(f.experts);
}

// Each is a tensor or more: a file cannot ask for memory with two large numbers.
void CheckAllExperts(const ModelSpec& spec) {
  constexpr int64_t kMost = int64_t{1} << 17;
  int64_t all = 0;
  for (int64_t i = 0; i < spec.n_layers(); ++i) all += spec.feed_forward_of(i).experts.count;
  InRange("number of experts of all layers", all, 0, kMost);
}

template <typename Kinds, typename Size>
int64_t Largest(const Kinds& kinds, const Size& size) {
  int64_t largest = 0;
  for (const auto& kind : kinds) largest = std::max(largest, size(kind));
  return largest;
}

}  // namespace

bool ModelSpec::has_experts() const {
  return std::any_of(feed_forwards.begin(), feed_forwards.end(),
                     [](const FeedForwardSpec& f) { return f.has_experts(); });
}

bool ModelSpec::has_states() const {
  return std::any_of(stack.layers.begin(), stack.layers.end(),
                     [](const LayerSpec& layer) { return layer.state >= 0; });
}

bool ModelSpec::sees_ahead() const {
  return std::any_of(attentions.begin(), attentions.end(), [](const AttentionSpec& a) { return !a.causal; });
}

int64_t ModelSpec::padded_head_dim() const {
  return Largest(attentions, [](const AttentionSpec& a) { return a.padded_head_dim(); });
}

int64_t ModelSpec::qkv_size() const {
  return Largest(attentions, [](const AttentionSpec& a) { return a.qkv_size(); });
}

int64_t ModelSpec::attended_size() const {
  return std::max(Largest(attentions, [](const AttentionSpec& a) { return a.q_size(); }),
                  Largest(states, [](const StateSpec& s) { return s.mixed_size(); }));
}

int64_t ModelSpec::ffn_size() const {
  return Largest(feed_forwards,
                 [](const FeedForwardSpec& f) { return std::max(f.size, f.experts.shared_size); });
}

int64_t ModelSpec::gate_up_size() const {
  return Largest(feed_forwards, [](const FeedForwardSpec& f) {
    return (f.gated ? 2 : 1) * std::max(f.size, f.experts.shared_size);
  });
}

void ModelSpec::Check() const {
  Positive("vocabulary size", vocab_size);
  Positive("hidden size", hidden_size);
  Positive("number of positions", max_positions, int64_t{1} << 28);
  Positive("number of layers", n_layers(), 4096);
  for (const RopeSpec& rope : ropes) {
    if (rope.kind == RopeKind::kNone || rope.inverse_frequencies.empty()) {
      Fail("rotary embedding has no frequencies");
    }
    for (const float frequency : rope.inverse_frequencies) NotNegative("rotary frequency", frequency);
    NotNegative("scale of a rotary embedding", rope.scale);
    if (rope.long_inverse_frequencies.empty()) continue;
    Positive("reach of rotary frequencies", rope.long_beyond, int64_t{1} << 28);
    for (const float frequency : rope.long_inverse_frequencies) NotNegative("rotary frequency", frequency);
    if (rope.long_inverse_frequencies.size() != rope.inverse_frequencies.size()) {
      Fail("rotary embedding has not as many frequencies for long contexts as for short ones");
    }
  }
  for (const AttentionSpec& attention : attentions) CheckAttention(attention, ropes, max_positions);
  for (const StateSpec& state : states) CheckState(state);
  for (const FeedForwardSpec& feed_forward : feed_forwards) CheckFeedForward(feed_forward);
  for (const LayerSpec& layer : stack.layers) {
    const bool has_state = layer.state >= 0;
    InRange("state of a layer", layer.state, -1, static_cast<int64_t>(states.size()) - 1);
    InRange("attention of a layer", layer.attention, has_state ? -1 : 0,
            has_state ? -1 : static_cast<int64_t>(attentions.size()) - 1);
    InRange("feed-forward of a layer", layer.feed_forward, 0, static_cast<int64_t>(feed_forwards.size()) - 1);
  }
  CheckAllExperts(*this);
  InRange("number of learned positions", embedding.positions, 0, int64_t{1} << 28);
  if (embedding.positions > 0) {
    InRange("offset of learned positions", embedding.position_offset, 0, embedding.positions - max_positions);
  }
  InRange("number of token types", embedding.types, 0, 4096);
  Finite("scale of the embedding", embedding.scale);
  NotNegative("norm epsilon", norm_eps);
  Finite("scale of the residual", residual_scale);
  if (stack.form == BlockForm::kAddNorm && residual_scale != 1)
    Fail("norm of a sum has no scale of the residual");
  if (stack.shared_norm && stack.form != BlockForm::kParallel) Fail("norms are shared, but not in parallel");
  if (!stack.first_norm && stack.form != BlockForm::kPre) {
    Fail("first attention has no norm in a form where it never has one of its own");
  }
  Finite("scale of the logits", logits_scale);
  NotNegative("soft cap of the logits", logits_soft_cap);
}

}  // namespace kvasir
