#include "model/graph_support.h"

#include "core/error.h"

namespace kvasir {

namespace {

void Refuse(bool there, const char* what) {
  if (!there) return;
  throw Error(ErrorCode::kUnsupportedArchitecture,
              std::string("This model uses ") + what + ", which is not supported");
}

}  // namespace

void CheckGraphSupports(const ModelSpec& spec) {
  for (const AttentionSpec& a : spec.attentions) {
    Refuse(a.window > 0, "attention over a sliding window");
    Refuse(!a.causal, "attention in both directions");
    Refuse(a.head_norm.kind != HeadNormSpec::Kind::kNone, "a norm of queries and keys");
    Refuse(a.score_bias.kind != ScoreBiasSpec::Kind::kNone, "a bias of attention scores");
    Refuse(a.soft_cap > 0, "a soft cap of attention scores");
    Refuse(a.sinks, "attention sinks");
    Refuse(a.output_gate, "a gate of attention's output");
    Refuse(a.query_scale_beta > 0, "a scale of queries by position");
  }
  for (const FeedForwardSpec& f : spec.feed_forwards) Refuse(f.experts.count > 0, "a mixture of experts");
  Refuse(spec.embedding.scale != 1, "a scale of the embedding");
  Refuse(spec.embedding.position_offset != 0, "an offset of learned positions");
  Refuse(spec.embedding.types > 0, "token types");
  Refuse(spec.embedding.norm, "a norm of the embedding");
  Refuse(spec.stack.residual != ResidualForm::kPre, "norms elsewhere than before attention and feed-forward");
  Refuse(!spec.final_norm, "no norm before its output layer");
  Refuse(spec.residual_scale != 1, "a scale of the residual");
  Refuse(spec.logits_scale != 1 || spec.logits_soft_cap > 0, "a scale or soft cap of logits");
  Refuse(spec.head != HeadKind::kLogits, "no output layer");
}

}  // namespace kvasir
