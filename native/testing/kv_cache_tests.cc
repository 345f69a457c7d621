// The paged cache against a simple model: the values that each sequence wrote, and no two owners of a writable page.
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

// A position's share of its page: one stripe of bytes.
constexpr int64_t kStripe = 2 * (2 * 16 + 8);

// The pages' memory, as a stage has it.
struct Pool {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(static_cast<size_t>(kPages * kLayout.PageBytes()));
  int64_t copies = 0;
  uint8_t* Page(int32_t page) { return bytes.data() + page * kLayout.PageBytes(); }
  KvCache::CopyPageFn CopyPage() {
    return [this](int32_t from, int32_t to) {
      ++copies;
      std::memcpy(Page(to), Page(from), static_cast<size_t>(kLayout.PageBytes()));
    };
  }
};

class ModelledCache {
 public:
  ModelledCache() : cache_(kPages * kKvPagePositions, pool_.CopyPage()) {}

  KvCache& cache() { return cache_; }
  const std::map<int32_t, std::vector<uint32_t>>& sequences() const { return stamps_; }

  int32_t Create() {
    const int32_t id = cache_.Create();
    KV_EXPECT(stamps_.emplace(id, std::vector<uint32_t>()).second);
    return id;
  }
  // Takes no page and copies none.
  int32_t Fork(int32_t source, int64_t length) {
    const int64_t free = cache_.free_positions(), copies = pool_.copies;
    const int32_t id = cache_.Fork(source, length);
    KV_EXPECT_EQ(cache_.free_positions(), free);
    KV_EXPECT_EQ(pool_.copies, copies);
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
    const int64_t copies = pool_.copies + (length % kKvPagePositions != 0 && IsShared(id, length) ? 1 : 0);
    cache_.Reserve(id, n);
    KV_EXPECT_EQ(pool_.copies, copies);
    for (int64_t i = 0; i < n; ++i) {
      stamps.push_back(++next_stamp_);
      uint8_t* slot = Slot(id, static_cast<int64_t>(stamps.size()) - 1);
      for (int64_t at = 0; at < kStripe; at += 4) std::memcpy(slot + at, &next_stamp_, 4);
    }
    cache_.Commit(id, n);
  }

  void Check() const {
    std::set<int32_t> pages;
    for (const auto& [id, stamps] : stamps_) {
      const int64_t length = static_cast<int64_t>(stamps.size());
      KV_EXPECT_EQ(cache_.Length(id), length);
      for (int64_t i = 0; i < length; ++i) {
        uint32_t first, last;
        std::memcpy(&first, Slot(id, i), 4);
        std::memcpy(&last, Slot(id, i) + kStripe - 4, 4);
        KV_EXPECT_EQ(first, stamps[static_cast<size_t>(i)]);
        KV_EXPECT_EQ(last, stamps[static_cast<size_t>(i)]);
        pages.insert(cache_.Pages(id)[i / kKvPagePositions]);
      }
    }
    KV_EXPECT_EQ(cache_.free_positions(),
                 cache_.capacity() - static_cast<int64_t>(pages.size()) * kKvPagePositions);
  }

 private:
  // Whether another sequence holds the page of a position.
  bool IsShared(int32_t id, int64_t position) const {
    const int64_t index = position / kKvPagePositions;
    for (const auto& [other, stamps] : stamps_) {
      const bool has = static_cast<int64_t>(stamps.size()) > index * kKvPagePositions;
      if (other != id && has && cache_.Pages(other)[index] == cache_.Pages(id)[index]) return true;
    }
    return false;
  }
  uint8_t* Slot(int32_t sequence, int64_t position) const {
    return pool_.Page(cache_.Pages(sequence)[position / kKvPagePositions]) +
           position % kKvPagePositions * kStripe;
  }

  mutable Pool pool_;
  KvCache cache_;
  std::map<int32_t, std::vector<uint32_t>> stamps_;
  uint32_t next_stamp_ = 0;
};

int32_t Pick(Random& random, const ModelledCache& model) {
  auto it = model.sequences().begin();
  std::advance(it, random.Integer(0, static_cast<int64_t>(model.sequences().size()) - 1));
  return it->first;
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
      model.Fork(id, random.Integer(0, 2) == 0 ? length / 64 * 64 : random.Integer(0, length));
    } else if (kind == 3) {
      model.Truncate(id, random.Integer(0, length));
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

KV_TEST(kv_cache_keeps_contents_through_random_operations) {
  for (uint32_t seed = 1; seed <= (kSanitized ? 5 : 40); ++seed) {
    Random random(seed);
    ModelledCache model;
    KV_EXPECT_EQ(model.cache().capacity(), kPages * kKvPagePositions);
    int n_full = 0;
    for (int i = 0; i < 300; ++i) {
      n_full += RandomOperation(random, model) ? 1 : 0;
      model.Check();
      // A full cache must not end the walk.
      if (model.cache().free_positions() == 0 && random.Integer(0, 3) == 0) model.Free(Pick(random, model));
    }
    KV_EXPECT(n_full > 0);
    while (!model.sequences().empty()) model.Free(model.sequences().begin()->first);
    KV_EXPECT_EQ(model.cache().free_positions(), model.cache().capacity());
  }
}

KV_TEST(kv_cache_rounds_capacity_up_to_pages) {
  KV_EXPECT_EQ(KvCache(1, nullptr).capacity(), 64);
  KV_EXPECT_EQ(KvCache(64, nullptr).capacity(), 64);
  KV_EXPECT_EQ(KvCache(65, nullptr).capacity(), 128);
}

KV_TEST(kv_cache_fork_shares_all_pages_until_one_writes) {
  ModelledCache model;
  const int32_t source = model.Create();
  model.Append(source, 200);
  const int32_t whole = model.Fork(source, 192), partial = model.Fork(source, 100);
  const int32_t twin = model.Fork(partial, 100);
  KV_EXPECT_EQ(model.cache().capacity() - model.cache().free_positions(), 4 * 64);
  for (int page = 0; page < 3; ++page) {
    KV_EXPECT(model.cache().Pages(whole)[page] == model.cache().Pages(source)[page]);
  }
  KV_EXPECT(model.cache().Pages(partial)[1] == model.cache().Pages(source)[1]);
  KV_EXPECT(model.cache().Pages(twin)[1] == model.cache().Pages(source)[1]);
  // All write on; none sees the others.
  for (const int32_t id : {source, whole, partial, twin}) model.Append(id, 20);
  KV_EXPECT(model.cache().Pages(partial)[1] != model.cache().Pages(source)[1]);
  KV_EXPECT(model.cache().Pages(twin)[1] != model.cache().Pages(partial)[1]);
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
  const int32_t page = model.cache().Pages(source)[1];
  const int32_t a = model.Fork(source, 70), b = model.Fork(source, 66);
  model.Append(source, 1);
  model.Append(b, 1);
  model.Append(a, 1);
  KV_EXPECT(model.cache().Pages(a)[1] == page);
  KV_EXPECT_EQ(model.cache().capacity() - model.cache().free_positions(), 4 * 64);
  model.Check();
}

KV_TEST(kv_cache_copies_a_shared_page_before_writing) {
  ModelledCache model;
  const int32_t a = model.Create();
  model.Append(a, 128);
  const int32_t b = model.Fork(a, 128);
  model.Truncate(b, 70);
  model.Append(b, 1);
  KV_EXPECT(model.cache().Pages(a)[1] != model.cache().Pages(b)[1]);
  model.Check();
  model.Truncate(a, 65);
  const int32_t page = model.cache().Pages(a)[1];
  model.Append(a, 1);
  KV_EXPECT(model.cache().Pages(a)[1] == page);  // its only owner by now
  model.Check();
}

KV_TEST(kv_cache_full_leaves_everything_as_it_was) {
  ModelledCache model;
  const int32_t a = model.Create(), b = model.Create();
  model.Append(a, 10 * 64 - 5);
  model.Append(b, 30);
  KV_EXPECT_EQ(model.cache().free_positions(), 64);
  KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "768", model.cache().Reserve(a, 5 + 64 + 1));
  model.Check();
  model.Append(a, 5 + 64);
  KV_EXPECT_EQ(model.cache().free_positions(), 0);
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
  KvCache cache(64, nullptr);
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
  KV_EXPECT_EQ(model.cache().free_positions(), 64);
  KV_EXPECT_THROWS(ErrorCode::kContextOverflow, model.cache().Reserve(b, 100));
  KV_EXPECT_EQ(model.cache().free_positions(), 64);
  KV_EXPECT(model.cache().Pages(b)[1] == model.cache().Pages(a)[1]);
  model.Append(b, 5);
  model.Check();
}

// A freed sequence's pages come back in their order: what is read in longer stretches stays so.
KV_TEST(kv_cache_gives_freed_pages_in_ascending_order) {
  KvCache cache(kPages * kKvPagePositions, nullptr);
  const int32_t first = cache.Create();
  cache.Reserve(first, 5 * kKvPagePositions);
  cache.Free(first);
  const int32_t second = cache.Create();
  cache.Reserve(second, 7 * kKvPagePositions);
  for (int32_t page = 0; page < 7; ++page) KV_EXPECT_EQ(cache.Pages(second)[page], page);
}

// Every byte of the pool belongs to one head's part of one page, whatever the runs.
KV_TEST(kv_layout_covers_the_pool_once) {
  for (const Dtype dtype : {Dtype::kInt8, Dtype::kF16, Dtype::kF32}) {
    for (const int64_t run : {1, 4}) {
      KvLayout layout = {dtype, 2, 3, 24, 32};
      layout.n_pages = 7;  // the last run is shorter
      layout.run = run;
      std::vector<int> owners(static_cast<size_t>(layout.PoolBytes()));
      const auto own = [&](int64_t begin, int64_t bytes) {
        for (int64_t i = begin; i < begin + bytes; ++i) ++owners.at(static_cast<size_t>(i));
      };
      for (int64_t page = 0; page < layout.n_pages; ++page) {
        for (int64_t part = 0; part < layout.n_layers * layout.n_kv_heads; ++part) {
          const int64_t layer = part / layout.n_kv_heads, head = part % layout.n_kv_heads;
          const KvPlace place = layout.Place(page, layer, head);
          own(place.k, layout.HeadBytes());
          own(place.v, layout.HeadBytes());
          own(place.k_scales, layout.HeadScaleBytes());
          own(place.v_scales, layout.HeadScaleBytes());
          if (page % run == 0) continue;
          const KvPlace before = layout.Place(page - 1, layer, head);
          KV_EXPECT_EQ(place.k, before.k + layout.HeadBytes());
          KV_EXPECT_EQ(place.v_scales, before.v_scales + layout.HeadScaleBytes());
        }
      }
      for (const int owner : owners) KV_EXPECT_EQ(owner, 1);
    }
  }
}

}  // namespace
}  // namespace kvasir::testing
