// The trace of attention: its weights times V are what attention computed, whatever kind it is, there are none where a row
// does not attend, and their entropy is that of the weights. Sequences that must come whole are refused in parts.
#include <cmath>

#include "model/attention_trace.h"
#include "testing/attention_step.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

AttentionStep Step(int64_t before, int64_t after, bool sinks) {
  Random random(87);
  AttentionStep step;
  step.dtype = Dtype::kF32;
  step.head_dim = step.rope_dim = 16;
  step.n_heads = 3;
  step.before = before;
  step.after = after;
  step.soft_cap = 4;
  step.sequences = {{after > 0 ? 0 : 290, 4}, {0, 2}};
  if (sinks) step.sinks.resize(3);
  FillInputs(random, &step);
  return step;
}

// What the trace says attention gave, against what it gave.
std::string Mismatch(const AttentionStep& step, const StepResult& result, const std::vector<float>& weights) {
  std::vector<double> expected, tolerance;
  int64_t row = 0, first_entry = 0;
  for (const auto& [start, n_tokens] : step.sequences) {
    for (int64_t i = 0; i < n_tokens * step.n_heads; ++i, ++row) {
      for (int64_t d = 0; d < step.head_dim; ++d) {
        double out = 0;
        for (int64_t j = 0; j < start + n_tokens; ++j) {
          const float weight = weights[static_cast<size_t>(row * step.longest() + j)];
          const float value = result.values[static_cast<size_t>((first_entry + j) * step.head_dim + d)];
          if (weight != 0) out += static_cast<double>(weight) * value;
        }
        expected.push_back(out);
        tolerance.push_back(1e-5);
      }
    }
    first_entry += start + n_tokens;
  }
  return Excess(result.out, expected, tolerance);
}

// Of weights [rows, positions]; what a row lacks to 1 is its sink's.
std::vector<double> EntropiesOf(const std::vector<float>& weights, int64_t positions, bool sinks) {
  std::vector<double> entropies;
  for (size_t row = 0; row < weights.size(); row += static_cast<size_t>(positions)) {
    double entropy = 0, rest = 1;
    for (size_t i = row; i < row + static_cast<size_t>(positions); ++i) {
      const double weight = weights[i];
      if (weight > 0) entropy -= weight * std::log(weight);
      rest -= weight;
    }
    if (sinks && rest > 0) entropy -= rest * std::log(rest);
    entropies.push_back(entropy);
  }
  return entropies;
}

KV_TEST(attention_trace_weights_give_what_attention_gave) {
  for (const bool sinks : {false, true}) {
    for (const int64_t before : {int64_t{0}, int64_t{40}, kUnbounded}) {
      for (const int64_t after : {0, 1}) {
        const AttentionStep step = Step(before, after, sinks);
        const StepResult result = RunOnCpu(step);
        const AttentionShape shape = step.Shape();
        const std::vector<SequenceSpan> spans = {{.start = step.sequences[0].start, .n_tokens = 4, .row = 0},
                                                 {.n_tokens = 2, .row = 4}};
        const AttentionArgs args = {.shape = &shape,
                                    .rows = 6,
                                    .sequences = spans.data(),
                                    .n_sequences = 2,
                                    .trace = {nullptr, step.longest()},
                                    .bias = {}};
        const float* sink_scores = sinks ? step.sinks.data() : nullptr;
        const ScoreRows all = {result.scores.data(), sink_scores, 0, 6};
        std::vector<float> scores(result.scores.size()), weights(result.scores.size()), entropies(6 * 3);
        CopyScores(args, all, scores.data());
        AttentionWeights(args, all, weights.data());
        AttentionEntropies(args, all, entropies.data());
        KV_EXPECT_EQ(Mismatch(step, result, weights), "");
        for (size_t i = 0; i < scores.size(); ++i) {
          const bool attends = result.scores[i] != StepResult::kUntouched;
          KV_EXPECT_EQ(scores[i], attends ? result.scores[i] : 0.0f);
          KV_EXPECT(attends || weights[i] == 0);
        }
        std::vector<float> part(entropies.size(), -1.0f);
        AttentionEntropies(args, {result.scores.data(), sink_scores, 1, 5}, part.data());
        for (size_t i = 0; i < part.size(); ++i) {
          KV_EXPECT_EQ(part[i], i >= 3 && i < 15 ? entropies[i] : -1.0f);
        }
        KV_EXPECT_EQ(Excess(entropies, EntropiesOf(weights, step.longest(), sinks),
                            std::vector<double>(entropies.size(), 1e-5)),
                     "");
        if (before == 0) continue;
        if (sinks) {
          std::vector<float> without(weights.size());
          AttentionWeights(args, {result.scores.data(), nullptr, 0, 6}, without.data());
          KV_EXPECT(Mismatch(step, result, without) != "");
        }
        for (float& weight : weights) weight *= 1.01f;
        KV_EXPECT(Mismatch(step, result, weights) != "");
      }
    }
  }
}

KV_TEST(attention_of_later_tokens_refuses_parts_of_sequences) {
  const SequenceSpan whole = {.n_tokens = 5}, tail = {.start = 3, .n_tokens = 2},
                     head = {.n_tokens = 3, .beyond = 2};
  const AttentionShape causal = {}, encoder = {.after = kUnbounded};
  const auto refused = [](const AttentionShape& shape, const SequenceSpan& span) {
    try {
      CheckSpans(shape, &span, 1);
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::kInternal;
    }
  };
  KV_EXPECT(!refused(encoder, whole));
  KV_EXPECT(refused(encoder, tail));
  KV_EXPECT(refused(encoder, head));
  KV_EXPECT(!refused(causal, tail));
}

}  // namespace
}  // namespace kvasir::testing
