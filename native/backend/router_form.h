// How a router chooses experts for a row. Plain structs only: kernels of every ISA include this.
#pragma once

#include <cstdint>

namespace kvasir {

constexpr int32_t kMaxExperts = 1024;
constexpr int32_t kMaxExpertGroups = 64;

enum class RouterScore {
  kSoftmax,          // of all logits
  kSigmoid,          // of each logit
  kSoftmaxOfChosen,  // the largest logits are chosen, and the softmax is that of the chosen ones
};
enum class GroupScore { kLargest, kSumOfTwoLargest };

// Experts are in n_groups groups of as many each. What the used_groups best ones hold is chosen from:
// used <= used_groups * n_experts / n_groups; groups of kSumOfTwoLargest hold at least two.
struct RouterForm {
  RouterScore score = RouterScore::kSoftmax;
  int32_t n_experts = 0;  // 1..kMaxExperts
  int32_t used = 0;       // 1..n_experts
  int32_t n_groups = 1;   // 1..kMaxExpertGroups
  int32_t used_groups = 1;
  GroupScore group_score = GroupScore::kSumOfTwoLargest;
  const float* selection_bias = nullptr;  // [n_experts] or nullptr: added to scores for the choice alone
  // Weights are divided by max(their sum + sum_added, sum_least).
  bool renormalises = false;
  float sum_added = 0;
  float sum_least = 0;
  float scale = 1;  // multiplies the weights
};

}  // namespace kvasir
