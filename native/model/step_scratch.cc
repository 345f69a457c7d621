#include "model/step_scratch.h"

#include <algorithm>

namespace kvasir {

namespace {

template <typename T>
T* TakeValues(Arena& arena, int64_t count) {
  return arena.TakeArray<T>(static_cast<size_t>(count));
}

LinearInput TakeInput(Arena& arena, Dtype dtype, int64_t rows, int64_t width, const Ops& ops) {
  const auto bytes = static_cast<size_t>(ops.LinearInputBytes(dtype, rows, width));
  return {.dtype = dtype, .width = width, .rows = rows, .data = bytes > 0 ? arena.Take(bytes) : nullptr};
}

}  // namespace

StepScratch::StepScratch(const ModelSpec& spec, const LoadOptions& options, const ScratchShape& shape,
                         Backend* backend)
    : memory_(backend->Allocate(Bytes(spec, options, shape, *backend), "the activations", false)) {
  Arena arena(memory_->data(), memory_->size());
  Take(arena, spec, options, shape, *backend);
}

int64_t StepScratch::Bytes(const ModelSpec& spec, const LoadOptions& options, const ScratchShape& shape,
                           const Ops& ops) {
  Arena counting;
  StepScratch().Take(counting, spec, options, shape, ops);
  return static_cast<int64_t>(counting.used());
}

RowScratch StepScratch::TakeRows(Arena& arena, const ModelSpec& spec, Dtype dtype, int64_t rows,
                                 const Ops& ops, bool fused) {
  RowScratch out;
  const int64_t activated = fused ? 0 : spec.gate_up_size();
  const int64_t apart = spec.adds_apart() || spec.has_experts() ? spec.hidden_size : 0;
  out.wide = TakeValues<float>(arena, rows * std::max({spec.qkv_size(), activated, apart}));
  out.work = TakeValues<float>(arena, rows * spec.ffn_size());
  out.normed = TakeInput(arena, dtype, rows, spec.hidden_size, ops);
  out.normed.f32 = TakeValues<float>(arena, rows * spec.hidden_size);
  out.o_input = TakeInput(arena, dtype, rows, spec.attended_size(), ops);
  out.down_input = TakeInput(arena, dtype, rows, spec.ffn_size(), ops);
  return out;
}

ExpertsForm ExpertsFormOf(const FeedForwardSpec& f, int64_t hidden, const LayerWeights* weights) {
  return {.gate_up = weights == nullptr ? nullptr : weights->expert_gate_up.data(),
          .down = weights == nullptr ? nullptr : weights->expert_down.data(),
          .n_experts = f.experts.count,
          .used = f.experts.used,
          .hidden = hidden,
          .size = f.size,
          .activation = f.activation};
}

// As much as the largest of all kinds needs.
void StepScratch::TakeExperts(Arena& arena, const ModelSpec& spec, Dtype dtype, int64_t tokens,
                              const Ops& ops) {
  int64_t count = 0, used = 0, work = 0;
  for (const FeedForwardSpec& f : spec.feed_forwards) {
    if (!f.has_experts()) continue;
    count = std::max(count, f.experts.count);
    used = std::max(used, f.experts.used);
    work = std::max(work, ops.ExpertsScratchBytes(ExpertsFormOf(f, spec.hidden_size, nullptr), tokens));
  }
  experts.input = TakeInput(arena, dtype, tokens, spec.hidden_size, ops);
  experts.input.f32 = TakeValues<float>(arena, tokens * spec.hidden_size);
  experts.logits = TakeValues<float>(arena, tokens * count);
  experts.ids = TakeValues<int32_t>(arena, tokens * used);
  experts.weights = TakeValues<float>(arena, tokens * used);
  experts.shared_gates = TakeValues<float>(arena, tokens);
  experts.out = TakeValues<float>(arena, tokens * spec.hidden_size);
  experts.work = TakeValues<uint8_t>(arena, work);
}

void StepScratch::Take(Arena& arena, const ModelSpec& spec, const LoadOptions& options,
                       const ScratchShape& shape, const Ops& ops) {
  x = TakeValues<float>(arena, shape.tokens * spec.hidden_size);
  attended = TakeValues<float>(arena, shape.tokens * spec.attended_size());
  int64_t state_values = 0, gate_values = 0;
  for (const StateSpec& state : spec.states) {
    state_values = std::max(state_values, state.in_size());
    gate_values = std::max(gate_values, state.gates_size());
  }
  state_in = TakeValues<float>(arena, shape.tokens * state_values);
  state_gates = TakeValues<float>(arena, shape.tokens * gate_values);
  gathered = TakeValues<float>(arena, shape.logit_rows * spec.hidden_size);
  gathered_attended = TakeValues<float>(arena, shape.logit_rows * spec.attended_size());
  if (spec.head == HeadKind::kLogits) logits = TakeValues<float>(arena, shape.logit_rows * spec.vocab_size);
  final_normed = TakeInput(arena, options.dtype, shape.logit_rows, spec.hidden_size, ops);
  final_normed.f32 = TakeValues<float>(arena, shape.logit_rows * spec.hidden_size);
  int64_t query_rows = 0, query_values = 0;
  for (const AttentionSpec& a : spec.attentions) {
    query_rows = std::max(query_rows, shape.tokens * a.n_heads);
    query_values = std::max(query_values, shape.tokens * a.n_heads * a.padded_head_dim());
  }
  queries.dtype = options.kv_dtype == Dtype::kInt8 ? Dtype::kInt8 : Dtype::kF32;
  if (queries.dtype == Dtype::kF32) {
    queries.f32 = TakeValues<float>(arena, query_values);
  } else {
    queries.values = TakeValues<uint8_t>(arena, query_values * shape.traits.quantized_bytes);
    queries.scales = TakeValues<float>(arena, query_rows);
    queries.start = TakeValues<int32_t>(arena, query_rows);
  }
  // Rows whose activation shares panels or is padded to a group are not fused (Traits::fuses_activation).
  const bool fused =
      shape.traits.fuses_activation &&
      std::all_of(spec.feed_forwards.begin(), spec.feed_forwards.end(), [](const FeedForwardSpec& f) {
        return (f.has_experts() ? f.experts.shared_size : f.size) % kGroup == 0;
      });
  if (spec.has_experts()) TakeExperts(arena, spec, options.dtype, shape.tokens, ops);
  lanes.clear();
  for (int lane = 0; lane < shape.traits.threads; ++lane) {
    const int64_t rows = lane == 0 ? shape.traits.block_rows : shape.traits.lane_rows;
    lanes.push_back(TakeRows(arena, spec, options.dtype, rows, ops, fused));
  }
}

}  // namespace kvasir
