// The arithmetic contract on whole models, with `==` on every logit: how tokens are cut into steps, what else is in the
// batch, how many threads and which kernel table compute them must not change a bit. One reference per model and
// precision, from the scalar table on one thread; everything else is compared with it.
#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

// Beyond two chunks of 256 positions and a step's 512 tokens. The sanitizers' runs cross one chunk.
constexpr int64_t kTokens = kSanitized ? 290 : 610;
constexpr uint32_t kWeightSeed = 7;

struct Precision {
  const char* name;
  Dtype dtype, kv_dtype;
};
constexpr Precision kPrecisions[] = {{"fp32", Dtype::kF32, Dtype::kF32},
                                     {"int8", Dtype::kInt8, Dtype::kInt8},
                                     {"int8 with fp16 cache", Dtype::kInt8, Dtype::kF16},
                                     {"int8 with fp32 cache", Dtype::kInt8, Dtype::kF32}};

struct Reference {
  std::string name;
  ModelKind kind;
  Precision precision;
  RandomContainer container;
  std::vector<int32_t> tokens;
  Rows logits;

  std::unique_ptr<Transformer> Load(const char* isa, int threads) const {
    return testing::Load(kind, container, {precision.dtype, precision.kv_dtype, isa, threads});
  }
};

// Sanitized runs would spend minutes in the scalar table: there the best one is the reference of the others.
const char* ReferenceIsa() { return kSanitized ? cpu::AvailableKernels().back()->name : "scalar"; }

const std::vector<Reference>& References() {
  static const std::vector<Reference> references = [] {
    std::vector<Reference> all;
    for (const ModelKind& kind : {LlamaLike(), LlamaLikeHalf(), WideHeads(), GptLike()}) {
      for (const Precision& precision : kPrecisions) {
        // Half and interleaved rotary differ in one function, which precision does not touch.
        if (kind.name == LlamaLikeHalf().name && precision.kv_dtype != Dtype::kInt8) continue;
        Reference r{kind.name + ", " + precision.name,
                    kind,
                    precision,
                    RandomContainer(kind, kWeightSeed),
                    RandomTokens(3, kTokens, kind.spec.vocab_size),
                    {}};
        const std::unique_ptr<Transformer> t = r.Load(ReferenceIsa(), 1);
        r.logits = Append(*t, t->cache().Create(), r.tokens, 0, kTokens);
        all.push_back(std::move(r));
      }
    }
    return all;
  }();
  return references;
}

void ExpectRows(const Reference& reference, const std::string& what, const Rows& actual, int64_t first) {
  const std::string difference = RowDifference(actual, reference.logits, first);
  KV_EXPECT_EQ(difference.empty() ? "" : reference.name + ", " + what + ": " + difference, "");
}

// Tables that run every case: the scalar one would take minutes, and is the reference anyway.
std::vector<std::string> FastIsas() {
  std::vector<std::string> isas;
  for (const cpu::KernelTable* table : OtherKernels()) isas.push_back(table->name);
  if (kSanitized && isas.size() > 1) isas = {isas.back()};
  if (isas.empty()) isas = {"scalar"};
  return isas;
}

KV_TEST(transformer_whole_prefill_is_equal_on_every_isa_and_thread_count) {
  for (const Reference& reference : References()) {
    for (const std::string& isa : FastIsas()) {
      for (const int threads : {1, 2, 3}) {
        // How rows are shared among threads is the same code for every table.
        if (threads != 2 && isa != FastIsas().back() && !IsNightly()) continue;
        const std::unique_ptr<Transformer> t = reference.Load(isa.c_str(), threads);
        const Rows rows = Append(*t, t->cache().Create(), reference.tokens, 0, kTokens);
        KV_EXPECT_EQ(static_cast<int64_t>(rows.size()), kTokens);
        ExpectRows(reference, isa + " with " + std::to_string(threads) + " threads", rows, 0);
      }
    }
  }
}

// Positions that are decoded alone: the first ones, and those about the borders of pages, of chunks and of a step; nightly
// all of them.
bool IsDecoded(int64_t position) {
  return IsNightly() || position < 70 || (position + 1) % 64 < 3 || position + 1 == kTokens;
}

// One thread attends by tile; two split the 256-position chunks of a decode step among them.
KV_TEST(transformer_decode_steps_equal_prefill) {
  for (const Reference& reference : References()) {
    for (const std::string& isa : FastIsas()) {
      for (const int threads : {1, 2}) {
        if (threads == 2 && isa != FastIsas().back()) continue;
        const std::unique_ptr<Transformer> t = reference.Load(isa.c_str(), threads);
        const int32_t sequence = t->cache().Create();
        for (int64_t i = 0, n; i < kTokens; i += n) {
          for (n = 1; !IsDecoded(i) && !IsDecoded(i + n); ++n) {
          }
          ExpectRows(reference, isa + " decode", Append(*t, sequence, reference.tokens, i, n), i);
        }
        KV_EXPECT_EQ(t->cache().Length(sequence), kTokens);
      }
    }
  }
}

KV_TEST(transformer_scalar_decode_equals_its_prefill) {
  for (const Reference& reference : References()) {
    const std::unique_ptr<Transformer> t = reference.Load("scalar", 1);
    const int32_t sequence = t->cache().Create();
    for (int64_t i = 0; i < (kSanitized ? 8 : 70); ++i) {
      ExpectRows(reference, "scalar decode", Append(*t, sequence, reference.tokens, i, 1), i);
    }
  }
}

KV_TEST(transformer_random_chunks_equal_whole_prefill) {
  for (const Reference& reference : References()) {
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      Random random(seed);
      const std::unique_ptr<Transformer> t =
          reference.Load(FastIsas().back().c_str(), static_cast<int>(seed));
      const int32_t sequence = t->cache().Create();
      for (int64_t i = 0; i < kTokens;) {
        const int64_t n = std::min(kTokens - i, random.Integer(0, 2) == 0 ? 1 : random.Integer(2, 150));
        ExpectRows(reference, "chunks", Append(*t, sequence, reference.tokens, i, n), i);
        i += n;
      }
    }
  }
}

// Eight sequences of different lengths share each step; all run the reference's tokens.
KV_TEST(transformer_batch_of_8_equals_each_alone) {
  for (const Reference& reference : References()) {
    for (const int threads : {1, 2}) {
      Random random(9);
      const std::unique_ptr<Transformer> t = reference.Load(FastIsas().back().c_str(), threads);
      struct Running {
        int32_t id;
        int64_t length;
      };
      std::vector<Running> running;
      for (int i = 0; i < 8; ++i) running.push_back({t->cache().Create(), 0});
      for (int step = 0; step < 12; ++step) {
        std::vector<std::pair<int32_t, std::vector<int32_t>>> parts;
        std::vector<int64_t> first;
        for (Running& r : running) {
          // One long prompt among decoding neighbours, as a serving loop has it.
          const int64_t n =
              std::min(kTokens - r.length, random.Integer(0, 3) == 0 ? random.Integer(2, 200) : 1);
          if (n == 0) continue;
          parts.push_back(
              {r.id, {reference.tokens.begin() + r.length, reference.tokens.begin() + r.length + n}});
          first.push_back(r.length);
          r.length += n;
        }
        const Rows rows = Forward(*t, BatchOf(parts));
        auto row = rows.begin();
        for (size_t i = 0; i < parts.size(); ++i) {
          const auto end = row + static_cast<int64_t>(parts[i].second.size());
          ExpectRows(reference, "in a batch of 8", Rows(row, end), first[i]);
          row = end;
        }
      }
    }
  }
}

// A cache hit equals a miss: at page and chunk borders, and inside a page.
KV_TEST(transformer_forked_prefix_equals_recomputing) {
  for (const Reference& reference : References()) {
    const std::unique_ptr<Transformer> t = reference.Load(FastIsas().back().c_str(), 2);
    const int32_t source = t->cache().Create();
    Append(*t, source, reference.tokens, 0, kTokens);
    for (const int64_t length : {int64_t{1}, int64_t{64}, int64_t{100}, int64_t{256}, kTokens - 1}) {
      const int32_t fork = t->cache().Fork(source, length);
      const int64_t n = std::min<int64_t>(30, kTokens - length);
      ExpectRows(reference, "after a fork", Append(*t, fork, reference.tokens, length, n), length);
      t->cache().Truncate(fork, length);
      ExpectRows(reference, "after a cut", Append(*t, fork, reference.tokens, length, 1), length);
      t->cache().Free(fork);
    }
    // The forks wrote beside the source, never into it.
    t->cache().Truncate(source, kTokens - 1);
    ExpectRows(reference, "the source", Append(*t, source, reference.tokens, kTokens - 1, 1), kTokens - 1);
  }
}

// What was asked for must not matter either: only the last row, or every third.
KV_TEST(transformer_wanted_rows_do_not_change_each_other) {
  for (const Reference& reference : References()) {
    const std::unique_ptr<Transformer> t = reference.Load(FastIsas().back().c_str(), 1);
    for (const int64_t every : {int64_t{3}, kTokens}) {
      Batch batch = BatchOf({{t->cache().Create(), reference.tokens}});
      batch.wanted.clear();
      for (int64_t row = every - 1; row < kTokens; row += every)
        batch.wanted.push_back(static_cast<int32_t>(row));
      const Rows rows = Forward(*t, batch);
      KV_EXPECT_EQ(rows.size(), batch.wanted.size());
      for (size_t i = 0; i < rows.size(); ++i)
        ExpectRows(reference, "wanted rows", {rows[i]}, batch.wanted[i].row);
    }
  }
}

// The last layer of a step leaves out rows whose logits nobody wants: here of sequences with one, none and several such
// rows, some apart, after a step of which none was wanted.
KV_TEST(transformer_last_layer_of_wanted_rows_equals_that_of_all) {
  for (const Reference& reference : References()) {
    for (const std::string& isa : FastIsas()) {
      const std::unique_ptr<Transformer> t = reference.Load(isa.c_str(), 2);
      const auto part = [&](int32_t id, int64_t first, int64_t n) {
        return std::pair(
            id, std::vector<int32_t>(reference.tokens.begin() + first, reference.tokens.begin() + first + n));
      };
      const int32_t ids[] = {t->cache().Create(), t->cache().Create(), t->cache().Create()};
      Batch before = BatchOf({part(ids[0], 0, 30), part(ids[1], 0, 70), part(ids[2], 0, 1)});
      before.wanted.clear();
      KV_EXPECT_EQ(Forward(*t, before).size(), size_t{0});
      Batch batch = BatchOf({part(ids[0], 30, 40), part(ids[1], 70, 5), part(ids[2], 1, 60)});
      // Rows of the step, and the positions of those tokens.
      batch.wanted = {3, 4, 39, 45, 70, 104};
      const int64_t positions[] = {33, 34, 69, 1, 26, 60};
      const Rows rows = Forward(*t, batch);
      KV_EXPECT_EQ(rows.size(), batch.wanted.size());
      for (size_t i = 0; i < rows.size(); ++i) {
        ExpectRows(reference, isa + " last layer of wanted rows", {rows[i]}, positions[i]);
      }
      for (const auto& [id, first] : {std::pair(ids[0], 70), std::pair(ids[1], 75), std::pair(ids[2], 61)}) {
        ExpectRows(reference, isa + " after it", Append(*t, id, reference.tokens, first, 1), first);
      }
    }
  }
}

// The models above are so small that a decode step's products may stay on one thread; these are not.
KV_TEST(transformer_wide_products_split_among_threads) {
  ModelKind kind = LlamaLike();
  SetLayers(&kind.spec, 1);
  kind.feed_forward().size = 2900;
  kind.spec.vocab_size = 4099;
  const RandomContainer container(kind, kWeightSeed);
  const std::vector<int32_t> tokens = RandomTokens(3, 12, kind.spec.vocab_size);
  for (const Precision& precision : kPrecisions) {
    Setup setup = {precision.dtype, precision.kv_dtype, FastIsas().back(), 1, 64};
    const std::unique_ptr<Transformer> one = testing::Load(kind, container, setup);
    const Rows expected = Append(*one, one->cache().Create(), tokens, 0, 12);
    for (const int threads : {2, 3}) {
      setup.threads = threads;
      const std::unique_ptr<Transformer> t = testing::Load(kind, container, setup);
      KV_EXPECT_EQ(RowDifference(Append(*t, t->cache().Create(), tokens, 0, 12), expected), "");
      const int32_t sequence = t->cache().Create();
      for (int64_t i = 0; i < 12; ++i) {
        KV_EXPECT_EQ(RowDifference(Append(*t, sequence, tokens, i, 1), expected, i), "");
      }
    }
  }
}

class Unread final : public TapSink {
 public:
  void Record(const std::string&, const float*, int64_t, int64_t) override {}
};

// With taps each op runs alone over all rows; without, rows go in blocks and the activation joins the product.
// FFN widths of whole groups (several a task, too) and of a part, few rows (shared columns) and many (blocks a thread).
KV_TEST(transformer_traced_graph_equals_the_fused_one) {
  for (const auto& base : {WideHeads, GptLike}) {
    for (const int64_t ffn : {192, 160, 704}) {
      ModelKind kind = base();
      kind.feed_forward().size = ffn;
      const RandomContainer container(kind, kWeightSeed);
      const std::vector<int32_t> tokens = RandomTokens(4, 150, kind.spec.vocab_size);
      for (const Precision& precision : kPrecisions) {
        for (const std::string& isa : FastIsas()) {
          const Setup setup = {precision.dtype, precision.kv_dtype, isa, 2};
          const std::unique_ptr<Transformer> t = testing::Load(kind, container, setup);
          for (const int64_t n : {1, 7, 150}) {
            const std::vector<int32_t> part(tokens.begin(), tokens.begin() + n);
            Unread taps;
            const Rows traced = Forward(*t, BatchOf({{t->cache().Create(), part}}), &taps);
            KV_EXPECT_EQ(RowDifference(Forward(*t, BatchOf({{t->cache().Create(), part}})), traced), "");
          }
        }
      }
    }
  }
}

// The comparison sees one weight of the last layer and one token of the prompt.
KV_TEST(transformer_comparison_sees_one_weight_and_one_token) {
  for (const Reference& reference : References()) {
    RandomContainer container = reference.container;
    container.values("layers.1.down.weight")[40] += 0.5f;
    const Setup setup = {reference.precision.dtype, reference.precision.kv_dtype, FastIsas().back(), 1};
    const std::unique_ptr<Transformer> t = testing::Load(reference.kind, container, setup);
    const Rows rows = Append(*t, t->cache().Create(), reference.tokens, 0, 20);
    KV_EXPECT(RowDifference(rows, reference.logits, 0) != "");

    const std::unique_ptr<Transformer> same = reference.Load(FastIsas().back().c_str(), 1);
    std::vector<int32_t> tokens = reference.tokens;
    tokens[5] = (tokens[5] + 1) % 131;
    const Rows other = Append(*same, same->cache().Create(), tokens, 0, 20);
    KV_EXPECT_EQ(RowDifference(Rows(other.begin(), other.begin() + 5), reference.logits, 0), "");
    for (int64_t row = 5; row < 20; ++row) {
      KV_EXPECT(RowDifference({other[static_cast<size_t>(row)]}, reference.logits, row) != "");
    }
  }
}

}  // namespace
}  // namespace kvasir::testing
