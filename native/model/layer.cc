// The body of a layer, for a block of rows: what comes before its attention and what comes after, in the forms in which a
// layer joins the residual stream x (BlockForm in model/model_spec.h). What runs when is stage.cc's business.
#include "model/stage.h"

namespace kvasir {

// x [rows, hidden], through the norm if there is one, as input of a linear.
LinearInput Stage::InputOf(const NormWeight* norm, const LinearWeight& weight, float* x, int64_t rows,
                           RowScratch* s) {
  LinearInput input = s->normed;
  input.dtype = weight.dtype;
  if (norm != nullptr) {
    backend_->Norm(*norm, x, rows, &input);
  } else {
    backend_->Prepare(x, rows, 1, &input);
  }
  return input;
}

void Stage::MixerInput(const Step& step, int64_t layer, const RowBlock& block) {
  if (spec_.has_state(layer)) {
    StateInput(step, layer, block);
  } else {
    AttentionInput(step, layer, block);
  }
}

// q, k, v of x or norm(x)
void Stage::AttentionInput(const Step& step, int64_t layer, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  float* x = scratch_.x + block.first * spec_.hidden_size;
  const LinearInput input = InputOf(AttentionNorm(layer), w.qkv, x, n, &s);
  Record(step, layer, "attn_norm", input.f32, n, spec_.hidden_size);
  backend_->Linear(w.qkv, input, n, s.wide, w.qkv.n, false);
  Adapt(w.qkv, input, s.adapted, s.wide, w.qkv.n);
  Record(step, layer, "qkv", s.wide, n, w.qkv.n);
  if (step.taps != nullptr) TapQueriesAndKeys(step, layer, s.wide);
  backend_->StoreKv(ArgsOf(step, layer), block, s.wide, &scratch_.queries);
}

// Behind the attention of a layer, and up to the next one's, where there is one: kNoLayer.
void Stage::RunAfterAttention(const Step& step, int64_t layer, const Rows& rows, int64_t next) {
  const bool experts = spec_.feed_forward_of(layer).has_experts();
  if (experts) RunExperts(step, layer, rows);
  ForRowBlocks(step, rows, [&](const RowBlock& block) {
    if (experts) {
      AddExperts(step, layer, rows, block);
    } else {
      AfterAttention(step, layer, rows, block);
    }
    if (next != kNoLayer) MixerInput(step, next, block);
  });
}

void Stage::AfterAttention(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block) {
  RowScratch& s = LaneOf(block, step);
  float* x = rows.x + block.first * spec_.hidden_size;
  // In parallel both read x as it was before the layer.
  const bool parallel = spec_.stack.form == BlockForm::kParallel;
  if (parallel) ActivatedInput(step, layer, x, block.count, &s);
  AddAttention(step, layer, rows, block);
  if (!parallel) ActivatedInput(step, layer, x, block.count, &s);
  AddFeedForward(step, layer, x, block.count, &s);
}

// x joined by o(attention)
void Stage::AddAttention(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  float* x = rows.x + block.first * spec_.hidden_size;
  s.o_input.width = w.o.k;
  float* attended = rows.attended + block.first * s.o_input.width;
  s.o_input.dtype = w.o.dtype;
  const bool has_state = spec_.has_state(layer);
  int rotation = has_state ? 1 : ShapeAt(layer).rotation;
  if (!has_state && spec_.attention_of(layer).output_gate) {
    GateAttention(step, layer, x, block, attended);
    rotation = 1;
  }
  backend_->Prepare(attended, n, rotation, &s.o_input);
  const bool sandwich = spec_.stack.form == BlockForm::kSandwich;
  AddLinear(w.o, s.o_input, sandwich ? &w.attn_post_norm : &w.attn_norm, n, &s, x);
  Record(step, layer, "attn_residual", x, n, spec_.hidden_size);
}

// attended [rows, n_heads * head_dim] *= sigmoid(gate). The gate's input is that of q, of which no row beside those that
// are still wanted needs one: it is made again here rather than kept.
void Stage::GateAttention(const Step& step, int64_t layer, float* x, const RowBlock& block, float* attended) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const LinearInput input = InputOf(AttentionNorm(layer), w.attn_gate, x, block.count, &s);
  backend_->Linear(w.attn_gate, input, block.count, s.wide, w.attn_gate.n, false);
  Adapt(w.attn_gate, input, s.adapted, s.wide, w.attn_gate.n);
  Record(step, layer, "attn_gate", s.wide, block.count, w.attn_gate.n);
  const OutputGate gate = {.values = s.wide, .ld = w.attn_gate.n, .rotation = ShapeAt(layer).rotation};
  backend_->ApplyGate(gate, block.count, w.attn_gate.n, attended);
  Record(step, layer, "attn_gated", attended, block.count, w.attn_gate.n);
}

// down's input: act(gate) * up of x or norm(x), or act(up)
void Stage::ActivatedInput(const Step& step, int64_t layer, float* x, int64_t rows, RowScratch* s) {
  const LayerWeights& w = LayerAt(layer);
  const FeedForwardSpec& f = spec_.feed_forward_of(layer);
  s->down_input.dtype = w.down.dtype;
  s->down_input.width = f.size;
  const LinearInput input = InputOf(FeedForwardNorm(layer), w.gate_up, x, rows, s);
  const bool adapted = IsAdapted(w.gate_up);
  if (step.taps == nullptr && !adapted) {
    backend_->LinearActivation(w.gate_up, f.activation, input, rows, s->wide, s->work, &s->down_input);
    return;
  }
  Record(step, layer, "ffn_norm", input.f32, rows, spec_.hidden_size);
  float* gate_up = adapted ? s->gate_up : s->wide;
  backend_->Linear(w.gate_up, input, rows, gate_up, w.gate_up.n, false);
  Adapt(w.gate_up, input, s->adapted, gate_up, w.gate_up.n);
  Record(step, layer, "gate_up", gate_up, rows, w.gate_up.n);
  backend_->Activation(f.activation, f.gated, gate_up, rows, s->work, &s->down_input);
  Record(step, layer, "activation", s->work, rows, f.size);
}

void Stage::AddFeedForward(const Step& step, int64_t layer, float* x, int64_t rows, RowScratch* s) {
  AddLinear(LayerAt(layer).down, s->down_input, FeedForwardPostNorm(layer), rows, s, x);
  Record(step, layer, "ffn_residual", x, rows, spec_.hidden_size);
}

// x [rows, hidden] joined by what a linear makes of its input; `post` is the norm of the forms that have one behind it.
void Stage::AddLinear(const LinearWeight& weight, const LinearInput& input, const NormWeight* post,
                      int64_t rows, RowScratch* s, float* x) {
  const BlockForm form = spec_.stack.form;
  const int64_t hidden = spec_.hidden_size;
  if (!spec_.adds_apart()) {
    backend_->Linear(weight, input, rows, x, hidden, true);
    Adapt(weight, input, s->adapted, x, hidden);
    if (form == BlockForm::kAddNorm) {
      backend_->AddNorm({.join = JoinForm::kAddThenNorm, .norm = post}, nullptr, rows, hidden, x);
    }
    return;
  }
  const bool norms_output = form == BlockForm::kPost || form == BlockForm::kSandwich;
  backend_->Linear(weight, input, rows, s->wide, hidden, false);
  Adapt(weight, input, s->adapted, s->wide, hidden);
  const JoinForm joined = norms_output ? JoinForm::kNormThenAdd : JoinForm::kAdd;
  backend_->AddNorm({.join = joined, .scale = spec_.residual_scale, .norm = norms_output ? post : nullptr},
                    s->wide, rows, hidden, x);
}

}  // namespace kvasir
