// The summary of logits on the device against the CPU backend: ids and logits, the maximum and both log-sum-exps.
#include <algorithm>
#include <cmath>

#include "backend/cpu.h"
#include "backend/cuda/kernels.h"
#include "testing/cuda_device_array.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

struct Summary {
  std::vector<int32_t> ids;   // [rows, count]
  std::vector<float> logits;  // [rows, count]
  std::vector<double> log_sum_exp, log_sum_exp_1;
};

struct LogitsCase {
  int64_t rows, vocab, count;
  std::vector<float> logits;
  std::vector<float> temperatures;
};

Summary OnCpu(const LogitsCase& c) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend(1, "scalar", 64, 16);
  Summary s = {std::vector<int32_t>(static_cast<size_t>(c.rows * c.count)),
               std::vector<float>(static_cast<size_t>(c.rows * c.count)),
               {},
               {}};
  std::vector<LogitsSummary> summaries(static_cast<size_t>(c.rows));
  for (size_t row = 0; row < summaries.size(); ++row) {
    summaries[row].temperature = c.temperatures[row];
    summaries[row].ids = s.ids.data() + row * static_cast<size_t>(c.count);
    summaries[row].logits = s.logits.data() + row * static_cast<size_t>(c.count);
  }
  backend->Summarize(c.logits.data(), c.rows, c.vocab, c.count, summaries.data());
  for (const LogitsSummary& row : summaries) {
    s.log_sum_exp.push_back(row.log_sum_exp);
    s.log_sum_exp_1.push_back(row.log_sum_exp_1);
  }
  return s;
}

Summary OnCuda(const LogitsCase& c) {
  const int64_t n_sums = (c.vocab + cuda::kSumBlock - 1) / cuda::kSumBlock;
  std::vector<float> inverse;
  for (const float t : c.temperatures) inverse.push_back(1.0f / t);
  DeviceArray<float> logits(c.logits), inverse_there(inverse);
  DeviceArray<int32_t> ids(std::vector<int32_t>(static_cast<size_t>(c.rows * c.count), -7));
  DeviceArray<float> largest(std::vector<float>(static_cast<size_t>(c.rows * c.count), -7));
  DeviceArray<float> max(std::vector<float>(static_cast<size_t>(c.rows)));
  DeviceArray<float> sums(std::vector<float>(static_cast<size_t>(c.rows * 2 * n_sums), -7));
  DeviceArray<uint64_t> scratch(
      std::vector<uint64_t>(static_cast<size_t>(cuda::SummaryScratchBytes(c.rows, c.vocab) / 8 + 1), ~0ull));
  cuda::SummarizeLogits(logits.data(), c.rows, c.vocab, c.count, inverse_there.data(),
                        {ids.data(), largest.data(), max.data(), sums.data(), scratch.data()}, nullptr);
  Summary s = {ids.Read(), largest.Read(), {}, {}};
  const std::vector<float> max_here = max.Read(), sums_here = sums.Read();
  for (int64_t row = 0; row < c.rows; ++row) {
    const auto log_sum_exp = [&](int64_t which, float by) {
      double total = 0;
      for (int64_t i = 0; i < n_sums; ++i) {
        total += static_cast<double>(sums_here[static_cast<size_t>((2 * row + which) * n_sums + i)]);
      }
      return static_cast<double>(max_here[static_cast<size_t>(row)]) * static_cast<double>(by) +
             std::log(total);
    };
    s.log_sum_exp.push_back(log_sum_exp(0, inverse[static_cast<size_t>(row)]));
    s.log_sum_exp_1.push_back(log_sum_exp(1, 1.0f));
  }
  return s;
}

bool SameNumbers(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

// Empty, or what differs. Among NaN logits the CPU leaves the order open, so their ids are not compared.
std::string Difference(const Summary& a, const Summary& b) {
  std::string text = BitDifference(a.logits, b.logits);
  for (size_t i = 0; i < a.ids.size(); ++i) {
    if (a.ids[i] != b.ids[i] && !std::isnan(a.logits[i])) {
      text +=
          " id " + std::to_string(i) + ": " + std::to_string(a.ids[i]) + ", not " + std::to_string(b.ids[i]);
      break;
    }
  }
  if (!SameNumbers(a.log_sum_exp, b.log_sum_exp)) text += " log-sum-exp";
  if (!SameNumbers(a.log_sum_exp_1, b.log_sum_exp_1)) text += " log-sum-exp at 1";
  return text;
}

// One row of each kind.
LogitsCase Case(Random& random, int64_t vocab) {
  enum Kind { kRandom, kTies, kRising, kFalling, kEqual, kMinusInfinity, kZeros, kSomeNan, kKinds };
  LogitsCase c = {kKinds, vocab, std::min<int64_t>(256, vocab), {}, {}};
  for (int kind = 0; kind < kKinds; ++kind) {
    c.temperatures.push_back(kind % 3 == 0 ? 1.0f : random.Uniform(0.2f, 2));
    for (int64_t i = 0; i < vocab; ++i) {
      const float value = 4 * random.Bell();
      c.logits.push_back(kind == kTies            ? std::floor(value)
                         : kind == kRising        ? static_cast<float>(i)
                         : kind == kFalling       ? static_cast<float>(-i)
                         : kind == kEqual         ? 1.5f
                         : kind == kMinusInfinity ? (i % 100 == 99 ? value : -HUGE_VALF)
                         : kind == kZeros         ? (value > 3   ? value
                                                     : value > 0 ? 0.0f
                                                                 : -0.0f)
                         : kind == kSomeNan       ? (i % 7 == 3 ? NAN : value)
                                                  : value);
    }
  }
  return c;
}

KV_TEST(cuda_logits_equal_cpu) {
  Random random(81);
  for (const int64_t vocab :
       {1, 15, 16, 17, 31, 255, 256, 257, 300, 511, 513, 4095, 4096, 4097, 9000, 70000}) {
    if (kSanitized && vocab > 3000) continue;
    const LogitsCase c = Case(random, vocab);
    const Summary expected = OnCpu(c);
    WithThreadOrders([&] { KV_EXPECT_EQ(Difference(OnCuda(c), expected), ""); });
  }
}

KV_TEST(cuda_logits_follow_many_nans) {
  LogitsCase c = {1, 2000, 256, std::vector<float>(2000, NAN), {0.7f}};
  for (size_t i = 1900; i < 2000; ++i) c.logits[i] = static_cast<float>(i);
  WithThreadOrders([&] {
    const Summary s = OnCuda(c);
    for (size_t i = 0; i < 256; ++i) {
      // Ids count up among the NaNs, as among all equals.
      KV_EXPECT_EQ(s.ids[i], i < 100 ? static_cast<int32_t>(1999 - i) : static_cast<int32_t>(i - 100));
    }
  });
}

KV_TEST(cuda_logits_comparison_sees_each_logit) {
  Random random(82);
  LogitsCase c = {1, 5000, 256, random.Bells(5000), {0.5f}};
  const Summary expected = OnCpu(c);
  KV_EXPECT_EQ(Difference(OnCuda(c), expected), "");
  for (const size_t i : {size_t{0}, size_t{4095}, size_t{4999}}) {
    LogitsCase other = c;
    other.logits[i] += 0.5f;
    KV_EXPECT(Difference(OnCuda(other), expected) != "");
  }
  LogitsCase other = c;
  std::swap(other.logits[static_cast<size_t>(expected.ids[255])],
            other.logits[static_cast<size_t>(expected.ids[254])]);
  KV_EXPECT(Difference(OnCuda(other), expected) != "");
}

}  // namespace
}  // namespace kvasir::testing
