// Routers as families have them, and logits for them. It refuses to route.
#pragma once

#include <cmath>
#include <vector>

#include "backend/router_form.h"
#include "testing/kernel_inputs.h"

namespace kvasir::testing {

// A bias of some tenths for the choice, of as many experts as there may be.
inline const std::vector<float>& SelectionBias() {
  static const std::vector<float> bias = Random(7).Bells(kMaxExperts, 0.1f);
  return bias;
}

// Softmax with and without division by the sum, softmax of the chosen, sigmoid with a bias; groups by both scores.
inline std::vector<RouterForm> RouterCases() {
  const float* bias = SelectionBias().data();
  std::vector<RouterForm> cases = {
      {.n_experts = 8, .used = 2, .renormalises = true},
      {.n_experts = 60, .used = 4, .scale = 2.5f},
      {.n_experts = 128, .used = 8, .renormalises = true, .scale = 1.5f},
      {.n_experts = 64, .used = 6, .selection_bias = bias, .renormalises = true, .sum_least = 1e-12f},
      {.n_experts = 64, .used = 6, .renormalises = true, .sum_least = 0.9f},
      {.score = RouterScore::kSoftmaxOfChosen, .n_experts = 32, .used = 4},
      {.score = RouterScore::kSoftmaxOfChosen, .n_experts = 33, .used = 20, .selection_bias = bias},
      {.score = RouterScore::kSigmoid, .n_experts = 32, .used = 4, .renormalises = true, .sum_added = 1e-6f},
      {.score = RouterScore::kSigmoid, .n_experts = 17, .used = 17, .renormalises = true, .sum_added = 0.5f},
      {.n_experts = 1, .used = 1},
  };
  for (const GroupScore score : {GroupScore::kLargest, GroupScore::kSumOfTwoLargest}) {
    cases.push_back(
        {.n_experts = 64, .used = 6, .n_groups = 8, .used_groups = 3, .group_score = score, .scale = 16});
    cases.push_back({.score = RouterScore::kSigmoid,
                     .n_experts = 256,
                     .used = 8,
                     .n_groups = 8,
                     .used_groups = 4,
                     .group_score = score,
                     .selection_bias = bias,
                     .renormalises = true,
                     .sum_added = 1e-20f,
                     .scale = 2.5f});
    cases.push_back({.n_experts = kMaxExperts,
                     .used = 10,
                     .n_groups = kMaxExpertGroups,
                     .used_groups = 5,
                     .group_score = score});
  }
  return cases;
}

// Bells, few distinct values, all equal, and some that are not numbers or infinite.
inline std::vector<std::vector<float>> RouterLogits(Random& random, int32_t n) {
  std::vector<std::vector<float>> logits = {random.Bells(n, 2), random.Bells(n, 30), random.Bells(n),
                                            std::vector<float>(static_cast<size_t>(n), 0.25f)};
  for (float& value : logits[2]) value = std::round(value);
  for (const float odd : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> some = random.Bells(n), all(static_cast<size_t>(n), odd);
    some[static_cast<size_t>(random.Integer(0, n - 1))] = odd;
    logits.push_back(some);
    logits.push_back(all);
  }
  return logits;
}

}  // namespace kvasir::testing
