#include "model/transformer.h"

#include <algorithm>

#include "core/error.h"
#include "model/state_layout.h"

namespace kvasir {

namespace {

std::vector<std::unique_ptr<Backend>> ListOf(std::unique_ptr<Backend> backend) {
  std::vector<std::unique_ptr<Backend>> list;
  list.push_back(std::move(backend));
  return list;
}

int64_t MostRows(const std::vector<std::unique_ptr<Backend>>& backends, const LoadOptions& options) {
  int64_t rows = options.kv_capacity;
  for (const auto& backend : backends) rows = std::min(rows, backend->traits().step_rows);
  return rows;
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
      kv_tables_(KvTablesOf(spec, options, MostRows(backends, options))),
      cache_(
          kv_tables_.tables,
          [this](int64_t table, int32_t from, int32_t to) {
            for (const auto& stage : stages_) stage->CopyPage(table, from, to);
          },
          StateCountsOf(spec, options).all()),
      state_counts_(StateCountsOf(spec, options)),
      context_length_(options.context_length),
      dtype_(options.dtype) {
  positions_.resize(static_cast<size_t>(MostRows(backends, options)));
  for (size_t i = 0; i < backends.size(); ++i) {
    const int64_t end = i + 1 < backends.size() ? first_layers[i + 1] : spec.n_layers();
    stages_.push_back(std::make_unique<Stage>(spec_, *weights_, std::move(backends[i]), options, kv_tables_,
                                              KvLayers{first_layers[i], end}));
  }
  if (spec.embedding.types > 0) first_types_.resize(positions_.size());
}

int64_t Transformer::kv_page_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->kv_layouts().PageBytes();
  return bytes;
}

int64_t Transformer::kv_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->kv_layouts().Bytes();
  return bytes;
}

int64_t Transformer::checkpoint_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->kv_layouts().CheckpointBytes(kv_tables_);
  return bytes + state_counts_.kept * state_bytes();
}

int64_t Transformer::state_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->state_bytes();
  return bytes;
}

int64_t Transformer::scratch_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->scratch_bytes();
  return bytes;
}

int64_t Transformer::adapter_bytes() const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) bytes += stage->adapter_bytes();
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
    if (spec_.sees_ahead()) CheckWhole(sequence);
    if (sequence.adapter >= 0) CheckAdapter(sequence.adapter);
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
  CheckIds(batch);
  int64_t previous = -1;
  for (const WantedRow& wanted : batch.wanted) {
    if (wanted.row <= previous || wanted.row >= n_tokens) {
      throw Error(ErrorCode::kInternal, "A step's rows must ascend and lie inside it");
    }
    previous = wanted.row;
    if (wanted.logits && spec_.head == HeadKind::kNone) {
      throw Error(ErrorCode::kInvalidOption, "This model has no output layer: it gives no logits");
    }
  }
}

void Transformer::CheckIds(const Batch& batch) const {
  for (const int32_t token : batch.tokens) {
    if (token >= 0 && token < spec_.vocab_size) continue;
    throw Error(ErrorCode::kInvalidOption, "Token id " + std::to_string(token) +
                                               " is outside the vocabulary of " +
                                               std::to_string(spec_.vocab_size));
  }
  if (!batch.types.empty() && batch.types.size() != batch.tokens.size()) {
    throw Error(ErrorCode::kInternal, "A step's token types are not one for each token");
  }
  const int64_t types = std::max<int64_t>(1, spec_.embedding.types);
  for (const int32_t type : batch.types) {
    if (type >= 0 && type < types) continue;
    throw Error(ErrorCode::kInvalidOption, "Token type " + std::to_string(type) + " is outside 0.." +
                                               std::to_string(types - 1) +
                                               ", which are the types of this model");
  }
}

// Keys of later tokens must be there: a sequence is neither cut nor appended to.
void Transformer::CheckWhole(const BatchSequence& sequence) const {
  const int64_t there = cache_.Length(sequence.id);
  if (there > 0) {
    throw Error(ErrorCode::kInvalidOption,
                "This model sees a sequence whole, and " + std::to_string(there) +
                    " tokens of this one were computed without those that would follow");
  }
  if (sequence.n_tokens > step_rows()) {
    throw Error(ErrorCode::kContextOverflow,
                "This model sees a sequence whole, and this one has " + std::to_string(sequence.n_tokens) +
                    " tokens, more than the " + std::to_string(step_rows()) + " of a step");
  }
}

void Transformer::CheckAdapter(int32_t id) const {
  if (adapters_.count(id) != 0) return;
  throw Error(ErrorCode::kInvalidOption, "There is no adapter " + std::to_string(id));
}

int32_t Transformer::LoadAdapter(const std::vector<AdapterTensor>& tensors, PackPanelFn pack_panel_s8) {
  if (!replaced_.empty()) {
    throw Error(ErrorCode::kInvalidOption, "A model takes no adapters while it has borrowed linears");
  }
  const std::vector<AdapterPlace> places = PlaceAdapter(spec_, *weights_, tensors);
  const int32_t id = next_adapter_;
  try {
    for (const auto& stage : stages_) stage->LoadAdapter(id, places, pack_panel_s8);
    adapters_.insert(id);
  } catch (...) {
    for (const auto& stage : stages_) stage->FreeAdapter(id);
    throw;
  }
  return next_adapter_++;
}

void Transformer::FreeAdapter(int32_t id) {
  CheckAdapter(id);
  for (const auto& stage : stages_) stage->FreeAdapter(id);
  adapters_.erase(id);
}

void Transformer::Forward(const Batch& batch, const CancellationToken* cancellation, TapSink* taps,
                          const RowsFn& on_rows) {
  Check(batch);
  std::vector<int64_t> before;
  for (const BatchSequence& sequence : batch.sequences) before.push_back(cache_.Length(sequence.id));
  for (const BatchSequence& sequence : batch.sequences) cache_.GiveBack(sequence.id);
  try {
    const int64_t limit = static_cast<int64_t>(positions_.size());
    size_t index = 0, next_row = 0;
    int64_t taken = 0;  // tokens of sequences[index] that earlier steps took
    std::vector<int32_t> rows;
    for (int64_t first = 0; first < static_cast<int64_t>(batch.tokens.size());) {
      std::vector<BatchSequence> parts;
      std::vector<int32_t> adapters;
      int64_t n = 0;
      while (n < limit && index < batch.sequences.size()) {
        const BatchSequence& sequence = batch.sequences[index];
        const int64_t count = std::min(limit - n, sequence.n_tokens - taken);
        if (spec_.sees_ahead() && count < sequence.n_tokens) break;  // it fits into the next step: CheckWhole
        cache_.Reserve(sequence.id, count);
        parts.push_back({sequence.id, count});
        adapters.push_back(sequence.adapter);
        n += count;
        taken += count;
        if (taken == sequence.n_tokens) {
          ++index;
          taken = 0;
        }
      }
      const int64_t n_sequences = AddSpans(parts);
      rows.clear();
      const size_t first_row = next_row;
      while (next_row < batch.wanted.size() && batch.wanted[next_row].row < first + n) {
        rows.push_back(static_cast<int32_t>(batch.wanted[next_row++].row - first));
      }
      RunStep({.tokens = batch.tokens.data() + first,
               .positions = nullptr,
               .types = batch.types.empty() ? nullptr : batch.types.data() + first,
               .n_tokens = n,
               .sequences = spans_.data(),
               .n_tables = cache_.n_tables(),
               .adapters = adapters_.empty() ? nullptr : adapters.data(),
               .n_sequences = n_sequences,
               .rows = rows.data(),
               .wanted = batch.wanted.data() + first_row,
               .n_rows = static_cast<int64_t>(rows.size()),
               .first_row = static_cast<int64_t>(first_row),
               .wanted_only = taps == nullptr,
               .taps = taps,
               .cancellation = cancellation},
              {.first = 0, .end = spec_.n_layers()}, on_rows);
      for (const BatchSequence& part : parts) cache_.Commit(part.id, part.n_tokens);
      first += n;
    }
    for (const BatchSequence& sequence : batch.sequences) cache_.KeepState(sequence.id);
  } catch (...) {
    for (size_t i = 0; i < before.size(); ++i) cache_.Truncate(batch.sequences[i].id, before[i]);
    throw;
  }
}

// Fills in the spans of a step, whose tokens are reserved; returns how many sequences it has.
int64_t Transformer::AddSpans(const std::vector<BatchSequence>& parts) {
  spans_.clear();
  for (int64_t table = 0; table < cache_.n_tables(); ++table) {
    int64_t row = 0;
    for (const BatchSequence& part : parts) {
      const StateSpan states = cache_.States(part.id);
      spans_.push_back({.pages = cache_.Pages(part.id, table),
                        .start = cache_.Length(part.id),
                        .n_tokens = part.n_tokens,
                        .row = row,
                        .state = states.from,
                        .next_state = states.to});
      row += part.n_tokens;
    }
  }
  return static_cast<int64_t>(parts.size());
}

void Transformer::RunStep(Step step, const LayerRange& range, const RowsFn& on_rows) {
  for (int64_t i = 0; i < step.n_sequences; ++i) {
    const SequenceSpan& s = step.sequences[i];
    for (int64_t j = 0; j < s.n_tokens; ++j) {
      positions_[static_cast<size_t>(s.row + j)] = static_cast<int32_t>(s.start + j);
    }
  }
  step.positions = positions_.data();
  if (step.types == nullptr && !first_types_.empty()) step.types = first_types_.data();
  const float* input = range.input;
  for (const auto& stage : stages_) {
    const int64_t first = std::max(range.first, stage->first()), end = std::min(range.end, stage->end());
    if (input != nullptr) stage->SetInput(input, step.n_tokens);
    const bool whole = range.input == nullptr && first == stage->first() && end == stage->end();
    StepScope scope = stage->Begin(step, whole);
    if (step.taps != nullptr) step.taps->Resume();
    if (input == nullptr) stage->Embed(step);
    stage->RunLayers(step, first, end);
    if (stage == stages_.back()) stage->WantedRows(step, on_rows);
    scope.End();
    if (stage != stages_.back()) input = stage->Output(step.n_tokens);
  }
}

}  // namespace kvasir
