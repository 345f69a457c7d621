#include "testing/random_specs.h"

#include <cmath>

#include "testing/kernel_inputs.h"

namespace kvasir::testing {

namespace {

class Draw {
 public:
  explicit Draw(uint32_t seed) : random_(seed) {}

  int64_t Size(int64_t least, int64_t most) { return random_.Integer(least, most); }
  bool Chance(int64_t in) { return Size(1, in) == 1; }
  template <typename Value>
  Value OneOf(std::initializer_list<Value> values) {
    return *(values.begin() + Size(0, static_cast<int64_t>(values.size()) - 1));
  }

  RopeSpec Rope(int64_t head_dim) {
    const int64_t rotated = Chance(3) ? head_dim / 2 / 2 * 2 : head_dim;
    return {.kind = OneOf({RopeKind::kHalf, RopeKind::kInterleaved}),
            .inverse_frequencies = RopeFrequencies(rotated),
            .scale = OneOf({1.0f, 1.25f})};
  }

  AttentionSpec Attention(int64_t head_dim, int64_t n_kv_heads, int64_t rope) {
    AttentionSpec a = {.n_heads = n_kv_heads * Size(1, 4), .n_kv_heads = n_kv_heads, .head_dim = head_dim};
    if (!Chance(5)) a.rope = rope;
    if (Chance(2)) a.window = OneOf<int64_t>({1, 3, 17, 64, 200});
    if (Chance(3)) a.scale = 0.2f;
    if (Chance(2)) {
      a.head_norm.kind = OneOf({HeadNormKind::kPerHead, HeadNormKind::kFullRow});
      a.head_norm.after_rope = a.head_norm.kind == HeadNormKind::kPerHead && Chance(3);
    }
    if (Chance(4)) a.soft_cap = 3;
    if (Chance(4)) a.sinks = true;
    if (Chance(4)) a.output_gate = true;
    if (Chance(4)) {
      a.score_bias.kind = ScoreBiasSpec::Kind::kAlibi;
      for (int64_t head = 0; head < a.n_heads; ++head) {
        a.score_bias.slopes.push_back(std::exp2(-static_cast<float>(head + 1)));
      }
    }
    if (Chance(5)) {
      a.query_scale_beta = 0.1f;
      a.query_scale_positions = 16;
    }
    return a;
  }

  FeedForwardSpec FeedForward() {
    FeedForwardSpec f = {
        .activation = OneOf({ActivationKind::kSilu, ActivationKind::kGeluTanh, ActivationKind::kGeluErf,
                             ActivationKind::kRelu, ActivationKind::kRelu2, ActivationKind::kQuickGelu}),
        .gated = Chance(2),
        .size = Size(9, 150)};
    if (f.gated && Chance(5)) f.activation = {ActivationKind::kClampedSwiglu, 1.702f, 0.7f};
    if (Chance(3)) {
      f.size = OneOf<int64_t>({10, 40, 64});
      f.experts = Experts();
    }
    return f;
  }

  ExpertsSpec Experts() {
    ExpertsSpec e = {.count = OneOf<int64_t>({1, 4, 6, 12}), .used = 1, .score = Score()};
    e.selection_bias = Chance(3);
    if (e.count > 4 && Chance(2)) {
      e.groups = 3;
      e.used_groups = 2;
      e.group_score = OneOf({GroupScore::kLargest, GroupScore::kSumOfTwoLargest});
    }
    e.used = Size(1, e.count / e.groups * e.used_groups);
    e.renormalize = Chance(2);
    if (e.renormalize && Chance(3)) e.sum_added = 0.1f;
    if (e.renormalize && Chance(3)) e.sum_least = 0.5f;
    if (Chance(3)) e.scale = 2.5f;
    if (Chance(2)) {
      e.shared_size = OneOf<int64_t>({17, 64});
      e.shared_gate = Chance(2);
    }
    return e;
  }

  StateSpec State(int64_t hidden) {
    StateSpec s = {.taps = Size(2, 5), .channels = Chance(2) ? hidden : Size(5, 90)};
    if (Chance(3)) return s;
    s.kind = StateSpec::Kind::kDeltaNet;
    s.heads.key_heads = Size(1, 3);
    s.heads.value_heads = s.heads.key_heads * Size(1, 3);
    s.heads.key_dim = OneOf<int64_t>({8, 16, 19, 32});
    s.heads.value_dim = OneOf<int64_t>({8, 16, 33, 48});
    s.heads.tiled = Chance(2);
    return s;
  }

  RouterScore Score() {
    return OneOf({RouterScore::kSoftmax, RouterScore::kSigmoid, RouterScore::kSoftmaxOfChosen});
  }

 private:
  Random random_;
};

void DrawStack(Draw& draw, ModelSpec* spec) {
  spec->stack.form = draw.OneOf({BlockForm::kPre, BlockForm::kPre, BlockForm::kPost, BlockForm::kSandwich,
                                 BlockForm::kParallel, BlockForm::kAddNorm});
  spec->stack.shared_norm = spec->stack.form == BlockForm::kParallel && draw.Chance(2);
  const int64_t layers = draw.Size(1, 4);
  for (int64_t i = 0; i < layers; ++i) {
    spec->stack.layers.push_back({draw.Size(0, static_cast<int64_t>(spec->attentions.size()) - 1),
                                  draw.Size(0, static_cast<int64_t>(spec->feed_forwards.size()) - 1)});
  }
  if (spec->stack.form != BlockForm::kAddNorm && draw.Chance(4)) spec->residual_scale = 0.5f;
}

// All attentions, or one of them, see what comes after a token.
void DrawWholeSequences(Draw& draw, ModelSpec* spec) {
  const bool all = draw.Chance(2);
  for (AttentionSpec& a : spec->attentions) a.causal = !all && draw.Chance(2);
  spec->attentions[0].causal = false;
}

// Distances in buckets, in place of slopes.
void DrawBuckets(Draw& draw, AttentionSpec* a) {
  a->score_bias = {.kind = ScoreBiasSpec::Kind::kBuckets,
                   .buckets = draw.OneOf<int64_t>({5, 8, 32}),
                   .max_distance = draw.OneOf<int64_t>({32, 50, 128}),
                   .bidirectional = draw.Chance(2)};
}

// What encoders have and decoders have not. Of a stream of its own: what is drawn here changes nothing that others draw.
void DrawEncoder(Draw draw, ModelSpec* spec) {
  if (draw.Chance(3)) spec->embedding.types = draw.Size(1, 3);
  if (draw.Chance(4)) spec->head = HeadKind::kNone;
  if (draw.Chance(4)) spec->final_norm = false;
  if (spec->stack.form == BlockForm::kPre && draw.Chance(3)) spec->stack.first_norm = false;
  if (draw.Chance(3)) DrawWholeSequences(draw, spec);
  for (AttentionSpec& a : spec->attentions) {
    if (draw.Chance(4)) DrawBuckets(draw, &a);
  }
}

// Layers with a state in the place of some of the others, or of all; of a stream of its own too.
void DrawStates(Draw draw, ModelSpec* spec) {
  if (!draw.Chance(3)) return;
  const int64_t kinds = draw.Size(1, 2);
  for (int64_t i = 0; i < kinds; ++i) spec->states.push_back(draw.State(spec->hidden_size));
  for (LayerSpec& layer : spec->stack.layers) {
    if (draw.Chance(3)) continue;
    layer.attention = -1;
    layer.state = draw.Size(0, kinds - 1);
  }
}

}  // namespace

ModelKind RandomKind(uint32_t seed) {
  Draw draw(seed);
  ModelKind kind;
  kind.name = "random spec " + std::to_string(seed);
  ModelSpec& spec = kind.spec;
  spec.vocab_size = draw.Size(17, 90);
  spec.hidden_size = draw.Size(12, 100);
  spec.max_positions = 512;
  const int64_t kinds = draw.Size(1, 2);
  const int64_t head_dim = draw.OneOf<int64_t>({8, 12, 16, 20, 32, 64}), n_kv_heads = draw.Size(1, 3);
  for (int64_t i = 0; i < kinds; ++i) {
    // Layers may differ in the shape of their heads too.
    const int64_t dim = draw.Chance(3) ? 24 : head_dim;
    spec.ropes.push_back(draw.Rope(dim));
    spec.attentions.push_back(draw.Attention(dim, n_kv_heads, i));
    spec.feed_forwards.push_back(draw.FeedForward());
  }
  if (draw.Chance(4)) spec.embedding.scale = 2.5f;
  if (draw.Chance(4)) spec.embedding.norm = true;
  if (draw.Chance(4)) {
    spec.embedding.position_offset = draw.OneOf<int64_t>({0, 2});
    spec.embedding.positions = spec.max_positions + spec.embedding.position_offset;
  }
  spec.norm = draw.OneOf({NormKind::kRms, NormKind::kLayer});
  spec.norm_eps = 1e-5f;
  DrawStack(draw, &spec);
  if (draw.Chance(4)) spec.logits_scale = 0.5f;
  if (draw.Chance(4)) spec.logits_soft_cap = 4;
  kind.layer_norm_biases = draw.Chance(2);
  kind.linear_biases = draw.Chance(3);
  kind.tied = draw.Chance(2);
  // Some tests load for fewer positions than 100, some for more.
  for (RopeSpec& rope : spec.ropes) {
    if (!draw.Chance(4)) continue;
    rope.long_beyond = 100;
    for (const float frequency : rope.inverse_frequencies) {
      rope.long_inverse_frequencies.push_back(frequency / 3);
    }
  }
  DrawEncoder(Draw(seed + 100000), &spec);
  DrawStates(Draw(seed + 200000), &spec);
  return kind;
}

}  // namespace kvasir::testing
