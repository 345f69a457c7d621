// A layer with a state in the place of attention: its input linears for a block of rows, and the op over all rows of a step
// that takes each sequence from its state before them to the one after. What joins the residual stream is layer.cc's.
#include "model/stage.h"

namespace kvasir {

namespace {

const char* InputName(const StateSpec& state) { return state.is_delta_net() ? "delta_in" : "conv_in"; }

}  // namespace

// What the op reads of x or norm(x), of all rows of the step.
void Stage::StateInput(const Step& step, int64_t layer, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  const StateSpec& state = spec_.state_of(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count, width = state.in_size(), gates = state.gates_size();
  float* in = scratch_.state_in + block.first * width;
  LinearInput input =
      InputOf(AttentionNorm(layer), w.state_in, scratch_.x + block.first * spec_.hidden_size, n, &s);
  Record(step, layer, "attn_norm", input.f32, n, spec_.hidden_size);
  backend_->Linear(w.state_in, input, n, in, width, false);
  Adapt(w.state_in, input, s.adapted, in, width);
  Record(step, layer, InputName(state), in, n, width);
  if (gates == 0) return;
  float* row_gates = scratch_.state_gates + block.first * gates;
  input.dtype = w.delta_gates.dtype;
  backend_->Linear(w.delta_gates, input, n, row_gates, gates, false);
  Adapt(w.delta_gates, input, s.adapted, row_gates, gates);
  Record(step, layer, "delta_gates", row_gates, n, gates);
}

StateMemory Stage::StatesOf(int64_t layer) const {
  if (states_ == nullptr) return {};
  float* base = reinterpret_cast<float*>(states_->data());
  return {base + state_layout_.offsets[static_cast<size_t>(layer - first_)], state_layout_.slot_size};
}

void Stage::MixStates(const Step& step, int64_t layer) {
  const LayerWeights& w = LayerAt(layer);
  const StateSpec& state = spec_.state_of(layer);
  const ConvForm conv = {.taps = state.taps, .weight = w.conv, .bias = w.conv_bias};
  if (state.is_delta_net()) {
    backend_->DeltaNet({.states = StatesOf(layer),
                        .sequences = step.sequences,
                        .n_sequences = step.n_sequences,
                        .conv = conv,
                        .heads = state.heads,
                        .rate = w.delta_rate,
                        .dt_bias = w.delta_dt,
                        .norm = w.delta_norm,
                        .norm_eps = spec_.norm_eps,
                        .in = scratch_.state_in,
                        .gates = scratch_.state_gates,
                        .out = scratch_.attended});
  } else {
    backend_->ShortConv({.states = StatesOf(layer),
                         .sequences = step.sequences,
                         .n_sequences = step.n_sequences,
                         .conv = conv,
                         .channels = state.channels,
                         .in = scratch_.state_in,
                         .out = scratch_.attended});
  }
  Record(step, layer, "attention", scratch_.attended, step.n_tokens, state.mixed_size());
}

}  // namespace kvasir
