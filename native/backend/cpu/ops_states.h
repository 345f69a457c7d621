// Layers with a state: causal convolutions, and the gated delta rule row by row. Included by each kernels_<isa>_kinds.cc inside
// its own namespace. Every row is computed from the state before it alone, in one order of operations, so that it does not
// matter how rows are cut into steps (docs/contract.md).
#pragma once

#include "backend/cpu/ops_norms.h"

// log(1 + z) for z in [0, 1] is 2 atanh(s), s = z / (2 + z) <= 1 / 3; what follows s^15 is below 3e-9 of it.
inline F32 LogOfOnePlus(F32 z) {
  const F32 s = Div(z, Add(Set1(2.0f), z));
  const F32 u = Mul(s, s);
  F32 p = Set1(6.666666667e-02f);
  p = Fma(p, u, Set1(7.692307692e-02f));
  p = Fma(p, u, Set1(9.090909091e-02f));
  p = Fma(p, u, Set1(1.111111111e-01f));
  p = Fma(p, u, Set1(1.428571429e-01f));
  p = Fma(p, u, Set1(2.000000000e-01f));
  p = Fma(p, u, Set1(3.333333333e-01f));
  const F32 twice = Add(s, s);
  return Fma(Mul(twice, u), p, twice);
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); NaN stays.
inline F32 Softplus(F32 x) { return Add(Max(Zero(), x), LogOfOnePlus(ExpOfNegative(Sub(Zero(), Abs(x))))); }

inline F32 SiluOf(F32 x) { return Div(x, Add(Set1(1.0f), Exp(Sub(Zero(), x)))); }

// Calls output(row, i, sum) with the convolution of sixteen channels from i on, rows ascending; input(row, i) gives what is
// convolved, before output of the same place is called. A sum begins with the bias, or zero; then a fused add for each tap,
// the oldest row first.
template <typename Input, typename Output>
inline void Convolve(const ConvRows& c, const Input& input, const Output& output) {
  // The last rows, row t in ring[(t + taps - 1) % taps].
  alignas(64) float ring[kMostTaps][kConvChannels];
  const int before = c.taps - 1;
  for (int j = 0; j < before; ++j) {
    for (int64_t i = 0; i < c.channels; i += 16) {
      F32 kept = Zero();
      if (c.from != nullptr) kept = LoadFirst(c.from + j * c.ld_state + i, c.channels - i, 0.0f);
      Store(ring[j] + i, kept);
    }
  }
  int oldest = 0;
  for (int64_t row = 0; row < c.rows; ++row) {
    float* newest = ring[(oldest + before) % c.taps];
    for (int64_t i = 0; i < c.channels; i += 16) {
      Store(newest + i, input(row, i));
      F32 sum = c.bias == nullptr ? Zero() : LoadFirst(c.bias + i, c.channels - i, 0.0f);
      for (int j = 0, at = oldest; j < c.taps; ++j, at = at + 1 == c.taps ? 0 : at + 1) {
        sum = Fma(LoadFirst(c.weight + j * c.ld_weight + i, c.channels - i, 0.0f), Load(ring[at] + i), sum);
      }
      output(row, i, sum);
    }
    oldest = oldest + 1 == c.taps ? 0 : oldest + 1;
  }
  for (int j = 0; j < before; ++j) {
    const float* kept = ring[(oldest + j) % c.taps];
    for (int64_t i = 0; i < c.channels; i += 16) {
      StoreFirst(c.to + j * c.ld_state + i, c.channels - i, Load(kept + i));
    }
  }
}

void ShortConvRows(const ConvRows& c, const float* in, int64_t ld_in, int64_t part, float* out,
                   int64_t ld_out) {
  const auto load = [&](int64_t row, int64_t which, int64_t i) {
    return LoadFirst(in + row * ld_in + which * part + i, c.channels - i, 0.0f);
  };
  Convolve(
      c, [&](int64_t row, int64_t i) { return Mul(load(row, 0, i), load(row, 2, i)); },
      [&](int64_t row, int64_t i, F32 sum) {
        StoreFirst(out + row * ld_out + i, c.channels - i, Mul(load(row, 1, i), sum));
      });
}

void ConvSilu(const ConvRows& c, float* x, int64_t ld) {
  Convolve(
      c, [&](int64_t row, int64_t i) { return LoadFirst(x + row * ld + i, c.channels - i, 0.0f); },
      [&](int64_t row, int64_t i, F32 sum) { StoreFirst(x + row * ld + i, c.channels - i, SiluOf(sum)); });
}

void UnitLength(float* x, int64_t n, float scale) {
  F32 squares = Zero();
  for (int64_t i = 0; i < n; i += 16) {
    const F32 v = LoadFirst(x + i, n - i, 0.0f);
    squares = Fma(v, v, squares);
  }
  const float factor = scale / __builtin_sqrtf(Sum(squares) + 1e-6f);
  for (int64_t i = 0; i < n; i += 16) {
    StoreFirst(x + i, n - i, Mul(LoadFirst(x + i, n - i, 0.0f), Set1(factor)));
  }
}

void DeltaGates(const float* rate, const float* dt, int64_t n, float* gates) {
  float* decays = gates + n;
  for (int64_t i = 0; i < n; i += 16) {
    const F32 b = LoadFirst(gates + i, n - i, 0.0f);
    const F32 a = Add(LoadFirst(decays + i, n - i, 0.0f), LoadFirst(dt + i, n - i, 0.0f));
    const F32 one = Set1(1.0f);
    StoreFirst(gates + i, n - i, Div(one, Add(one, Exp(Sub(Zero(), b)))));
    StoreFirst(decays + i, n - i, Exp(Mul(LoadFirst(rate + i, n - i, 0.0f), Softplus(a))));
  }
}

// Columns [column, column + 16 kVectors) of S, which nothing else in the rule reads or writes. Of each row, k ascending:
// S = S * decay, read = fma(S, key, read); then delta = (v - read) * beta; then S = fma(key, delta, S), out = fma(S, q, out).
template <int kVectors>
inline void DeltaColumns(const DeltaRows& d, int64_t column) {
  const int64_t ld = (d.value_dim + 15) / 16 * 16, left = d.value_dim - column;
  const float* source = d.from == nullptr ? nullptr : d.from + column;
  float* state = d.to + column;
  for (int64_t row = 0; row < d.rows; ++row, source = state) {
    const float *key = d.k + row * d.ld, *query = d.q + row * d.ld;
    const F32 decay = Set1(d.decay[row * d.ld_gates]), beta = Set1(d.beta[row * d.ld_gates]);
    F32 read[kVectors], delta[kVectors], out[kVectors];
    for (int v = 0; v < kVectors; ++v) read[v] = Zero();
    for (int64_t k = 0; k < d.key_dim; ++k) {
      const F32 factor = Set1(key[k]);
      for (int v = 0; v < kVectors; ++v) {
        F32 decayed = Zero();
        if (source != nullptr) decayed = Mul(Load(source + k * ld + 16 * v), decay);
        Store(state + k * ld + 16 * v, decayed);
        read[v] = Fma(decayed, factor, read[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const F32 value = LoadFirst(d.v + row * d.ld + column + 16 * v, left - 16 * v, 0.0f);
      delta[v] = Mul(Sub(value, read[v]), beta);
      out[v] = Zero();
    }
    for (int64_t k = 0; k < d.key_dim; ++k) {
      const F32 factor = Set1(key[k]), q = Set1(query[k]);
      for (int v = 0; v < kVectors; ++v) {
        const F32 after = Fma(factor, delta[v], Load(state + k * ld + 16 * v));
        Store(state + k * ld + 16 * v, after);
        out[v] = Fma(after, q, out[v]);
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      StoreFirst(d.out + row * d.ld_out + column + 16 * v, left - 16 * v, out[v]);
    }
  }
}

void DeltaRule(const DeltaRows& d) {
  int64_t column = 0;
  for (; column + 16 * kDeltaVectors <= d.value_dim; column += 16 * kDeltaVectors) {
    DeltaColumns<kDeltaVectors>(d, column);
  }
  for (; column < d.value_dim; column += 16) DeltaColumns<1>(d, column);
}

void GatedNorm(const float* gate, const RowNorm& norm, int64_t n, float* x) {
  ForScaled(x, norm.weight, n, RmsScale(x, n, norm.eps), [=](int64_t i, F32 v) {
    StoreFirst(x + i, n - i, Mul(v, SiluOf(LoadFirst(gate + i, n - i, 0.0f))));
  });
}

constexpr StateKernels kStates = {.short_conv = ShortConvRows,
                                  .conv_silu = ConvSilu,
                                  .unit_length = UnitLength,
                                  .delta_gates = DeltaGates,
                                  .delta_rule = DeltaRule,
                                  .gated_norm = GatedNorm};
