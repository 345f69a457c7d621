// Norms of a row, alone or added to the residual stream. Included by each kernels_<isa>.cc inside its own namespace.
#pragma once

#include "backend/cpu/ops_math.h"

// 1 / sqrt(mean(x^2) + eps)
float RmsScale(const float* x, int64_t n, float eps) {
  // Four sums: one would wait a fused add's latency for each vector.
  F32 squares[4] = {Zero(), Zero(), Zero(), Zero()};
  int64_t done = 0;
  for (; done + 64 <= n; done += 64) {
    for (int j = 0; j < 4; ++j) {
      const F32 v = Load(x + done + 16 * j);
      squares[j] = Fma(v, v, squares[j]);
    }
  }
  for (int j = 0; done < n; done += 16, ++j) {
    const F32 v = LoadFirst(x + done, n - done, 0.0f);
    squares[j] = Fma(v, v, squares[j]);
  }
  const F32 total = Add(Add(squares[0], squares[1]), Add(squares[2], squares[3]));
  const float mean = Sum(total) / static_cast<float>(n);
  return 1.0f / __builtin_sqrtf(mean + eps);
}

// Calls use(i, v) with 16 values v of (x * scale) * weight from i on, zeros past the end.
template <typename Use>
inline void ForScaled(const float* x, const float* weight, int64_t n, float scale_value, const Use& use) {
  const F32 scale = Set1(scale_value);
  for (int64_t i = 0; i < n; i += 16) {
    const F32 v = Mul(LoadFirst(x + i, n - i, 0.0f), scale);
    use(i, Mul(v, LoadFirst(weight + i, n - i, 0.0f)));
  }
}

void ScaleByWeight(const float* x, const float* weight, int64_t n, float scale, float* out) {
  ForScaled(x, weight, n, scale, [=](int64_t i, F32 v) { StoreFirst(out + i, n - i, v); });
}

void RmsNorm(const float* x, const float* weight, int64_t n, float eps, float* out) {
  ScaleByWeight(x, weight, n, RmsScale(x, n, eps), out);
}

// x + scale * v in place, the first n - i lanes from i on; one rounding.
inline void AddScaledAt(float* x, int64_t i, int64_t n, F32 v, F32 scale) {
  StoreFirst(x + i, n - i, Fma(v, scale, LoadFirst(x + i, n - i, 0.0f)));
}

void RmsNormAdd(const float* y, const RowNorm& norm, int64_t n, float scale, float* x) {
  ForScaled(y, norm.weight, n, RmsScale(y, n, norm.eps),
            [=](int64_t i, F32 v) { AddScaledAt(x, i, n, v, Set1(scale)); });
}

// Two passes: the variance is that of the centred values, as in the reference.
// Calls use(i, v) with 16 normalized values v from i on.
template <typename Use>
inline void ForLayerNorm(const float* x, const RowNorm& norm, int64_t n, const Use& use) {
  F32 total = Zero();
  for (int64_t i = 0; i < n; i += 16) total = Add(total, LoadFirst(x + i, n - i, 0.0f));
  const float mean_value = Sum(total) / static_cast<float>(n);
  const F32 mean = Set1(mean_value);
  F32 squares = Zero();
  for (int64_t i = 0; i < n; i += 16) {
    const F32 v = Sub(LoadFirst(x + i, n - i, mean_value), mean);
    squares = Fma(v, v, squares);
  }
  const float variance = Sum(squares) / static_cast<float>(n);
  const F32 scale = Set1(1.0f / __builtin_sqrtf(variance + norm.eps));
  for (int64_t i = 0; i < n; i += 16) {
    F32 v = Mul(Sub(LoadFirst(x + i, n - i, 0.0f), mean), scale);
    v = Mul(v, LoadFirst(norm.weight + i, n - i, 0.0f));
    if (norm.bias != nullptr) v = Add(v, LoadFirst(norm.bias + i, n - i, 0.0f));
    use(i, v);
  }
}

void LayerNorm(const float* x, const float* weight, const float* bias, int64_t n, float eps, float* out) {
  ForLayerNorm(x, {weight, bias, eps}, n, [=](int64_t i, F32 v) { StoreFirst(out + i, n - i, v); });
}

void LayerNormAdd(const float* y, const RowNorm& norm, int64_t n, float scale, float* x) {
  ForLayerNorm(y, norm, n, [=](int64_t i, F32 v) { AddScaledAt(x, i, n, v, Set1(scale)); });
}
