// The CUDA kernels of attention against the CPU's scalar table: what a step stores, the raw scores and the results, all
// by bits, over head sizes, groups, lengths around pages and chunks, whole prompts and single tokens, split and not.
#include <cmath>

#include "testing/cuda_attention_case.h"
#include "testing/cuda_device_array.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

int RotationOf(int64_t head_dim) {
  int order = 1;
  while (order < 64 && head_dim % (2 * order) == 0) order *= 2;
  return order;
}

constexpr Dtype kCaches[] = {Dtype::kInt8, Dtype::kF16, Dtype::kF32};

AttentionStep Step(Dtype dtype, int64_t head_dim, int64_t n_kv_heads, int64_t group,
                   std::vector<StepSequence> sequences) {
  AttentionStep step;
  step.dtype = dtype;
  step.head_dim = head_dim;
  step.n_kv_heads = n_kv_heads;
  step.n_heads = n_kv_heads * group;
  step.rope_dim = head_dim / 2 * 2;
  step.rotation = step.int8() ? RotationOf(head_dim) : 1;
  step.sequences = std::move(sequences);
  return step;
}

void ExpectEqualToCpu(const AttentionStep& step) {
  const StepResult expected = RunOnCpu(step);
  WithThreadOrders([&] { KV_EXPECT_EQ(Difference(RunOnCuda(step), expected), ""); });
}

KV_TEST(cuda_attention_equals_cpu_at_all_head_sizes) {
  for (const Dtype dtype : kCaches) {
    Random random(71);
    for (const int64_t head_dim : {8, 16, 20, 32, 48, 64, 80, 96, 112, 128, 160, 192, 208, 256}) {
      if (kSanitized && head_dim != 20 && head_dim != 64 && head_dim != 208) continue;
      for (const bool split : {false, true}) {
        AttentionStep step = Step(dtype, head_dim, 1, 2, {{250, 10}});
        step.split = split;
        FillInputs(random, &step);
        ExpectEqualToCpu(step);
      }
    }
  }
}

KV_TEST(cuda_attention_equals_cpu_at_all_lengths) {
  for (const Dtype dtype : kCaches) {
    Random random(72);
    for (const int64_t length : {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 128, 200, 255, 256, 257, 300, 520}) {
      if (kSanitized && length != 1 && length != 65 && length != 257) continue;
      AttentionStep step = Step(dtype, 32, 1, 3, {{length - 1, 1}});
      step.split = length % 2 == 0;
      FillInputs(random, &step);
      ExpectEqualToCpu(step);
    }
  }
}

// Sequences of unlike length side by side, prompts beside single tokens, and tiles that begin within a token's heads.
KV_TEST(cuda_attention_equals_cpu_in_batches) {
  for (const Dtype dtype : kCaches) {
    Random random(73);
    for (const int64_t group : {1, 3, 8}) {
      if (kSanitized && group != 3) continue;
      AttentionStep step = Step(dtype, 64, 2, group, {{0, 19}, {511, 1}, {256, 2}, {63, 1}, {0, 1}});
      step.split = group != 8;
      step.spare_chunks = group == 3 ? 5 : 0;
      step.store_rows = group == 8 ? 7 : 0;
      step.trace = group != 1;
      FillInputs(random, &step);
      ExpectEqualToCpu(step);
    }
    // Some 300 rows of a prompt over three chunks, without a history.
    AttentionStep step = Step(dtype, 16, 1, 1, {{0, 300}});
    FillInputs(random, &step);
    ExpectEqualToCpu(step);
  }
}

KV_TEST(cuda_attention_stores_all_kinds_of_heads) {
  Random random(74);
  for (const Dtype dtype : kCaches) {
    for (const RopeKind rope : {RopeKind::kNone, RopeKind::kHalf, RopeKind::kInterleaved}) {
      for (const int rotation : {1, 2, 4, 8, 16, 32, 64}) {
        if (kSanitized && rotation != 4 && rotation != 64) continue;
        AttentionStep step = Step(dtype, 64 + 64 * (rotation % 3), 2, 2, {{60, 8}, {3, 2}});
        step.rope = rope;
        step.rope_dim = rotation % 3 == 0 ? step.head_dim : step.head_dim / 4;
        step.rotation = rotation;
        FillInputs(random, &step);
        ExpectEqualToCpu(step);
      }
    }
  }
}

// Norms of heads and of whole rows, before and after rotary embedding, and scales of positions.
KV_TEST(cuda_attention_stores_normed_heads) {
  Random random(77);
  const HeadNorm norms[] = {{HeadNormKind::kPerHead, false, 1e-6f},
                            {HeadNormKind::kPerHead, true, 1e-5f},
                            {HeadNormKind::kFullRow, false, 1e-6f},
                            {}};
  for (const Dtype dtype : kCaches) {
    for (const int64_t head_dim : {20, 80, 256}) {
      if (kSanitized && head_dim != 80) continue;
      for (const HeadNorm& norm : norms) {
        for (const RopeKind rope : {RopeKind::kHalf, RopeKind::kInterleaved}) {
          AttentionStep step = Step(dtype, head_dim, 2, 3, {{0, 3}, {3, 2}});
          step.rope = rope;
          step.rope_dim = rope == RopeKind::kInterleaved ? head_dim / 4 * 2 : head_dim;
          step.norm = norm;
          FillInputs(random, &step);
          for (int64_t i = 0; norm.kind != HeadNormKind::kFullRow && i < step.longest(); ++i) {
            step.q_scales.push_back(random.Uniform(0.5f, 2));
          }
          ExpectEqualToCpu(step);
        }
      }
    }
  }
}

// Values that are not finite, outliers, and scores so far apart that weights vanish.
KV_TEST(cuda_attention_equals_cpu_at_the_edges_of_float) {
  for (const Dtype dtype : kCaches) {
    Random random(75);
    for (const float magnitude : {1e-30f, 1e-8f, 30.0f, 1e18f}) {
      AttentionStep step = Step(dtype, 64, 1, 3, {{300, 3}});
      FillInputs(random, &step);
      for (float& v : step.history) v *= magnitude;
      for (float& v : step.qkv) v *= magnitude;
      ExpectEqualToCpu(step);
    }
    if (dtype != Dtype::kInt8) continue;
    AttentionStep step = Step(dtype, 64, 1, 3, {{300, 3}});
    FillInputs(random, &step);
    step.history[7] = INFINITY;
    step.history[static_cast<size_t>(step.width() * 280 - 5)] = INFINITY;
    step.qkv[3] = NAN;
    ExpectEqualToCpu(step);
  }
}

// What the comparison must see: one input, and one position more.
KV_TEST(cuda_attention_comparison_sees_each_part) {
  for (const Dtype dtype : kCaches) {
    Random random(76);
    AttentionStep step = Step(dtype, 32, 1, 2, {{270, 2}});
    FillInputs(random, &step);
    const StepResult expected = RunOnCpu(step);
    const auto seen = [&](const auto& perturb) {
      AttentionStep perturbed = step;
      perturb(&perturbed);
      return Difference(RunOnCuda(perturbed), expected) != "";
    };
    const size_t k = static_cast<size_t>(step.width() * 269 + step.n_heads * step.head_dim);
    KV_EXPECT(!seen([](AttentionStep*) {}));
    KV_EXPECT(seen([&](AttentionStep* s) { s->history[k] += 2; }));
    KV_EXPECT(seen([&](AttentionStep* s) { s->history[k + 32] += 2; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->qkv[5] += 1; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->scale *= 1.0001f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->cos[270 * 16] += 0.1f; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->rope = RopeKind::kInterleaved; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->norm.kind = HeadNormKind::kPerHead; }));
    KV_EXPECT(seen([](AttentionStep* s) { s->q_scales.assign(272, 1.01f); }));
    KV_EXPECT(seen([](AttentionStep* s) { s->rotation = s->int8() ? 16 : 2; }));
    cuda_emulation::TakeReports();
  }
}

}  // namespace
}  // namespace kvasir::testing
