// The paged cache against a simple model: the values that each sequence wrote, as far as rows to come see them, and no two
// owners of a writable page.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "model/kv_cache.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kPages = 12;
constexpr KvLayout kLayout = {Dtype::kInt8, 2, 1, 16, 16};
const std::vector<KvTable> kFull = {{.window = 0, .n_pages = kPages}};

// A position's share of its page: one stripe of bytes.
constexpr int64_t kStripe = 2 * (2 * 16 + 8);

// The pages' memory, as a stage has it.
struct Pool {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(static_cast<size_t>(kPages * kLayout.PageBytes()));
  int64_t copies = 0;
  uint8_t* Page(int32_t page) { return bytes.data() + page * kLayout.PageBytes(); }
};

class ModelledCache {
 public:
  explicit ModelledCache(const std::vector<KvTable>& tables = kFull)
      : tables_(tables),
        pools_(tables.size()),
        cache_(tables, [this](int64_t table, int32_t from, int32_t to) {
          Pool& pool = pools_[static_cast<size_t>(table)];
          ++pool.copies;
          std::memcpy(pool.Page(to), pool.Page(from), static_cast<size_t>(kLayout.PageBytes()));
        }) {}

  KvCache& cache() { return cache_; }
  const std::map<int32_t, std::vector<uint32_t>>& sequences() const { return stamps_; }
  int64_t free_pages() const { return cache_.free_pages(0); }
  const int32_t* Pages(int32_t id) const { return cache_.Pages(id, 0); }

  int32_t Create() {
    const int32_t id = cache_.Create();
    KV_EXPECT(stamps_.emplace(id, std::vector<uint32_t>()).second);
    return id;
  }
  // Takes no page and copies none.
  int32_t Fork(int32_t source, int64_t length) {
    const std::vector<int64_t> free = FreePages(), copies = Copies();
    const int32_t id = cache_.Fork(source, length);
    KV_EXPECT(FreePages() == free);
    KV_EXPECT(Copies() == copies);
    const std::vector<uint32_t>& stamps = stamps_.at(source);
    KV_EXPECT(stamps_.emplace(id, std::vector<uint32_t>(stamps.begin(), stamps.begin() + length)).second);
    return id;
  }
  void Truncate(int32_t id, int64_t length) {
    cache_.Truncate(id, length);
    stamps_.at(id).resize(static_cast<size_t>(length));
  }
  void Free(int32_t id) {
    cache_.Free(id);
    stamps_.erase(id);
  }
  // Writes what no position has held before. A page is copied where others hold it too, and only then.
  void Append(int32_t id, int64_t n) {
    std::vector<uint32_t>& stamps = stamps_.at(id);
    const int64_t length = static_cast<int64_t>(stamps.size());
    std::vector<int64_t> copies = Copies();
    for (size_t table = 0; table < tables_.size(); ++table) {
      copies[table] += length % kKvPagePositions != 0 && IsShared(id, table, length) ? 1 : 0;
    }
    cache_.GiveBack(id);
    cache_.Reserve(id, n);
    KV_EXPECT(Copies() == copies);
    for (int64_t i = 0; i < n; ++i) {
      stamps.push_back(++next_stamp_);
      for (size_t table = 0; table < tables_.size(); ++table) {
        uint8_t* slot = Slot(id, table, static_cast<int64_t>(stamps.size()) - 1);
        for (int64_t at = 0; at < kStripe; at += 4) std::memcpy(slot + at, &next_stamp_, 4);
      }
    }
    cache_.Commit(id, n);
  }

  void Check() const {
    for (const auto& [id, stamps] : stamps_) {
      KV_EXPECT_EQ(cache_.Length(id), static_cast<int64_t>(stamps.size()));
    }
    for (size_t table = 0; table < tables_.size(); ++table) CheckTable(table);
  }

 private:
  // All positions that the next row sees are there; no page is held but by those.
  void CheckTable(size_t table) const {
    std::map<int32_t, int64_t> holders;
    for (const auto& [id, stamps] : stamps_) {
      const int64_t length = static_cast<int64_t>(stamps.size()), window = tables_[table].window;
      for (int64_t i = window > 0 ? std::max<int64_t>(0, length - window + 1) : 0; i < length; ++i) {
        uint32_t first, last;
        std::memcpy(&first, Slot(id, table, i), 4);
        std::memcpy(&last, Slot(id, table, i) + kStripe - 4, 4);
        KV_EXPECT_EQ(first, stamps[static_cast<size_t>(i)]);
        KV_EXPECT_EQ(last, stamps[static_cast<size_t>(i)]);
      }
      for (const int32_t page : PagesOf(id, table)) {
        if (page >= 0) ++holders[page];
      }
    }
    KV_EXPECT_EQ(cache_.free_pages(static_cast<int64_t>(table)),
                 tables_[table].n_pages - static_cast<int64_t>(holders.size()));
    CheckOwnPages(table, holders);
  }
  // Of each sequence, and of every second one together.
  void CheckOwnPages(size_t table, const std::map<int32_t, int64_t>& holders) const {
    std::vector<std::vector<int32_t>> sets(1);
    for (const auto& [id, stamps] : stamps_) {
      sets.push_back({id});
      if (id % 2 == 0) sets[0].push_back(id);
    }
    for (const std::vector<int32_t>& set : sets) {
      std::map<int32_t, int64_t> held;
      for (const int32_t id : set) {
        for (const int32_t page : PagesOf(id, table)) held[page] += page >= 0 ? 1 : 0;
      }
      int64_t own = 0;
      for (const auto& [page, times] : held) own += times > 0 && holders.at(page) == times ? 1 : 0;
      KV_EXPECT_EQ(cache_.OwnPages(set, static_cast<int64_t>(table)), own);
    }
  }
  std::vector<int32_t> PagesOf(int32_t id, size_t table) const {
    const int32_t* pages = cache_.Pages(id, static_cast<int64_t>(table));
    return {pages, pages + KvCache::PagesFor(static_cast<int64_t>(stamps_.at(id).size()))};
  }
  std::vector<int64_t> FreePages() const {
    std::vector<int64_t> free;
    for (size_t table = 0; table < tables_.size(); ++table) {
      free.push_back(cache_.free_pages(static_cast<int64_t>(table)));
    }
    return free;
  }
  std::vector<int64_t> Copies() const {
    std::vector<int64_t> copies;
    for (const Pool& pool : pools_) copies.push_back(pool.copies);
    return copies;
  }
  // Whether another sequence holds the page of a position.
  bool IsShared(int32_t id, size_t table, int64_t position) const {
    const int64_t index = position / kKvPagePositions, at = static_cast<int64_t>(table);
    for (const auto& [other, stamps] : stamps_) {
      const bool has = static_cast<int64_t>(stamps.size()) > index * kKvPagePositions;
      if (other != id && has && cache_.Pages(other, at)[index] == cache_.Pages(id, at)[index]) return true;
    }
    return false;
  }
  uint8_t* Slot(int32_t sequence, size_t table, int64_t position) const {
    const int32_t page = cache_.Pages(sequence, static_cast<int64_t>(table))[position / kKvPagePositions];
    return pools_[table].Page(page) + position % kKvPagePositions * kStripe;
  }

  std::vector<KvTable> tables_;
  mutable std::vector<Pool> pools_;  // [tables]
  KvCache cache_;
  std::map<int32_t, std::vector<uint32_t>> stamps_;
  uint32_t next_stamp_ = 0;
};

int32_t Pick(Random& random, const ModelledCache& model) {
  auto it = model.sequences().begin();
  std::advance(it, random.Integer(0, static_cast<int64_t>(model.sequences().size()) - 1));
  return it->first;
}

// A length that the sequence can be forked at or cut to.
int64_t PickLength(Random& random, const KvCache& cache, int32_t id, int64_t multiple) {
  const int64_t length = cache.Length(id);
  const int64_t picked = random.Integer(cache.Shortest(id), length) / multiple * multiple;
  return picked >= cache.Shortest(id) ? picked : length;
}

// Returns whether the cache was full.
bool RandomOperation(Random& random, ModelledCache& model) {
  const int64_t kind = random.Integer(0, 9);
  if (kind == 0 || model.sequences().empty()) {
    model.Create();
    return false;
  }
  const int32_t id = Pick(random, model);
  const int64_t length = model.cache().Length(id);
  try {
    if (kind <= 2) {
      model.Fork(id, PickLength(random, model.cache(), id, random.Integer(0, 2) == 0 ? 64 : 1));
    } else if (kind == 3) {
      model.Truncate(id, random.Integer(0, 3) == 0 ? 0 : PickLength(random, model.cache(), id, 1));
    } else if (kind == 4) {
      model.Free(id);
    } else {
      model.Append(id, random.Integer(0, 3) == 0 ? 64 - length % 64 : random.Integer(1, 150));
    }
  } catch (const Error& error) {
    KV_EXPECT(error.code() == ErrorCode::kContextOverflow);
    return true;
  }
  return false;
}

void WalkAtRandom(const std::vector<KvTable>& tables, uint32_t seed) {
  Random random(seed);
  ModelledCache model(tables);
  int n_full = 0;
  for (int i = 0; i < 300; ++i) {
    n_full += RandomOperation(random, model) ? 1 : 0;
    model.Check();
    // A full cache must not end the walk.
    if (model.free_pages() == 0 && random.Integer(0, 3) == 0) model.Free(Pick(random, model));
  }
  KV_EXPECT(n_full > 0);
  while (!model.sequences().empty()) model.Free(model.sequences().begin()->first);
  for (size_t table = 0; table < tables.size(); ++table) {
    KV_EXPECT_EQ(model.cache().free_pages(static_cast<int64_t>(table)), tables[table].n_pages);
  }
}

KV_TEST(kv_cache_keeps_contents_through_random_operations) {
  for (uint32_t seed = 1; seed <= (kSanitized ? 5 : 40); ++seed) {
    WalkAtRandom(kFull, seed);
    // Windows on, beside and across the borders of pages; a layer may see its own row alone.
    WalkAtRandom({{.window = 0, .n_pages = kPages}, {.window = 65, .n_pages = 9}}, seed);
    WalkAtRandom({{.window = 1, .n_pages = kPages}, {.window = 130, .n_pages = 10}}, seed);
  }
}

// A checkpoint is a fork: it holds the window before its length, whatever the sequence gives back.
KV_TEST(kv_cache_checkpoints_outlast_the_window) {
  ModelledCache model({{.window = 0, .n_pages = kPages}, {.window = 100, .n_pages = 10}});
  const int32_t source = model.Create();
  model.Append(source, 300);
  const int32_t checkpoint = model.Fork(source, 256);
  KV_EXPECT_EQ(model.cache().Shortest(checkpoint), 128 + 99);  // pages from 128 on: 256 - 99 = 157
  KV_EXPECT_EQ(model.cache().OwnPages({source}, 1), 3);        // 0, 1 and the last one of five
  model.Append(source, 300);
  model.Append(source, 1);
  KV_EXPECT_EQ(model.cache().Shortest(source), 448 + 99);  // of 600 - 99 = 501
  KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "256", model.cache().Fork(source, 256));
  KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "546", model.cache().Truncate(source, 546));
  model.Check();
  const int32_t next = model.Fork(checkpoint, 256);
  model.Append(next, 20);
  model.Check();
  model.Free(source);
  model.Append(next, 100);
  model.Append(model.Fork(checkpoint, 227), 5);
  model.Check();
  model.Free(checkpoint);
  model.Truncate(next, 0);
  model.Append(next, 5);
  model.Check();
}

KV_TEST(kv_cache_fork_shares_all_pages_until_one_writes) {
  ModelledCache model;
  const int32_t source = model.Create();
  model.Append(source, 200);
  const int32_t whole = model.Fork(source, 192), partial = model.Fork(source, 100);
  const int32_t twin = model.Fork(partial, 100);
  KV_EXPECT_EQ(kPages - model.free_pages(), 4);
  for (int page = 0; page < 3; ++page) {
    KV_EXPECT(model.Pages(whole)[page] == model.Pages(source)[page]);
  }
  KV_EXPECT(model.Pages(partial)[1] == model.Pages(source)[1]);
  KV_EXPECT(model.Pages(twin)[1] == model.Pages(source)[1]);
  // All write on; none sees the others.
  for (const int32_t id : {source, whole, partial, twin}) model.Append(id, 20);
  KV_EXPECT(model.Pages(partial)[1] != model.Pages(source)[1]);
  KV_EXPECT(model.Pages(twin)[1] != model.Pages(partial)[1]);
  model.Check();
  // What they share outlives its first owner.
  model.Free(source);
  model.Append(model.Create(), 300);
  model.Check();
}

// Of those that hold a page the last one writes into it: n holders make n - 1 copies, whoever comes first.
KV_TEST(kv_cache_last_holder_of_a_page_writes_in_place) {
  ModelledCache model;
  const int32_t source = model.Create();
  model.Append(source, 70);
  const int32_t page = model.Pages(source)[1];
  const int32_t a = model.Fork(source, 70), b = model.Fork(source, 66);
  model.Append(source, 1);
  model.Append(b, 1);
  model.Append(a, 1);
  KV_EXPECT(model.Pages(a)[1] == page);
  KV_EXPECT_EQ(kPages - model.free_pages(), 4);
  model.Check();
}

KV_TEST(kv_cache_copies_a_shared_page_before_writing) {
  ModelledCache model;
  const int32_t a = model.Create();
  model.Append(a, 128);
  const int32_t b = model.Fork(a, 128);
  model.Truncate(b, 70);
  model.Append(b, 1);
  KV_EXPECT(model.Pages(a)[1] != model.Pages(b)[1]);
  model.Check();
  model.Truncate(a, 65);
  const int32_t page = model.Pages(a)[1];
  model.Append(a, 1);
  KV_EXPECT(model.Pages(a)[1] == page);  // its only owner by now
  model.Check();
}

KV_TEST(kv_cache_full_leaves_everything_as_it_was) {
  ModelledCache model;
  const int32_t a = model.Create(), b = model.Create();
  model.Append(a, 10 * 64 - 5);
  model.Append(b, 30);
  KV_EXPECT_EQ(model.free_pages(), 1);
  KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "768", model.cache().Reserve(a, 5 + 64 + 1));
  model.Check();
  model.Append(a, 5 + 64);
  KV_EXPECT_EQ(model.free_pages(), 0);
  KV_EXPECT_THROWS(ErrorCode::kContextOverflow, model.cache().Reserve(a, 1));
  model.Check();
  // A fork needs no page; its first write does.
  const int32_t c = model.Fork(b, 30);
  KV_EXPECT_THROWS(ErrorCode::kContextOverflow, model.cache().Reserve(c, 1));
  KV_EXPECT_THROWS(ErrorCode::kContextOverflow, model.cache().Reserve(b, 1));
  model.Check();
  model.Free(c);
  model.Append(b, 34);
  model.Check();
}

KV_TEST(kv_cache_refuses_what_cannot_be) {
  KvCache cache({{.window = 0, .n_pages = 1}}, nullptr);
  const int32_t id = cache.Create();
  KV_EXPECT_THROWS(ErrorCode::kInternal, cache.Fork(id, 1));
  KV_EXPECT_THROWS(ErrorCode::kInternal, cache.Fork(id, -1));
  KV_EXPECT_THROWS(ErrorCode::kInternal, cache.Truncate(id, 1));
  KV_EXPECT_THROWS(ErrorCode::kInternal, cache.Truncate(id, -1));
  cache.Free(id);
  KV_EXPECT_THROWS(ErrorCode::kInternal, cache.Free(id));
  KV_EXPECT_THROWS(ErrorCode::kInternal, cache.Length(id));
  KV_EXPECT(cache.Create() != id);
}

// The copy of a shared page counts too: a Reserve that cannot have all of its pages must take none.
KV_TEST(kv_cache_failed_reserve_takes_no_page_for_a_copy) {
  ModelledCache model;
  const int32_t a = model.Create();
  model.Append(a, 11 * 64);
  const int32_t b = model.Fork(a, 128);
  model.Truncate(b, 70);
  KV_EXPECT_EQ(model.free_pages(), 1);
  KV_EXPECT_THROWS(ErrorCode::kContextOverflow, model.cache().Reserve(b, 100));
  KV_EXPECT_EQ(model.free_pages(), 1);
  KV_EXPECT(model.Pages(b)[1] == model.Pages(a)[1]);
  model.Append(b, 5);
  model.Check();
}

// A freed sequence's pages come back in their order: what is read in longer stretches stays so.
KV_TEST(kv_cache_gives_freed_pages_in_ascending_order) {
  KvCache cache(kFull, nullptr);
  const int32_t first = cache.Create();
  cache.Reserve(first, 5 * kKvPagePositions);
  cache.Free(first);
  const int32_t second = cache.Create();
  cache.Reserve(second, 7 * kKvPagePositions);
  for (int32_t page = 0; page < 7; ++page) KV_EXPECT_EQ(cache.Pages(second, 0)[page], page);
}

}  // namespace
}  // namespace kvasir::testing
