// Slots of states against a simple model: what each sequence's state holds, whatever was begun, dropped, shared and freed.
#include <map>
#include <set>

#include "model/kv_cache.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kSlots = 9, kPages = 40;

// A state is a stamp; zero is that of a sequence's beginning.
class ModelledStates {
 public:
  ModelledStates()
      : cache_(
            {{.window = 0, .n_pages = kPages}}, [](int64_t, int32_t, int32_t) {}, kSlots) {}

  struct Sequence {
    int64_t length = 0;
    int stamp = 0;
  };

  KvCache& cache() { return cache_; }
  const std::map<int32_t, Sequence>& sequences() const { return sequences_; }

  void Create() { sequences_[cache_.Create()] = {}; }
  void Fork(int32_t from) { sequences_[cache_.Fork(from, sequences_[from].length)] = sequences_[from]; }
  void Free(int32_t id) {
    cache_.Free(id);
    sequences_.erase(id);
  }
  void Restart(int32_t id) {
    cache_.Truncate(id, 0);
    sequences_[id] = {};
  }
  // A step in `parts`: each reads what the one before it wrote. It may fail after any of them.
  void Step(int32_t id, int parts, bool fails) {
    Sequence& s = sequences_[id];
    int stamp = s.stamp;
    const bool has_slot = cache_.free_states() > 0;
    for (int part = 0; part < parts; ++part) {
      if (!has_slot) {
        KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "9 states", cache_.Reserve(id, 1));
        KV_EXPECT_EQ(cache_.Length(id), s.length);
        return;
      }
      cache_.Reserve(id, 1);
      const StateSpan span = cache_.States(id);
      KV_EXPECT_EQ(span.from < 0 ? 0 : memory_[static_cast<size_t>(span.from)], stamp);
      KV_EXPECT(span.to >= 0 && (part > 0 || span.to != span.from));
      memory_[static_cast<size_t>(span.to)] = stamp = ++next_stamp_;
      cache_.Commit(id, 1);
    }
    if (fails) {
      cache_.Truncate(id, s.length);
      return;
    }
    cache_.KeepState(id);
    s = {s.length + parts, stamp};
  }

  void Check() {
    std::set<int32_t> held;
    for (const auto& [id, sequence] : sequences_) {
      KV_EXPECT_EQ(cache_.Length(id), sequence.length);
      KV_EXPECT_EQ(cache_.Shortest(id), sequence.length);
      const int32_t slot = cache_.States(id).from;
      KV_EXPECT_EQ(slot < 0 ? 0 : memory_[static_cast<size_t>(slot)], sequence.stamp);
      if (slot >= 0) held.insert(slot);
    }
    KV_EXPECT_EQ(cache_.free_states(), kSlots - static_cast<int64_t>(held.size()));
  }

 private:
  KvCache cache_;
  std::map<int32_t, Sequence> sequences_;
  std::vector<int> memory_ = std::vector<int>(kSlots);
  int next_stamp_ = 0;
};

KV_TEST(state_slots_hold_what_each_sequence_wrote) {
  Random random(12);
  ModelledStates model;
  for (int i = 0; i < 4000; ++i) {
    if (model.sequences().empty() || (random.Integer(0, 5) == 0 && model.sequences().size() < 12)) {
      model.Create();
    } else {
      auto it = model.sequences().begin();
      std::advance(it, random.Integer(0, static_cast<int64_t>(model.sequences().size()) - 1));
      const int32_t id = it->first;
      const int64_t choice = random.Integer(0, 9);
      if (choice == 0 && model.sequences().size() < 12) model.Fork(id);
      if (choice == 1 || it->second.length > 100) {
        model.Free(id);
      } else if (choice == 2) {
        model.Restart(id);
      } else if (choice > 2) {
        model.Step(id, static_cast<int>(random.Integer(1, 3)), random.Integer(0, 3) == 0);
      }
    }
    model.Check();
  }
}

KV_TEST(state_slots_refuse_the_middle_of_a_sequence) {
  ModelledStates model;
  model.Create();
  const int32_t id = model.sequences().begin()->first;
  model.Step(id, 3, false);
  KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "state", model.cache().Fork(id, 2));
  KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "state", model.cache().Truncate(id, 1));
  KV_EXPECT_EQ(model.cache().Length(model.cache().Fork(id, 0)), 0);
  model.cache().Truncate(id, 3);
  model.Check();
}

}  // namespace
}  // namespace kvasir::testing
