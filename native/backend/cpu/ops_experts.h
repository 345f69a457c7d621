// Which experts a row uses, and the sum of what they give. Included by each kernels_<isa>.cc inside its own namespace.
#pragma once

#include "backend/cpu/ops_math.h"

constexpr float kLeastFloat = -__builtin_inff();

// out [n] = softmax of x [n]: sixteen running sums and their tree, then a division each. A NaN in x makes all NaN.
inline void Softmax(const float* x, int64_t n, float* out) {
  F32 largest = Set1(kLeastFloat);
  for (int64_t i = 0; i < n; i += 16) largest = Max(LoadFirst(x + i, n - i, kLeastFloat), largest);
  const F32 shift = Set1(MaxLane(largest));
  F32 sums = Zero();
  for (int64_t i = 0; i < n; i += 16) {
    // What is past the end adds nothing, whatever the maximum is.
    const F32 e = Exp(Sub(LoadFirst(x + i, n - i, 0.0f), shift));
    const int left = n - i < 16 ? static_cast<int>(n - i) : 16;
    sums = Add(sums, SelectFirst(left, e, Zero()));
    StoreFirst(out + i, n - i, e);
  }
  const F32 total = Set1(Sum(sums));
  for (int64_t i = 0; i < n; i += 16) StoreFirst(out + i, n - i, Div(LoadFirst(out + i, n - i, 0.0f), total));
}

// Values as they are chosen from: a NaN is the least, so that what is chosen is a NaN.
inline float Choosable(float value) { return value > kLeastFloat ? value : kLeastFloat; }

// Index of the largest of x [n], the first one among equals, which is taken out. One must be left.
inline int TakeLargest(float* x, int n) {
  int best = -1;
  for (int i = 0; i < n; ++i) {
    if (x[i] != x[i]) continue;
    if (best < 0 || x[i] > x[best]) best = i;
  }
  x[best] = __builtin_nanf("");
  return best;
}

inline float ScoreOfGroup(const float* x, int n, GroupScore kind) {
  float largest = kLeastFloat, second = kLeastFloat;
  for (int i = 0; i < n; ++i) {
    if (x[i] > largest) {
      second = largest;
      largest = x[i];
    } else if (x[i] > second) {
      second = x[i];
    }
  }
  return kind == GroupScore::kLargest ? largest : Choosable(largest + second);
}

// Experts of all but the best groups become the least.
inline void LimitToGroups(const RouterForm& router, float* choice) {
  const int size = router.n_experts / router.n_groups;
  float scores[kMaxExpertGroups];
  for (int g = 0; g < router.n_groups; ++g) {
    scores[g] = ScoreOfGroup(choice + g * size, size, router.group_score);
  }
  for (int i = 0; i < router.used_groups; ++i) TakeLargest(scores, router.n_groups);
  for (int g = 0; g < router.n_groups; ++g) {
    if (scores[g] != scores[g]) continue;  // taken
    for (int i = 0; i < size; ++i) choice[g * size + i] = kLeastFloat;
  }
}

inline void RouterScores(const RouterForm& router, const float* logits, float* scores) {
  const int64_t n = router.n_experts;
  if (router.score == RouterScore::kSoftmax) return Softmax(logits, n, scores);
  for (int64_t i = 0; i < n; i += 16) {
    const F32 x = LoadFirst(logits + i, n - i, 0.0f), one = Set1(1.0f);
    const bool sigmoid = router.score == RouterScore::kSigmoid;
    StoreFirst(scores + i, n - i, sigmoid ? Div(one, Add(one, Exp(Sub(Zero(), x)))) : x);
  }
}

// Weights of the chosen in the order of their ranks: their scores, divided and scaled as the form says, in float32.
void Route(const RouterForm& router, const float* logits, int32_t* ids, float* weights) {
  float scores[kMaxExperts], choice[kMaxExperts];
  RouterScores(router, logits, scores);
  for (int i = 0; i < router.n_experts; ++i) {
    choice[i] =
        Choosable(router.selection_bias == nullptr ? scores[i] : scores[i] + router.selection_bias[i]);
  }
  if (router.n_groups > 1) LimitToGroups(router, choice);
  for (int rank = 0; rank < router.used; ++rank) {
    ids[rank] = TakeLargest(choice, router.n_experts);
    weights[rank] = scores[ids[rank]];
  }
  if (router.score == RouterScore::kSoftmaxOfChosen) Softmax(weights, router.used, weights);
  if (router.renormalises) {
    float sum = 0;
    for (int rank = 0; rank < router.used; ++rank) sum = sum + weights[rank];
    const float added = sum + router.sum_added;
    const float divisor = router.sum_least > added ? router.sum_least : added;
    for (int rank = 0; rank < router.used; ++rank) weights[rank] = weights[rank] / divisor;
  }
  for (int rank = 0; rank < router.used; ++rank) weights[rank] = weights[rank] * router.scale;
}

// out[i] (+)= w0 y0[i] + w1 y1[i] + ..: the first product is rounded, the others are added by fused adds, and the sum is
// added to what is there.
void SumExperts(const ExpertOutputs& in, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += 16) {
    F32 sum = Mul(LoadFirst(in.y + int64_t{in.places[0]} * n + i, n - i, 0.0f), Set1(in.weights[0]));
    for (int rank = 1; rank < in.used; ++rank) {
      sum = Fma(LoadFirst(in.y + int64_t{in.places[rank]} * n + i, n - i, 0.0f), Set1(in.weights[rank]), sum);
    }
    if (in.accumulate) sum = Add(LoadFirst(out + i, n - i, 0.0f), sum);
    StoreFirst(out + i, n - i, sum);
  }
}
