// What a stage shows of its insides: intermediate tensors of a traced step, single linears, rows of weights. Not for serving.
#include <algorithm>
#include <cstring>

#include "core/aligned_buffer.h"
#include "model/attention_trace.h"
#include "model/stage.h"

namespace kvasir {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

int64_t MostHeads(const ModelSpec& spec) {
  int64_t most = 0;
  for (const AttentionSpec& attention : spec.attentions) most = std::max(most, attention.n_heads);
  return most;
}

// What taps are called: "embed", "layers.3.qkv".
std::string TapName(int64_t layer, const char* op) {
  return layer < 0 ? op : "layers." + std::to_string(layer) + "." + op;
}

}  // namespace

void Stage::TakeTraceMemory(int64_t tokens) {
  Arena counting;
  StepScratch::TakeRows(counting, spec_, dtype_, tokens, *backend_, false);
  const auto low = static_cast<size_t>(tokens * adapter_rank_);
  counting.TakeArray<float>(low);
  traced_memory_ = backend_->Allocate(static_cast<int64_t>(counting.used()), "the trace", false);
  Arena arena(traced_memory_->data(), traced_memory_->size());
  traced_ = StepScratch::TakeRows(arena, spec_, dtype_, tokens, *backend_, false);
  traced_.adapted.low = arena.TakeArray<float>(low);
  traced_.gate_up = traced_.wide;
  traced_scores_ = backend_->Allocate(tokens * MostHeads(spec_) * context_length_ * kFloat,
                                      "the trace of attention", false);
}

// The output of a linear alone, [rows, n] in the backend's memory, of x [rows, k] in the host's.
std::unique_ptr<BackendMemory> Stage::OutputOf(const LinearWeight& weight, const float* x, int64_t rows) {
  const auto quantized =
      backend_->Allocate(std::max<int64_t>(1, backend_->LinearInputBytes(weight.dtype, rows, weight.k)),
                         "a linear's input", false);
  LinearInput input = {.dtype = weight.dtype, .width = weight.k, .rows = rows, .data = quantized->data()};
  const auto given = backend_->Allocate(rows * weight.k * kFloat, "a linear's input", false);
  auto computed = backend_->Allocate(rows * weight.n * kFloat, "a linear's output", false);
  backend_->Upload(given->data(), x, rows * weight.k * kFloat);
  backend_->Prepare(reinterpret_cast<float*>(given->data()), rows, 1, &input);
  backend_->Linear(weight, input, rows, reinterpret_cast<float*>(computed->data()), weight.n, false);
  return computed;
}

void Stage::ApplyLinear(const LinearWeight& weight, const float* x, int64_t rows, float* out) {
  const auto computed = OutputOf(weight, x, rows);
  const float* result = reinterpret_cast<const float*>(computed->data());
  std::copy_n(backend_->HostView(result, rows * weight.n, &host_copy_), rows * weight.n, out);
}

void Stage::ApplyGateUp(const FeedForwardSpec& f, const LinearWeight& gate_up, const float* x, int64_t rows,
                        float* out) {
  const int64_t width = gate_up.n / (f.gated ? 2 : 1);
  const auto computed = OutputOf(gate_up, x, rows);
  const auto activated = backend_->Allocate(rows * width * kFloat, "an activation", false);
  LinearInput result = {.dtype = Dtype::kF32, .width = width, .rows = rows};
  backend_->Activation(f.activation, f.gated, reinterpret_cast<const float*>(computed->data()), rows,
                       reinterpret_cast<float*>(activated->data()), &result);
  std::copy_n(backend_->HostView(result.f32, rows * width, &host_copy_), rows * width, out);
}

std::vector<float> Stage::WeightRows(const LinearWeight& weight, const std::vector<int32_t>& ids) {
  const auto n = static_cast<int64_t>(ids.size()), values = n * weight.k;
  const auto memory = backend_->Allocate(values * kFloat, "rows of a linear", false);
  float* rows = reinterpret_cast<float*>(memory->data());
  backend_->UnpackRows(weight, ids.data(), n, rows);
  const float* view = backend_->HostView(rows, values, &host_copy_);
  return std::vector<float>(view, view + values);
}

void Stage::Record(const Step& step, int64_t layer, const char* op, const float* values, int64_t rows,
                   int64_t columns) {
  if (step.taps == nullptr) return;
  step.taps->Record(TapName(layer, op), backend_->HostView(values, rows * columns, &host_copy_), rows,
                    columns);
}

// Whole numbers below 2^24, which floats hold exactly.
void Stage::RecordIds(const Step& step, int64_t layer, const char* op, const int32_t* ids, int64_t rows,
                      int64_t columns) {
  if (step.taps == nullptr) return;
  const float* bytes = backend_->HostView(reinterpret_cast<const float*>(ids), rows * columns, &host_copy_);
  std::vector<int32_t> whole(static_cast<size_t>(rows * columns));
  std::memcpy(whole.data(), bytes, whole.size() * sizeof(int32_t));
  const std::vector<float> values(whole.begin(), whole.end());
  step.taps->Record(TapName(layer, op), values.data(), rows, columns);
}

// The scores that the attention kernel computed, the weights they give, and the heads' outputs in their own basis.
void Stage::TapAttention(const Step& step, int64_t layer) {
  const AttentionShape& attention = ShapeAt(layer);
  const int64_t per_row = attention.n_heads * context_length_, n_scores = step.n_tokens * per_row;
  const float* traced =
      backend_->HostView(reinterpret_cast<const float*>(traced_scores_->data()), n_scores, &host_copy_);
  const AttentionArgs args = ArgsOf(step, layer);
  std::vector<float> buffer;
  const float* sinks = args.bias.sinks;
  if (sinks != nullptr) sinks = backend_->HostView(sinks, attention.n_heads, &buffer);
  const TracedAttention shown = TraceAttention(args, traced, sinks);
  step.taps->Record(TapName(layer, "scores"), shown.scores.data(), step.n_tokens, per_row);
  step.taps->Record(TapName(layer, "weights"), shown.weights.data(), step.n_tokens, per_row);
  const int64_t width = attention.n_heads * attention.head_dim;
  const auto own_basis = backend_->Allocate(step.n_tokens * width * kFloat, "the trace of attention", false);
  float* attended = reinterpret_cast<float*>(own_basis->data());
  backend_->Copy(attended, scratch_.attended, static_cast<int64_t>(own_basis->size()));
  LinearInput rows = {.dtype = Dtype::kF32, .width = width};
  backend_->Prepare(attended, step.n_tokens, attention.rotation, &rows);
  Record(step, layer, "attention", rows.f32, step.n_tokens, width);
}

}  // namespace kvasir
