#include "model/stage.h"

#include <algorithm>
#include <cmath>

#include "core/aligned_buffer.h"
#include "core/error.h"
#include "model/kv_cache.h"

namespace kvasir {

namespace {

int HeadRotation(int64_t head_dim) {
  int block = 1;
  while (block < 64 && head_dim % (2 * block) == 0) block *= 2;
  return block;
}

constexpr int64_t kNoLayer = -1;
// What taps are called: "embed", "layers.3.qkv".
std::string TapName(int64_t layer, const char* op) {
  return layer == kNoLayer ? op : "layers." + std::to_string(layer) + "." + op;
}

ScratchShape ShapeOf(const LoadOptions& options, const Backend& backend, int threads) {
  return {.tokens = std::min(Stage::kMaxStepTokens, options.kv_capacity),
          .logit_rows = Stage::kLogitRows,
          .lanes = threads,
          .block_rows = backend.traits().block_rows};
}

AttentionShape AttentionShapeOf(const ModelSpec& spec, const LoadOptions& options) {
  return {
      .n_heads = spec.n_heads,
      .n_kv_heads = spec.n_kv_heads,
      .head_dim = spec.head_dim,
      .padded_head_dim = spec.padded_head_dim(),
      .scale = spec.attention_scale > 0
                   ? spec.attention_scale
                   : static_cast<float>(1.0 / std::sqrt(static_cast<double>(spec.head_dim))),
      .rope = spec.rope,
      .rope_dim = 2 * static_cast<int64_t>(spec.inverse_frequencies.size()),
      .rotation = options.kv_dtype == Dtype::kInt8 ? HeadRotation(spec.head_dim) : 1,
  };
}

}  // namespace

Stage::Stage(const ModelSpec& spec, const Weights& weights, std::unique_ptr<Backend> backend,
             const LoadOptions& options, int64_t first, int64_t end)
    : spec_(spec),
      weights_(weights),
      backend_(std::move(backend)),
      first_(first),
      end_(end),
      context_length_(options.context_length),
      dtype_(options.dtype),
      kv_layout_(spec.kv_layout(options.kv_dtype, end - first, KvCache::PagesFor(options.kv_capacity),
                                backend_->traits().kv_run)),
      kv_pages_(backend_->Allocate(kv_layout_.PoolBytes(), "the KV cache", true)),
      scratch_(spec, options, ShapeOf(options, *backend_, backend_->traits().threads), backend_.get()),
      attention_(AttentionShapeOf(spec, options)) {
  wanted_spans_.reserve(kLogitRows);
  BuildRopeTables(context_length_);
}

// The angle is rounded to float32 as the reference does (its frequencies and products are float32); its cosine is
// that of the rounded angle, computed in double.
void Stage::BuildRopeTables(int64_t positions) {
  if (spec_.rope == RopeKind::kNone) return;
  const size_t half = spec_.inverse_frequencies.size();
  const size_t n = static_cast<size_t>(positions) * half;
  std::vector<float> tables(2 * n);
  for (size_t p = 0; p < static_cast<size_t>(positions); ++p) {
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * spec_.inverse_frequencies[i];
      tables[p * half + i] = static_cast<float>(std::cos(static_cast<double>(angle)));
      tables[n + p * half + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  const auto bytes = static_cast<int64_t>(tables.size() * sizeof(float));
  rope_tables_ = backend_->Allocate(bytes, "the rotary embedding", false);
  backend_->Upload(rope_tables_->data(), tables.data(), bytes);
  attention_.rope_cos = reinterpret_cast<const float*>(rope_tables_->data());
  attention_.rope_sin = attention_.rope_cos + n;
}

int64_t Stage::ScratchBytes(const ModelSpec& spec, const LoadOptions& options, const Backend& backend,
                            int threads) {
  return StepScratch::Bytes(spec, options, ShapeOf(options, backend, threads), backend);
}

void Stage::CopyPage(int32_t from, int32_t to) {
  uint8_t* pool = kv_pages_->data();
  if (kv_layout_.run == 1) {  // one piece: on a GPU each copy is a call
    const int64_t bytes = kv_layout_.PageBytes();
    backend_->Copy(pool + to * bytes, pool + from * bytes, bytes);
    return;
  }
  const int64_t values = kv_layout_.HeadBytes(), scales = kv_layout_.HeadScaleBytes();
  for (int64_t layer = 0; layer < kv_layout_.n_layers; ++layer) {
    for (int64_t head = 0; head < kv_layout_.n_kv_heads; ++head) {
      const KvPlace source = kv_layout_.Place(from, layer, head), target = kv_layout_.Place(to, layer, head);
      backend_->Copy(pool + target.k, pool + source.k, values);
      backend_->Copy(pool + target.v, pool + source.v, values);
      backend_->Copy(pool + target.k_scales, pool + source.k_scales, scales);
      backend_->Copy(pool + target.v_scales, pool + source.v_scales, scales);
    }
  }
}

void Stage::SetInput(const float* x, int64_t n_tokens) {
  backend_->Upload(scratch_.x, x, n_tokens * spec_.hidden_size * static_cast<int64_t>(sizeof(float)));
}

const float* Stage::Output(int64_t n_tokens) {
  return backend_->HostView(scratch_.x, n_tokens * spec_.hidden_size, &host_copy_);
}

StepScope Stage::Begin(const Step& step, bool whole) {
  if (step.taps != nullptr) {
    TakeTraceMemory(step.n_tokens, true);
  } else {
    traced_scores_.reset();
  }
  return StepScope(*backend_, {.tokens = step.tokens,
                               .positions = step.positions,
                               .rows = step.n_tokens,
                               .sequences = step.sequences,
                               .n_sequences = step.n_sequences,
                               .wanted = step.rows,
                               .n_wanted = step.n_rows,
                               .shape = &attention_,
                               .whole = whole && step.logits_only});
}

void Stage::Embed(const Step& step) {
  float* x = scratch_.x;
  backend_->Embed(weights_.embed_tokens, {StepArray::kTokens, 0, step.n_tokens}, x);
  Record(step, kNoLayer, "token_embed", x, step.n_tokens, spec_.hidden_size);
  if (weights_.embed_positions != nullptr) {
    backend_->AddRows(weights_.embed_positions, {StepArray::kPositions, 0, step.n_tokens}, spec_.hidden_size,
                      x);
  }
  Record(step, kNoLayer, "embed", x, step.n_tokens, spec_.hidden_size);
}

// Between two attentions every row goes its own way: from one's output to the next one's input in one run.
void Stage::RunLayers(const Step& step, int64_t first, int64_t end) {
  if (first < end) {
    ForRowBlocks(step, [&](const RowBlock& block) { AttentionInput(step, first, block); });
  }
  for (int64_t layer = first; layer < end; ++layer) {
    if (step.cancellation != nullptr) step.cancellation->ThrowIfCancelled();
    if (layer + 1 == spec_.n_layers && EndsWithWantedRows(step)) {
      RunLastLayerOfWanted(step, layer);
      break;
    }
    backend_->Attention(ArgsOf(step, layer), scratch_.queries, scratch_.attended);
    if (step.taps != nullptr) TapAttention(step, layer);
    ForRowBlocks(step, [&](const RowBlock& block) {
      AttentionOutput(step, layer, AllRows(), block);
      FeedForward(step, layer, AllRows(), block);
      if (layer + 1 < end) AttentionInput(step, layer + 1, block);
    });
  }
}

bool Stage::EndsWithWantedRows(const Step& step) const {
  return step.logits_only && step.n_rows <= kLogitRows && step.n_rows < step.n_tokens;
}

// Each sequence from its first wanted row to its last.
const std::vector<SequenceSpan>& Stage::WantedSpans(const Step& step) {
  wanted_spans_.clear();
  const int32_t *row = step.rows, *end = step.rows + step.n_rows;
  for (const SequenceSpan* s = step.sequences; row < end; ++s) {
    const int32_t* first = row;
    while (row < end && *row < s->row + s->n_tokens) ++row;
    if (row == first) continue;
    const int32_t last = row[-1];
    wanted_spans_.push_back({.pages = s->pages,
                             .start = s->start + *first - s->row,
                             .n_tokens = last - *first + 1,
                             .row = *first});
  }
  return wanted_spans_;
}

// K and V of all rows are in the cache. Nobody reads what the last layer makes of a row whose logits are not wanted, and
// of a prompt there is one that is.
void Stage::RunLastLayerOfWanted(const Step& step, int64_t layer) {
  if (step.n_rows == 0) return;
  const std::vector<SequenceSpan>& spans = WantedSpans(step);
  AttentionArgs args = ArgsOf(step, layer);
  args.sequences = spans.data();
  args.n_sequences = static_cast<int64_t>(spans.size());
  backend_->Attention(args, scratch_.queries, scratch_.attended);
  const Rows wanted = {scratch_.gathered, scratch_.gathered_attended};
  const StepIndices rows = {StepArray::kWanted, 0, step.n_rows};
  backend_->GatherRows(scratch_.x, rows, spec_.hidden_size, wanted.x);
  backend_->GatherRows(scratch_.attended, rows, spec_.n_heads * spec_.head_dim, wanted.attended);
  backend_->ForRowBlocks(step.n_rows, [&](const RowBlock& block) {
    AttentionOutput(step, layer, wanted, block);
    FeedForward(step, layer, wanted, block);
  });
}

void Stage::ForRowBlocks(const Step& step, const std::function<void(const RowBlock&)>& fn) {
  if (step.taps == nullptr) {
    backend_->ForRowBlocks(step.n_tokens, fn);
  } else {
    fn({.first = 0, .count = step.n_tokens, .lane = 0});
  }
}

void Stage::TakeTraceMemory(int64_t tokens, bool scores) {
  Arena counting;
  StepScratch::TakeRows(counting, spec_, dtype_, tokens, *backend_);
  traced_memory_ = backend_->Allocate(static_cast<int64_t>(counting.used()), "the trace", false);
  Arena arena(traced_memory_->data(), traced_memory_->size());
  traced_ = StepScratch::TakeRows(arena, spec_, dtype_, tokens, *backend_);
  if (!scores) return;
  traced_scores_ =
      backend_->Allocate(tokens * spec_.n_heads * context_length_ * static_cast<int64_t>(sizeof(float)),
                         "the trace of attention", false);
}

RowScratch& Stage::LaneOf(const RowBlock& block, const Step& step) {
  return step.taps == nullptr ? scratch_.lanes[static_cast<size_t>(block.lane)] : traced_;
}

AttentionArgs Stage::ArgsOf(const Step& step, int64_t layer) {
  float* scores = traced_scores_ == nullptr ? nullptr : reinterpret_cast<float*>(traced_scores_->data());
  return {.shape = &attention_,
          .layout = &kv_layout_,
          .pages = kv_pages_->data(),
          .layer = layer - first_,
          .rows = step.n_tokens,
          .sequences = step.sequences,
          .n_sequences = step.n_sequences,
          .trace = {scores, context_length_}};
}

// q, k, v of norm(x)
void Stage::AttentionInput(const Step& step, int64_t layer, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  s.normed.dtype = w.qkv.dtype;
  backend_->Norm(w.attn_norm, scratch_.x + block.first * spec_.hidden_size, n, &s.normed);
  backend_->Linear(w.qkv, s.normed, n, s.wide, spec_.qkv_size(), false);
  Record(step, layer, "attn_norm", s.normed.f32, n, spec_.hidden_size);
  Record(step, layer, "qkv", s.wide, n, spec_.qkv_size());
  backend_->StoreKv(ArgsOf(step, layer), block, s.wide, &scratch_.queries);
}

// x += o(attention)
void Stage::AttentionOutput(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  float* x = rows.x + block.first * spec_.hidden_size;
  float* attended = rows.attended + block.first * s.o_input.width;
  s.o_input.dtype = w.o.dtype;
  backend_->Prepare(attended, n, attention_.rotation, &s.o_input);
  backend_->Linear(w.o, s.o_input, n, x, spec_.hidden_size, true);
  Record(step, layer, "attn_residual", x, n, spec_.hidden_size);
}

// x += down(act(gate(norm(x))) * up(norm(x))), or without a gate
void Stage::FeedForward(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  float* x = rows.x + block.first * spec_.hidden_size;
  s.normed.dtype = w.gate_up.dtype;
  s.down_input.dtype = w.down.dtype;
  backend_->Norm(w.ffn_norm, x, n, &s.normed);
  if (step.taps == nullptr) {
    backend_->LinearActivation(w.gate_up, spec_.activation, s.normed, n, s.wide, s.work, &s.down_input);
  } else {
    backend_->Linear(w.gate_up, s.normed, n, s.wide, w.gate_up.n, false);
    backend_->Activation(spec_.activation, spec_.gated, s.wide, n, s.work, &s.down_input);
    Record(step, layer, "ffn_norm", s.normed.f32, n, spec_.hidden_size);
    Record(step, layer, "gate_up", s.wide, n, w.gate_up.n);
    Record(step, layer, "activation", s.work, n, spec_.ffn_size);
  }
  backend_->Linear(w.down, s.down_input, n, x, spec_.hidden_size, true);
  Record(step, layer, "ffn_residual", x, n, spec_.hidden_size);
}

void Stage::Logits(const Step& step, const LogitsFn& on_logits) {
  const bool gathered = EndsWithWantedRows(step);
  for (int64_t first = 0; first < step.n_rows; first += kLogitRows) {
    const int64_t count = std::min(kLogitRows, step.n_rows - first);
    if (!gathered) {
      backend_->GatherRows(scratch_.x, {StepArray::kWanted, first, count}, spec_.hidden_size,
                           scratch_.gathered);
    }
    scratch_.final_normed.dtype = weights_.lm_head.dtype;
    backend_->Norm(weights_.final_norm, scratch_.gathered, count, &scratch_.final_normed);
    backend_->Linear(weights_.lm_head, scratch_.final_normed, count, scratch_.logits, spec_.vocab_size,
                     false);
    Record(step, kNoLayer, "final_norm", scratch_.final_normed.f32, count, spec_.hidden_size);
    Record(step, kNoLayer, "logits", scratch_.logits, count, spec_.vocab_size);
    on_logits(step.first_row + first, count, scratch_.logits);
  }
}

void Stage::ApplyLinear(const LinearWeight& weight, const float* x, int64_t rows, float* out) {
  TakeTraceMemory(rows, false);
  LinearInput* inputs[] = {&traced_.normed, &traced_.o_input, &traced_.down_input};
  const auto fitting = std::find_if(std::begin(inputs), std::end(inputs),
                                    [&](const LinearInput* one) { return one->width == weight.k; });
  if (fitting == std::end(inputs)) throw Error(ErrorCode::kInternal, "No input is as wide as this linear");
  LinearInput input = **fitting;
  input.dtype = weight.dtype;
  constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
  const auto given = backend_->Allocate(rows * weight.k * kFloat, "a linear's input", false);
  const auto computed = backend_->Allocate(rows * weight.n * kFloat, "a linear's output", false);
  backend_->Upload(given->data(), x, rows * weight.k * kFloat);
  backend_->Prepare(reinterpret_cast<float*>(given->data()), rows, 1, &input);
  float* result = reinterpret_cast<float*>(computed->data());
  backend_->Linear(weight, input, rows, result, weight.n, false);
  std::copy_n(backend_->HostView(result, rows * weight.n, &host_copy_), rows * weight.n, out);
}

std::vector<float> Stage::WeightRows(const LinearWeight& weight, const std::vector<int32_t>& ids) {
  const auto n = static_cast<int64_t>(ids.size()), values = n * weight.k;
  const auto memory =
      backend_->Allocate(values * static_cast<int64_t>(sizeof(float)), "rows of a linear", false);
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

// The raw scores that the attention kernel computed, the weights they give (softmax over the visible positions), and
// the heads' outputs in their own basis.
void Stage::TapAttention(const Step& step, int64_t layer) {
  const int64_t per_row = spec_.n_heads * context_length_, n_scores = step.n_tokens * per_row;
  const float* traced =
      backend_->HostView(reinterpret_cast<const float*>(traced_scores_->data()), n_scores, &host_copy_);
  step.taps->Record(TapName(layer, "scores"), traced, step.n_tokens, per_row);
  std::vector<float> weights(static_cast<size_t>(n_scores), 0.0f);
  for (int64_t i = 0; i < step.n_tokens * spec_.n_heads; ++i) {
    const float* s = traced + i * context_length_;
    const int64_t n = step.positions[i / spec_.n_heads] + 1;
    const float max = *std::max_element(s, s + n);
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += std::exp(static_cast<double>(s[j] - max));
    for (int64_t j = 0; j < n; ++j) {
      weights[static_cast<size_t>(i * context_length_ + j)] =
          static_cast<float>(std::exp(static_cast<double>(s[j] - max)) / sum);
    }
  }
  step.taps->Record(TapName(layer, "weights"), weights.data(), step.n_tokens, per_row);
  const int64_t width = spec_.n_heads * spec_.head_dim;
  const auto own_basis = backend_->Allocate(step.n_tokens * width * static_cast<int64_t>(sizeof(float)),
                                            "the trace of attention", false);
  float* attended = reinterpret_cast<float*>(own_basis->data());
  backend_->Copy(attended, scratch_.attended, static_cast<int64_t>(own_basis->size()));
  LinearInput rows = {.dtype = Dtype::kF32, .width = width};
  backend_->Prepare(attended, step.n_tokens, attention_.rotation, &rows);
  Record(step, layer, "attention", rows.f32, step.n_tokens, width);
}

}  // namespace kvasir
