// The paged KV cache: pages of 64 positions, shared between sequences that begin alike (copy on write), physical
// memory taken on first touch. It stores nothing itself: kernels write through the page pointers.
// Not thread-safe: its owner calls it between steps.
#pragma once

#include <map>
#include <vector>

#include "backend/backend.h"
#include "core/aligned_buffer.h"

namespace kvasir {

class KvCache {
 public:
  // capacity: positions, rounded up to whole pages.
  KvCache(const KvLayout& layout, int64_t capacity);

  const KvLayout& layout() const { return layout_; }
  int64_t capacity() const { return static_cast<int64_t>(references_.size()) * kKvPagePositions; }
  int64_t free_positions() const { return static_cast<int64_t>(free_.size()) * kKvPagePositions; }

  int32_t Create();
  // A new sequence holding the first `length` positions of another. Whole pages are shared; a partial one is copied.
  int32_t Fork(int32_t sequence, int64_t length);
  void Truncate(int32_t sequence, int64_t length);
  void Free(int32_t sequence);
  int64_t Length(int32_t sequence) const { return Get(sequence).length; }

  // Pages for `n` more positions; on failure throws Error(kContextOverflow) and leaves the sequence as it was.
  void Reserve(int32_t sequence, int64_t n);
  // The reserved positions now hold values.
  void Commit(int32_t sequence, int64_t n);
  uint8_t* const* Pages(int32_t sequence) const { return Get(sequence).pages.data(); }

 private:
  struct Sequence {
    std::vector<uint8_t*> pages;
    int64_t length = 0;
  };
  const Sequence& Get(int32_t sequence) const;
  Sequence& Get(int32_t sequence) {
    return const_cast<Sequence&>(static_cast<const KvCache*>(this)->Get(sequence));
  }
  [[noreturn]] void ThrowFull() const;
  uint8_t* TakePage();
  void Release(uint8_t* page);
  size_t IndexOf(const uint8_t* page) const;

  KvLayout layout_;
  AlignedBuffer buffer_;
  std::vector<int32_t> references_;  // per page
  std::vector<int32_t> free_;        // indices of pages without references, the lowest last
  std::map<int32_t, Sequence> sequences_;
  int32_t next_id_ = 0;
};

}  // namespace kvasir
