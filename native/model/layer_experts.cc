// The feed-forward of a layer with experts: a part of the step instead of a row block, so that an expert's weights are read
// once for all rows that use it. A row's sum is that of its experts in the order of their ranks, then the shared expert's;
// so its bits do not depend on the rows beside it. All join the residual stream at once, in the forms of layer.cc.
#include "model/stage.h"

namespace kvasir {

namespace {

RouterForm RouterOf(const ExpertsSpec& e, const float* selection_bias) {
  return {.score = e.score,
          .n_experts = static_cast<int32_t>(e.count),
          .used = static_cast<int32_t>(e.used),
          .n_groups = static_cast<int32_t>(e.groups),
          .used_groups = static_cast<int32_t>(e.used_groups),
          .group_score = e.group_score,
          .selection_bias = selection_bias,
          .renormalises = e.renormalize,
          .sum_added = e.sum_added,
          .sum_least = e.sum_least,
          .scale = e.scale};
}

}  // namespace

// Attention joins x, and scratch_.experts.out [rows, hidden] is what the experts make of it. In parallel they read x as it
// was before the layer, and attention joins later.
void Stage::RunExperts(const Step& step, int64_t layer, const Rows& rows) {
  const LayerWeights& w = LayerAt(layer);
  const FeedForwardSpec& f = spec_.feed_forward_of(layer);
  const int64_t n = rows.count;
  if (spec_.stack.form != BlockForm::kParallel) {
    ForRowBlocks(step, rows, [&](const RowBlock& block) { AddAttention(step, layer, rows, block); });
  }
  ExpertsScratch& s = scratch_.experts;
  LinearInput input = s.input;
  if (const NormWeight* norm = FeedForwardNorm(layer)) {
    backend_->Norm(*norm, rows.x, n, &input);
  } else {
    backend_->Prepare(rows.x, n, 1, &input);
  }
  Record(step, layer, "ffn_norm", input.f32, n, spec_.hidden_size);
  LinearInput routed = input;
  routed.dtype = w.router.dtype;
  backend_->Linear(w.router, routed, n, s.logits, f.experts.count, false);
  backend_->Route(RouterOf(f.experts, w.router_bias), s.logits, n, s.ids, s.weights);
  Record(step, layer, "router", s.logits, n, f.experts.count);
  RecordIds(step, layer, "experts_used", s.ids, n, f.experts.used);
  backend_->Experts(ExpertsFormOf(f, spec_.hidden_size, &w), input, {.ids = s.ids, .weights = s.weights}, n,
                    s.work, s.out);
  Record(step, layer, "experts", s.out, n, spec_.hidden_size);
}

// x joined by what all experts of its rows gave.
void Stage::AddExperts(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block) {
  const int64_t hidden = spec_.hidden_size, n = block.count;
  const BlockForm form = spec_.stack.form;
  float* x = rows.x + block.first * hidden;
  if (spec_.feed_forward_of(layer).experts.shared_size > 0) AddSharedExpert(step, layer, x, block);
  if (form == BlockForm::kParallel) AddAttention(step, layer, rows, block);
  const bool norms_output = form == BlockForm::kPost || form == BlockForm::kSandwich;
  const JoinForm join = norms_output                  ? JoinForm::kNormThenAdd
                        : form == BlockForm::kAddNorm ? JoinForm::kAddThenNorm
                                                      : JoinForm::kAdd;
  backend_->AddNorm({.join = join, .scale = spec_.residual_scale, .norm = FeedForwardPostNorm(layer)},
                    scratch_.experts.out + block.first * hidden, n, hidden, x);
  Record(step, layer, "ffn_residual", x, n, hidden);
}

// scratch_.experts.out += the expert that every row uses, as a feed-forward of its own, gated by one value a row.
void Stage::AddSharedExpert(const Step& step, int64_t layer, float* x, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  const FeedForwardSpec& f = spec_.feed_forward_of(layer);
  const int64_t hidden = spec_.hidden_size, n = block.count;
  RowScratch& s = LaneOf(block, step);
  float* out = scratch_.experts.out + block.first * hidden;
  s.down_input.dtype = w.shared_down.dtype;
  s.down_input.width = f.experts.shared_size;
  LinearInput input = InputOf(FeedForwardNorm(layer), w.shared_gate_up, x, n, &s);
  if (step.taps == nullptr) {
    backend_->LinearActivation(w.shared_gate_up, f.activation, input, n, s.wide, s.work, &s.down_input);
  } else {
    backend_->Linear(w.shared_gate_up, input, n, s.wide, w.shared_gate_up.n, false);
    Record(step, layer, "shared_gate_up", s.wide, n, w.shared_gate_up.n);
    backend_->Activation(f.activation, f.gated, s.wide, n, s.work, &s.down_input);
    Record(step, layer, "shared_activation", s.work, n, f.experts.shared_size);
  }
  if (f.experts.shared_gate) {
    backend_->Linear(w.shared_down, s.down_input, n, s.wide, hidden, false);
    float* gates = scratch_.experts.shared_gates + block.first;
    input.dtype = w.shared_gate.dtype;
    backend_->Linear(w.shared_gate, input, n, gates, 1, false);
    Record(step, layer, "shared_gate", gates, n, 1);
    backend_->AddScaledRows({.values = gates, .sigmoid = true}, s.wide, n, hidden, out);
  } else {
    backend_->Linear(w.shared_down, s.down_input, n, out, hidden, true);
  }
  Record(step, layer, "experts_and_shared", out, n, hidden);
}

}  // namespace kvasir
