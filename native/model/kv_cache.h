// The paged KV cache: which of a pool of pages of 64 positions hold which sequence. Sequences that begin alike share
// pages (copy on write). It stores nothing itself: the pages lie where the layers are (stage.h), and kernels write them.
// Not thread-safe: its owner calls it between steps.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "backend/kv_layout.h"
#include "model/state_slots.h"

namespace kvasir {

class KvCache {
 public:
  // Makes page `to` hold what page `from` does.
  using CopyPageFn = std::function<void(int32_t from, int32_t to)>;

  // capacity: positions, rounded up to whole pages; states: slots of them, 0 of a model without.
  KvCache(int64_t capacity, CopyPageFn copy_page, int64_t states = 0);
  static int64_t PagesFor(int64_t positions) { return (positions + kKvPagePositions - 1) / kKvPagePositions; }

  int64_t capacity() const { return static_cast<int64_t>(references_.size()) * kKvPagePositions; }
  int64_t free_positions() const { return static_cast<int64_t>(free_.size()) * kKvPagePositions; }

  int32_t Create();
  // A new sequence holding the first `length` positions of another. All pages are shared, a partial one too: whoever
  // writes into a shared page copies it first (Reserve). With states it is 0 or the whole length, as in Truncate: Error(kInternal).
  int32_t Fork(int32_t sequence, int64_t length);
  void Truncate(int32_t sequence, int64_t length);
  void Free(int32_t sequence);
  int64_t Length(int32_t sequence) const { return Get(sequence).length; }

  // Pages for `n` more positions; on failure throws Error(kContextOverflow) and leaves the sequence as it was.
  void Reserve(int32_t sequence, int64_t n);
  // The reserved positions now hold values.
  void Commit(int32_t sequence, int64_t n);
  const int32_t* Pages(int32_t sequence) const { return Get(sequence).pages.data(); }

  // With states: what the tokens that are reserved read and write; and, once all of a step's are committed, that what was
  // written is the sequence's state.
  StateSpan States(int32_t sequence) const { return states_.Span(Get(sequence).state); }
  void KeepState(int32_t sequence);
  int64_t state_slots() const { return states_.count(); }
  int64_t free_states() const { return states_.free(); }

 private:
  struct Sequence {
    std::vector<int32_t> pages;
    int64_t length = 0;
    StateSlots::Held state;
  };
  template <typename Sequences>
  static auto& Find(Sequences& sequences, int32_t sequence);
  const Sequence& Get(int32_t sequence) const;
  Sequence& Get(int32_t sequence);
  [[noreturn]] void ThrowFull() const;
  int32_t TakeCopyOf(int32_t page);
  int32_t TakePage();
  void Release(int32_t page);
  int32_t& References(int32_t page) { return references_[static_cast<size_t>(page)]; }

  CopyPageFn copy_page_;
  StateSlots states_;
  std::vector<int32_t> references_;  // per page
  std::vector<int32_t> free_;        // pages without references, the lowest last
  std::map<int32_t, Sequence> sequences_;
  int32_t next_id_ = 0;
};

}  // namespace kvasir
