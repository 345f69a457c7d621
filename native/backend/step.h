// A step as a whole, for backends that prepare for it: its arrays have names, by which ops ask for parts of them.
#pragma once

#include <cstdint>

namespace kvasir {

struct AttentionShape;

// One sequence of a batch step: rows [row, row + n_tokens) hold positions [start, start + n_tokens).
struct SequenceSpan {
  const int32_t* pages =
      nullptr;  // indices into the pool; -1 where a page was given back, which nothing reads
  int64_t start = 0;
  int64_t n_tokens = 0;
  int64_t row = 0;
  int64_t beyond =
      0;  // positions in memory after the last token: those of the step's rows that are left out here
  // Slots of its state before and after these tokens, which may be one; -1: it has none yet, or the model has no states.
  int32_t state = -1;
  int32_t next_state = -1;

  int64_t Length() const { return start + n_tokens + beyond; }
};

// Those of StepInput.
enum class StepArray { kTokens, kPositions, kTypes, kWanted };

// Values [first, first + count) of an array of the running step.
struct StepIndices {
  StepArray array = StepArray::kTokens;
  int64_t first = 0;
  int64_t count = 0;
};

// The arrays stay as they are until the step has ended.
struct StepInput {
  const int32_t* tokens = nullptr;     // [rows]
  const int32_t* positions = nullptr;  // [rows]
  const int32_t* types = nullptr;      // [rows], or nullptr where no op asks for them
  int64_t rows = 0;
  // [n_tables, n_sequences]: sequences as layers know them, which differ from table to table in their pages alone.
  const SequenceSpan* sequences = nullptr;
  int64_t n_sequences = 0;
  int64_t n_tables = 1;
  const int32_t* wanted = nullptr;  // [n_wanted] rows whose logits are computed
  int64_t n_wanted = 0;
  const AttentionShape* shape = nullptr;
  bool whole = true;  // all layers of the backend, no trace, and no experts

  const int32_t* At(const StepIndices& indices) const {
    switch (indices.array) {
      case StepArray::kTokens: return tokens + indices.first;
      case StepArray::kPositions: return positions + indices.first;
      case StepArray::kTypes: return types + indices.first;
      case StepArray::kWanted: return wanted + indices.first;
    }
    return nullptr;
  }
};

}  // namespace kvasir
