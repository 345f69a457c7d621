// The engine: results of a step, cancellation from other threads, destruction while a step runs. A gate inside the
// backend holds a step where a test wants it, so nothing here depends on timing. Meant for the thread sanitizer too.
#include <algorithm>
#include <cmath>
#include <future>

#include "runtime/engine.h"
#include "testing/engine_gate.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

StepRequest RequestOf(const Batch& batch) {
  const size_t rows = batch.wanted.size();
  return {batch, std::vector<float>(rows, 1.0f), std::vector<uint8_t>(rows, 1),
          std::vector<int32_t>(rows, -1)};
}

// An engine whose steps pass through a gate, which is open at first.
struct GatedEngine {
  ModelKind kind = LlamaLike();
  RandomContainer container{kind, 7};
  Gate gate;
  std::unique_ptr<Engine> engine;

  explicit GatedEngine(Setup setup = {}) {
    engine = std::make_unique<Engine>(LoadGated(kind, container, setup, &gate));
  }
  std::future<StepResult> Submit(StepRequest request) {
    auto promise = std::make_shared<std::promise<StepResult>>();
    std::future<StepResult> result = promise->get_future();
    engine->Submit(std::move(request), [promise](StepResult r) { promise->set_value(std::move(r)); });
    return result;
  }
  StepResult Run(StepRequest request) { return Submit(std::move(request)).get(); }
};

KV_TEST(engine_returns_what_sampling_needs) {
  GatedEngine e;
  const std::vector<int32_t> tokens = RandomTokens(4, 20, 131);
  const std::unique_ptr<Transformer> plain = Load(e.kind, e.container, {});
  const Rows expected = Append(*plain, plain->cache().Create(), tokens, 0, 20);

  StepRequest request = RequestOf(BatchOf({{e.engine->cache().Create(), tokens}}));
  for (size_t row = 0; row < 20; ++row) {
    request.temperatures[row] = row % 3 == 0 ? 0.0f : 0.25f * static_cast<float>(row);
    request.full_logits[row] = row % 2 == 0 ? 1 : 0;
    request.targets[row] = row % 4 == 0 ? static_cast<int32_t>(row) : row % 4 == 1 ? 131 : -1;
  }
  const StepResult result = e.Run(request);
  KV_EXPECT(!result.cancelled && !result.error);
  KV_EXPECT_EQ(result.candidates, 131);
  for (size_t row = 0; row < 20; ++row) {
    const std::vector<float>& logits = expected[row];
    KV_EXPECT_EQ(BitDifference(result.full[row], row % 2 == 0 ? logits : std::vector<float>()), "");
    if (row % 4 == 0) KV_EXPECT_EQ(result.target_logits[row], logits[row]);
    if (row % 4 != 0) KV_EXPECT(std::isnan(result.target_logits[row]));
    for (size_t i = 0; i < 131; ++i) {
      const size_t at = row * 131 + i;
      KV_EXPECT_EQ(result.candidate_logits[at], logits[static_cast<size_t>(result.candidate_ids[at])]);
      if (i > 0) KV_EXPECT(result.candidate_logits[at] <= result.candidate_logits[at - 1]);
    }
    const double t = row % 3 == 0 ? 1 : request.temperatures[row];
    double sum = 0, sum_1 = 0;
    for (const float x : logits) sum += std::exp(x / t), sum_1 += std::exp(static_cast<double>(x));
    KV_EXPECT(std::abs(result.log_sum_exp[row] - std::log(sum)) < 1e-5);
    KV_EXPECT(std::abs(result.log_sum_exp_1[row] - std::log(sum_1)) < 1e-5);
  }
}

KV_TEST(engine_reports_errors_and_goes_on) {
  GatedEngine e;
  const int32_t a = e.engine->cache().Create();
  StepResult result = e.Run(RequestOf(BatchOf({{a, {1, 999}}})));
  KV_EXPECT(result.error && result.error->code() == ErrorCode::kInvalidOption);
  StepRequest request = RequestOf(BatchOf({{a, {1, 2}}}));
  request.temperatures.pop_back();
  result = e.Run(request);
  KV_EXPECT(result.error && result.error->code() == ErrorCode::kInternal);
  KV_EXPECT_EQ(e.engine->cache().Length(a), 0);
  KV_EXPECT(!e.Run(RequestOf(BatchOf({{a, {1, 2}}}))).error);
  KV_EXPECT_EQ(e.engine->cache().Length(a), 2);
}

KV_TEST(engine_refuses_changes_during_a_step) {
  GatedEngine e;
  const int32_t a = e.engine->cache().Create();
  e.gate.Close();
  std::future<StepResult> result = e.Submit(RequestOf(BatchOf({{a, {1, 2, 3}}})));
  e.gate.AwaitArrival();
  KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "while a step runs", e.engine->FreeSequence(a));
  KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "while a step runs", e.engine->cache().Create());
  KV_EXPECT_THROWS_WITH(ErrorCode::kInternal, "running already", e.Submit(RequestOf(BatchOf({{a, {1}}}))));
  e.gate.Open();
  KV_EXPECT(!result.get().error);
  KV_EXPECT_EQ(e.engine->cache().Length(a), 3);
  e.engine->FreeSequence(a);
  KV_EXPECT_EQ(e.engine->cache().free_pages(0), e.engine->cache().table(0).n_pages);
}

// Only when all sequences of the step are cancelled does it stop; then nothing was appended, and the next is right.
KV_TEST(engine_cancels_a_step_with_its_last_sequence) {
  GatedEngine e({Dtype::kInt8, Dtype::kInt8, "", 2});
  const std::vector<int32_t> tokens = RandomTokens(4, 30, 131);
  const int32_t a = e.engine->cache().Create(), b = e.engine->cache().Create();
  const std::vector<float> expected =
      e.Run(RequestOf(BatchOf({{e.engine->cache().Create(), tokens}}))).full.back();
  for (const bool both : {false, true}) {
    const int64_t length = e.engine->cache().Length(a);
    e.gate.Close();
    std::future<StepResult> result = e.Submit(RequestOf(BatchOf({{a, {5, 6}}, {b, {7}}})));
    e.gate.AwaitArrival();
    std::thread([&] {
      e.engine->Cancel(a);
      if (both) e.engine->Cancel(b);
    }).join();
    e.gate.Open();
    const StepResult r = result.get();
    KV_EXPECT(!r.error);
    KV_EXPECT_EQ(r.cancelled, both);
    KV_EXPECT_EQ(e.engine->cache().Length(a), both ? length : length + 2);
  }
  e.engine->FreeSequence(a);
  const int32_t c = e.engine->cache().Create();
  KV_EXPECT_EQ(BitDifference(e.Run(RequestOf(BatchOf({{c, tokens}}))).full.back(), expected), "");
}

KV_TEST(engine_does_not_begin_a_step_of_cancelled_sequences) {
  GatedEngine e({Dtype::kInt8, Dtype::kInt8, "", 1});
  const int32_t a = e.engine->cache().Create(), b = e.engine->cache().Create();
  e.engine->Cancel(a);
  KV_EXPECT(e.Run(RequestOf(BatchOf({{a, {1, 2}}}))).cancelled);
  KV_EXPECT_EQ(e.engine->cache().Length(a), 0);
  KV_EXPECT(!e.Run(RequestOf(BatchOf({{a, {1}}, {b, {2}}}))).cancelled);
}

// Cancel may come at any moment of a step, and between steps.
KV_TEST(engine_survives_cancels_at_any_time) {
  GatedEngine e({Dtype::kInt8, Dtype::kInt8, "", 2});
  const std::vector<int32_t> tokens = RandomTokens(4, 40, 131);
  const int32_t bystander = e.engine->cache().Create();
  const std::vector<float> expected =
      e.Run(RequestOf(BatchOf({{e.engine->cache().Create(), tokens}}))).full.back();
  std::atomic<int32_t> target{bystander};
  std::atomic<bool> stop{false};
  std::thread canceller([&] {
    while (!stop.load()) {
      e.engine->Cancel(target.load());
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  int n_complete = 0;
  for (int i = 0; i < (kSanitized ? 30 : 200); ++i) {
    const int32_t id = e.engine->cache().Create();
    target.store(i % 2 == 0 ? id : bystander);
    const StepResult r = e.Run(RequestOf(BatchOf({{id, tokens}})));
    KV_EXPECT(!r.error);
    KV_EXPECT_EQ(e.engine->cache().Length(id), r.cancelled ? 0 : 40);
    if (!r.cancelled) KV_EXPECT_EQ(BitDifference(r.full.back(), expected), "");
    // Who is never cancelled completes.
    if (i % 2 == 1) KV_EXPECT(!r.cancelled);
    n_complete += r.cancelled ? 0 : 1;
    e.engine->FreeSequence(id);
  }
  stop.store(true);
  canceller.join();
  KV_EXPECT(n_complete > 0);
}

KV_TEST(engine_destruction_waits_for_the_running_step) {
  GatedEngine e;
  const int32_t a = e.engine->cache().Create();
  e.gate.Close();
  std::future<StepResult> result = e.Submit(RequestOf(BatchOf({{a, {1, 2, 3}}})));
  e.gate.AwaitArrival();
  std::future<void> destroyed = std::async(std::launch::async, [&] { e.engine.reset(); });
  KV_EXPECT(destroyed.wait_for(std::chrono::milliseconds(30)) == std::future_status::timeout);
  e.gate.Open();
  destroyed.get();
  KV_EXPECT(result.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
  KV_EXPECT(!result.get().error);
}

KV_TEST(engine_destruction_without_or_right_after_a_step) {
  { GatedEngine unused; }
  for (int i = 0; i < 20; ++i) {
    GatedEngine e({Dtype::kInt8, Dtype::kInt8, "", 2});
    const int32_t a = e.engine->cache().Create();
    std::future<StepResult> result = e.Submit(RequestOf(BatchOf({{a, {1, 2, 3}}})));
    if (i % 2 == 0) e.engine->Cancel(a);
    e.engine.reset();
    KV_EXPECT(result.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
  }
}

// The callback may submit the next step, as a serving loop does.
KV_TEST(engine_takes_the_next_step_from_the_callback) {
  GatedEngine e;
  const int32_t a = e.engine->cache().Create();
  std::promise<void> finished;
  int steps = 0;
  std::function<void(StepResult)> done = [&](StepResult r) {
    KV_EXPECT(!r.error);
    if (++steps == 50) return finished.set_value();
    e.engine->Submit(RequestOf(BatchOf({{a, {r.candidate_ids[0]}}})), done);
  };
  e.engine->Submit(RequestOf(BatchOf({{a, {1}}})), done);
  finished.get_future().get();
  KV_EXPECT_EQ(e.engine->cache().Length(a), 50);
}

}  // namespace
}  // namespace kvasir::testing
