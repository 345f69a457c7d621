// The CUDA kernels of attention for windows, sequences that are seen whole, soft cap, biases and sinks, against the CPU's
// scalar table by bits; pages before a window have been given back on both sides.
#include "testing/cuda_attention_case.h"
#include "testing/cuda_device_array.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr Dtype kCaches[] = {Dtype::kInt8, Dtype::kF16, Dtype::kF32};

enum Addition { kCap = 1, kSlopes = 2, kDistances = 4, kSinks = 8 };

AttentionStep Step(Random& random, Dtype dtype, std::vector<StepSequence> sequences, int additions) {
  AttentionStep step;
  step.dtype = dtype;
  step.head_dim = 4 * random.Integer(4, 64);
  step.n_heads = random.Integer(1, 5);
  step.rope_dim = step.head_dim / 2 * 2;
  step.rotation = step.int8() ? 4 : 1;
  step.sequences = std::move(sequences);
  step.split = random.Integer(0, 1) == 1;
  const size_t heads = static_cast<size_t>(step.n_heads);
  if (additions & kCap) step.soft_cap = random.Uniform(2, 30);
  if (additions & kSlopes) step.slopes.resize(heads);
  if (additions & kSinks) step.sinks.resize(heads);
  if (additions & kDistances) {
    step.reach = random.Integer(0, 200);
    step.distance_bias.resize(heads * static_cast<size_t>(2 * step.reach + 1));
  }
  return step;
}

void ExpectEqualToCpu(Random& random, AttentionStep* step) {
  FillInputs(random, step);
  const StepResult expected = RunOnCpu(*step);
  WithThreadOrders([&] { KV_EXPECT_EQ(Difference(RunOnCuda(*step), expected), ""); });
}

KV_TEST(cuda_attention_windows_equal_cpu) {
  for (const Dtype dtype : kCaches) {
    Random random(91);
    for (const int64_t window : {1, 5, 64, 100, 255, 256, 257, 300, 1000}) {
      if (kSanitized && window != 64 && window != 257) continue;
      AttentionStep step =
          Step(random, dtype, {{random.Integer(100, 600), random.Integer(1, 24)}, {255, 1}}, 0);
      step.before = window - 1;
      ExpectEqualToCpu(random, &step);
    }
  }
}

KV_TEST(cuda_attention_seen_whole_equals_cpu) {
  for (const Dtype dtype : kCaches) {
    Random random(92);
    for (const int64_t reach : {int64_t{3}, int64_t{64}, kUnbounded}) {
      AttentionStep step = Step(random, dtype, {{0, 9}, {0, random.Integer(257, 280)}}, 0);
      step.head_dim = step.rope_dim = 32;
      step.n_heads = 1;
      step.before = step.after = reach;
      ExpectEqualToCpu(random, &step);
    }
  }
}

KV_TEST(cuda_attention_additions_equal_cpu) {
  for (const Dtype dtype : kCaches) {
    Random random(93);
    for (const int additions : {1, 2, 4, 8, 3, 9, 12, 15}) {
      if (kSanitized && additions != 15) continue;
      AttentionStep step = Step(random, dtype, {{random.Integer(250, 520), 7}, {0, 3}}, additions);
      if (random.Integer(0, 1) == 1) step.before = random.Integer(0, 300);
      ExpectEqualToCpu(random, &step);
    }
  }
}

// What the comparison must see of a kind.
KV_TEST(cuda_attention_kinds_comparison_sees_each_part) {
  for (const Dtype dtype : kCaches) {
    Random random(94);
    AttentionStep step = Step(random, dtype, {{0, 20}}, kCap | kSlopes | kDistances | kSinks);
    step.before = 7;
    step.after = 2;
    step.reach = 3;
    step.distance_bias.resize(static_cast<size_t>(step.n_heads * 7));
    FillInputs(random, &step);
    const StepResult expected = RunOnCpu(step);
    const auto seen = [&](const auto& perturb) {
      AttentionStep perturbed = step;
      perturb(&perturbed);
      return Difference(RunOnCuda(perturbed), expected) != "";
    };
    KV_EXPECT(!seen([](AttentionStep*) {}));
    KV_EXPECT(seen([](AttentionStep* s) { s->before += 1; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->after -= 1; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->soft_cap *= 1.0001f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->slopes[0] += 0.001f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->distance_bias[3] += 0.001f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->sinks[0] += 0.001f; }));
    cuda_emulation::TakeReports();
  }
}

}  // namespace
}  // namespace kvasir::testing
