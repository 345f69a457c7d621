#include "model/kv_cache.h"

#include <algorithm>

#include "core/error.h"

namespace kvasir {

KvCache::KvCache(const std::vector<KvTable>& tables, CopyPageFn copy_page, int64_t states)
    : copy_page_(std::move(copy_page)), states_(states) {
  for (const KvTable& table : tables) {
    Pool pool = {table, std::vector<int32_t>(static_cast<size_t>(table.n_pages), 0), {}};
    for (int64_t page = table.n_pages - 1; page >= 0; --page) pool.free.push_back(static_cast<int32_t>(page));
    pools_.push_back(std::move(pool));
  }
}

template <typename Sequences>
auto& KvCache::Find(Sequences& sequences, int32_t sequence) {
  const auto it = sequences.find(sequence);
  if (it == sequences.end()) {
    throw Error(ErrorCode::kInternal, "There is no sequence " + std::to_string(sequence));
  }
  return it->second;
}

const KvCache::Sequence& KvCache::Get(int32_t sequence) const { return Find(sequences_, sequence); }

KvCache::Sequence& KvCache::Get(int32_t sequence) { return Find(sequences_, sequence); }

void KvCache::ThrowFull(const Pool& pool) {
  const std::string layers =
      pool.table.window > 0 ? " of layers with a window of " + std::to_string(pool.table.window) : "";
  throw Error(ErrorCode::kContextOverflow, "The KV cache is full: all " +
                                               std::to_string(pool.table.n_pages * kKvPagePositions) +
                                               " positions" + layers +
                                               " are in use; wait for other requests or load the model "
                                               "with a larger contextLength");
}

int32_t KvCache::TakePage(Pool* pool) {
  if (pool->free.empty()) ThrowFull(*pool);
  const int32_t page = pool->free.back();
  pool->free.pop_back();
  pool->references[static_cast<size_t>(page)] = 1;
  return page;
}

int32_t KvCache::TakeCopyOf(int64_t table, int32_t page) {
  Pool& pool = pools_[static_cast<size_t>(table)];
  const int32_t copy = TakePage(&pool);
  try {
    copy_page_(table, page, copy);
  } catch (...) {
    Release(&pool, copy);
    throw;
  }
  return copy;
}

void KvCache::Release(Pool* pool, int32_t page) {
  if (--pool->references[static_cast<size_t>(page)] == 0) pool->free.push_back(page);
}

// The first page that a row at `position` or behind it sees.
int64_t KvCache::FirstPage(const KvTable& table, int64_t position) {
  return table.window > 0 && position >= table.window ? (position - table.window + 1) / kKvPagePositions : 0;
}

// The least length l whose FirstPage is held.
int64_t KvCache::Shortest(const KvTable& table, const Held& held) {
  return held.first == 0 ? 0 : held.first * kKvPagePositions + table.window - 1;
}

int64_t KvCache::Shortest(int32_t sequence) const {
  const Sequence& s = Get(sequence);
  if (states_.count() > 0) return s.length;
  int64_t shortest = 0;
  for (size_t i = 0; i < pools_.size(); ++i) {
    shortest = std::max(shortest, Shortest(pools_[i].table, s.held[i]));
  }
  return shortest;
}

int64_t KvCache::OwnPages(const std::vector<int32_t>& sequences, int64_t table) const {
  std::vector<int32_t> others = PoolOf(table).references;
  int64_t own = 0;
  for (const int32_t sequence : sequences) {
    for (const int32_t page : Get(sequence).held[static_cast<size_t>(table)].pages) {
      if (page >= 0 && --others[static_cast<size_t>(page)] == 0) ++own;
    }
  }
  return own;
}

const int32_t* KvCache::Pages(int32_t sequence, int64_t table) const {
  return Get(sequence).held[static_cast<size_t>(table)].pages.data();
}

int32_t KvCache::Create() {
  const int32_t id = next_id_++;
  sequences_[id].held.resize(pools_.size());
  return id;
}

void KvCache::CheckLength(const Sequence& s, int64_t length) const {
  bool held = length >= 0 && length <= s.length;
  for (size_t i = 0; i < pools_.size(); ++i) {
    held = held && (length == 0 || length >= Shortest(pools_[i].table, s.held[i]));
  }
  if (!held) {
    throw Error(ErrorCode::kInternal, "Of a sequence of " + std::to_string(s.length) +
                                          " positions the first " + std::to_string(length) +
                                          " cannot be had");
  }
  states_.CheckLength(s.state, length);
}

int32_t KvCache::Fork(int32_t sequence, int64_t length) {
  const Sequence& source = Get(sequence);
  CheckLength(source, length);
  Sequence fork;
  fork.length = length;
  for (size_t i = 0; i < pools_.size(); ++i) {
    const int64_t first = FirstPage(pools_[i].table, length), end = PagesFor(length);
    Held held = {std::vector<int32_t>(static_cast<size_t>(end), -1), first};
    for (int64_t page = first; page < end; ++page) {
      const int32_t shared = source.held[i].pages[static_cast<size_t>(page)];
      ++pools_[i].references[static_cast<size_t>(shared)];
      held.pages[static_cast<size_t>(page)] = shared;
    }
    fork.held.push_back(std::move(held));
  }
  if (length > 0) fork.state = states_.Share(source.state);
  const int32_t id = next_id_++;
  sequences_[id] = std::move(fork);
  return id;
}

int32_t KvCache::Restore(int64_t length) {
  const int64_t end = PagesFor(length);
  for (const Pool& pool : pools_) {
    if (end - FirstPage(pool.table, length) > static_cast<int64_t>(pool.free.size())) ThrowFull(pool);
  }
  Sequence restored;
  states_.Begin(&restored.state);
  for (Pool& pool : pools_) {
    Held held = {std::vector<int32_t>(static_cast<size_t>(end), -1), FirstPage(pool.table, length)};
    for (int64_t page = held.first; page < end; ++page)
      held.pages[static_cast<size_t>(page)] = TakePage(&pool);
    restored.held.push_back(std::move(held));
  }
  restored.length = length;
  const int32_t id = next_id_++;
  sequences_[id] = std::move(restored);
  return id;
}

void KvCache::Truncate(int32_t sequence, int64_t length) {
  Sequence& s = Get(sequence);
  CheckLength(s, length);
  if (length == 0) {
    states_.Clear(&s.state);
  } else {
    states_.Drop(&s.state);
  }
  for (size_t i = 0; i < pools_.size(); ++i) {
    Held& held = s.held[i];
    while (static_cast<int64_t>(held.pages.size()) > PagesFor(length)) {
      if (held.pages.back() >= 0) Release(&pools_[i], held.pages.back());
      held.pages.pop_back();
    }
    held.first = std::min(held.first, static_cast<int64_t>(held.pages.size()));
  }
  s.length = length;
}

void KvCache::Free(int32_t sequence) {
  Truncate(sequence, 0);
  sequences_.erase(sequence);
}

void KvCache::GiveBack(int32_t sequence) {
  Sequence& s = Get(sequence);
  for (size_t i = 0; i < pools_.size(); ++i) {
    Held& held = s.held[i];
    for (const int64_t first = FirstPage(pools_[i].table, s.length); held.first < first; ++held.first) {
      int32_t& page = held.pages[static_cast<size_t>(held.first)];
      Release(&pools_[i], page);
      page = -1;
    }
  }
}

// Whether the page that is written next is shared, since a Fork inside it or a Truncate.
bool KvCache::CopiesNext(const Pool& pool, const Held& held, int64_t length) {
  if (length % kKvPagePositions == 0) return false;
  const int32_t page = held.pages[static_cast<size_t>(length / kKvPagePositions)];
  return pool.references[static_cast<size_t>(page)] > 1;
}

void KvCache::Reserve(int32_t sequence, int64_t n) {
  Sequence& s = Get(sequence);
  const int64_t needed = PagesFor(s.length + n);
  for (size_t i = 0; i < pools_.size(); ++i) {
    const Held& held = s.held[i];
    const int64_t copies = CopiesNext(pools_[i], held, s.length) ? 1 : 0;
    const int64_t taken = needed - static_cast<int64_t>(held.pages.size()) + copies;
    if (taken > static_cast<int64_t>(pools_[i].free.size())) ThrowFull(pools_[i]);
  }
  states_.Begin(&s.state);
  for (size_t i = 0; i < pools_.size(); ++i) {
    if (!CopiesNext(pools_[i], s.held[i], s.length)) continue;
    int32_t& last = s.held[i].pages[static_cast<size_t>(s.length / kKvPagePositions)];
    const int32_t copy = TakeCopyOf(static_cast<int64_t>(i), last);
    Release(&pools_[i], last);
    last = copy;
  }
  for (size_t i = 0; i < pools_.size(); ++i) {
    std::vector<int32_t>& pages = s.held[i].pages;
    while (static_cast<int64_t>(pages.size()) < needed) pages.push_back(TakePage(&pools_[i]));
  }
}

void KvCache::Commit(int32_t sequence, int64_t n) {
  Sequence& s = Get(sequence);
  s.length += n;
  s.state.written = true;
}

void KvCache::KeepState(int32_t sequence) {
  Sequence& s = Get(sequence);
  states_.Keep(&s.state, s.length);
}

}  // namespace kvasir
