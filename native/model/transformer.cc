#include "model/transformer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace kvasir {

namespace {

constexpr int64_t kGroupValues = 64;  // activations are quantized in groups of 64; widths are padded to it

int HeadRotation(int64_t head_dim) {
  int block = 1;
  while (block < 64 && head_dim % (2 * block) == 0) block *= 2;
  return block;
}

int64_t Groups(int64_t width) { return (width + kGroupValues - 1) / kGroupValues; }

}  // namespace

struct Transformer::Step {
  const int32_t* tokens;
  int64_t n_tokens;
  const SequenceSpan* sequences;
  int64_t n_sequences;
  const int32_t* rows;  // wanted, relative to this step's first token
  int64_t n_rows;
  int64_t first_row;  // index of rows[0] in the batch
};

Transformer::Transformer(const ModelSpec& spec, std::unique_ptr<Weights> weights,
                         std::unique_ptr<Backend> backend, const LoadOptions& options)
    : spec_(spec),
      backend_(std::move(backend)),
      weights_(std::move(weights)),
      cache_(spec.kv_layout(options.kv_dtype), options.kv_capacity),
      context_length_(options.context_length) {
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
  TakeScratch(options);
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

int64_t Transformer::ScratchBytes(const ModelSpec& s, const LoadOptions& options, int64_t quantized_bytes) {
  const int64_t tokens = std::min(kMaxStepTokens, options.kv_capacity);
  const int64_t heads = s.n_heads * s.head_dim;
  const auto part = [](int64_t bytes) {
    return static_cast<int64_t>(Arena::Padded(static_cast<size_t>(bytes)));
  };
  const auto activations = [&](int64_t width) {
    if (options.dtype != Dtype::kInt8) return int64_t{0};
    const int64_t groups = Groups(width);
    return part(tokens * groups * kGroupValues * quantized_bytes) + 2 * part(tokens * groups * 4);
  };
  const int64_t query_values = tokens * s.n_heads * s.padded_head_dim();
  const int64_t wide = std::max(s.qkv_size(), (s.gated ? 2 : 1) * s.ffn_size);
  return 2 * part(tokens * s.hidden_size * 4) + part(tokens * wide * 4) + part(tokens * heads * 4) +
         part(tokens * s.ffn_size * 4) + part(kLogitRows * s.hidden_size * 4) +
         part(kLogitRows * s.vocab_size * 4) + activations(s.hidden_size) + activations(heads) +
         activations(s.ffn_size) +
         (options.kv_dtype == Dtype::kF32
              ? part(query_values * 4)
              : part(query_values * quantized_bytes) + 2 * part(tokens * s.n_heads * 4));
}

void Transformer::TakeScratch(const LoadOptions& options) {
  const int64_t quantized_bytes = backend_->quantized_bytes();
  scratch_ = Arena(static_cast<size_t>(ScratchBytes(spec_, options, quantized_bytes)), "the activations");
  const size_t tokens = static_cast<size_t>(std::min(kMaxStepTokens, options.kv_capacity));
  const size_t hidden = static_cast<size_t>(spec_.hidden_size);
  const size_t heads = static_cast<size_t>(spec_.n_heads * spec_.head_dim);
  const size_t ffn = static_cast<size_t>(spec_.ffn_size);
  const size_t wide = std::max(static_cast<size_t>(spec_.qkv_size()), (spec_.gated ? 2 : 1) * ffn);
  const auto activations = [&](size_t width, Activations& out) {
    out.dtype = options.dtype;
    out.width = static_cast<int64_t>(width);
    if (options.dtype != Dtype::kInt8) return;
    const size_t groups = static_cast<size_t>(Groups(out.width));
    out.values = scratch_.Take(tokens * groups * kGroupValues * static_cast<size_t>(quantized_bytes));
    out.scales = scratch_.TakeArray<float>(tokens * groups);
    out.start = scratch_.TakeArray<int32_t>(tokens * groups);
  };
  x_ = scratch_.TakeArray<float>(tokens * hidden);
  activations(hidden, normed_);
  normed_.f32 = scratch_.TakeArray<float>(tokens * hidden);
  wide_ = scratch_.TakeArray<float>(tokens * wide);
  attended_ = scratch_.TakeArray<float>(tokens * heads);
  activations(heads, o_input_);
  work_ = scratch_.TakeArray<float>(tokens * ffn);
  activations(ffn, down_input_);
  gathered_ = scratch_.TakeArray<float>(kLogitRows * hidden);
  logits_ = scratch_.TakeArray<float>(kLogitRows * static_cast<size_t>(spec_.vocab_size));
  const size_t query_rows = tokens * static_cast<size_t>(spec_.n_heads);
  const size_t query_values = query_rows * static_cast<size_t>(spec_.padded_head_dim());
  queries_.dtype = options.kv_dtype;
  if (options.kv_dtype == Dtype::kF32) {
    queries_.f32 = scratch_.TakeArray<float>(query_values);
  } else {
    queries_.values = scratch_.Take(query_values * static_cast<size_t>(quantized_bytes));
    queries_.scales = scratch_.TakeArray<float>(query_rows);
    queries_.start = scratch_.TakeArray<int32_t>(query_rows);
  }
  positions_.resize(tokens);
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
              cancellation, taps, on_logits);
      for (const BatchSequence& part : parts) cache_.Commit(part.id, part.n_tokens);
      first += n;
    }
  } catch (...) {
    for (size_t i = 0; i < before.size(); ++i) cache_.Truncate(batch.sequences[i].id, before[i]);
    throw;
  }
}

void Transformer::RunStep(const Step& step, const CancellationToken* cancellation, TapSink* taps,
                          const LogitsFn& on_logits) {
  for (int64_t i = 0; i < step.n_sequences; ++i) {
    const SequenceSpan& s = step.sequences[i];
    for (int64_t j = 0; j < s.n_tokens; ++j) {
      positions_[static_cast<size_t>(s.row + j)] = static_cast<int32_t>(s.start + j);
    }
  }
  backend_->Embed(weights_->embed_tokens, step.tokens, step.n_tokens, x_);
  if (taps != nullptr) taps->Record("token_embed", x_, step.n_tokens, spec_.hidden_size);
  if (weights_->embed_positions != nullptr) {
    backend_->AddRows(weights_->embed_positions, positions_.data(), step.n_tokens, spec_.hidden_size, x_);
  }
  if (taps != nullptr) taps->Record("embed", x_, step.n_tokens, spec_.hidden_size);
  for (int64_t layer = 0; layer < spec_.n_layers; ++layer) {
    if (cancellation != nullptr) cancellation->ThrowIfCancelled();
    Layer(step, layer, taps);
  }
  Logits(step, taps, on_logits);
}

void Transformer::Layer(const Step& step, int64_t index, TapSink* taps) {
  Attention(step, index, taps);
  FeedForward(step, index, taps);
}

// x += o(attention(norm(x)))
void Transformer::Attention(const Step& step, int64_t index, TapSink* taps) {
  const LayerWeights& w = weights_->layers[static_cast<size_t>(index)];
  const int64_t n = step.n_tokens;
  const std::string name = taps == nullptr ? "" : "layers." + std::to_string(index) + ".";
  AttentionArgs args = {&attention_, &cache_.layout(), index, n, step.sequences, step.n_sequences, {}};
  if (taps != nullptr) {
    traced_scores_.assign(static_cast<size_t>(n * spec_.n_heads * context_length_), 0.0f);
    args.trace = {traced_scores_.data(), context_length_};
  }

  backend_->Norm(w.attn_norm, x_, n, &normed_);
  backend_->Linear(w.qkv, normed_, n, wide_, spec_.qkv_size(), false);
  if (taps != nullptr) {
    taps->Record(name + "attn_norm", normed_.f32, n, spec_.hidden_size);
    taps->Record(name + "qkv", wide_, n, spec_.qkv_size());
  }
  backend_->StoreKv(args, wide_, &queries_);
  backend_->Attention(args, queries_, attended_);
  // V's head rotation is the input rotation that the output projection wants, where the block is whole.
  const bool rotated = attention_.rotation == 64 && o_input_.dtype == Dtype::kInt8;
  if (attention_.rotation > 1 && !rotated) {
    backend_->RotateBlocks(attended_, n, o_input_.width, attention_.rotation);
  }
  if (taps != nullptr) TapAttention(step, name, rotated, taps);
  backend_->Prepare(attended_, n, rotated, &o_input_);
  backend_->Linear(w.o, o_input_, n, x_, spec_.hidden_size, true);
  if (taps != nullptr) taps->Record(name + "attn_residual", x_, n, spec_.hidden_size);
}

// x += down(act(gate(norm(x))) * up(norm(x))), or without a gate
void Transformer::FeedForward(const Step& step, int64_t index, TapSink* taps) {
  const LayerWeights& w = weights_->layers[static_cast<size_t>(index)];
  const int64_t n = step.n_tokens;
  const std::string name = taps == nullptr ? "" : "layers." + std::to_string(index) + ".";
  backend_->Norm(w.ffn_norm, x_, n, &normed_);
  backend_->Linear(w.gate_up, normed_, n, wide_, w.gate_up.n, false);
  backend_->Activation(spec_.activation, spec_.gated, wide_, n, work_, &down_input_);
  if (taps != nullptr) {
    taps->Record(name + "ffn_norm", normed_.f32, n, spec_.hidden_size);
    taps->Record(name + "gate_up", wide_, n, w.gate_up.n);
    taps->Record(name + "activation", work_, n, spec_.ffn_size);
  }
  backend_->Linear(w.down, down_input_, n, x_, spec_.hidden_size, true);
  if (taps != nullptr) taps->Record(name + "ffn_residual", x_, n, spec_.hidden_size);
}

void Transformer::Logits(const Step& step, TapSink* taps, const LogitsFn& on_logits) {
  for (int64_t first = 0; first < step.n_rows; first += kLogitRows) {
    const int64_t count = std::min(kLogitRows, step.n_rows - first);
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(x_ + step.rows[first + i] * spec_.hidden_size, spec_.hidden_size,
                  gathered_ + i * spec_.hidden_size);
    }
    backend_->Norm(weights_->final_norm, gathered_, count, &normed_);
    backend_->Linear(weights_->lm_head, normed_, count, logits_, spec_.vocab_size, false);
    if (taps != nullptr) {
      taps->Record("final_norm", normed_.f32, count, spec_.hidden_size);
      taps->Record("logits", logits_, count, spec_.vocab_size);
    }
    on_logits(step.first_row + first, count, logits_);
  }
}

// The raw scores that the attention kernel computed, the weights they give (softmax over the visible positions), and
// the heads' outputs in their own basis.
void Transformer::TapAttention(const Step& step, const std::string& layer, bool rotated, TapSink* taps) {
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
  std::vector<float> attended(attended_, attended_ + step.n_tokens * o_input_.width);
  if (rotated) backend_->RotateBlocks(attended.data(), step.n_tokens, o_input_.width, attention_.rotation);
  taps->Record(layer + "attention", attended.data(), step.n_tokens, o_input_.width);
}

}  // namespace kvasir
