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

  int64_t SlotBytes() const { return slot_size * static_cast<int64_t>(sizeof(float)); }
  int64_t Bytes() const { return slots * SlotBytes(); }
};

// Of layers [first, end).
StateLayout StateLayoutOf(const ModelSpec& spec, int64_t slots, int64_t first, int64_t end);

// Slots of a model's sequences; none of a model without states. A running sequence takes two, its state and the one that a
// step writes. One that is kept, when its request is over or as a checkpoint, takes one.
struct StateCounts {
  int64_t running = 0;
  int64_t kept = 0;

  int64_t all() const { return running + kept; }
};

// Those that are asked for. Or as many as 256 MiB hold, but 16 to 128, and to keep as many as 128 MiB hold, but 8 to 64.
StateCounts StateCountsOf(const ModelSpec& spec, const LoadOptions& options);

}  // namespace kvasir
