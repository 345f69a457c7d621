// Routing and the sum of experts: the scalar table against float64, every other table against the scalar one by bits.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/router_cases.h"

namespace kvasir::testing {
namespace {

using cpu::KernelTable;

struct Routed {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routed Run(const KernelTable& table, const RouterForm& router, const std::vector<float>& logits) {
  Guarded weights(router.used);
  Routed out{std::vector<int32_t>(static_cast<size_t>(router.used) + 1, -7), {}};
  table.route(router, logits.data(), out.ids.data(), weights.data());
  KV_EXPECT(weights.intact());
  KV_EXPECT_EQ(out.ids.back(), -7);
  out.ids.pop_back();
  out.weights = weights.values();
  return out;
}

// The definition, in float64 and with sorting.
struct Reference {
  std::vector<int32_t> ids;
  std::vector<double> weights;
};

std::vector<double> Softmax(const std::vector<double>& x) {
  std::vector<double> out;
  const double largest = *std::max_element(x.begin(), x.end());
  for (const double v : x) out.push_back(std::exp(v - largest));
  const double sum = std::accumulate(out.begin(), out.end(), 0.0);
  for (double& v : out) v /= sum;
  return out;
}

std::vector<size_t> BestFirst(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  return order;
}

void LimitToGroups(const RouterForm& router, std::vector<double>* choice) {
  const size_t size = static_cast<size_t>(router.n_experts / router.n_groups);
  std::vector<double> scores;
  for (size_t first = 0; first < choice->size(); first += size) {
    std::vector<double> group(choice->begin() + static_cast<std::ptrdiff_t>(first),
                              choice->begin() + static_cast<std::ptrdiff_t>(first + size));
    std::sort(group.begin(), group.end(), std::greater<>());
    scores.push_back(router.group_score == GroupScore::kLargest ? group[0] : group[0] + group[1]);
  }
  const std::vector<size_t> order = BestFirst(scores);
  for (size_t i = static_cast<size_t>(router.used_groups); i < order.size(); ++i) {
    for (size_t e = 0; e < size; ++e) (*choice)[order[i] * size + e] = -INFINITY;
  }
}

Reference Define(const RouterForm& router, const std::vector<float>& logits) {
  std::vector<double> scores(logits.begin(), logits.end());
  if (router.score == RouterScore::kSoftmax) scores = Softmax(scores);
  if (router.score == RouterScore::kSigmoid) {
    for (double& v : scores) v = 1 / (1 + std::exp(-v));
  }
  std::vector<double> choice = scores;
  for (size_t i = 0; i < choice.size(); ++i) {
    if (router.selection_bias != nullptr) choice[i] += router.selection_bias[i];
  }
  if (router.n_groups > 1) LimitToGroups(router, &choice);
  const std::vector<size_t> order = BestFirst(choice);
  Reference out;
  for (size_t rank = 0; rank < static_cast<size_t>(router.used); ++rank) {
    out.ids.push_back(static_cast<int32_t>(order[rank]));
    out.weights.push_back(scores[order[rank]]);
  }
  if (router.score == RouterScore::kSoftmaxOfChosen) out.weights = Softmax(out.weights);
  const double sum = std::accumulate(out.weights.begin(), out.weights.end(), 0.0) + router.sum_added;
  for (double& weight : out.weights) {
    if (router.renormalises) weight /= std::max<double>(sum, router.sum_least);
    weight *= router.scale;
  }
  return out;
}

// Logits that are well apart, in any order: float32 and float64 choose the same.
std::vector<float> Apart(Random& random, int32_t n) {
  std::vector<float> logits;
  for (int32_t i = 0; i < n; ++i)
    logits.push_back((static_cast<float>(i) - static_cast<float>(n) / 2) * 0.02f);
  for (size_t i = logits.size(); i > 1; --i) {
    std::swap(logits[i - 1], logits[static_cast<size_t>(random.Integer(0, static_cast<int64_t>(i) - 1))]);
  }
  return logits;
}

KV_TEST(kernel_routing_is_that_of_float64) {
  Random random(61);
  for (const RouterForm& router : RouterCases()) {
    for (int sample = 0; sample < 10; ++sample) {
      const std::vector<float> logits = Apart(random, router.n_experts);
      const Routed actual = Run(cpu::ScalarKernels(), router, logits);
      const Reference expected = Define(router, logits);
      KV_EXPECT(actual.ids == expected.ids);
      std::vector<double> tolerance;
      // A score: exp, 16 sums a lane and a tree, a division; a weight: the sum of scores, a division, a product.
      const double relative = 3 * 2e-7 + Gamma(router.n_experts / 16.0 + router.used + 20);
      for (const double weight : expected.weights) tolerance.push_back(relative * weight);
      KV_EXPECT_EQ(Excess(actual.weights, expected.weights, tolerance), "");
    }
  }
}

KV_TEST(kernel_routing_equals_scalar) {
  for (const KernelTable* table : OtherKernels()) {
    Random random(62);
    for (const RouterForm& router : RouterCases()) {
      for (const std::vector<float>& logits : RouterLogits(random, router.n_experts)) {
        const Routed actual = Run(*table, router, logits),
                     expected = Run(cpu::ScalarKernels(), router, logits);
        KV_EXPECT(actual.ids == expected.ids);
        KV_EXPECT_EQ(BitDifference(actual.weights, expected.weights), "");
      }
    }
  }
}

// Whatever the logits are, ids are distinct experts.
KV_TEST(kernel_routing_gives_distinct_experts) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(63);
    for (const RouterForm& router : RouterCases()) {
      for (const std::vector<float>& logits : RouterLogits(random, router.n_experts)) {
        const Routed out = Run(*table, router, logits);
        const std::set<int32_t> ids(out.ids.begin(), out.ids.end());
        KV_EXPECT_EQ(static_cast<int32_t>(ids.size()), router.used);
        KV_EXPECT(*ids.begin() >= 0 && *ids.rbegin() < router.n_experts);
      }
    }
  }
}

KV_TEST(kernel_routing_prefers_the_lower_of_equals) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    std::vector<float> logits(40, 0.5f);
    logits[33] = logits[17] = 2;
    const RouterForm router = {.n_experts = 40, .used = 4};
    KV_EXPECT(Run(*table, router, logits).ids == (std::vector<int32_t>{17, 33, 0, 1}));
    // And of groups: 5 of 8 experts, both of the best ones in different groups, the third group the first of equals.
    const RouterForm grouped = {.n_experts = 40, .used = 4, .n_groups = 5, .used_groups = 3};
    KV_EXPECT(Run(*table, grouped, logits).ids == (std::vector<int32_t>{17, 33, 0, 1}));
    RouterForm one = grouped;
    one.used_groups = 1;
    KV_EXPECT(Run(*table, one, logits).ids == (std::vector<int32_t>{17, 16, 18, 19}));
  }
}

KV_TEST(kernel_selection_bias_changes_the_choice_alone) {
  std::vector<float> logits(20, 0.0f), bias(20, 0.0f);
  logits[3] = 1;
  bias[11] = 5;
  const RouterForm router = {
      .score = RouterScore::kSigmoid, .n_experts = 20, .used = 2, .selection_bias = bias.data()};
  const Routed out = Run(cpu::ScalarKernels(), router, logits);
  KV_EXPECT(out.ids == (std::vector<int32_t>{11, 3}));
  KV_EXPECT_EQ(out.weights[0], 0.5f);
}

KV_TEST(kernel_sum_of_experts_is_in_the_order_of_ranks) {
  for (const KernelTable* table : cpu::AvailableKernels()) {
    Random random(64);
    for (const int64_t n : {1, 15, 16, 17, 65, 300}) {
      for (const int used : {1, 2, 8}) {
        const std::vector<float> y = random.Bells(12 * n, 10), weights = random.Bells(used),
                                 x = random.Bells(n);
        std::vector<int32_t> places;
        for (int rank = 0; rank < used; ++rank) places.push_back(static_cast<int32_t>(random.Integer(0, 11)));
        for (const bool accumulate : {false, true}) {
          std::vector<float> expected = x;
          for (int64_t i = 0; i < n; ++i) {
            float sum = y[static_cast<size_t>(places[0] * n + i)] * weights[0];
            for (size_t rank = 1; rank < places.size(); ++rank) {
              sum = std::fma(y[static_cast<size_t>(places[rank] * n + i)], weights[rank], sum);
            }
            float& to = expected[static_cast<size_t>(i)];
            to = accumulate ? to + sum : sum;
          }
          Guarded out(n);
          std::copy(x.begin(), x.end(), out.data());
          table->sum_experts({y.data(), places.data(), weights.data(), used, accumulate}, n, out.data());
          KV_EXPECT(out.intact());
          KV_EXPECT_EQ(BitDifference(out.values(), expected), "");
        }
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing
