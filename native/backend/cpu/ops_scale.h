// Element-wise work on rows: adding scaled rows, scaling, the soft cap, the output gate. Included by each kernels_<isa>.cc
// inside its own namespace.
#pragma once

#include "backend/cpu/ops_norms.h"

void AddScaled(const float* y, int64_t n, float scale, float* x) {
  for (int64_t i = 0; i < n; i += 16) AddScaledAt(x, i, n, LoadFirst(y + i, n - i, 0.0f), Set1(scale));
}

void ScaleValues(int64_t n, float scale, float* x) {
  for (int64_t i = 0; i < n; i += 16)
    StoreFirst(x + i, n - i, Mul(LoadFirst(x + i, n - i, 0.0f), Set1(scale)));
}

void SoftCap(int64_t n, float cap, float* x) {
  const F32 c = Set1(cap);
  for (int64_t i = 0; i < n; i += 16) {
    StoreFirst(x + i, n - i, Mul(Tanh(Div(LoadFirst(x + i, n - i, 0.0f), c)), c));
  }
}

// x / (1 + exp(-gate)): one rounding less than x * sigmoid(gate).
void SigmoidGate(const float* gate, int64_t n, float* x) {
  for (int64_t i = 0; i < n; i += 16) {
    const F32 divisor = Add(Set1(1.0f), Exp(Sub(Zero(), LoadFirst(gate + i, n - i, 0.0f))));
    StoreFirst(x + i, n - i, Div(LoadFirst(x + i, n - i, 0.0f), divisor));
  }
}
