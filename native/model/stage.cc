#include "model/stage.h"

#include <algorithm>
#include <cmath>

#include "model/attention_trace.h"

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

AttentionShape AttentionShapeOf(const AttentionSpec& a, const ModelSpec& spec, Dtype kv_dtype) {
  AttentionShape shape = {
      .n_heads = a.n_heads,
      .n_kv_heads = a.n_kv_heads,
      .head_dim = a.head_dim,
      .padded_head_dim = a.padded_head_dim(),
      .scale = a.scale > 0 ? a.scale : static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim))),
      .soft_cap = a.soft_cap,
      .before = a.window > 0 ? a.window - 1 : kUnbounded,
      .after = a.causal       ? 0
               : a.window > 0 ? a.window - 1
                              : kUnbounded,
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
             const LoadOptions& options, const KvTables& tables, const KvLayers& layers)
    : spec_(spec),
      weights_(weights),
      backend_(std::move(backend)),
      first_(layers.first),
      end_(layers.end),
      dtype_(options.dtype),
      kv_layouts_(KvLayoutsOf(spec, options.kv_dtype, tables, layers, backend_->traits().kv_run)),
      state_layout_(StateLayoutOf(spec, StateCountsOf(spec, options).all(), layers.first, layers.end)),
      scratch_(spec, options, ShapeOf(options, backend_->traits()), backend_.get()),
      tables_(spec, options.context_length, backend_.get()),
      distance_biases_(spec, weights, layers.first, layers.end, options.context_length, backend_.get()) {
  for (const KvLayout& pool : kv_layouts_.pools) {
    kv_pages_.push_back(backend_->Allocate(pool.PoolBytes(), "the KV cache", true));
  }
  if (state_layout_.slots > 0) {
    states_ = backend_->Allocate(state_layout_.Bytes(), "the states of sequences", true);
  }
  for (const AttentionSpec& attention : spec.attentions) {
    attentions_.push_back(AttentionShapeOf(attention, spec, options.kv_dtype));
    tables_.Point(attentions_.size() - 1, &attentions_.back());
  }
  wanted_spans_.reserve(kLogitRows);
  if (end_ == spec.n_layers() && spec.head == HeadKind::kLogits) {
    backend_->ReserveSummary(kLogitRows, spec.vocab_size, std::min(kCandidates, spec.vocab_size));
  }
}

int64_t Stage::scratch_bytes() const {
  return scratch_.bytes() + tables_.bytes() + distance_biases_.bytes() + backend_->WorkBytes();
}

int64_t Stage::ScratchBytes(const ModelSpec& spec, const LoadOptions& options, const Traits& traits,
                            const Ops& ops) {
  return StepScratch::Bytes(spec, options, ShapeOf(options, traits), ops) +
         KindTables::Bytes(spec, options.context_length) +
         DistanceBiases::Bytes(spec, options.context_length);
}

void Stage::CopyPage(int64_t table, int32_t from, int32_t to) {
  for (size_t i = 0; i < kv_pages_.size(); ++i) {
    if (kv_layouts_.tables[i] != table) continue;
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

// A GPU that records steps knows them by their shape: those that want logits of their rows and no more, without adapters.
bool Stage::IsPlain(const Step& step) const {
  return step.wanted_only && step_adapters_.empty() &&
         std::all_of(step.wanted, step.wanted + step.n_rows,
                     [](const WantedRow& one) { return one.logits && !one.hidden; });
}

StepScope Stage::Begin(const Step& step, bool whole) {
  ResolveAdapters(step);
  for (const AttentionShape& shape : attentions_) CheckSpans(shape, step.sequences, step.n_sequences);
  if (step.taps != nullptr) {
    TakeTraceMemory(step);
  } else {
    traced_scores_.reset();
  }
  return StepScope(*backend_, {.tokens = step.tokens,
                               .positions = step.positions,
                               .types = step.types,
                               .rows = step.n_tokens,
                               .sequences = step.sequences,
                               .n_sequences = step.n_sequences,
                               .n_tables = step.n_tables,
                               .wanted = step.rows,
                               .n_wanted = step.n_rows,
                               .shape = attentions_.data(),
                               .whole = whole && IsPlain(step) && !spec_.has_experts()});
}

void Stage::Embed(const Step& step) {
  float* x = scratch_.x;
  backend_->Embed(weights_.embed_tokens, {StepArray::kTokens, 0, step.n_tokens}, x);
  Record(step, kNoLayer, "token_embed", x, step.n_tokens, spec_.hidden_size);
  const EmbeddingSpec& embedding = spec_.embedding;
  if (embedding.scale != 1) {
    backend_->Scale({.scale = embedding.scale}, step.n_tokens, spec_.hidden_size, x);
  }
  if (weights_.embed_types != nullptr) {
    backend_->AddRows(weights_.embed_types, {StepArray::kTypes, 0, step.n_tokens}, spec_.hidden_size, x);
  }
  if (weights_.embed_positions != nullptr) {
    const float* first = weights_.embed_positions + embedding.position_offset * spec_.hidden_size;
    backend_->AddRows(first, {StepArray::kPositions, 0, step.n_tokens}, spec_.hidden_size, x);
  }
  if (embedding.norm) {
    backend_->AddNorm({.join = JoinForm::kAddThenNorm, .norm = &weights_.embed_norm}, nullptr, step.n_tokens,
                      spec_.hidden_size, x);
  }
  Record(step, kNoLayer, "embed", x, step.n_tokens, spec_.hidden_size);
}

// Between two attentions every row goes its own way: from one's output to the next one's input in one run. The same holds of
// a state, which stands in an attention's place.
void Stage::RunLayers(const Step& step, int64_t first, int64_t end) {
  if (first < end) {
    ForRowBlocks(step, AllRows(step), [&](const RowBlock& block) { MixerInput(step, first, block); });
  }
  for (int64_t layer = first; layer < end; ++layer) {
    if (step.cancellation != nullptr) step.cancellation->ThrowIfCancelled();
    if (layer + 1 == spec_.n_layers() && EndsWithWantedRows(step)) {
      RunLastLayerOfWanted(step, layer);
      break;
    }
    if (spec_.has_state(layer)) {
      MixStates(step, layer);
    } else {
      backend_->Attention(ArgsOf(step, layer), scratch_.queries, scratch_.attended);
      if (step.patch != nullptr) PatchHeads(*step.patch, layer, step.n_tokens);
      if (step.taps != nullptr) TapAttention(step, layer);
    }
    RunAfterAttention(step, layer, AllRows(step), layer + 1 < end ? layer + 1 : kNoLayer);
  }
}

bool Stage::EndsWithWantedRows(const Step& step) const {
  return step.wanted_only && step.n_rows <= kLogitRows && step.n_rows < step.n_tokens;
}

// Each sequence from its first wanted row to its last.
const std::vector<SequenceSpan>& Stage::WantedSpans(const Step& step, const SequenceSpan* sequences) {
  wanted_spans_.clear();
  const int32_t *row = step.rows, *end = step.rows + step.n_rows;
  for (const SequenceSpan* s = sequences; row < end; ++s) {
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
// of a prompt there is one that is. A state goes through all rows.
void Stage::RunLastLayerOfWanted(const Step& step, int64_t layer) {
  if (spec_.has_state(layer)) MixStates(step, layer);
  if (step.n_rows == 0) return;
  if (!spec_.has_state(layer)) {
    AttentionArgs args = ArgsOf(step, layer);
    const std::vector<SequenceSpan>& spans = WantedSpans(step, args.sequences);
    args.sequences = spans.data();
    args.n_sequences = static_cast<int64_t>(spans.size());
    backend_->Attention(args, scratch_.queries, scratch_.attended);
  }
  const Rows wanted = {scratch_.gathered, scratch_.gathered_attended, step.n_rows, &adapted_wanted_};
  const StepIndices rows = {StepArray::kWanted, 0, step.n_rows};
  backend_->GatherRows(scratch_.x, rows, spec_.hidden_size, wanted.x);
  backend_->GatherRows(scratch_.attended, rows, LayerAt(layer).o.k, wanted.attended);
  RunAfterAttention(step, layer, wanted, kNoLayer);
}

// A block knows from its beginning which of its rows go through adapters.
void Stage::ForRowBlocks(const Step& step, const Rows& rows, const std::function<void(const RowBlock&)>& fn) {
  const auto begin = [&](const RowBlock& block) {
    AdaptedRows& adapted = LaneOf(block, step).adapted;
    adapted.spans = rows.adapted;
    adapted.first = block.first;
    adapted.count = block.count;
    fn(block);
  };
  if (step.taps == nullptr) {
    backend_->ForRowBlocks(rows.count, begin);
  } else {
    begin({.first = 0, .count = rows.count, .lane = 0});
  }
}

RowScratch& Stage::LaneOf(const RowBlock& block, const Step& step) {
  return step.taps == nullptr ? scratch_.lanes[static_cast<size_t>(block.lane)] : traced_;
}

AttentionBias Stage::BiasOf(int64_t layer) const {
  AttentionBias bias = {.slopes = tables_.slopes(spec_.layer(layer).attention),
                        .sinks = LayerAt(layer).sinks};
  distance_biases_.Point(layer, &bias);
  return bias;
}

HeadNorm Stage::HeadNormOf(int64_t layer) const {
  const HeadNormSpec& norm = spec_.attention_of(layer).head_norm;
  const LayerWeights& w = LayerAt(layer);
  return {.kind = norm.kind,
          .after_rope = norm.after_rope,
          .eps = spec_.norm_eps,
          .q_weight = w.q_norm,
          .k_weight = w.k_norm};
}

AttentionArgs Stage::ArgsOf(const Step& step, int64_t layer) {
  float* scores = traced_scores_ == nullptr ? nullptr : reinterpret_cast<float*>(traced_scores_->data());
  const KvLayer& place = kv_layouts_.layers[static_cast<size_t>(layer - first_)];
  const auto pool = static_cast<size_t>(place.pool);
  const int64_t table = kv_layouts_.tables[pool];
  return {.shape = &ShapeAt(layer),
          .layout = &kv_layouts_.pools[pool],
          .pages = kv_pages_[pool]->data(),
          .layer = place.index,
          .rows = step.n_tokens,
          .sequences = step.sequences + table * step.n_sequences,
          .n_sequences = step.n_sequences,
          .table = table,
          .trace = {scores, traced_positions_},
          .bias = BiasOf(layer),
          .norm = HeadNormOf(layer)};
}

// x [rows, hidden] through the final norm, if there is one, as input of a linear of `dtype` and in float32.
LinearInput Stage::FinalNorm(float* x, int64_t rows, Dtype dtype) {
  LinearInput normed = scratch_.final_normed;
  normed.dtype = dtype;
  if (spec_.final_norm) {
    backend_->Norm(weights_.final_norm, x, rows, &normed);
  } else {
    backend_->Prepare(x, rows, 1, &normed);
  }
  return normed;
}

void Stage::WantedRows(const Step& step, const RowsFn& on_rows) {
  const bool gathered = EndsWithWantedRows(step);
  const int64_t hidden = spec_.hidden_size;
  for (int64_t first = 0, count = 0; first < step.n_rows; first += count) {
    // Rows that want logits together, rows that do not together.
    const WantedRow *wanted = step.wanted + first, *end = wanted + std::min(kLogitRows, step.n_rows - first);
    const bool logits = wanted->logits;
    count = std::find_if(wanted, end, [&](const WantedRow& one) { return one.logits != logits; }) - wanted;
    float* x = scratch_.gathered + (gathered ? first * hidden : 0);
    if (!gathered) backend_->GatherRows(scratch_.x, {StepArray::kWanted, first, count}, hidden, x);
    const LinearInput normed = FinalNorm(x, count, logits ? weights_.lm_head.dtype : Dtype::kF32);
    Record(step, kNoLayer, "final_norm", normed.f32, count, hidden);
    StepRows rows = {.first = step.first_row + first, .count = count};
    if (std::any_of(wanted, wanted + count, [](const WantedRow& one) { return one.hidden; })) {
      rows.hidden = normed.f32;
    }
    if (logits) {
      Head(step, normed, first, count);
      rows.logits = scratch_.logits;
    }
    on_rows(rows);
  }
}

// Logits of `normed`, wanted rows [first, first + count).
void Stage::Head(const Step& step, const LinearInput& normed, int64_t first, int64_t count) {
  backend_->Linear(weights_.lm_head, normed, count, scratch_.logits, spec_.vocab_size, false);
  Adapt(weights_.lm_head, normed, {&adapted_wanted_, first, count, adapted_head_}, scratch_.logits,
        spec_.vocab_size);
  if (spec_.logits_scale != 1 || spec_.logits_soft_cap > 0) {
    backend_->Scale({.scale = spec_.logits_scale, .cap = spec_.logits_soft_cap}, count, spec_.vocab_size,
                    scratch_.logits);
  }
  Record(step, kNoLayer, "logits", scratch_.logits, count, spec_.vocab_size);
}

}  // namespace kvasir
