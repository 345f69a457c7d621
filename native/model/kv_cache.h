// The paged KV cache: which pages of 64 positions hold which sequence, by page tables (kv_tables.h), each with a pool of
// pages of its own. Sequences that begin alike share pages (copy on write). It stores nothing itself: the pages lie where
// the layers are (stage.h), and kernels write them. Not thread-safe: its owner calls it between steps.
//
// Of a window's table a sequence holds only pages that some row to come sees, and those of its last step. It can be forked
// and cut at lengths from Shortest on alone: who wants to go on from an earlier one keeps a fork of it (a checkpoint). With
// states (state_slots.h) the rule is the same: a state is that of the end alone, so Shortest is the length itself.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "backend/kv_layout.h"
#include "model/kv_tables.h"
#include "model/state_slots.h"

namespace kvasir {

class KvCache {
 public:
  // Makes page `to` of a table's pool hold what its page `from` does.
  using CopyPageFn = std::function<void(int64_t table, int32_t from, int32_t to)>;

  // states: slots of them, 0 of a model without.
  KvCache(const std::vector<KvTable>& tables, CopyPageFn copy_page, int64_t states = 0);
  static int64_t PagesFor(int64_t positions) { return (positions + kKvPagePositions - 1) / kKvPagePositions; }

  int64_t n_tables() const { return static_cast<int64_t>(pools_.size()); }
  const KvTable& table(int64_t table) const { return PoolOf(table).table; }
  int64_t free_pages(int64_t table) const { return static_cast<int64_t>(PoolOf(table).free.size()); }

  int32_t Create();
  // A new sequence holding the first `length` positions of another, 0 or at least Shortest of it. All pages are shared, a
  // partial one too: whoever writes into a shared page copies it first (Reserve). So is the state, where a model has any.
  int32_t Fork(int32_t sequence, int64_t length);
  // A new sequence of `length` positions with pages of its own, those that a fork of that length would have, and with
  // states one that is begun: what they hold is for the caller to write (then KeepState). Throws as Reserve does.
  int32_t Restore(int64_t length);
  // To a length as Fork takes it.
  void Truncate(int32_t sequence, int64_t length);
  void Free(int32_t sequence);
  int64_t Length(int32_t sequence) const { return Get(sequence).length; }
  // The least length, other than 0, to which it can be cut.
  int64_t Shortest(int32_t sequence) const;
  // Pages that these sequences hold and no other one.
  int64_t OwnPages(const std::vector<int32_t>& sequences, int64_t table) const;

  // Gives back the pages that no row from its end on sees.
  void GiveBack(int32_t sequence);
  // Pages for `n` more positions; on failure throws Error(kContextOverflow) and leaves the sequence as it was.
  void Reserve(int32_t sequence, int64_t n);
  // The reserved positions now hold values.
  void Commit(int32_t sequence, int64_t n);
  // Of a sequence of that length, the first page of a table that is needed to go on.
  int64_t FirstPage(int64_t table, int64_t length) const { return FirstPage(PoolOf(table).table, length); }
  // -1 where a page was given back.
  const int32_t* Pages(int32_t sequence, int64_t table) const;

  // With states: what the tokens that are reserved read and write; and, once all of a step's are committed, that what was
  // written is the sequence's state.
  StateSpan States(int32_t sequence) const { return states_.Span(Get(sequence).state); }
  void KeepState(int32_t sequence);
  int64_t state_slots() const { return states_.count(); }
  int64_t free_states() const { return states_.free(); }

 private:
  struct Pool {
    KvTable table;
    std::vector<int32_t> references;  // per page
    std::vector<int32_t> free;        // pages without references, the lowest last
  };
  // Of one sequence in one table.
  struct Held {
    std::vector<int32_t> pages;
    int64_t first = 0;  // those before it were given back
  };
  struct Sequence {
    std::vector<Held> held;  // [tables]
    int64_t length = 0;
    StateSlots::Held state;
  };
  template <typename Sequences>
  static auto& Find(Sequences& sequences, int32_t sequence);
  const Sequence& Get(int32_t sequence) const;
  Sequence& Get(int32_t sequence);
  const Pool& PoolOf(int64_t table) const { return pools_[static_cast<size_t>(table)]; }
  static int64_t FirstPage(const KvTable& table, int64_t position);
  static int64_t Shortest(const KvTable& table, const Held& held);
  static bool CopiesNext(const Pool& pool, const Held& held, int64_t length);
  void CheckLength(const Sequence& s, int64_t length) const;
  [[noreturn]] static void ThrowFull(const Pool& pool);
  static int32_t TakePage(Pool* pool);
  static void Release(Pool* pool, int32_t page);
  int32_t TakeCopyOf(int64_t table, int32_t page);

  CopyPageFn copy_page_;
  StateSlots states_;
  std::vector<Pool> pools_;  // [tables]
  std::map<int32_t, Sequence> sequences_;
  int32_t next_id_ = 0;
};

}  // namespace kvasir
