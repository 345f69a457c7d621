// Whole models whose layers have a state in the place of attention: the float64 model, the arithmetic contract, and what a step
// that fails, a fork and a full pool of states leave behind.
#include "backend/cpu/kernel_select.h"
#include "core/aligned_buffer.h"
#include "model/graph_support.h"
#include "runtime/load.h"
#include "testing/float64_distance.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"
#include "testing/transformer_reference.h"

namespace kvasir::testing {
namespace {

// Beyond a step of 512.
constexpr int64_t kTokens = kSanitized ? 120 : 540;

std::vector<ModelKind> Kinds() { return {ShortConvLike(), DeltaNetLike()}; }
std::string BestIsa() { return cpu::AvailableKernels().back()->name; }

std::vector<int32_t> Part(const std::vector<int32_t>& tokens, int64_t first, int64_t n) {
  return {tokens.begin() + first, tokens.begin() + first + n};
}

KV_TEST(transformer_states_are_those_of_the_float64_transformer) {
  for (const ModelKind& kind : Kinds()) {
    RandomContainer container(kind, 17);
    const std::vector<int32_t> tokens = RandomTokens(18, 60, kind.spec.vocab_size);
    const std::vector<std::vector<double>> expected = Float64Model(kind, container).Logits(tokens);
    const auto distance = [&] {
      const std::unique_ptr<Transformer> t = Load(kind, container, {.isa = BestIsa()});
      return DistanceOf(Append(*t, t->cache().Create(), tokens, 0, 60), expected);
    };
    const double tolerance = Sensitivity(kind, container, tokens, expected, 0) * SumError(kind.spec);
    const Distance d = distance();
    KV_EXPECT(d.rms_expected > 0.3);
    KV_EXPECT(d.largest <= tolerance);
    // A little of one value of each tensor is seen.
    const auto& tensors = container.tensors();
    int seen = 0;
    for (const TensorInfo& tensor : tensors) {
      if (tensor.name.find("layers.0.") != 0) continue;
      float& value = container.values(tensor.name)[1];
      const float before = value;
      value += 0.01f;
      KV_EXPECT_EQ(tensor.name + (distance().largest > tolerance ? "" : " is not seen"), tensor.name);
      value = before;
      ++seen;
    }
    KV_EXPECT(seen >= 8);
  }
}

struct Reference {
  ModelKind kind;
  Dtype dtype;
  RandomContainer container;
  std::vector<int32_t> tokens;
  Rows logits;

  Reference(const ModelKind& a_kind, Dtype a_dtype)
      : kind(a_kind),
        dtype(a_dtype),
        container(kind, 7),
        tokens(RandomTokens(3, kTokens, kind.spec.vocab_size)) {
    const std::unique_ptr<Transformer> t = Loaded(BestIsa(), 1);
    logits = Append(*t, t->cache().Create(), tokens, 0, kTokens);
  }
  std::unique_ptr<Transformer> Loaded(const std::string& isa, int threads) const {
    return Load(kind, container, {dtype, dtype, isa, threads});
  }
  void Expect(const std::string& what, const Rows& actual, int64_t first) const {
    const std::string difference = RowDifference(actual, logits, first);
    KV_EXPECT_EQ(difference.empty() ? "" : kind.name + ", " + what + ": " + difference, "");
  }
};

std::vector<Reference> References() {
  std::vector<Reference> all;
  for (const ModelKind& kind : Kinds()) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) all.emplace_back(kind, dtype);
  }
  return all;
}

// Any table, any number of threads, any cut: as one piece, in parts, token by token, in a batch, with few wanted rows.
KV_TEST(transformer_states_obey_the_contract) {
  for (const Reference& r : References()) {
    for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
      const bool is_scalar = std::string(table->name) == "scalar";
      const std::unique_ptr<Transformer> t = r.Loaded(table->name, is_scalar ? 1 : 3);
      const int64_t n = is_scalar ? 40 : kTokens;
      r.Expect(std::string("whole on ") + table->name, Append(*t, t->cache().Create(), r.tokens, 0, n), 0);
      const int32_t parts = t->cache().Create();
      Random random(4);
      for (int64_t i = 0; i < n;) {
        const int64_t count = std::min(n - i, random.Integer(0, 2) == 0 ? 1 : random.Integer(1, 90));
        r.Expect("parts", Append(*t, parts, r.tokens, i, count), i);
        i += count;
      }
      const int32_t single = t->cache().Create();
      for (int64_t i = 0; i < 20; ++i) r.Expect("one by one", Append(*t, single, r.tokens, i, 1), i);
      const int32_t others[] = {t->cache().Create(), t->cache().Create()};
      const Rows batch = Forward(*t, BatchOf({{others[0], Part(r.tokens, 0, 9)},
                                              {single, Part(r.tokens, 20, 1)},
                                              {others[1], Part(r.tokens, 0, 17)}}));
      r.Expect("a batch's first", {batch.begin(), batch.begin() + 9}, 0);
      r.Expect("a batch's second", {batch.begin() + 9, batch.begin() + 10}, 20);
      r.Expect("a batch's third", {batch.begin() + 10, batch.end()}, 0);
      Batch wanted = BatchOf({{others[0], Part(r.tokens, 9, 25)}, {others[1], Part(r.tokens, 17, 3)}});
      wanted.wanted = {4, 24};
      const Rows few = Forward(*t, wanted);
      r.Expect("wanted rows", {few[0]}, 13);
      r.Expect("wanted rows", {few[1]}, 33);
      r.Expect("after wanted rows", Append(*t, others[1], r.tokens, 20, 5), 20);
    }
  }
}

// A fork goes on from where its source is, and neither writes into the other.
KV_TEST(transformer_forked_states_equal_recomputing) {
  for (const Reference& r : References()) {
    const std::unique_ptr<Transformer> t = r.Loaded(BestIsa(), 2);
    const int32_t source = t->cache().Create();
    Append(*t, source, r.tokens, 0, 70);
    const int32_t fork = t->cache().Fork(source, 70), empty = t->cache().Fork(source, 0);
    r.Expect("a fork", Append(*t, fork, r.tokens, 70, 30), 70);
    r.Expect("its source", Append(*t, source, r.tokens, 70, 2), 70);
    r.Expect("an empty fork", Append(*t, empty, r.tokens, 0, 5), 0);
    t->cache().Free(source);
    r.Expect("a fork alone", Append(*t, fork, r.tokens, 100, 3), 100);
    t->cache().Truncate(fork, 0);
    r.Expect("from the start", Append(*t, fork, r.tokens, 0, 9), 0);
    KV_EXPECT_THROWS(ErrorCode::kInternal, t->cache().Truncate(fork, 5));
    KV_EXPECT_THROWS(ErrorCode::kInternal, t->cache().Fork(fork, 5));
  }
}

// As the engine keeps them: a fork where a step ended at a multiple of 256, from which others go on though the source has.
// A prompt that was cut there has the bits of one that was not.
KV_TEST(transformer_states_go_on_from_checkpoints) {
  constexpr int64_t kAt = kSanitized ? 64 : kCheckpointPositions;
  for (const Reference& r : References()) {
    const std::unique_ptr<Transformer> t = r.Loaded(BestIsa(), 2);
    KvCache& cache = t->cache();
    const int32_t source = cache.Create();
    r.Expect("up to a checkpoint", Append(*t, source, r.tokens, 0, kAt), 0);
    const int64_t free = cache.free_states();
    const int32_t checkpoint = cache.Fork(source, kAt);
    KV_EXPECT_EQ(cache.free_states(), free);
    r.Expect("beyond it", Append(*t, source, r.tokens, kAt, kTokens - kAt), kAt);
    KV_EXPECT_EQ(cache.free_states(), free - 1);
    cache.Free(source);
    for (const int64_t n : {kTokens - kAt, int64_t{1}, int64_t{30}}) {
      const int32_t fork = cache.Fork(checkpoint, kAt);
      r.Expect("from a checkpoint", Append(*t, fork, r.tokens, kAt, n), kAt);
      cache.Free(fork);
    }
    // Other tokens after the same prefix, in one batch with it: they equal those that were never cut.
    std::vector<int32_t> other = Part(r.tokens, 0, kAt);
    const std::vector<int32_t> end = RandomTokens(9, 25, r.kind.spec.vocab_size);
    other.insert(other.end(), end.begin(), end.end());
    const Rows miss = Append(*t, cache.Create(), other, 0, kAt + 25);
    const int32_t hit = cache.Fork(checkpoint, kAt), same = cache.Fork(checkpoint, kAt);
    const Rows rows = Forward(*t, BatchOf({{hit, end}, {same, Part(r.tokens, kAt, 12)}}));
    KV_EXPECT_EQ(RowDifference({rows.begin(), rows.begin() + 25}, miss, kAt), "");
    r.Expect("beside it", {rows.begin() + 25, rows.end()}, kAt);
  }
}

class CancelAt final : public TapSink {
 public:
  CancelAt(const char* name, int count, CancellationToken* token)
      : name_(name), count_(count), token_(token) {}
  void Record(const std::string& name, const float*, int64_t, int64_t) override {
    if (name == name_ && --count_ == 0) token_->Cancel();
  }

 private:
  std::string name_;
  int count_;
  CancellationToken* token_;
};

// In the first step of a call and in its second one, when states were written already.
KV_TEST(transformer_states_of_a_cancelled_step_leave_no_trace) {
  for (const Reference& r : References()) {
    const std::unique_ptr<Transformer> t = r.Loaded(BestIsa(), 2);
    const int32_t a = t->cache().Create(), b = t->cache().Create();
    Append(*t, a, r.tokens, 0, 40);
    Append(*t, b, r.tokens, 0, 30);
    const int64_t free = t->cache().free_states();
    const std::vector<int32_t> other = RandomTokens(6, 600, r.kind.spec.vocab_size);
    for (const int step : {1, 2}) {
      CancellationToken token;
      CancelAt taps("layers.1.ffn_residual", step, &token);
      const Batch batch = BatchOf({{a, Part(other, 0, 400)}, {b, Part(other, 0, 200)}});
      KV_EXPECT_THROWS(ErrorCode::kCancelled, Forward(*t, batch, &taps, &token));
      KV_EXPECT_EQ(t->cache().free_states(), free);
    }
    r.Expect("a after it", Append(*t, a, r.tokens, 40, 20), 40);
    r.Expect("b after it", Append(*t, b, r.tokens, 30, 9), 30);
  }
}

// The pool is full in the middle of a batch's reservations.
KV_TEST(transformer_full_states_leave_no_trace) {
  const Reference r(DeltaNetLike(), Dtype::kF32);
  LoadOptions options = OptionsOf({.isa = BestIsa()});
  options.state_slots = 5;
  options.kept_states = 0;
  const std::unique_ptr<Transformer> t = LoadTransformer(r.kind.spec, r.container.canonical(), options,
                                                         r.container, CancellationToken(), nullptr);
  std::vector<int32_t> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(t->cache().Create());
    Append(*t, ids.back(), r.tokens, 0, 10 + i);
  }
  KV_EXPECT_EQ(t->cache().free_states(), 2);
  const Batch batch = BatchOf(
      {{ids[0], Part(r.tokens, 10, 2)}, {ids[1], Part(r.tokens, 11, 2)}, {ids[2], Part(r.tokens, 12, 2)}});
  KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "5 states", Forward(*t, batch));
  KV_EXPECT_EQ(t->cache().free_states(), 2);
  for (int i = 0; i < 3; ++i) {
    r.Expect("after a full pool", Append(*t, ids[static_cast<size_t>(i)], r.tokens, 10 + i, 4), 10 + i);
  }
  for (const int64_t slots : {int64_t{-1}, int64_t{1}, int64_t{65537}}) {
    options.state_slots = slots;
    KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "stateSlots",
                          PredictMemory(r.kind.spec, r.container.canonical(), options));
  }
  options.state_slots = 2;
  for (const int64_t kept : {int64_t{-2}, int64_t{65537}}) {
    options.kept_states = kept;
    KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "keptStates",
                          PredictMemory(r.kind.spec, r.container.canonical(), options));
  }
}

KV_TEST(transformer_states_take_the_memory_that_was_predicted) {
  for (const ModelKind& kind : Kinds()) {
    const RandomContainer container(kind, 7);
    // Running and kept states; 0 and -1: a slot is small, so that as many are there by default as ever are.
    for (const auto& [slots, kept] : {std::pair<int64_t, int64_t>{0, -1}, {2, 0}, {40, 3}, {2, 90}}) {
      LoadOptions options = OptionsOf({.dtype = Dtype::kInt8, .isa = BestIsa(), .threads = 2});
      options.state_slots = slots;
      options.kept_states = kept;
      const MemoryPrediction predicted = PredictMemory(kind.spec, container.canonical(), options);
      const int64_t before = AlignedBuffer::LiveBytes();
      const std::unique_ptr<Transformer> t =
          LoadTransformer(kind.spec, container.canonical(), options, container, CancellationToken(), nullptr);
      Append(*t, t->cache().Create(), RandomTokens(3, 90, kind.spec.vocab_size), 0, 90);
      KV_EXPECT_EQ(AlignedBuffer::LiveBytes() - before, predicted.weights + predicted.kv + predicted.scratch);
      KV_EXPECT_EQ(t->state_counts().running, slots == 0 ? 128 : slots);
      KV_EXPECT_EQ(t->state_counts().kept, kept < 0 ? 64 : kept);
      const int64_t count = t->cache().state_slots();
      KV_EXPECT_EQ(count, t->state_counts().running + t->state_counts().kept);
      KV_EXPECT_EQ(t->kv_bytes() + t->state_bytes() * count, predicted.kv);
      KV_EXPECT_EQ(predicted.checkpoints, t->state_bytes() * t->state_counts().kept);
      KV_EXPECT_EQ(t->checkpoint_bytes(), predicted.checkpoints);
    }
  }
}

KV_TEST(transformer_states_are_refused_on_a_gpu) {
  for (const ModelKind& kind : Kinds()) {
    KV_EXPECT_THROWS_WITH(ErrorCode::kUnsupportedArchitecture, "layers with a state on a GPU",
                          CheckGpuSupports(kind.spec));
  }
  CheckGpuSupports(LlamaLike().spec);
}

}  // namespace
}  // namespace kvasir::testing
