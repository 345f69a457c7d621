// The activations of feed-forward layers, with and without a gate. Included by each kernels_<isa>.cc inside its own
// namespace.
#pragma once

#include "backend/cpu/ops_math.h"

template <typename Act>
inline void Activate(const float* gate, const float* up, int64_t n, float* out, const Act& act) {
  for (int64_t i = 0; i < n; i += 16) {
    const F32 u = LoadFirst(up + i, n - i, 0.0f);
    const F32 v = gate != nullptr ? Mul(act(LoadFirst(gate + i, n - i, 0.0f)), u) : act(u);
    StoreFirst(out + i, n - i, v);
  }
}

// x / (1 + exp(-x))
void Silu(const float* gate, const float* up, int64_t n, float* out) {
  Activate(gate, up, n, out, [](F32 x) { return Div(x, Add(Set1(1.0f), Exp(Sub(Zero(), x)))); });
}

// 0.5 x (1 + tanh(u)) = x / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3) (Hendrycks and Gimpel, 2016)
void GeluTanh(const float* gate, const float* up, int64_t n, float* out) {
  Activate(gate, up, n, out, [](F32 x) {
    const F32 inner = Fma(Mul(Mul(x, x), x), Set1(0.044715f), x);
    return Div(x, Add(Set1(1.0f), Exp(Mul(inner, Set1(-1.5957691216f)))));
  });
}

void GeluErf(const float* gate, const float* up, int64_t n, float* out) {
  Activate(gate, up, n, out, [](F32 x) {
    const F32 half = Mul(x, Set1(0.5f));
    return Fma(half, Erf(Mul(x, Set1(0.70710678f))), half);
  });
}

// x where x > 0, else 0; NaN stays.
inline F32 Positive(F32 x) { return Max(Zero(), x); }

void Relu(const float* gate, const float* up, int64_t n, float* out) {
  Activate(gate, up, n, out, [](F32 x) { return Positive(x); });
}

// relu(x)^2 (So et al., Primer, 2021)
void Relu2(const float* gate, const float* up, int64_t n, float* out) {
  Activate(gate, up, n, out, [](F32 x) {
    const F32 positive = Positive(x);
    return Mul(positive, positive);
  });
}

// x sigmoid(1.702 x) (Hendrycks and Gimpel, 2016)
void QuickGelu(const float* gate, const float* up, int64_t n, float* out) {
  Activate(gate, up, n, out, [](F32 x) { return Div(x, Add(Set1(1.0f), Exp(Mul(x, Set1(-1.702f))))); });
}

// (u + 1) g sigmoid(alpha g), g = min(gate, limit), u = up within +-limit; without a gate g sigmoid(alpha g) of up alone.
void ClampedSwiglu(const float* gate, const float* up, int64_t n, const SwigluForm& form, float* out) {
  const F32 limit = Set1(form.limit), low = Set1(-form.limit), negative_alpha = Set1(-form.alpha);
  const auto act = [&](F32 x) {
    const F32 g = Min(limit, x);
    return Div(g, Add(Set1(1.0f), Exp(Mul(g, negative_alpha))));
  };
  for (int64_t i = 0; i < n; i += 16) {
    const F32 u = LoadFirst(up + i, n - i, 0.0f);
    const F32 v = gate == nullptr
                      ? act(u)
                      : Mul(Add(Max(low, Min(limit, u)), Set1(1.0f)), act(LoadFirst(gate + i, n - i, 0.0f)));
    StoreFirst(out + i, n - i, v);
  }
}
