#include "model/spec_json.h"

#include <cmath>
#include <functional>
#include <map>

#include "core/error.h"
#include "io/json.h"

namespace kvasir {

namespace {

// Reads objects field by field; what is wrong is named with its path.
class SpecReader {
 public:
  explicit SpecReader(std::string_view json) : reader_("the spec of the model", json) {}

  using Fields = std::map<std::string, std::function<void()>, std::less<>>;

  void Object(const char* what, const Fields& fields) {
    reader_.Object([&](const std::string& key) {
      const auto field = fields.find(key);
      if (field == fields.end()) {
        throw Error(ErrorCode::kModelFormat,
                    "The spec of the model has an unknown field '" + key.substr(0, 40) + "' in its " + what);
      }
      field->second();
    });
  }

  auto Size(int64_t* out) {
    return [this, out] {
      const double value = reader_.Number();
      if (value != std::floor(value) || std::fabs(value) > 9007199254740991.0) Fail("is no whole number");
      *out = static_cast<int64_t>(value);
    };
  }
  auto Float(float* out) {
    return [this, out] { *out = Float(); };
  }
  auto Flag(bool* out) {
    return [this, out] { *out = reader_.Bool(); };
  }
  auto Floats(std::vector<float>* out) {
    return [this, out] { reader_.Array([&] { out->push_back(Float()); }); };
  }
  template <typename Kind>
  auto Choice(Kind* out, std::vector<std::pair<const char*, Kind>> choices) {
    return [this, out, choices = std::move(choices)] {
      const std::string name = reader_.String();
      for (const auto& [known, kind] : choices) {
        if (name == known) {
          *out = kind;
          return;
        }
      }
      Fail("has the unknown kind '" + name.substr(0, 40) + "'");
    };
  }
  // read(Item*) for each.
  template <typename Item, typename Read>
  auto List(std::vector<Item>* out, Read read) {
    return [this, out, read] { reader_.Array([&] { read(&out->emplace_back()); }); };
  }

  void End() { reader_.End(); }

 private:
  float Float() { return static_cast<float>(reader_.Number()); }
  [[noreturn]] static void Fail(const std::string& what) {
    throw Error(ErrorCode::kModelFormat, "A value in the spec of the model " + what);
  }

  JsonReader reader_;
};

void ReadRope(SpecReader& r, RopeSpec* rope) {
  const auto read_long = [&r, rope] {
    r.Object("long", {{"beyond", r.Size(&rope->long_beyond)},
                      {"inverseFrequencies", r.Floats(&rope->long_inverse_frequencies)}});
  };
  r.Object(
      "ropes",
      {{"kind", r.Choice(&rope->kind, {{"half", RopeKind::kHalf}, {"interleaved", RopeKind::kInterleaved}})},
       {"inverseFrequencies", r.Floats(&rope->inverse_frequencies)},
       {"scale", r.Float(&rope->scale)},
       {"long", read_long}});
}

void ReadHeadNorm(SpecReader& r, HeadNormSpec* norm) {
  r.Object("headNorm", {{"kind", r.Choice(&norm->kind, {{"per_head", HeadNormKind::kPerHead},
                                                        {"full_row", HeadNormKind::kFullRow}})},
                        {"afterRope", r.Flag(&norm->after_rope)}});
}

void ReadScoreBias(SpecReader& r, ScoreBiasSpec* bias) {
  using Kind = ScoreBiasSpec::Kind;
  r.Object("scoreBias",
           {{"kind", r.Choice(&bias->kind, {{"alibi", Kind::kAlibi}, {"buckets", Kind::kBuckets}})},
            {"slopes", r.Floats(&bias->slopes)},
            {"buckets", r.Size(&bias->buckets)},
            {"maxDistance", r.Size(&bias->max_distance)},
            {"bidirectional", r.Flag(&bias->bidirectional)}});
}

void ReadAttention(SpecReader& r, AttentionSpec* a) {
  const auto query_scale = [&r, a] {
    r.Object("queryScale",
             {{"beta", r.Float(&a->query_scale_beta)}, {"positions", r.Size(&a->query_scale_positions)}});
  };
  r.Object("attentions", {{"heads", r.Size(&a->n_heads)},
                          {"kvHeads", r.Size(&a->n_kv_heads)},
                          {"headDim", r.Size(&a->head_dim)},
                          {"scale", r.Float(&a->scale)},
                          {"rope", r.Size(&a->rope)},
                          {"window", r.Size(&a->window)},
                          {"causal", r.Flag(&a->causal)},
                          {"headNorm", [&r, a] { ReadHeadNorm(r, &a->head_norm); }},
                          {"scoreBias", [&r, a] { ReadScoreBias(r, &a->score_bias); }},
                          {"softCap", r.Float(&a->soft_cap)},
                          {"sinks", r.Flag(&a->sinks)},
                          {"outputGate", r.Flag(&a->output_gate)},
                          {"queryScale", query_scale}});
}

void ReadState(SpecReader& r, StateSpec* s) {
  using Kind = StateSpec::Kind;
  r.Object("states",
           {{"kind", r.Choice(&s->kind, {{"short_conv", Kind::kShortConv}, {"delta_net", Kind::kDeltaNet}})},
            {"taps", r.Size(&s->taps)},
            {"channels", r.Size(&s->channels)},
            {"keyHeads", r.Size(&s->heads.key_heads)},
            {"valueHeads", r.Size(&s->heads.value_heads)},
            {"keyDim", r.Size(&s->heads.key_dim)},
            {"valueDim", r.Size(&s->heads.value_dim)},
            {"tiled", r.Flag(&s->heads.tiled)}});
}

void ReadExperts(SpecReader& r, ExpertsSpec* e) {
  r.Object("experts",
           {{"count", r.Size(&e->count)},
            {"used", r.Size(&e->used)},
            {"score", r.Choice(&e->score, {{"softmax", RouterScore::kSoftmax},
                                           {"sigmoid", RouterScore::kSigmoid},
                                           {"softmax_of_used", RouterScore::kSoftmaxOfChosen}})},
            {"selectionBias", r.Flag(&e->selection_bias)},
            {"groups", r.Size(&e->groups)},
            {"usedGroups", r.Size(&e->used_groups)},
            {"groupScore", r.Choice(&e->group_score, {{"largest", GroupScore::kLargest},
                                                      {"sum_of_two", GroupScore::kSumOfTwoLargest}})},
            {"renormalize", r.Flag(&e->renormalize)},
            {"sumAdded", r.Float(&e->sum_added)},
            {"sumLeast", r.Float(&e->sum_least)},
            {"scale", r.Float(&e->scale)},
            {"sharedSize", r.Size(&e->shared_size)},
            {"sharedGate", r.Flag(&e->shared_gate)}});
}

void ReadFeedForward(SpecReader& r, FeedForwardSpec* f) {
  r.Object("feedForwards",
           {{"activation", r.Choice(&f->activation.kind, {{"silu", ActivationKind::kSilu},
                                                          {"relu", ActivationKind::kRelu},
                                                          {"relu2", ActivationKind::kRelu2},
                                                          {"quick_gelu", ActivationKind::kQuickGelu},
                                                          {"clamped_swiglu", ActivationKind::kClampedSwiglu},
                                                          {"gelu_tanh", ActivationKind::kGeluTanh},
                                                          {"gelu_erf", ActivationKind::kGeluErf}})},
            {"activationAlpha", r.Float(&f->activation.alpha)},
            {"activationLimit", r.Float(&f->activation.limit)},
            {"gated", r.Flag(&f->gated)},
            {"size", r.Size(&f->size)},
            {"experts", [&r, f] { ReadExperts(r, &f->experts); }}});
}

void ReadEmbedding(SpecReader& r, EmbeddingSpec* e) {
  r.Object("embedding", {{"scale", r.Float(&e->scale)},
                         {"positions", r.Size(&e->positions)},
                         {"positionOffset", r.Size(&e->position_offset)},
                         {"types", r.Size(&e->types)},
                         {"norm", r.Flag(&e->norm)}});
}

void ReadStack(SpecReader& r, StackSpec* stack) {
  using Form = BlockForm;
  const auto layer = [&r](LayerSpec* one) {
    one->attention = -1;
    r.Object("layers", {{"attention", r.Size(&one->attention)},
                        {"state", r.Size(&one->state)},
                        {"feedForward", r.Size(&one->feed_forward)}});
  };
  r.Object("stack", {{"residual", r.Choice(&stack->form, {{"pre", Form::kPre},
                                                          {"post", Form::kPost},
                                                          {"sandwich", Form::kSandwich},
                                                          {"parallel", Form::kParallel},
                                                          {"add_norm", Form::kAddNorm}})},
                     {"sharedNorm", r.Flag(&stack->shared_norm)},
                     {"firstNorm", r.Flag(&stack->first_norm)},
                     {"layers", r.List(&stack->layers, layer)}});
}

}  // namespace

ModelSpec SpecFromJson(std::string_view json) {
  ModelSpec spec;
  SpecReader r(json);
  r.Object(
      "top level",
      {{"vocabSize", r.Size(&spec.vocab_size)},
       {"hiddenSize", r.Size(&spec.hidden_size)},
       {"maxPositions", r.Size(&spec.max_positions)},
       {"ropes", r.List(&spec.ropes, [&r](RopeSpec* rope) { ReadRope(r, rope); })},
       {"attentions", r.List(&spec.attentions, [&r](AttentionSpec* a) { ReadAttention(r, a); })},
       {"states", r.List(&spec.states, [&r](StateSpec* s) { ReadState(r, s); })},
       {"feedForwards", r.List(&spec.feed_forwards, [&r](FeedForwardSpec* f) { ReadFeedForward(r, f); })},
       {"embedding", [&] { ReadEmbedding(r, &spec.embedding); }},
       {"stack", [&] { ReadStack(r, &spec.stack); }},
       {"norm", r.Choice(&spec.norm, {{"rms", NormKind::kRms}, {"layer", NormKind::kLayer}})},
       {"normEps", r.Float(&spec.norm_eps)},
       {"finalNorm", r.Flag(&spec.final_norm)},
       {"residualScale", r.Float(&spec.residual_scale)},
       {"logitsScale", r.Float(&spec.logits_scale)},
       {"logitsSoftCap", r.Float(&spec.logits_soft_cap)},
       {"head", r.Choice(&spec.head, {{"logits", HeadKind::kLogits}, {"none", HeadKind::kNone}})}});
  r.End();
  spec.Check();
  return spec;
}

}  // namespace kvasir
