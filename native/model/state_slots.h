// Which slots of a pool hold the states of which sequences. A state is never written again once it is kept: a step reads it
// and writes the one that comes after into a slot of its own. So forks share a state, and a step that fails leaves no trace.
// It stores nothing itself: the slots lie where the layers are (stage.h). Not thread-safe, as kv_cache.h.
#pragma once

#include <cstdint>
#include <vector>

namespace kvasir {

// Of a model with states: what a step reads and writes; both -1 of one without. `from` is -1 where a sequence begins.
struct StateSpan {
  int32_t from = -1;
  int32_t to = -1;
};

class StateSlots {
 public:
  // Of one sequence.
  struct Held {
    int32_t kept = -1;     // its state after `length` positions; -1: all zeros
    int32_t next = -1;     // what a step writes
    bool written = false;  // `next` holds the state after some of that step's tokens
    int64_t length = 0;
  };

  // `slots` 0: the model has no states, and all below does nothing.
  explicit StateSlots(int64_t slots);

  int64_t count() const { return static_cast<int64_t>(references_.size()); }
  int64_t free() const { return static_cast<int64_t>(free_.size()); }
  // Throws Error(kContextOverflow), with nothing changed.
  void Begin(Held* held);
  StateSpan Span(const Held& held) const { return {held.written ? held.next : held.kept, held.next}; }
  // What was begun is the state after `length` positions, or never was.
  void Keep(Held* held, int64_t length);
  void Drop(Held* held);
  // Another sequence's, of the same positions; nothing is begun in it.
  Held Share(const Held& held);
  void Clear(Held* held);
  // Throws Error(kInternal) where a sequence is cut in the middle: its state is that of its end alone.
  void CheckLength(const Held& held, int64_t length) const;

 private:
  void Release(int32_t slot);

  std::vector<int32_t> references_;  // per slot
  std::vector<int32_t> free_;        // slots without references, the lowest last
};

}  // namespace kvasir
