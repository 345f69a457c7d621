// Encoders: sequences that are seen whole, token types, distances in buckets, models without a head or a final norm. Their
// kinds are in the random specs too; here is what these are too short for, and what is refused.
#include "backend/cpu.h"
#include "backend/cpu/kernel_select.h"
#include "model/distance_bias.h"
#include "model/spec_json.h"
#include "testing/float64_distance.h"
#include "testing/native_tests.h"
#include "testing/transformer_reference.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kTokens = kSanitized ? 70 : 530;  // more than a step takes unless it must, and three chunks

std::string BestIsa() { return cpu::AvailableKernels().back()->name; }

std::vector<int32_t> Part(const std::vector<int32_t>& tokens, int64_t first, int64_t n) {
  return {tokens.begin() + first, tokens.begin() + first + n};
}

KV_TEST(transformer_encoders_are_the_float64_transformer) {
  for (const ModelKind& kind : {BertLike(), ModernBertLike()}) {
    RandomContainer container(kind, 17);
    const std::vector<int32_t> tokens = RandomTokens(18, kTokens, kind.spec.vocab_size);
    const std::vector<std::vector<double>> expected = Float64Model(kind, container).Outputs(tokens);
    const auto distance = [&] {
      const std::unique_ptr<Transformer> t = Load(kind, container, {.isa = BestIsa(), .threads = 2});
      return DistanceOf(Append(*t, t->cache().Create(), tokens, 0, kTokens), expected);
    };
    const Distance d = distance();
    const double tolerance = Tolerance(kind.spec, d.rms_expected);
    KV_EXPECT(d.rms_expected > 0.3);
    KV_EXPECT(d.largest <= tolerance);
    // A value of each table is seen.
    const std::pair<const char*, size_t> places[] = {{"embed.types", 7},
                                                     {"embed.positions", 2 * 60 + 7},  // of the first token
                                                     {"layers.1.score_bias", 7},
                                                     {"embed.norm.weight", 7}};
    for (const auto& [name, at] : places) {
      if (!container.Has(name)) continue;
      float& value = container.values(name)[at];
      const float before = value;
      value += 0.05f;
      KV_EXPECT(distance().largest > tolerance);
      value = before;
    }
  }
}

// Whole sequences side by side, of which a step takes as many as fit, and steps of which few rows are wanted.
KV_TEST(transformer_sequences_seen_whole_do_not_depend_on_the_step) {
  const int64_t lengths[] = {9, kTokens, 1, 70, 64};
  for (const ModelKind& kind : {BertLike(), ModernBertLike()}) {
    const RandomContainer container(kind, 7);
    const std::vector<int32_t> tokens = RandomTokens(3, kTokens + 100, kind.spec.vocab_size);
    for (const Dtype dtype : {Dtype::kF32, Dtype::kInt8}) {
      std::vector<Rows> expected;
      for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
        if (!IsNightly() && table->name != BestIsa()) continue;
        for (const int threads : {1, 3}) {
          // Steps as long as the longest sequence, which the others do not fit beside.
          const std::unique_ptr<Transformer> t =
              Load(kind, container, {dtype, dtype, table->name, threads, kTokens});
          std::vector<int32_t> made;
          const auto create = [&] { return made.emplace_back(t->cache().Create()); };
          // The cache need not hold more than one batch.
          const auto free_all = [&] {
            for (const int32_t id : made) t->cache().Free(id);
            made.clear();
          };
          const auto batch = [&] {
            free_all();
            std::vector<std::pair<int32_t, std::vector<int32_t>>> parts;
            for (int64_t i = 0; i < 5; ++i) {
              parts.push_back({create(), Part(tokens, 20 * i, lengths[i])});
            }
            return BatchOf(parts);
          };
          if (expected.empty()) {
            for (int64_t i = 0; i < 5; ++i) {
              expected.push_back(Append(*t, create(), tokens, 20 * i, lengths[i]));
            }
          }
          const Rows all = Forward(*t, batch());
          Batch firsts = batch();
          firsts.wanted.clear();
          for (int64_t i = 0, row = 0; i < 5; row += lengths[i++]) {
            const Rows part(all.begin() + row, all.begin() + row + lengths[i]);
            KV_EXPECT_EQ(kind.name + RowDifference(part, expected[static_cast<size_t>(i)]), kind.name);
            firsts.wanted.push_back(static_cast<int32_t>(row));
          }
          const Rows first = Forward(*t, firsts);
          for (size_t i = 0; i < 5; ++i) {
            KV_EXPECT_EQ(kind.name + RowDifference({first[i]}, expected[i]), kind.name);
          }
        }
      }
    }
  }
}

KV_TEST(transformer_sequences_seen_whole_come_in_one_step) {
  const ModelKind kind = BertLike();
  const RandomContainer container(kind, 7);
  const LoadOptions options = OptionsOf({.context_length = 600});
  const std::vector<int32_t> tokens = RandomTokens(3, 601, kind.spec.vocab_size);
  const std::unique_ptr<Transformer> t = Load(kind, container, {.context_length = 600});
  KV_EXPECT_EQ(t->step_rows(), int64_t{600});
  const int32_t a = t->cache().Create(), b = t->cache().Create();
  Append(*t, a, tokens, 0, 5);
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "5 tokens", Append(*t, a, tokens, 5, 1));
  KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "601", Append(*t, b, tokens, 0, 601));
  KV_EXPECT_EQ(t->cache().Length(a), int64_t{5});
  KV_EXPECT_EQ(t->cache().Length(b), int64_t{0});
  t->cache().Truncate(a, 0);
  KV_EXPECT_EQ(RowDifference(Append(*t, a, tokens, 0, 40), Append(*t, b, tokens, 0, 40)), "");
  // A backend that was not asked for so long steps.
  std::unique_ptr<Backend> backend = MakeCpuBackend(1, "", 600, kind.spec.padded_head_dim());
  std::unique_ptr<Weights> weights = LoadWeights(kind.spec, container.canonical(), options, container,
                                                 backend->traits(), CancellationToken(), nullptr);
  Transformer short_steps(kind.spec, std::move(weights), std::move(backend), options);
  const int32_t c = short_steps.cache().Create();
  KV_EXPECT_THROWS_WITH(ErrorCode::kContextOverflow, "512", Append(short_steps, c, tokens, 0, 513));
  KV_EXPECT_EQ(Append(short_steps, c, tokens, 0, 512).size(), size_t{512});
}

KV_TEST(transformer_token_types_are_the_first_unless_said) {
  for (const bool headless : {true, false}) {
    ModelKind kind = BertLike();
    if (!headless) kind.spec.head = HeadKind::kLogits;
    const RandomContainer container(kind, 7);
    const std::unique_ptr<Transformer> t = Load(kind, container, {});
    const auto of_types = [&](const std::vector<int32_t>& types) {
      Batch batch = {.sequences = {{t->cache().Create(), 3}}, .tokens = {5, 9, 77}, .types = types};
      batch.wanted = {{2, false, true}};
      std::vector<float> hidden;
      t->Forward(batch, nullptr, nullptr, [&](const StepRows& rows) {
        hidden.assign(rows.hidden, rows.hidden + kind.spec.hidden_size);
      });
      return hidden;
    };
    KV_EXPECT(of_types({}) == of_types({0, 0, 0}));
    KV_EXPECT(of_types({0, 1, 0}) != of_types({0, 0, 0}));
    KV_EXPECT(of_types({0, 0, 1}) != of_types({0, 1, 0}));
    KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "Token type 2", of_types({0, 2, 0}));
    KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "Token type -1", of_types({-1, 0, 0}));
    KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "types", of_types({0, 1}));
  }
  const ModelKind kind = LlamaLike();
  const RandomContainer container(kind, 7);
  const std::unique_ptr<Transformer> t = Load(kind, container, {});
  Batch batch = BatchOf({{t->cache().Create(), {1}}});
  batch.types = {1};
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "0..0",
                        t->Forward(batch, nullptr, nullptr, [](const StepRows&) {}));
}

KV_TEST(transformer_without_a_head_gives_no_logits) {
  const ModelKind kind = ModernBertLike();
  const RandomContainer container(kind, 7);
  const std::unique_ptr<Transformer> t = Load(kind, container, {});
  KV_EXPECT(!t->weights().is_tied() && t->weights().lm_head.panels == nullptr);
  const int32_t sequence = t->cache().Create();
  const Batch batch = BatchOf({{sequence, {1, 2}}});
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "no output layer",
                        t->Forward(batch, nullptr, nullptr, [](const StepRows&) {}));
  KV_EXPECT_EQ(t->cache().Length(sequence), int64_t{0});
  KV_EXPECT_EQ(Forward(*t, batch).front().size(), static_cast<size_t>(kind.spec.hidden_size));
}

struct BucketRun {
  int64_t first;  // distance, up to the next run's
  int64_t bucket;
};

// Of transformers 5.24.0, T5Attention._relative_position_bucket; MPNet's has the first.
KV_TEST(distance_buckets_are_those_of_the_reference) {
  const struct {
    ScoreBiasSpec bias;
    std::vector<BucketRun> runs;
  } cases[] = {
      {{.buckets = 32, .max_distance = 128, .bidirectional = true},
       {{-131, 15}, {-90, 14}, {-63, 13}, {-45, 12}, {-31, 11}, {-22, 10}, {-15, 9}, {-11, 8},
        {-7, 7},    {-6, 6},   {-5, 5},   {-4, 4},   {-3, 3},   {-2, 2},   {-1, 1},  {0, 0},
        {1, 17},    {2, 18},   {3, 19},   {4, 20},   {5, 21},   {6, 22},   {7, 23},  {8, 24},
        {12, 25},   {16, 26},  {23, 27},  {32, 28},  {46, 29},  {64, 30},  {91, 31}}},
      {{.buckets = 32, .max_distance = 128, .bidirectional = false},
       {{-131, 31}, {-112, 30}, {-98, 29}, {-86, 28}, {-76, 27}, {-66, 26}, {-58, 25}, {-51, 24},
        {-45, 23},  {-39, 22},  {-34, 21}, {-30, 20}, {-26, 19}, {-23, 18}, {-20, 17}, {-18, 16},
        {-15, 15},  {-14, 14},  {-13, 13}, {-12, 12}, {-11, 11}, {-10, 10}, {-9, 9},   {-8, 8},
        {-7, 7},    {-6, 6},    {-5, 5},   {-4, 4},   {-3, 3},   {-2, 2},   {-1, 1},   {0, 0}}},
      {{.buckets = 8, .max_distance = 20, .bidirectional = true},
       {{-23, 3}, {-6, 2}, {-1, 1}, {0, 0}, {1, 5}, {2, 6}, {7, 7}}},
  };
  for (const auto& [bias, runs] : cases) {
    for (size_t i = 0; i < runs.size(); ++i) {
      const int64_t end = i + 1 < runs.size() ? runs[i + 1].first : bias.max_distance + 4;
      for (int64_t d = runs[i].first; d < end; ++d) KV_EXPECT_EQ(BucketOf(bias, d), runs[i].bucket);
    }
    KV_EXPECT_EQ(BucketOf(bias, -100000), runs.front().bucket);
    KV_EXPECT_EQ(BucketOf(bias, 100000), runs.back().bucket);
  }
}

constexpr char kSpec[] =
    R"({"vocabSize":9,"hiddenSize":8,"maxPositions":64,"attentions":[{"heads":2,"kvHeads":2,
  "headDim":4,"causal":false,"window":5,"scoreBias":{"kind":"buckets","buckets":32,"maxDistance":128,
  "bidirectional":true}}],"feedForwards":[{"activation":"gelu_erf","size":16}],"embedding":{"positions":66,
  "positionOffset":2,"types":2,"norm":true},"stack":{"residual":"pre","firstNorm":false,"layers":[{"attention":0,
  "feedForward":0}]},"norm":"layer","normEps":1e-12,"finalNorm":false,"head":"none"})";

std::string Changed(const std::string& from, const std::string& to) {
  std::string json = kSpec;
  const size_t at = json.find(from);
  KV_EXPECT(at != std::string::npos);
  return json.replace(at, from.size(), to);
}

KV_TEST(spec_json_says_what_encoders_are) {
  const ModelSpec spec = SpecFromJson(kSpec);
  KV_EXPECT(spec.sees_ahead() && spec.least_step_rows(50) == 50);
  KV_EXPECT(spec.attentions[0].score_bias.bidirectional && spec.attentions[0].score_bias.max_distance == 128);
  KV_EXPECT(!spec.stack.first_norm && !spec.final_norm && spec.head == HeadKind::kNone);
  std::string names;
  for (const ModelTensor& tensor : TensorsOf(spec)) {
    if (tensor.role == TensorRole::kVector && !tensor.is_bias) names += tensor.name + " ";
  }
  KV_EXPECT_EQ(names,
               "embed.positions embed.types embed.norm.weight layers.0.score_bias layers.0.ffn_norm.weight ");
  const ModelSpec causal = SpecFromJson(Changed("\"causal\":false,", ""));
  KV_EXPECT(!causal.sees_ahead() && causal.least_step_rows(50) == 0);
  const auto refused = [](const std::string& from, const std::string& to, const std::string& fragment) {
    KV_EXPECT_THROWS_WITH(ErrorCode::kModelFormat, fragment, SpecFromJson(Changed(from, to)));
  };
  refused("\"residual\":\"pre\"", "\"residual\":\"add_norm\"", "first attention has no norm");
  refused("\"positionOffset\":2", "\"positionOffset\":3", "offset of learned positions");
  refused("\"types\":2", "\"types\":-1", "token types");
  refused("\"buckets\":32", "\"buckets\":3", "relative buckets");
  refused("\"maxDistance\":128", "\"maxDistance\":31", "largest relative distance");
  refused("\"head\":\"none\"", "\"head\":\"nothing\"", "unknown kind");
}

}  // namespace
}  // namespace kvasir::testing
