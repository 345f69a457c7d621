#include "model/stage.h"

#include <algorithm>
#include <cmath>

#include "model/attention_trace.h"
#include "model/kv_cache.h"

namespace kvasir {

namespace {

int HeadRotation(int64_t head_dim) {
  int block = 1;
  while (block < 64 && head_dim % (2 * block) == 0) block *= 2;
  return block;
}

ScratchShape ShapeOf(const LoadOptions& options, const Traits& traits) {
  return {.tokens = std::min(traits.step_rows, options.kv_capacity),
          .logit_rows = Stage::kLogitRows,
          .traits = traits};
}

// cos, then sin, [context, rope_dim / 2] f32 each.
int64_t RopeTableBytes(const ModelSpec& spec, int64_t positions) {
  int64_t bytes = 0;
  for (const RopeSpec& rope : spec.ropes) {
    bytes += 2 * positions * static_cast<int64_t>(rope.inverse_frequencies.size() * sizeof(float));
  }
  return bytes;
}

AttentionShape AttentionShapeOf(const AttentionSpec& a, const ModelSpec& spec, Dtype kv_dtype) {
  AttentionShape shape = {
      .n_heads = a.n_heads,
      .n_kv_heads = a.n_kv_heads,
      .head_dim = a.head_dim,
      .padded_head_dim = a.padded_head_dim(),
      .scale = a.scale > 0 ? a.scale : static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim))),
      .rotation = kv_dtype == Dtype::kInt8 ? HeadRotation(a.head_dim) : 1,
  };
  if (a.rope >= 0) {
    const RopeSpec& rope = spec.ropes[static_cast<size_t>(a.rope)];
    shape.rope = rope.kind;
    shape.rope_dim = 2 * static_cast<int64_t>(rope.inverse_frequencies.size());
  }
  return shape;
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
      kv_capacity_(options.kv_capacity),
      dtype_(options.dtype),
      kv_layouts_(KvLayoutsOf(spec, options.kv_dtype, first, end, KvCache::PagesFor(options.kv_capacity),
                              backend_->traits().kv_run)),
      scratch_(spec, options, ShapeOf(options, backend_->traits()), backend_.get()) {
  for (const KvLayout& pool : kv_layouts_.pools) {
    kv_pages_.push_back(backend_->Allocate(pool.PoolBytes(), "the KV cache", true));
  }
  for (const AttentionSpec& attention : spec.attentions) {
    attentions_.push_back(AttentionShapeOf(attention, spec, options.kv_dtype));
  }
  wanted_spans_.reserve(kLogitRows);
  BuildRopeTables();
  if (end_ == spec.n_layers()) {
    backend_->ReserveSummary(kLogitRows, spec.vocab_size, std::min(kCandidates, spec.vocab_size));
  }
}

// The angle is rounded to float32 as the reference does (its frequencies and products are float32); its cosine is
// that of the rounded angle, computed in double.
void Stage::BuildRopeTables() {
  std::vector<const float*> cosines;
  const auto positions = static_cast<size_t>(context_length_);
  for (const RopeSpec& rope : spec_.ropes) {
    const size_t half = rope.inverse_frequencies.size(), n = positions * half;
    const double scale = static_cast<double>(rope.scale);
    std::vector<float> tables(2 * n);
    for (size_t p = 0; p < positions; ++p) {
      for (size_t i = 0; i < half; ++i) {
        const auto angle = static_cast<double>(static_cast<float>(p) * rope.inverse_frequencies[i]);
        tables[p * half + i] = static_cast<float>(std::cos(angle) * scale);
        tables[n + p * half + i] = static_cast<float>(std::sin(angle) * scale);
      }
    }
    const auto bytes = static_cast<int64_t>(tables.size() * sizeof(float));
    rope_tables_.push_back(backend_->Allocate(bytes, "the rotary embedding", false));
    backend_->Upload(rope_tables_.back()->data(), tables.data(), bytes);
    cosines.push_back(reinterpret_cast<const float*>(rope_tables_.back()->data()));
  }
  for (size_t kind = 0; kind < attentions_.size(); ++kind) {
    AttentionShape& shape = attentions_[kind];
    if (shape.rope == RopeKind::kNone) continue;
    shape.rope_cos = cosines[static_cast<size_t>(spec_.attentions[kind].rope)];
    shape.rope_sin = shape.rope_cos + positions * static_cast<size_t>(shape.rope_dim / 2);
  }
}

int64_t Stage::step_rows() const { return std::min(backend_->traits().step_rows, kv_capacity_); }

int64_t Stage::scratch_bytes() const {
  int64_t tables = 0;
  for (const auto& memory : rope_tables_) tables += static_cast<int64_t>(memory->size());
  return scratch_.bytes() + tables + backend_->WorkBytes();
}

int64_t Stage::ScratchBytes(const ModelSpec& spec, const LoadOptions& options, const Traits& traits,
                            const Ops& ops) {
  return StepScratch::Bytes(spec, options, ShapeOf(options, traits), ops) +
         RopeTableBytes(spec, options.context_length);
}

void Stage::CopyPage(int32_t from, int32_t to) {
  for (size_t i = 0; i < kv_pages_.size(); ++i) {
    CopyPage(kv_layouts_.pools[i], kv_pages_[i]->data(), from, to);
  }
}

void Stage::CopyPage(const KvLayout& layout, uint8_t* pool, int32_t from, int32_t to) {
  if (layout.run == 1) {  // one piece: on a GPU each copy is a call
    const int64_t bytes = layout.PageBytes();
    backend_->Copy(pool + to * bytes, pool + from * bytes, bytes);
    return;
  }
  const int64_t values = layout.HeadBytes(), scales = layout.HeadScaleBytes();
  for (int64_t layer = 0; layer < layout.n_layers; ++layer) {
    for (int64_t head = 0; head < layout.n_kv_heads; ++head) {
      const KvPlace source = layout.Place(from, layer, head), target = layout.Place(to, layer, head);
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
  for (const AttentionShape& shape : attentions_) CheckSpans(shape, step.sequences, step.n_sequences);
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
                               .shape = attentions_.data(),
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
    if (layer + 1 == spec_.n_layers() && EndsWithWantedRows(step)) {
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
                             .row = *first,
                             .beyond = s->row + s->n_tokens - 1 - last});
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
  backend_->GatherRows(scratch_.attended, rows, spec_.attention_of(layer).q_size(), wanted.attended);
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

RowScratch& Stage::LaneOf(const RowBlock& block, const Step& step) {
  return step.taps == nullptr ? scratch_.lanes[static_cast<size_t>(block.lane)] : traced_;
}

AttentionArgs Stage::ArgsOf(const Step& step, int64_t layer) {
  float* scores = traced_scores_ == nullptr ? nullptr : reinterpret_cast<float*>(traced_scores_->data());
  const KvLayer& place = kv_layouts_.layers[static_cast<size_t>(layer - first_)];
  const auto pool = static_cast<size_t>(place.pool);
  return {.shape = &ShapeAt(layer),
          .layout = &kv_layouts_.pools[pool],
          .pages = kv_pages_[pool]->data(),
          .layer = place.index,
          .rows = step.n_tokens,
          .sequences = step.sequences,
          .n_sequences = step.n_sequences,
          .trace = {scores, context_length_},
          .bias = {}};
}

// q, k, v of norm(x)
void Stage::AttentionInput(const Step& step, int64_t layer, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  s.normed.dtype = w.qkv.dtype;
  backend_->Norm(w.attn_norm, scratch_.x + block.first * spec_.hidden_size, n, &s.normed);
  backend_->Linear(w.qkv, s.normed, n, s.wide, w.qkv.n, false);
  Record(step, layer, "attn_norm", s.normed.f32, n, spec_.hidden_size);
  Record(step, layer, "qkv", s.wide, n, w.qkv.n);
  backend_->StoreKv(ArgsOf(step, layer), block, s.wide, &scratch_.queries);
}

// x += o(attention)
void Stage::AttentionOutput(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  float* x = rows.x + block.first * spec_.hidden_size;
  s.o_input.width = w.o.k;
  float* attended = rows.attended + block.first * s.o_input.width;
  s.o_input.dtype = w.o.dtype;
  backend_->Prepare(attended, n, ShapeAt(layer).rotation, &s.o_input);
  backend_->Linear(w.o, s.o_input, n, x, spec_.hidden_size, true);
  Record(step, layer, "attn_residual", x, n, spec_.hidden_size);
}

// x += down(act(gate(norm(x))) * up(norm(x))), or without a gate
void Stage::FeedForward(const Step& step, int64_t layer, const Rows& rows, const RowBlock& block) {
  const LayerWeights& w = LayerAt(layer);
  const FeedForwardSpec& f = spec_.feed_forward_of(layer);
  RowScratch& s = LaneOf(block, step);
  const int64_t n = block.count;
  float* x = rows.x + block.first * spec_.hidden_size;
  s.normed.dtype = w.gate_up.dtype;
  s.down_input.dtype = w.down.dtype;
  s.down_input.width = f.size;
  backend_->Norm(w.ffn_norm, x, n, &s.normed);
  if (step.taps == nullptr) {
    backend_->LinearActivation(w.gate_up, f.activation, s.normed, n, s.wide, s.work, &s.down_input);
  } else {
    backend_->Linear(w.gate_up, s.normed, n, s.wide, w.gate_up.n, false);
    backend_->Activation(f.activation, f.gated, s.wide, n, s.work, &s.down_input);
    Record(step, layer, "ffn_norm", s.normed.f32, n, spec_.hidden_size);
    Record(step, layer, "gate_up", s.wide, n, w.gate_up.n);
    Record(step, layer, "activation", s.work, n, f.size);
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

}  // namespace kvasir
