#include "model/kv_cache.h"

#include "core/error.h"

namespace kvasir {

KvCache::KvCache(int64_t capacity, CopyPageFn copy_page, int64_t states)
    : copy_page_(std::move(copy_page)), states_(states) {
  const int64_t n_pages = PagesFor(capacity);
  references_.assign(static_cast<size_t>(n_pages), 0);
  for (int64_t page = n_pages - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
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

void KvCache::ThrowFull() const {
  throw Error(ErrorCode::kContextOverflow,
              "The KV cache is full: all " + std::to_string(capacity()) +
                  " positions are in use; wait for other requests or load the model "
                  "with a larger contextLength");
}

int32_t KvCache::TakePage() {
  if (free_.empty()) ThrowFull();
  const int32_t page = free_.back();
  free_.pop_back();
  References(page) = 1;
  return page;
}

int32_t KvCache::TakeCopyOf(int32_t page) {
  const int32_t copy = TakePage();
  try {
    copy_page_(page, copy);
  } catch (...) {
    Release(copy);
    throw;
  }
  return copy;
}

void KvCache::Release(int32_t page) {
  if (--References(page) == 0) free_.push_back(page);
}

int32_t KvCache::Create() {
  const int32_t id = next_id_++;
  sequences_[id] = {};
  return id;
}

int32_t KvCache::Fork(int32_t sequence, int64_t length) {
  const Sequence& source = Get(sequence);
  if (length < 0 || length > source.length) {
    throw Error(ErrorCode::kInternal, "Cannot share " + std::to_string(length) +
                                          " positions of a sequence of " + std::to_string(source.length));
  }
  states_.CheckLength(source.state, length);
  Sequence fork;
  fork.length = length;
  if (length > 0) fork.state = states_.Share(source.state);
  fork.pages.assign(source.pages.begin(), source.pages.begin() + PagesFor(length));
  for (const int32_t page : fork.pages) ++References(page);
  const int32_t id = next_id_++;
  sequences_[id] = std::move(fork);
  return id;
}

void KvCache::Truncate(int32_t sequence, int64_t length) {
  Sequence& s = Get(sequence);
  if (length < 0 || length > s.length) {
    throw Error(ErrorCode::kInternal, "Cannot cut a sequence of " + std::to_string(s.length) +
                                          " positions to " + std::to_string(length));
  }
  states_.CheckLength(s.state, length);
  if (length == 0) {
    states_.Clear(&s.state);
  } else {
    states_.Drop(&s.state);
  }
  while (static_cast<int64_t>(s.pages.size()) > PagesFor(length)) {
    Release(s.pages.back());
    s.pages.pop_back();
  }
  s.length = length;
}

void KvCache::Free(int32_t sequence) {
  Truncate(sequence, 0);
  sequences_.erase(sequence);
}

void KvCache::Reserve(int32_t sequence, int64_t n) {
  Sequence& s = Get(sequence);
  const int64_t needed = PagesFor(s.length + n);
  const bool copies = s.length % kKvPagePositions != 0 &&
                      References(s.pages[static_cast<size_t>(s.length / kKvPagePositions)]) > 1;
  const int64_t taken = needed - static_cast<int64_t>(s.pages.size()) + (copies ? 1 : 0);
  if (taken > static_cast<int64_t>(free_.size())) ThrowFull();
  states_.Begin(&s.state);
  // The page that is written next may be shared, since a Fork inside it or a Truncate: copy it first.
  if (copies) {
    int32_t& last = s.pages[static_cast<size_t>(s.length / kKvPagePositions)];
    const int32_t copy = TakeCopyOf(last);
    Release(last);
    last = copy;
  }
  while (static_cast<int64_t>(s.pages.size()) < needed) s.pages.push_back(TakePage());
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
