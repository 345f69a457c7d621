#include "model/transformer.h"

#include <algorithm>

#include "core/error.h"

namespace kvasir {

namespace {

std::vector<std::unique_ptr<Backend>> ListOf(std::unique_ptr<Backend> backend) {
  std::vector<std::unique_ptr<Backend>> list;
  list.push_back(std::move(backend));
  return list;
}

}  // namespace

Transformer::Transformer(const ModelSpec& spec, std::unique_ptr<Weights> weights,
                         std::unique_ptr<Backend> backend, const LoadOptions& options)
    : Transformer(spec, std::move(weights), ListOf(std::move(backend)), {0}, options) {}

Transformer::Transformer(const ModelSpec& spec, std::unique_ptr<Weights> weights,
                         std::vector<std::unique_ptr<Backend>> backends,
                         const std::vector<int64_t>& first_layers, const LoadOptions& options)
    : spec_(spec),
      weights_(std::move(weights)),
      cache_(options.kv_capacity,
             [this](int32_t from, int32_t to) {
               for (const auto& stage : stages_) stage->CopyPage(from, to);
             }),
      context_length_(options.context_length),
      dtype_(options.dtype) {
  for (size_t i = 0; i < backends.size(); ++i) {
    const int64_t end = i + 1 < backends.size() ? first_layers[i + 1] : spec.n_layers();
    stages_.push_back(
        std::make_unique<Stage>(spec_, *weights_, std::move(backends[i]), options, first_layers[i], end));
  }
  int64_t step_rows = INT64_MAX;
  for (const auto& stage : stages_) step_rows = std::min(step_rows, stage->step_rows());
  positions_.resize(static_cast<size_t>(step_rows));
}

int64_t Transformer::kv_page_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->kv_page_bytes();
  return bytes;
}

int64_t Transformer::scratch_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->scratch_bytes();
  return bytes;
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
      RunStep({.tokens = batch.tokens.data() + first,
               .positions = nullptr,
               .n_tokens = n,
               .sequences = spans_.data(),
               .n_sequences = static_cast<int64_t>(spans_.size()),
               .rows = rows.data(),
               .n_rows = static_cast<int64_t>(rows.size()),
               .first_row = static_cast<int64_t>(first_row),
               .logits_only = taps == nullptr,
               .taps = taps,
               .cancellation = cancellation},
              {.first = 0, .end = spec_.n_layers()}, on_logits);
      for (const BatchSequence& part : parts) cache_.Commit(part.id, part.n_tokens);
      first += n;
    }
  } catch (...) {
    for (size_t i = 0; i < before.size(); ++i) cache_.Truncate(batch.sequences[i].id, before[i]);
    throw;
  }
}

void Transformer::RunStep(Step step, const LayerRange& range, const LogitsFn& on_logits) {
  for (int64_t i = 0; i < step.n_sequences; ++i) {
    const SequenceSpan& s = step.sequences[i];
    for (int64_t j = 0; j < s.n_tokens; ++j) {
      positions_[static_cast<size_t>(s.row + j)] = static_cast<int32_t>(s.start + j);
    }
  }
  step.positions = positions_.data();
  const float* input = range.input;
  for (const auto& stage : stages_) {
    const int64_t first = std::max(range.first, stage->first()), end = std::min(range.end, stage->end());
    if (input != nullptr) stage->SetInput(input, step.n_tokens);
    const bool whole = range.input == nullptr && first == stage->first() && end == stage->end();
    StepScope scope = stage->Begin(step, whole);
    if (input == nullptr) stage->Embed(step);
    stage->RunLayers(step, first, end);
    if (stage == stages_.back()) stage->Logits(step, on_logits);
    scope.End();
    if (stage != stages_.back()) input = stage->Output(step.n_tokens);
  }
}

}  // namespace kvasir
