#include "model/transformer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace kvasir {

namespace {

int HeadRotation(int64_t head_dim) {
  int block = 1;
  while (block < 64 && head_dim % (2 * block) == 0) block *= 2;
  return block;
}

std::string LayerName(int64_t layer) { return "layers." + std::to_string(layer) + "."; }

ScratchShape ShapeOf(const LoadOptions& options, const Backend& backend, int threads) {
  return {.tokens = std::min(Transformer::kMaxStepTokens, options.kv_capacity),
          .logit_rows = Transformer::kLogitRows,
          .lanes = threads,
          .block_rows = backend.block_rows(),
          .quantized_bytes = backend.quantized_bytes()};
}

}  // namespace

Transformer::Transformer(const ModelSpec& spec, std::unique_ptr<Weights> weights,
                         std::unique_ptr<Backend> backend, const LoadOptions& options)
    : spec_(spec),
      backend_(std::move(backend)),
      weights_(std::move(weights)),
      cache_(spec.kv_layout(options.kv_dtype), options.kv_capacity),
      context_length_(options.context_length),
      dtype_(options.dtype),
      scratch_(spec, options, ShapeOf(options, *backend_, backend_->threads())),
      positions_(static_cast<size_t>(std::min(kMaxStepTokens, options.kv_capacity))) {
  const bool int8_cache = options.kv_dtype == Dtype::kInt8;
  attention_ = {
      .n_heads = spec.n_heads,
      .n_kv_heads = spec.n_kv_heads,
      .head_dim = spec.head_dim,
      .padded_head_dim = spec.padded_head_dim(),
      .scale = spec.attention_scale > 0
                   ? spec.attention_scale
                   : static_cast<float>(1.0 / std::sqrt(static_cast<double>(spec.head_dim))),
      .rope = spec.rope,
      .rope_dim = 2 * static_cast<int64_t>(spec.inverse_frequencies.size()),
      .rotation = int8_cache ? HeadRotation(spec.head_dim) : 1,
  };
  BuildRopeTables(context_length_);
}

// The angle is rounded to float32 as the reference does (its frequencies and products are float32); its cosine is
// that of the rounded angle, computed in double.
void Transformer::BuildRopeTables(int64_t positions) {
  if (spec_.rope == RopeKind::kNone) return;
  const size_t half = spec_.inverse_frequencies.size();
  rope_cos_.resize(static_cast<size_t>(positions) * half);
  rope_sin_.resize(rope_cos_.size());
  for (size_t p = 0; p < static_cast<size_t>(positions); ++p) {
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(p) * spec_.inverse_frequencies[i];
      rope_cos_[p * half + i] = static_cast<float>(std::cos(static_cast<double>(angle)));
      rope_sin_[p * half + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  attention_.rope_cos = rope_cos_.data();
  attention_.rope_sin = rope_sin_.data();
}

int64_t Transformer::ScratchBytes(const ModelSpec& spec, const LoadOptions& options, const Backend& backend,
                                  int threads) {
  return StepScratch::Bytes(spec, options, ShapeOf(options, backend, threads));
}

void Transformer::Check(const Batch& batch) const {
  int64_t n_tokens = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    if (sequence.n_tokens < 1) throw Error(ErrorCode::kInternal, "A sequence of a step has no tokens");
    const int64_t length = cache_.Length(sequence.id) + sequence.n_tokens;
    if (length > context_length_) {
      throw Error(ErrorCode::kContextOverflow, "The sequence would have " + std::to_string(length) +
                                                   " tokens, more than the context of " +
                                                   std::to_string(context_length_));
    }
    for (const BatchSequence& other : batch.sequences) {
      if (&other != &sequence && other.id == sequence.id) {
        throw Error(ErrorCode::kInternal, "A sequence appears twice in a step");
      }
    }
    n_tokens += sequence.n_tokens;
  }
  if (n_tokens != static_cast<int64_t>(batch.tokens.size()) || n_tokens == 0) {
    throw Error(ErrorCode::kInternal, "A step's token count disagrees with its sequences");
  }
  for (const int32_t token : batch.tokens) {
    if (token >= 0 && token < spec_.vocab_size) continue;
    throw Error(ErrorCode::kInvalidOption, "Token id " + std::to_string(token) +
                                               " is outside the vocabulary of " +
                                               std::to_string(spec_.vocab_size));
  }
  int64_t previous = -1;
  for (const int32_t row : batch.rows) {
    if (row <= previous || row >= n_tokens) {
      throw Error(ErrorCode::kInternal, "A step's rows must ascend and lie inside it");
    }
    previous = row;
  }
}

void Transformer::Forward(const Batch& batch, const CancellationToken* cancellation, TapSink* taps,
                          const LogitsFn& on_logits) {
  Check(batch);
  std::vector<int64_t> before;
  for (const BatchSequence& sequence : batch.sequences) before.push_back(cache_.Length(sequence.id));
  try {
    const int64_t limit = static_cast<int64_t>(positions_.size());
    size_t index = 0;
    int64_t taken = 0;  // tokens of sequences[index] that earlier steps took
    size_t next_row = 0;
    std::vector<int32_t> rows;
    for (int64_t first = 0; first < static_cast<int64_t>(batch.tokens.size());) {
      spans_.clear();
      std::vector<BatchSequence> parts;
      int64_t n = 0;
      while (n < limit && index < batch.sequences.size()) {
        const BatchSequence& sequence = batch.sequences[index];
        const int64_t count = std::min(limit - n, sequence.n_tokens - taken);
        cache_.Reserve(sequence.id, count);
        spans_.push_back({cache_.Pages(sequence.id), cache_.Length(sequence.id), count, n});
        parts.push_back({sequence.id, count});
        n += count;
        taken += count;
        if (taken == sequence.n_tokens) {
          ++index;
          taken = 0;
        }
      }
      rows.clear();
      const size_t first_row = next_row;
      while (next_row < batch.rows.size() && batch.rows[next_row] < first + n) {
        rows.push_back(static_cast<int32_t>(batch.rows[next_row++] - first));
      }
      RunStep({batch.tokens.data() + first, n, spans_.data(), static_cast<int64_t>(spans_.size()),
               rows.data(), static_cast<int64_t>(rows.size()), static_cast<int64_t>(first_row)},
              {.first = 0, .end = spec_.n_layers}, cancellation, taps, on_logits);
      for (const BatchSequence& part : parts) cache_.Commit(part.id, part.n_tokens);
      first += n;
    }
  } catch (...) {
    for (size_t i = 0; i < before.size(); ++i) cache_.Truncate(batch.sequences[i].id, before[i]);
    throw;
  }
}

void Transformer::RunStep(const Step& step, const LayerRange& range, const CancellationToken* cancellation,
                          TapSink* taps, const LogitsFn& on_logits) {
  for (int64_t i = 0; i < step.n_sequences; ++i) {
    const SequenceSpan& s = step.sequences[i];
    for (int64_t j = 0; j < s.n_tokens; ++j) {
      positions_[static_cast<size_t>(s.row + j)] = static_cast<int32_t>(s.start + j);
    }
  }
  if (taps != nullptr) {
    TakeTraceMemory(step.n_tokens);
  } else {
    traced_scores_.clear();
  }
  float* x = scratch_.x;
  if (range.input != nullptr) {
    std::copy_n(range.input, step.n_tokens * spec_.hidden_size, x);
  } else {
    Embed(step, taps);
  }
  // Between two attentions every row goes its own way: from one's output to the next one's input in one run.
  if (range.first < range.end) {
    ForRowBlocks(step, taps, [&](const RowBlock& block) { AttentionInput(step, range.first, block, taps); });
  }
  for (int64_t layer = range.first; layer < range.end; ++layer) {
    if (cancellation != nullptr) cancellation->ThrowIfCancelled();
    backend_->Attention(ArgsOf(step, layer), scratch_.queries, scratch_.attended);
    if (taps != nullptr) TapAttention(step, LayerName(layer), taps);
    ForRowBlocks(step, taps, [&](const RowBlock& block) {
      AttentionOutput(layer, block, taps);
      FeedForward(layer, block, taps);
      if (layer + 1 < range.end) AttentionInput(step, layer + 1, block, taps);
    });
  }
  Logits(step, taps, on_logits);
}

void Transformer::Embed(const Step& step, TapSink* taps) {
  float* x = scratch_.x;
  backend_->Embed(weights_->embed_tokens, step.tokens, step.n_tokens, x);
  if (taps != nullptr) taps->Record("token_embed", x, step.n_tokens, spec_.hidden_size);
  if (weights_->embed_positions != nullptr) {
    backend_->AddRows(weights_->embed_positions, positions_.data(), step.n_tokens, spec_.hidden_size, x);
  }
  if (taps != nullptr) taps->Record("embed", x, step.n_tokens, spec_.hidden_size);
}

void Transformer::ForRowBlocks(const Step& step, TapSink* taps,
                               const std::function<void(const RowBlock&)>& fn) {
  if (taps == nullptr) {
    backend_->ForRowBlocks(step.n_tokens, fn);
  } else {
    fn({.first = 0, .count = step.n_tokens, .lane = 0});
  }
}

void Transformer::TakeTraceMemory(int64_t tokens) {
  const int64_t quantized_bytes = backend_->quantized_bytes();
  Arena counting;
  StepScratch::TakeRows(counting, spec_, dtype_, tokens, quantized_bytes);
  traced_arena_ = Arena(counting.used(), "the trace");
  traced_ = StepScratch::TakeRows(traced_arena_, spec_, dtype_, tokens, quantized_bytes);
  traced_scores_.assign(static_cast<size_t>(tokens * spec_.n_heads * context_length_), 0.0f);
}

RowScratch& Transformer::LaneOf(const RowBlock& block, const TapSink* taps) {
  return taps == nullptr ? scratch_.lanes[static_cast<size_t>(block.lane)] : traced_;
}

AttentionArgs Transformer::ArgsOf(const Step& step, int64_t layer) {
  return {.shape = &attention_,
          .layout = &cache_.layout(),
          .layer = layer,
          .rows = step.n_tokens,
          .sequences = step.sequences,
          .n_sequences = step.n_sequences,
          .trace = {traced_scores_.empty() ? nullptr : traced_scores_.data(), context_length_}};
}

// q, k, v of norm(x)
void Transformer::AttentionInput(const Step& step, int64_t layer, const RowBlock& block, TapSink* taps) {
  const LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
  RowScratch& s = LaneOf(block, taps);
  const int64_t n = block.count;
  s.normed.dtype = w.qkv.dtype;
  backend_->Norm(w.attn_norm, scratch_.x + block.first * spec_.hidden_size, n, &s.normed);
  backend_->Linear(w.qkv, s.normed, n, s.wide, spec_.qkv_size(), false);
  if (taps != nullptr) {
    taps->Record(LayerName(layer) + "attn_norm", s.normed.f32, n, spec_.hidden_size);
    taps->Record(LayerName(layer) + "qkv", s.wide, n, spec_.qkv_size());
  }
  backend_->StoreKv(ArgsOf(step, layer), block, s.wide, &scratch_.queries);
}

// x += o(attention)
void Transformer::AttentionOutput(int64_t layer, const RowBlock& block, TapSink* taps) {
  const LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
  RowScratch& s = LaneOf(block, taps);
  const int64_t n = block.count;
  float* x = scratch_.x + block.first * spec_.hidden_size;
  float* attended = scratch_.attended + block.first * s.o_input.width;
  s.o_input.dtype = w.o.dtype;
  // V's head rotation is the input rotation that the output projection wants, where the block is whole.
  const bool rotated = attention_.rotation == 64 && w.o.dtype == Dtype::kInt8;
  if (attention_.rotation > 1 && !rotated) {
    backend_->RotateBlocks(attended, n, s.o_input.width, attention_.rotation);
  }
  backend_->Prepare(attended, n, rotated, &s.o_input);
  backend_->Linear(w.o, s.o_input, n, x, spec_.hidden_size, true);
  if (taps != nullptr) taps->Record(LayerName(layer) + "attn_residual", x, n, spec_.hidden_size);
}

// x += down(act(gate(norm(x))) * up(norm(x))), or without a gate
void Transformer::FeedForward(int64_t layer, const RowBlock& block, TapSink* taps) {
  const LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
  RowScratch& s = LaneOf(block, taps);
  const int64_t n = block.count;
  float* x = scratch_.x + block.first * spec_.hidden_size;
  s.normed.dtype = w.gate_up.dtype;
  s.down_input.dtype = w.down.dtype;
  backend_->Norm(w.ffn_norm, x, n, &s.normed);
  if (taps == nullptr) {
    backend_->LinearActivation(w.gate_up, spec_.activation, s.normed, n, s.wide, s.work, &s.down_input);
  } else {
    backend_->Linear(w.gate_up, s.normed, n, s.wide, w.gate_up.n, false);
    backend_->Activation(spec_.activation, spec_.gated, s.wide, n, s.work, &s.down_input);
    taps->Record(LayerName(layer) + "ffn_norm", s.normed.f32, n, spec_.hidden_size);
    taps->Record(LayerName(layer) + "gate_up", s.wide, n, w.gate_up.n);
    taps->Record(LayerName(layer) + "activation", s.work, n, spec_.ffn_size);
  }
  backend_->Linear(w.down, s.down_input, n, x, spec_.hidden_size, true);
  if (taps != nullptr) taps->Record(LayerName(layer) + "ffn_residual", x, n, spec_.hidden_size);
}

void Transformer::Logits(const Step& step, TapSink* taps, const LogitsFn& on_logits) {
  for (int64_t first = 0; first < step.n_rows; first += kLogitRows) {
    const int64_t count = std::min(kLogitRows, step.n_rows - first);
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(scratch_.x + step.rows[first + i] * spec_.hidden_size, spec_.hidden_size,
                  scratch_.gathered + i * spec_.hidden_size);
    }
    scratch_.final_normed.dtype = weights_->lm_head.dtype;
    backend_->Norm(weights_->final_norm, scratch_.gathered, count, &scratch_.final_normed);
    backend_->Linear(weights_->lm_head, scratch_.final_normed, count, scratch_.logits, spec_.vocab_size,
                     false);
    if (taps != nullptr) {
      taps->Record("final_norm", scratch_.final_normed.f32, count, spec_.hidden_size);
      taps->Record("logits", scratch_.logits, count, spec_.vocab_size);
    }
    on_logits(step.first_row + first, count, scratch_.logits);
  }
}

// The raw scores that the attention kernel computed, the weights they give (softmax over the visible positions), and
// the heads' outputs in their own basis.
void Transformer::TapAttention(const Step& step, const std::string& layer, TapSink* taps) {
  const int64_t per_row = spec_.n_heads * context_length_;
  taps->Record(layer + "scores", traced_scores_.data(), step.n_tokens, per_row);
  std::vector<float> weights(traced_scores_.size(), 0.0f);
  for (int64_t i = 0; i < step.n_tokens * spec_.n_heads; ++i) {
    const float* s = traced_scores_.data() + i * context_length_;
    const int64_t n = positions_[static_cast<size_t>(i / spec_.n_heads)] + 1;
    const float max = *std::max_element(s, s + n);
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += std::exp(static_cast<double>(s[j] - max));
    for (int64_t j = 0; j < n; ++j) {
      weights[static_cast<size_t>(i * context_length_ + j)] =
          static_cast<float>(std::exp(static_cast<double>(s[j] - max)) / sum);
    }
  }
  taps->Record(layer + "weights", weights.data(), step.n_tokens, per_row);
  const int64_t width = spec_.n_heads * spec_.head_dim;
  std::vector<float> attended(scratch_.attended, scratch_.attended + step.n_tokens * width);
  if (attention_.rotation > 1) {
    backend_->RotateBlocks(attended.data(), step.n_tokens, width, attention_.rotation);
  }
  taps->Record(layer + "attention", attended.data(), step.n_tokens, width);
}

}  // namespace kvasir
