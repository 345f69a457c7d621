// Kinds of attention on the CPU backend: windows, sequences that are seen whole, soft cap, biases and sinks, against naive
// float64 attention over the cache as it is stored; and what must not change a bit: the kernel table, how the work is cut,
// how many tokens come at once, and what lies on pages that were given back.
#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "testing/attention_step.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr Dtype kCaches[] = {Dtype::kInt8, Dtype::kF16, Dtype::kF32};
constexpr int64_t kWindows[] = {1, 5, 64, 100, 255, 256, 257, 300, 1000};
constexpr double kExpError = 2e-7, kTanhError = 1.6e-7;

// What attention adds to scores, one bit each.
enum Addition { kCap = 1, kSlopes = 2, kDistances = 4, kSinks = 8 };

void Add(int additions, Random& random, AttentionStep* step) {
  const size_t heads = static_cast<size_t>(step->n_heads);
  if (additions & kCap) step->soft_cap = random.Uniform(2, 30);
  if (additions & kSlopes) step->slopes.resize(heads);
  if (additions & kSinks) step->sinks.resize(heads);
  if (!(additions & kDistances)) return;
  step->reach = random.Integer(0, 1) == 0 ? random.Integer(0, 20) : random.Integer(100, 300);
  step->distance_bias.resize(heads * static_cast<size_t>(2 * step->reach + 1));
}

AttentionStep Step(Random& random, Dtype dtype, int64_t head_dim, std::vector<StepSequence> sequences) {
  AttentionStep step;
  step.dtype = dtype;
  step.head_dim = head_dim;
  step.n_kv_heads = random.Integer(1, 2);
  step.n_heads = step.n_kv_heads * random.Integer(1, 4);
  step.rope_dim = head_dim / 2 * 2;
  step.rotation = step.int8() ? 4 : 1;
  step.sequences = std::move(sequences);
  return step;
}

// Causal windows: each with another start, head size and set of additions; two sequences, one of a single token.
AttentionStep Window(Random& random, Dtype dtype, int64_t window, int additions) {
  const int64_t head_dim = 4 * random.Integer(4, kSanitized ? 12 : 64);
  const int64_t start = random.Integer(0, 2) == 0 ? 0
                                                  : random.Integer(1, kSanitized    ? 300
                                                                      : IsNightly() ? 1200
                                                                                    : 600);
  AttentionStep step =
      Step(random, dtype, head_dim, {{start, random.Integer(1, 40)}, {random.Integer(200, 700), 1}});
  step.before = window - 1;
  Add(additions, random, &step);
  FillInputs(random, &step);
  return step;
}

// Tokens that see what comes after them, all or `reach` of it.
AttentionStep Whole(Random& random, Dtype dtype, int64_t reach, int additions) {
  const int64_t head_dim = 4 * random.Integer(4, 16);
  AttentionStep step =
      Step(random, dtype, head_dim, {{0, random.Integer(1, 20)}, {0, random.Integer(257, 300)}});
  step.before = step.after = reach;
  Add(additions, random, &step);
  FillInputs(random, &step);
  return step;
}

// Every window, both kinds of sequences that are seen whole, and all additions on their own, in pairs and together.
std::vector<AttentionStep> Steps(uint32_t seed, Dtype dtype) {
  Random random(seed);
  std::vector<AttentionStep> steps;
  for (const int64_t window : kWindows) steps.push_back(Window(random, dtype, window, 0));
  for (const int64_t reach : {int64_t{64}, int64_t{3}, kUnbounded}) {
    steps.push_back(Whole(random, dtype, reach, 0));
  }
  for (const int additions : {1, 2, 4, 8, 3, 9, 12, 6, 15}) {
    const int64_t window = kWindows[random.Integer(0, 8)];
    steps.push_back(Window(random, dtype, additions % 2 == 0 ? window : kUnbounded, additions));
    if (additions >= 6) steps.push_back(Whole(random, dtype, additions == 12 ? 64 : kUnbounded, additions));
  }
  return steps;
}

// A row of a step: a head of a token.
struct RowOfStep {
  size_t sequence;
  int64_t position, length;  // of its sequence
  int64_t row, head;
  size_t first_entry;  // of its sequence among the stored positions
};

template <typename Fn>
void ForRows(const AttentionStep& step, const Fn& fn) {
  int64_t row = 0;
  size_t first_entry = 0;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    const auto [start, n_tokens] = step.sequences[i];
    for (int64_t token = 0; token < n_tokens; ++token, ++row) {
      for (int64_t head = 0; head < step.n_heads; ++head) {
        fn(RowOfStep{i, start + token, start + n_tokens, row, head, first_entry});
      }
    }
    first_entry += static_cast<size_t>(start + n_tokens);
  }
}

// Naive attention of one row of `stored` in float64, with a bound on a float32 kernel's error. `step` says what kind it is.
class Oracle {
 public:
  Oracle(const AttentionStep& step, const StepResult& stored, const RowOfStep& row)
      : step_(step), stored_(stored), row_(row), from(step.Shape().From(row.position)) {
    const int64_t to = step.Shape().To(row.position, row.length);
    for (int64_t j = from; j < to; ++j) AddScore(j);
    Weigh();
  }

  // Empty, or where `actual` lies outside the bound.
  std::string Excess(const StepResult& actual) const {
    const int64_t index = row_.row * step_.n_heads + row_.head;
    const auto part = [&](const std::vector<float>& values, int64_t width, int64_t first, int64_t n) {
      const auto begin = values.begin() + index * width + first;
      return std::vector<float>(begin, begin + n);
    };
    const auto n = static_cast<int64_t>(scores_.size());
    std::string text = testing::Excess(part(actual.scores, step_.longest(), from, n), scores_, errors_);
    text += testing::Excess(part(actual.out, step_.head_dim, 0, step_.head_dim), out_, out_errors_);
    return text;
  }

 private:
  size_t Entry(int64_t position) const {
    const size_t kv_head = static_cast<size_t>(row_.head / step_.group());
    return (row_.first_entry + static_cast<size_t>(position)) * static_cast<size_t>(step_.n_kv_heads) +
           kv_head;
  }

  // One rounding a dimension and one for the scale, or of INT8 three for the scales; then one for each step.
  void AddScore(int64_t position) {
    const size_t width = static_cast<size_t>(step_.padded_head_dim()), entry = Entry(position);
    const int64_t kv_head = row_.head / step_.group();
    const size_t query =
        static_cast<size_t>((kv_head * step_.rows() + row_.row) * step_.group() + row_.head % step_.group());
    double score = 0, magnitude = 0;
    for (size_t d = 0; d < width; ++d) {
      const double product =
          static_cast<double>(stored_.queries[query * width + d]) * stored_.keys[entry * width + d];
      score += product;
      magnitude += std::abs(product);
    }
    double scale = step_.scale;
    if (step_.int8()) scale *= static_cast<double>(stored_.query_scales[query]) * stored_.k_scales[entry];
    score *= scale;
    double error = step_.int8() ? Gamma(4) * std::abs(score)
                                : Gamma(static_cast<double>(width) + 1) * magnitude * std::abs(scale);
    if (step_.soft_cap != 0) {
      error += 2 * kUnit * std::abs(score);
      score = static_cast<double>(step_.soft_cap) * std::tanh(score / step_.soft_cap);
      error += (kTanhError + kUnit) * std::abs(score);
    }
    const int64_t distance = position - row_.position;
    if (!step_.slopes.empty()) {
      score -= step_.slopes[static_cast<size_t>(row_.head)] * std::abs(static_cast<double>(distance));
      error += kUnit * std::abs(score);
    }
    if (!step_.distance_bias.empty()) {
      const int64_t at = std::clamp(distance, -step_.reach, step_.reach) + step_.reach;
      score += step_.distance_bias[static_cast<size_t>(row_.head * (2 * step_.reach + 1) + at)];
      error += kUnit * std::abs(score);
    }
    scores_.push_back(score);
    errors_.push_back(error * 1.001 + 1e-30);
  }

  // As Oracle of kernel_attention_case.cc has it; and a merge with each further chunk, and the sink, multiplies by an exp
  // of a difference and adds.
  void Weigh() {
    const double n = static_cast<double>(scores_.size());
    double max = *std::max_element(scores_.begin(), scores_.end()), sum = 0;
    const double score_error = *std::max_element(errors_.begin(), errors_.end());
    const bool has_sink = !step_.sinks.empty();
    const double sink = has_sink ? step_.sinks[static_cast<size_t>(row_.head)] : 0;
    if (has_sink) max = std::max(max, sink);
    std::vector<double> weights;
    for (const double score : scores_) weights.push_back(std::exp(score - max));
    for (const double weight : weights) sum += weight;
    if (has_sink) sum += std::exp(sink - max);
    const double p_error = 2 * score_error + 87 * kUnit + kExpError;
    const double merges = n / cpu::kChunkPositions + 2;
    const double relative =
        2 * p_error + Gamma(n + 4) + Gamma(n / 16 + 6) + 2 * merges * (p_error + Gamma(3));
    for (double& weight : weights) weight /= sum;
    const std::vector<double> steps = WeightSteps(weights);
    for (size_t d = 0; d < static_cast<size_t>(step_.head_dim); ++d) {
      double out = 0, magnitude = 0, rounding = 0;
      for (size_t i = 0; i < weights.size(); ++i) {
        const size_t entry = Entry(from + static_cast<int64_t>(i));
        double value = stored_.values[entry * static_cast<size_t>(step_.padded_head_dim()) + d];
        rounding += 0.5001 * steps[i] * std::abs(value);
        if (step_.int8()) value *= stored_.v_scales[entry];
        out += weights[i] * value;
        magnitude += weights[i] * std::abs(value);
      }
      out_.push_back(out);
      out_errors_.push_back(relative * magnitude + rounding + 1e-30);
    }
  }

  // INT8: a weight times its V scale is rounded to a 32,767th of the chunk's largest, of each position.
  std::vector<double> WeightSteps(const std::vector<double>& weights) const {
    std::vector<double> steps(weights.size(), 0.0);
    const auto chunk_of = [&](size_t i) { return (from + static_cast<int64_t>(i)) / cpu::kChunkPositions; };
    for (size_t first = 0; step_.int8() && first < weights.size();) {
      size_t end = first;
      double largest = 0;
      for (; end < weights.size() && chunk_of(end) == chunk_of(first); ++end) {
        largest = std::max(largest, weights[end] * stored_.v_scales[Entry(from + static_cast<int64_t>(end))]);
      }
      std::fill(steps.begin() + static_cast<int64_t>(first), steps.begin() + static_cast<int64_t>(end),
                largest / 32767);
      first = end;
    }
    return steps;
  }

  const AttentionStep& step_;
  const StepResult& stored_;
  const RowOfStep row_;
  const int64_t from;
  std::vector<double> scores_, errors_;  // of the positions that the row attends to
  std::vector<double> out_, out_errors_;
};

// Empty, or what is wrong first, of every third token and the last. Positions that a row does not attend to have no score.
std::string FarFromOracle(const AttentionStep& step, const StepResult& result) {
  std::string text;
  ForRows(step, [&](const RowOfStep& row) {
    if (text != "" || (row.row % 3 != 0 && row.row + 1 != step.rows())) return;
    text = Oracle(step, result, row).Excess(result);
    const float* scores = result.scores.data() + (row.row * step.n_heads + row.head) * step.longest();
    for (int64_t j = 0; j < step.longest(); ++j) {
      const AttentionShape shape = step.Shape();
      const bool attends = j >= shape.From(row.position) && j < shape.To(row.position, row.length);
      if (!attends && scores[j] != StepResult::kUntouched) text += "a score at " + std::to_string(j);
    }
  });
  return text;
}

KV_TEST(step_attention_kinds_are_those_of_float64) {
  for (const Dtype dtype : kCaches) {
    for (const AttentionStep& step : Steps(81, dtype)) KV_EXPECT_EQ(FarFromOracle(step, RunOnCpu(step)), "");
  }
}

KV_TEST(step_attention_kinds_equal_scalar_on_any_table_and_cut) {
  for (const Dtype dtype : kCaches) {
    int threads = 1;
    for (const AttentionStep& step : Steps(82, dtype)) {
      const StepResult expected = RunOnCpu(step);
      // With five threads most of these steps are split by chunks.
      KV_EXPECT_EQ(Difference(RunOnCpu(step, "scalar", 5), expected), "");
      threads = 4 - threads;
      for (const cpu::KernelTable* table : OtherKernels()) {
        KV_EXPECT_EQ(Difference(RunOnCpu(step, table->name, threads), expected), "");
      }
    }
  }
}

// The last tokens of a step one after the other, each with a cache that has given back what it does not see.
KV_TEST(step_attention_kinds_of_tokens_one_by_one) {
  for (const Dtype dtype : kCaches) {
    Random random(83);
    for (const int additions : {0, int{kCap}, kSlopes | kDistances, int{kSinks}}) {
      for (const int64_t window : {int64_t{1}, int64_t{60}, int64_t{256}, int64_t{300}, kUnbounded}) {
        AttentionStep all = Step(random, dtype, 32, {{random.Integer(250, 600), 5}});
        all.before = window == kUnbounded ? window : window - 1;
        Add(additions, random, &all);
        FillInputs(random, &all);
        const StepResult expected = RunOnCpu(all);
        const int64_t width = all.n_heads * all.head_dim;
        for (int64_t token = 0; token < 5; ++token) {
          AttentionStep one = all;
          one.sequences = {{all.sequences[0].start + token, 1}};
          one.history.insert(one.history.end(), all.qkv.begin(), all.qkv.begin() + token * all.width());
          one.qkv.assign(all.qkv.begin() + token * all.width(), all.qkv.begin() + (token + 1) * all.width());
          const auto begin = expected.out.begin() + token * width;
          KV_EXPECT_EQ(BitDifference(RunOnCpu(one).out, {begin, begin + width}), "");
        }
      }
    }
  }
}

// A window or cap that never bites is full causal attention, bit for bit: the plain kernels and the others agree.
KV_TEST(step_attention_kinds_without_effect_change_nothing) {
  for (const Dtype dtype : kCaches) {
    Random random(84);
    AttentionStep step = Step(random, dtype, 48, {{500, 20}, {0, 3}});
    FillInputs(random, &step);
    const StepResult expected = RunOnCpu(step);
    AttentionStep wide = step, level = step;
    wide.before = 519;
    level.slopes.assign(static_cast<size_t>(step.n_heads), 0.0f);
    KV_EXPECT_EQ(Difference(RunOnCpu(wide), expected), "");
    KV_EXPECT_EQ(Difference(RunOnCpu(level), expected), "");
    for (const cpu::KernelTable* table : OtherKernels()) {
      KV_EXPECT_EQ(Difference(RunOnCpu(level, table->name), expected), "");
    }
  }
}

// Rows that are left out of attention are in memory all the same.
KV_TEST(step_attention_of_some_rows_sees_what_lies_beyond) {
  const AttentionShape shape = {.before = 2, .after = 3};
  const SequenceSpan span = {.start = 0, .n_tokens = 4, .beyond = 2};
  KV_EXPECT_EQ(span.Length(), 6);
  KV_EXPECT_EQ(shape.To(3, span.Length()), 6);
  KV_EXPECT_EQ(shape.To(1, span.Length()), 5);
  KV_EXPECT_EQ(shape.From(1), 0);
  KV_EXPECT_EQ(shape.From(5), 3);
  const AttentionShape unbounded = {.after = kUnbounded};
  KV_EXPECT_EQ(unbounded.From(INT64_MAX), 0);
  KV_EXPECT_EQ(unbounded.To(5, 6), 6);
}

// The oracle's tolerance must see each part of what a kind is.
KV_TEST(step_attention_comparison_sees_each_part) {
  for (const Dtype dtype : kCaches) {
    Random random(85);
    AttentionStep step = Step(random, dtype, 32, {{0, 300}});
    step.before = 70;
    step.after = 40;
    Add(kCap | kSlopes | kDistances | kSinks, random, &step);
    step.soft_cap = 5;
    FillInputs(random, &step);
    std::fill(step.sinks.begin(), step.sinks.end(), 8.0f);  // not less than all scores together
    const StepResult result = RunOnCpu(step);
    const auto seen = [&](const auto& perturb) {
      AttentionStep other = step;
      perturb(&other);
      return FarFromOracle(other, result) != "";
    };
    KV_EXPECT(!seen([](AttentionStep*) {}));
    KV_EXPECT(seen([](AttentionStep* s) { s->before += 1; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->before -= 1; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->after += 1; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->after -= 1; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->soft_cap *= 1.001f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->slopes[0] += 0.001f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->distance_bias[static_cast<size_t>(s->reach)] += 0.01f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->distance_bias[0] += 0.01f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->sinks[0] += 0.01f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->sinks.clear(); }));
  }
}

}  // namespace
}  // namespace kvasir::testing
