// Where the states of layers lie: a slot holds those of one sequence, layer after layer. Also how many slots a model has.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_spec.h"

namespace kvasir {

struct StateLayout {
  int64_t slots = 0;             // 0: no layer has a state
  int64_t slot_size = 0;         // floats, a multiple of 16
  std::vector<int64_t> offsets;  // [end - first] of a layer's state in a slot, in floats

  int64_t Bytes() const { return slots * slot_size * static_cast<int64_t>(sizeof(float)); }
};

// Of layers [first, end).
StateLayout StateLayoutOf(const ModelSpec& spec, int64_t slots, int64_t first, int64_t end);

// Slots of all sequences: those that are asked for, or as many as 256 MiB hold, but 16 to 128; 0 of a model without
// states. A running sequence takes two, its state and the one that a step writes; one that is kept takes one.
int64_t StateSlotsOf(const ModelSpec& spec, const LoadOptions& options);

}  // namespace kvasir
