#include "model/kv_cache.h"

#include <cstring>

#include "core/error.h"

namespace kvasir {

namespace {

int64_t PagesFor(int64_t positions) { return (positions + kKvPagePositions - 1) / kKvPagePositions; }

}  // namespace

KvCache::KvCache(const KvLayout& layout, int64_t capacity) : layout_(layout) {
  const int64_t n_pages = PagesFor(capacity);
  buffer_ = AlignedBuffer(static_cast<size_t>(n_pages * layout.PageBytes()), "the KV cache", true);
  references_.assign(static_cast<size_t>(n_pages), 0);
  for (int64_t page = n_pages - 1; page >= 0; --page) free_.push_back(static_cast<int32_t>(page));
}

const KvCache::Sequence& KvCache::Get(int32_t sequence) const {
  const auto it = sequences_.find(sequence);
  if (it == sequences_.end()) {
    throw Error(ErrorCode::kInternal, "There is no sequence " + std::to_string(sequence));
  }
  return it->second;
}

void KvCache::ThrowFull() const {
  throw Error(ErrorCode::kContextOverflow,
              "The KV cache is full: all " + std::to_string(capacity()) +
                  " positions are in use; wait for other requests or load the model "
                  "with a larger contextLength");
}

uint8_t* KvCache::TakePage() {
  if (free_.empty()) ThrowFull();
  const size_t index = static_cast<size_t>(free_.back());
  free_.pop_back();
  references_[index] = 1;
  return buffer_.data() + index * static_cast<size_t>(layout_.PageBytes());
}

size_t KvCache::IndexOf(const uint8_t* page) const {
  return static_cast<size_t>(page - buffer_.data()) / static_cast<size_t>(layout_.PageBytes());
}

void KvCache::Release(uint8_t* page) {
  const size_t index = IndexOf(page);
  if (--references_[index] == 0) free_.push_back(static_cast<int32_t>(index));
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
  Sequence fork;
  fork.length = length;
  const int64_t whole = length / kKvPagePositions;
  if (length % kKvPagePositions != 0) {
    uint8_t* page = TakePage();
    std::memcpy(page, source.pages[static_cast<size_t>(whole)], static_cast<size_t>(layout_.PageBytes()));
    fork.pages.assign(source.pages.begin(), source.pages.begin() + whole);
    fork.pages.push_back(page);
  } else {
    fork.pages.assign(source.pages.begin(), source.pages.begin() + whole);
  }
  for (int64_t i = 0; i < whole; ++i) ++references_[IndexOf(fork.pages[static_cast<size_t>(i)])];
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
  while (static_cast<int64_t>(s.pages.size()) > PagesFor(length)) {
    Release(s.pages.back());
    s.pages.pop_back();
  }
  s.length = length;
}

void KvCache::Free(int32_t sequence) {
  for (uint8_t* page : Get(sequence).pages) Release(page);
  sequences_.erase(sequence);
}

void KvCache::Reserve(int32_t sequence, int64_t n) {
  Sequence& s = Get(sequence);
  const int64_t needed = PagesFor(s.length + n);
  const bool copies = s.length % kKvPagePositions != 0 &&
                      references_[IndexOf(s.pages[static_cast<size_t>(s.length / kKvPagePositions)])] > 1;
  const int64_t taken = needed - static_cast<int64_t>(s.pages.size()) + (copies ? 1 : 0);
  if (taken > static_cast<int64_t>(free_.size())) ThrowFull();
  // The page that is written next may be shared after a Truncate of one of its owners: copy it first.
  if (copies) {
    uint8_t*& last = s.pages[static_cast<size_t>(s.length / kKvPagePositions)];
    uint8_t* copy = TakePage();
    std::memcpy(copy, last, static_cast<size_t>(layout_.PageBytes()));
    Release(last);
    last = copy;
  }
  while (static_cast<int64_t>(s.pages.size()) < needed) s.pages.push_back(TakePage());
}

void KvCache::Commit(int32_t sequence, int64_t n) { Get(sequence).length += n; }

}  // namespace kvasir
