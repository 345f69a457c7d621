// Layers whose pools hold windows instead of contexts: the bits are those of the same model with all positions in memory,
// in prefill, decode, batches, after forks, checkpoints and cancelled steps; memory is what the plan says.
#include <algorithm>

#include "core/aligned_buffer.h"
#include "model/kv_tables.h"
#include "runtime/load.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kTokens = kSanitized ? 300 : 690;
constexpr int64_t kContext = 8192;  // so long that windows have tables of their own

// Windows of 40 and 130 beside layers that see all: three tables.
ModelKind Windowed() {
  ModelKind kind = LlamaLike();
  kind.spec.max_positions = 4 * kContext;
  for (const int64_t window : {40, 130}) {
    kind.spec.attentions.push_back(kind.attention());
    kind.spec.attentions.back().window = window;
  }
  kind.spec.stack.layers = {{1, 0}, {2, 0}, {0, 0}, {1, 0}};
  return kind;
}

struct Subject {
  Dtype dtype;
  ModelKind kind;
  RandomContainer container = RandomContainer(kind, 7);
  std::vector<int32_t> tokens = RandomTokens(3, kTokens, kind.spec.vocab_size);
  Rows expected;

  explicit Subject(Dtype a_dtype, const ModelKind& a_kind = Windowed()) : dtype(a_dtype), kind(a_kind) {
    const std::unique_ptr<Transformer> whole = testing::Load(kind, container, {dtype, dtype, "", 2, 704});
    KV_EXPECT_EQ(whole->kv_tables().tables.size(), size_t{1});
    expected = Append(*whole, whole->cache().Create(), tokens, 0, kTokens);
  }
  // With windows in tables of their own, for so many sequences.
  std::unique_ptr<Transformer> Load(int threads, int64_t sequences = 1) const {
    std::unique_ptr<Transformer> t =
        testing::Load(kind, container, {dtype, dtype, "", threads, kContext, sequences * kContext});
    KV_EXPECT_EQ(t->cache().n_tables(), 3);
    return t;
  }
  void Expect(const char* what, const Rows& actual, int64_t first) const {
    const std::string difference = RowDifference(actual, expected, first);
    KV_EXPECT_EQ(difference.empty() ? "" : std::string(what) + ": " + difference, "");
  }
  std::vector<int32_t> Part(int64_t first, int64_t n) const {
    return {tokens.begin() + first, tokens.begin() + first + n};
  }
};

template <typename Test>
void ForSubjects(const Test& test) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) test(Subject(dtype));
}

KV_TEST(transformer_windows_equal_whole_contexts_in_any_steps) {
  ForSubjects([](const Subject& s) {
    for (const int threads : {1, 2}) {
      const std::unique_ptr<Transformer> t = s.Load(threads);
      const int32_t whole = t->cache().Create();
      s.Expect("prompt", Append(*t, whole, s.tokens, 0, kTokens), 0);
      t->cache().Free(whole);
      for (const uint32_t seed : {1u, 2u}) {
        Random random(seed);
        const int32_t id = t->cache().Create();
        for (int64_t i = 0; i < kTokens;) {
          const int64_t n = std::min(kTokens - i, random.Integer(0, 1) == 0 ? 1 : random.Integer(2, 200));
          s.Expect("chunks", Append(*t, id, s.tokens, i, n), i);
          i += n;
        }
        t->cache().Free(id);
      }
      for (int64_t table = 0; table < 3; ++table) {
        KV_EXPECT_EQ(t->cache().free_pages(table), t->cache().table(table).n_pages);
      }
    }
  });
}

// Batches of sequences at different places; each holds its window alone.
KV_TEST(transformer_windows_equal_whole_contexts_in_batches) {
  ForSubjects([](const Subject& s) {
    const std::unique_ptr<Transformer> t = s.Load(2, 3);
    Random random(5);
    std::vector<std::pair<int32_t, int64_t>> running;
    for (int i = 0; i < 3; ++i) running.push_back({t->cache().Create(), 0});
    for (int step = 0; step < 40; ++step) {
      std::vector<std::pair<int32_t, std::vector<int32_t>>> parts;
      std::vector<int64_t> first;
      for (auto& [id, length] : running) {
        const int64_t n = std::min(kTokens - length, random.Integer(0, 2) == 0 ? random.Integer(2, 100) : 1);
        if (n == 0) continue;
        parts.push_back({id, s.Part(length, n)});
        first.push_back(length);
        length += n;
      }
      if (parts.empty()) break;
      const Rows rows = Forward(*t, BatchOf(parts));
      auto row = rows.begin();
      for (size_t i = 0; i < parts.size(); ++i) {
        const auto end = row + static_cast<int64_t>(parts[i].second.size());
        s.Expect("in a batch", Rows(row, end), first[i]);
        row = end;
      }
    }
    for (const auto& [id, length] : running) {
      // Pages of the last step's window, and a part of a page on either side.
      KV_EXPECT(t->cache().OwnPages({id}, 1) <= PagesOfWindow(40, 100));
      KV_EXPECT(t->cache().OwnPages({id}, 2) <= PagesOfWindow(130, 100));
      KV_EXPECT_EQ(t->cache().OwnPages({id}, 0), KvCache::PagesFor(length));
    }
  });
}

// A hit equals a miss: at checkpoints, at the lengths that a sequence can be cut to, and inside a page.
KV_TEST(transformer_windows_go_on_from_checkpoints) {
  ForSubjects([](const Subject& s) {
    const std::unique_ptr<Transformer> t = s.Load(2);
    KvCache& cache = t->cache();
    const int32_t source = cache.Create();
    Append(*t, source, s.tokens, 0, 200);
    Append(*t, source, s.tokens, 200, 70);
    const int32_t checkpoint = cache.Fork(source, 256);
    for (int64_t i = 270; i < kTokens; ++i) Append(*t, source, s.tokens, i, 1);
    KV_EXPECT_THROWS(ErrorCode::kInternal, cache.Fork(source, 256));
    for (int round = 0; round < 2; ++round) {
      const int32_t fork = cache.Fork(checkpoint, 256);
      s.Expect("from a checkpoint", Append(*t, fork, s.tokens, 256, 40), 256);
      cache.Free(fork);
    }
    for (const int64_t length : {cache.Shortest(source), kTokens - 1}) {
      const int32_t fork = cache.Fork(source, length);
      s.Expect("from a late fork", Append(*t, fork, s.tokens, length, 1), length);
      cache.Truncate(fork, length);
      s.Expect("after a cut", Append(*t, fork, s.tokens, length, 1), length);
      cache.Free(fork);
    }
    cache.Free(source);
    s.Expect("the checkpoint itself", Append(*t, checkpoint, s.tokens, 256, kTokens - 256), 256);
  });
}

// States in slots beside pages of windows: both go on from a fork of the end, and no earlier one can be had.
KV_TEST(transformer_windows_beside_states_equal_whole_contexts) {
  ModelKind kind = Windowed();
  kind.spec.states = ShortConvLike().spec.states;
  kind.spec.states[0].channels = kind.spec.hidden_size;
  kind.spec.stack.layers = {{1, 0}, {-1, 0, 0}, {2, 0}, {0, 0}, {-1, 0, 0}, {1, 0}};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
    const Subject s(dtype, kind);
    const std::unique_ptr<Transformer> t = s.Load(2, 3);
    KvCache& cache = t->cache();
    const StateCounts& states = t->state_counts();
    KV_EXPECT(states.kept > 0 && t->checkpoint_bytes() > states.kept * t->state_bytes());
    KV_EXPECT_EQ(t->kv_tables().checkpoints, 3 * kCheckpoints);
    Random random(8);
    const auto run = [&](const char* what, int32_t id, int64_t first, int64_t end) {
      for (int64_t i = first; i < end;) {
        const int64_t n = std::min(end - i, random.Integer(0, 1) == 0 ? 1 : random.Integer(2, 200));
        s.Expect(what, Append(*t, id, s.tokens, i, n), i);
        i += n;
        KV_EXPECT_EQ(cache.Shortest(id), i);
      }
    };
    const int32_t id = cache.Create();
    run("beside states", id, 0, 200);
    const int32_t fork = cache.Fork(id, 200);
    run("a fork's source", id, 200, kTokens);
    KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "state", cache.Fork(id, kTokens - 1));
    const int32_t other = cache.Create();
    const Rows rows = Forward(*t, BatchOf({{fork, s.Part(200, 70)}, {other, s.Part(0, 90)}}));
    s.Expect("a fork in a batch", {rows.begin(), rows.begin() + 70}, 200);
    s.Expect("beside a fork", {rows.begin() + 70, rows.end()}, 0);
    run("a fork", fork, 270, kTokens);
    for (const int32_t one : {id, fork, other}) cache.Free(one);
    for (int64_t table = 0; table < 3; ++table) {
      KV_EXPECT_EQ(cache.free_pages(table), cache.table(table).n_pages);
    }
    KV_EXPECT_EQ(cache.free_states(), cache.state_slots());
  }
}

class CancelAtLayer final : public TapSink {
 public:
  CancelAtLayer(const char* name, CancellationToken* token) : name_(name), token_(token) {}
  void Record(const std::string& name, const float*, int64_t, int64_t) override {
    if (name == name_) token_->Cancel();
  }

 private:
  std::string name_;
  CancellationToken* token_;
};

KV_TEST(transformer_windows_outlive_cancelled_and_refused_steps) {
  ForSubjects([](const Subject& s) {
    const std::unique_ptr<Transformer> t = s.Load(1);
    KvCache& cache = t->cache();
    const int32_t id = cache.Create(), other = cache.Create();
    Append(*t, id, s.tokens, 0, 150);
    const std::vector<int32_t> wrong = RandomTokens(6, 120, s.kind.spec.vocab_size);
    CancellationToken token;
    CancelAtLayer taps("layers.2.qkv", &token);
    KV_EXPECT_THROWS(ErrorCode::kCancelled, Forward(*t, BatchOf({{id, wrong}}), &taps, &token));
    KV_EXPECT_EQ(cache.Length(id), 150);
    s.Expect("after a cancelled step", Append(*t, id, s.tokens, 150, 50), 150);
    // More at once than a window's pool holds: 14 pages, of which 4 are taken.
    const std::vector<int32_t> many = RandomTokens(7, 14 * 64, s.kind.spec.vocab_size);
    KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "window of 40",
                          Forward(*t, BatchOf({{id, s.Part(200, 10)}, {other, many}})));
    KV_EXPECT_EQ(cache.Length(id), 200);
    KV_EXPECT_EQ(cache.Length(other), 0);
    s.Expect("after a refused step", Append(*t, id, s.tokens, 200, 60), 200);
  });
}

// Five windows to one whole layer, as Gemma 3 has them: what is predicted is taken, and is the arithmetic's.
KV_TEST(transformer_windows_take_the_memory_that_was_predicted) {
  ModelKind kind = LlamaLike();
  kind.spec.max_positions = 4 * kContext;
  kind.spec.attentions.push_back(kind.attention());
  kind.spec.attentions.back().window = 512;
  kind.spec.stack.layers.assign(6, {1, 0});
  kind.spec.stack.layers[5] = {0, 0};
  const RandomContainer container(kind, 7);
  for (const int64_t sequences : {1, 3}) {
    const LoadOptions options =
        OptionsOf({Dtype::kInt8, Dtype::kInt8, "", 2, 4 * kContext, sequences * 4 * kContext});
    const MemoryPrediction predicted = PredictMemory(kind.spec, container.canonical(), options);
    // 2 kv heads of 16: K and V of a byte, a scale of 4 bytes each.
    const int64_t layer_page = 2 * 2 * 64 * (16 + 4);
    const int64_t window_pages = 17, checkpoint_pages = 8 + 3 * 4;
    KV_EXPECT_EQ(predicted.kv, sequences * layer_page * (512 + 5 * (window_pages + checkpoint_pages)));
    KV_EXPECT_EQ(predicted.checkpoints, sequences * layer_page * 5 * checkpoint_pages);
    const int64_t before = AlignedBuffer::LiveBytes();
    const std::unique_ptr<Transformer> t =
        LoadTransformer(kind.spec, container.canonical(), options, container, CancellationToken(), nullptr);
    KV_EXPECT_EQ(AlignedBuffer::LiveBytes() - before, predicted.weights + predicted.kv + predicted.scratch);
    KV_EXPECT_EQ(t->kv_bytes(), predicted.kv);
    KV_EXPECT_EQ(t->checkpoint_bytes(), predicted.checkpoints);
  }
}

}  // namespace
}  // namespace kvasir::testing
