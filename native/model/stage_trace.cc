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

// Those that take all scores of a step, which are many.
bool WantsScores(const TapSink& taps) {
  return taps.Wants("scores") || taps.Wants("weights") || taps.Wants("attention_entropy");
}

// What taps are called: "embed", "layers.3.qkv".
std::string TapName(int64_t layer, const char* op) {
  return layer < 0 ? op : "layers." + std::to_string(layer) + "." + op;
}

}  // namespace

void Stage::TakeTraceMemory(const Step& step) {
  const int64_t tokens = step.n_tokens;
  traced_positions_ = 0;
  for (int64_t i = 0; i < step.n_sequences; ++i) {
    traced_positions_ = std::max(traced_positions_, step.sequences[i].Length());
  }
  Arena counting;
  StepScratch::TakeRows(counting, spec_, dtype_, tokens, *backend_, false);
  const auto low = static_cast<size_t>(tokens * adapter_rank_);
  counting.TakeArray<float>(low);
  traced_memory_ = backend_->Allocate(static_cast<int64_t>(counting.used()), "the trace", false);
  Arena arena(traced_memory_->data(), traced_memory_->size());
  traced_ = StepScratch::TakeRows(arena, spec_, dtype_, tokens, *backend_, false);
  traced_.adapted.low = arena.TakeArray<float>(low);
  traced_.gate_up = traced_.wide;
  traced_scores_.reset();
  if (!WantsScores(*step.taps)) return;
  traced_scores_ = backend_->Allocate(tokens * MostHeads(spec_) * traced_positions_ * kFloat,
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
  return Values(rows, values);
}

std::vector<float> Stage::Values(const float* values, int64_t n) {
  const float* view = backend_->HostView(values, n, &host_copy_);
  return std::vector<float>(view, view + n);
}

void Stage::Record(const Step& step, int64_t layer, const char* op, const float* values, int64_t rows,
                   int64_t columns) {
  if (step.taps == nullptr) return;
  const std::string name = TapName(layer, op);
  step.taps->Ran(name, rows * columns * kFloat);
  if (step.taps->Wants(op)) {
    step.taps->Record(name, backend_->HostView(values, rows * columns, &host_copy_), rows, columns);
  }
  step.taps->Resume();
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
  step.taps->Resume();
}

// Queries and keys as the scores take them. qkv [n_tokens, (n_heads + 2 n_kv_heads) * head_dim]
void Stage::TapQueriesAndKeys(const Step& step, int64_t layer, const float* qkv) {
  if (!step.taps->Wants("q_rotated") && !step.taps->Wants("k_rotated")) return;
  AttentionShape shape = ShapeAt(layer);
  HeadNorm norm = HeadNormOf(layer);
  const int64_t q = shape.n_heads * shape.head_dim, k = shape.n_kv_heads * shape.head_dim;
  std::vector<std::vector<float>> copies;
  const auto on_host = [&](const float** values, int64_t n) {
    if (*values == nullptr) return;
    copies.push_back(Values(*values, n));
    *values = copies.back().data();
  };
  const int64_t angles = traced_positions_ * shape.rope_dim / 2;
  on_host(&shape.rope_cos, angles);
  on_host(&shape.rope_sin, angles);
  on_host(&shape.q_scales, traced_positions_);
  const bool by_row = norm.kind == HeadNormKind::kFullRow;
  on_host(&norm.q_weight, by_row ? q : shape.head_dim);
  on_host(&norm.k_weight, by_row ? k : shape.head_dim);
  const std::vector<float> rows = Values(qkv, step.n_tokens * (q + 2 * k));
  const MetHeads met = MeetingHeads(shape, norm, step.positions, step.n_tokens, rows.data());
  step.taps->Record(TapName(layer, "q_rotated"), met.q.data(), step.n_tokens, q);
  step.taps->Record(TapName(layer, "k_rotated"), met.k.data(), step.n_tokens, k);
  step.taps->Resume();
}

// Other heads keep their bits: what is patched alone is turned into the basis of the cache's values.
void Stage::PatchHeads(const HeadPatch& patch, int64_t layer, int64_t rows) {
  const AttentionShape& shape = ShapeAt(layer);
  const int64_t dim = shape.head_dim, width = shape.n_heads * dim;
  const auto n_heads = static_cast<int64_t>(patch.heads.size());
  const auto own = backend_->Allocate(rows * n_heads * dim * kFloat, "what heads attend", false);
  backend_->Upload(own->data(), patch.values, rows * n_heads * dim * kFloat);
  LinearInput turned = {.dtype = Dtype::kF32, .width = n_heads * dim};
  backend_->Prepare(reinterpret_cast<float*>(own->data()), rows, shape.rotation, &turned);
  const std::vector<float> values = Values(turned.f32, rows * n_heads * dim);
  std::vector<float> attended = Values(scratch_.attended, rows * width);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < n_heads; ++i) {
      std::copy_n(values.data() + (row * n_heads + i) * dim, dim,
                  attended.data() + row * width + patch.heads[static_cast<size_t>(i)] * dim);
    }
  }
  backend_->Upload(scratch_.attended, attended.data(), rows * width * kFloat);
  backend_->FinishUploads();
}

// What the heads attended, in their own basis, and how they came to it.
void Stage::TapAttention(const Step& step, int64_t layer) {
  const AttentionShape& attention = ShapeAt(layer);
  const int64_t width = attention.n_heads * attention.head_dim;
  step.taps->Ran(TapName(layer, "attention"), step.n_tokens * width * kFloat);
  if (WantsScores(*step.taps)) TapScores(step, layer);
  if (step.taps->Wants("attention")) TapAttended(step, layer, width);
  step.taps->Resume();
}

void Stage::TapAttended(const Step& step, int64_t layer, int64_t width) {
  const auto own_basis = backend_->Allocate(step.n_tokens * width * kFloat, "the trace of attention", false);
  float* attended = reinterpret_cast<float*>(own_basis->data());
  backend_->Copy(attended, scratch_.attended, static_cast<int64_t>(own_basis->size()));
  LinearInput rows = {.dtype = Dtype::kF32, .width = width};
  backend_->Prepare(attended, step.n_tokens, ShapeAt(layer).rotation, &rows);
  const float* values = backend_->HostView(rows.f32, step.n_tokens * width, &host_copy_);
  step.taps->Record(TapName(layer, "attention"), values, step.n_tokens, width);
}

// The scores that the attention kernel computed and what they give, [n_tokens, n_heads, traced_positions_], and the entropy
// of each row of weights, [n_tokens, n_heads].
void Stage::TapScores(const Step& step, int64_t layer) {
  const AttentionShape& attention = ShapeAt(layer);
  const int64_t per_row = attention.n_heads * traced_positions_, n_scores = step.n_tokens * per_row;
  const float* traced =
      backend_->HostView(reinterpret_cast<const float*>(traced_scores_->data()), n_scores, &host_copy_);
  const AttentionArgs args = ArgsOf(step, layer);
  std::vector<float> buffer;
  const float* sinks = args.bias.sinks;
  if (sinks != nullptr) sinks = backend_->HostView(sinks, attention.n_heads, &buffer);
  const auto show = [&](const char* op, int64_t columns, const auto& compute) {
    if (!step.taps->Wants(op)) return;
    std::vector<float> values(static_cast<size_t>(step.n_tokens * columns), 0.0f);
    backend_->ForRowBlocks(step.n_tokens, [&](const RowBlock& block) {
      compute(args, ScoreRows{traced, sinks, block.first, block.first + block.count}, values.data());
    });
    step.taps->Record(TapName(layer, op), values.data(), step.n_tokens, columns);
  };
  show("scores", per_row, CopyScores);
  show("weights", per_row, AttentionWeights);
  show("attention_entropy", attention.n_heads, AttentionEntropies);
}

}  // namespace kvasir
