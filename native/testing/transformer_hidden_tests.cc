// Hidden states that a step gives of its rows, beside logits or without: those of the float64 model, and the same bits
// whatever else the step does.
#include "backend/cpu/kernel_select.h"
#include "testing/float64_distance.h"
#include "testing/native_tests.h"
#include "testing/transformer_reference.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kTokens = kSanitized ? 40 : 290;

enum class Want { kLogits, kHidden, kBoth };

struct Taken {
  Rows logits, hidden;  // of each wanted row, empty where it is not wanted
};

WantedRow Wanted(int32_t row, Want want) { return {row, want != Want::kHidden, want != Want::kLogits}; }

Taken Take(Transformer& t, const Batch& batch) {
  Taken taken = {Rows(batch.wanted.size()), Rows(batch.wanted.size())};
  const int64_t vocab = t.spec().vocab_size, width = t.spec().hidden_size;
  t.Forward(batch, nullptr, nullptr, [&](const StepRows& rows) {
    for (int64_t i = 0; i < rows.count; ++i) {
      const auto row = static_cast<size_t>(rows.first + i);
      const WantedRow& wanted = batch.wanted[row];
      KV_EXPECT_EQ(rows.logits != nullptr, wanted.logits);
      if (wanted.hidden) taken.hidden[row].assign(rows.hidden + i * width, rows.hidden + (i + 1) * width);
      if (wanted.logits) taken.logits[row].assign(rows.logits + i * vocab, rows.logits + (i + 1) * vocab);
    }
  });
  return taken;
}

// Tokens [first, first + n) of a sequence; all rows want what `want` says of their position.
template <typename WantOf>
Taken TakePart(Transformer& t, int32_t sequence, const std::vector<int32_t>& tokens, int64_t first,
               const WantOf& want, int64_t n) {
  Batch batch = BatchOf({{sequence, {tokens.begin() + first, tokens.begin() + first + n}}});
  for (WantedRow& row : batch.wanted) row = Wanted(row.row, want(first + row.row));
  return Take(t, batch);
}

KV_TEST(transformer_hidden_states_are_the_float64_models) {
  for (const ModelKind& kind : {LlamaLike(), WideHeads(), GptLike()}) {
    const RandomContainer container(kind, 17);
    const std::vector<int32_t> tokens = RandomTokens(18, kTokens, kind.spec.vocab_size);
    const std::unique_ptr<Transformer> t = Load(kind, container, {});
    const Taken taken = TakePart(
        *t, t->cache().Create(), tokens, 0, [](int64_t) { return Want::kHidden; }, kTokens);
    const Distance d = DistanceOf(taken.hidden, Float64Model(kind, container).Hidden(tokens));
    KV_EXPECT(d.rms_expected > 0.3);
    KV_EXPECT(d.largest <= Tolerance(kind.spec, d.rms_expected));
  }
}

struct Expected {
  std::string name;
  std::vector<int32_t> tokens;
  Taken all;

  void Check(const std::string& what, const Taken& taken, int64_t first) const {
    for (size_t i = 0; i < taken.hidden.size(); ++i) {
      const auto at = static_cast<size_t>(first) + i;
      if (!taken.hidden[i].empty()) {
        KV_EXPECT_EQ(name + what + BitDifference(taken.hidden[i], all.hidden[at]), name + what);
      }
      if (!taken.logits[i].empty()) {
        KV_EXPECT_EQ(name + what + BitDifference(taken.logits[i], all.logits[at]), name + what);
      }
    }
  }
};

// Runs of rows that want one thing, longer and shorter than the rows that are computed at a time.
Want Mixed(int64_t position) { return position % 37 < 18 ? Want::kHidden : Want(position / 5 % 3); }

KV_TEST(transformer_hidden_states_do_not_depend_on_the_step) {
  for (const ModelKind& kind : {LlamaLike(), GptLike()}) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      const RandomContainer container(kind, 7);
      Expected e = {kind.name + (dtype == Dtype::kInt8 ? ", int8" : ", fp32"),
                    RandomTokens(3, kTokens, kind.spec.vocab_size),
                    {}};
      {
        const std::unique_ptr<Transformer> t = Load(kind, container, {dtype, dtype, "", 1});
        const auto take = [&](Want want) {
          return TakePart(
              *t, t->cache().Create(), e.tokens, 0, [&](int64_t) { return want; }, kTokens);
        };
        e.all = {take(Want::kLogits).logits, take(Want::kHidden).hidden};
        KV_EXPECT_EQ(static_cast<int64_t>(e.all.hidden.size()), kTokens);
      }
      for (const int threads : {1, 3}) {
        const std::unique_ptr<Transformer> t = Load(kind, container, {dtype, dtype, "", threads});
        e.Check(", mixed", TakePart(*t, t->cache().Create(), e.tokens, 0, Mixed, kTokens), 0);
        // In parts, whose last layer is of the wanted rows alone where these are few.
        const int32_t sequence = t->cache().Create(), other = t->cache().Create();
        for (int64_t first = 0; first < kTokens; first += 29) {
          const int64_t n = std::min<int64_t>(29, kTokens - first);
          Batch batch = BatchOf(
              {{other, {1, 2, 3}}, {sequence, {e.tokens.begin() + first, e.tokens.begin() + first + n}}});
          const auto last = static_cast<int32_t>(2 + n);
          batch.wanted = {Wanted(1, Want::kLogits), Wanted(last, Want::kHidden)};
          if (first % 2 == 0) batch.wanted = {Wanted(2, Want::kHidden), Wanted(last, Want::kBoth)};
          const Taken taken = Take(*t, batch);
          e.Check(", in parts", {{taken.logits[1]}, {taken.hidden[1]}}, first + n - 1);
        }
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing
