// The largest logits with their ids, against a full sort.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cpu.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

struct Largest {
  std::vector<int32_t> ids;
  std::vector<float> logits;
};

std::vector<Largest> Summarize(const std::vector<float>& logits, int64_t vocab, int64_t count) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend(2, "scalar", 64, 16);
  const size_t rows = logits.size() / static_cast<size_t>(vocab);
  std::vector<Largest> out(rows, {std::vector<int32_t>(static_cast<size_t>(count), -7),
                                  std::vector<float>(static_cast<size_t>(count), -7)});
  std::vector<LogitsSummary> summaries(rows);
  for (size_t row = 0; row < rows; ++row) {
    summaries[row].ids = out[row].ids.data();
    summaries[row].logits = out[row].logits.data();
  }
  backend->Summarize(logits.data(), static_cast<int64_t>(rows), vocab, count, summaries.data());
  return out;
}

// Stable: the lower id first among equals.
std::vector<int32_t> SortedIds(const float* logits, int64_t vocab, int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(vocab));
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  ids.resize(static_cast<size_t>(count));
  return ids;
}

KV_TEST(kernel_largest_logits_are_those_of_a_full_sort) {
  Random random(61);
  enum Kind { kRandom, kTies, kRising, kFalling, kEqual, kMinusInfinity, kKinds };
  for (const int64_t vocab : {1, 31, 255, 256, 257, 511, 513, 2000, 8192, 8193, 49152}) {
    const int64_t count = std::min<int64_t>(256, vocab);
    std::vector<float> logits;
    for (int kind = 0; kind < kKinds; ++kind) {
      for (int64_t i = 0; i < vocab; ++i) {
        const float value = random.Bell();
        logits.push_back(kind == kTies            ? std::floor(value * 8)
                         : kind == kRising        ? static_cast<float>(i)
                         : kind == kFalling       ? static_cast<float>(-i)
                         : kind == kEqual         ? 1.5f
                         : kind == kMinusInfinity ? (i % 100 == 99 ? value : -HUGE_VALF)
                                                  : value);
      }
    }
    const std::vector<Largest> actual = Summarize(logits, vocab, count);
    for (int kind = 0; kind < kKinds; ++kind) {
      const float* row = logits.data() + kind * vocab;
      const std::vector<int32_t> expected = SortedIds(row, vocab, count);
      const Largest& largest = actual[static_cast<size_t>(kind)];
      KV_EXPECT(largest.ids == expected);
      for (size_t i = 0; i < expected.size(); ++i) KV_EXPECT_EQ(largest.logits[i], row[expected[i]]);
    }
  }
}

KV_TEST(kernel_largest_logits_put_nan_last) {
  std::vector<float> logits(1000, NAN);
  for (size_t i = 10; i < 310; ++i) logits[i] = static_cast<float>(i % 50);
  std::vector<float> finite = logits;
  for (float& v : finite) v = std::isnan(v) ? -HUGE_VALF : v;
  KV_EXPECT(Summarize(logits, 1000, 256)[0].ids == SortedIds(finite.data(), 1000, 256));
}

// Of a vocabulary so large that only blocks with a large value are read.
KV_TEST(kernel_largest_logits_put_nan_last_in_large_vocabularies) {
  Random random(62);
  for (const int stride : {2, 17, 100}) {  // 100: fewer than 256 numbers
    std::vector<float> logits(20000, NAN);
    for (size_t i = 5; i < logits.size(); i += static_cast<size_t>(stride)) logits[i] = random.Bell();
    std::vector<float> finite = logits;
    for (float& v : finite) v = std::isnan(v) ? -HUGE_VALF : v;
    const int64_t numbers = (20000 - 5 + stride - 1) / stride;
    std::vector<int32_t> actual = Summarize(logits, 20000, 256)[0].ids;
    actual.resize(static_cast<size_t>(std::min<int64_t>(256, numbers)));
    KV_EXPECT(actual == SortedIds(finite.data(), 20000, static_cast<int64_t>(actual.size())));
  }
}

KV_TEST(kernel_largest_logits_follow_many_nans) {
  std::vector<float> logits(2000, NAN);
  for (size_t i = 1000; i < 2000; ++i) logits[i] = static_cast<float>(i);
  KV_EXPECT_EQ(Summarize(logits, 2000, 256)[0].ids[0], 1999);
}

}  // namespace
}  // namespace kvasir::testing
