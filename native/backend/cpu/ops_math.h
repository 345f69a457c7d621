// exp, erf, tanh and partial vectors over F32, the sixteen lanes of a simd_<isa>.h. Included by each kernels_<isa>.cc
// inside its own namespace, so no copy compiled for one ISA can be linked into another's.
#pragma once

// Rows of quantized x against columns of weights, four k a quad: w [quads][columns][4] u8, quads ld_w bytes apart;
// x [rows, 4 * quads] as the ISA quantizes, rows ld_x values apart; sums begin at start [rows], ld_start apart.
struct DotOperands {
  const uint8_t* w;
  int64_t ld_w;
  int64_t quads;
  const void* x;
  int64_t ld_x;
  const int32_t* start;
  int64_t ld_start;
};

// Rows of QuantizedRows that lie together.
#ifdef KVASIR_ROW_TILE
constexpr int kRowTile = KVASIR_ROW_TILE;
#else
constexpr int kRowTile = 1;
#endif

#include KVASIR_SIMD  // the lanes of the kernels_<isa>.cc that includes this

// exp(x), relative error below 2e-7; 0 below -87, saturates at exp(88). x = n ln2 + r, |r| <= ln2 / 2, and
// exp(r) = 1 + r + r^2 P(r) with P fitted to a relative error of 3e-9 (Lawson's algorithm).
inline F32 ExpOfClamped(F32 x, F32 clamped) {
  const I32 n = Round(Mul(clamped, Set1(1.44269504f)));
  const F32 nf = FromInt(n);
  F32 r =
      Fma(nf, Set1(-0.693359375f), clamped);  // ln2 in two parts: the first has 9 bits, so n * part is exact
  r = Fma(nf, Set1(2.12194440e-4f), r);
  F32 p = Set1(1.381459837e-03f);
  p = Fma(p, r, Set1(8.368716898e-03f));
  p = Fma(p, r, Set1(4.166838805e-02f));
  p = Fma(p, r, Set1(1.666652063e-01f));
  p = Fma(p, r, Set1(4.999999345e-01f));
  p = Fma(Mul(r, r), p, Add(Set1(1.0f), r));
  return TimesPow2(p, n, x, -87.0f);
}
inline F32 Exp(F32 x) { return ExpOfClamped(x, Max(Set1(-87.0f), Min(Set1(88.0f), x))); }
// The same for x <= 0.
inline F32 ExpOfNegative(F32 x) { return ExpOfClamped(x, Max(Set1(-87.0f), x)); }

// erf(z), absolute error below 1e-7: z P(z^2) up to 1, then 1 - exp(-z^2) t Q(t) with t = 1 / (1 + z / 2).
inline F32 Erf(F32 z) {
  const F32 a = Min(Abs(z), Set1(4.2f));
  const F32 u = Mul(a, a);
  F32 p = Set1(-9.680138283e-06f);
  p = Fma(p, u, Set1(1.127054517e-04f));
  p = Fma(p, u, Set1(-8.484711545e-04f));
  p = Fma(p, u, Set1(5.221074885e-03f));
  p = Fma(p, u, Set1(-2.686544582e-02f));
  p = Fma(p, u, Set1(1.128378275e-01f));
  p = Fma(p, u, Set1(-3.761263848e-01f));
  p = Fma(p, u, Set1(1.128379167e+00f));
  const F32 t = Div(Set1(1.0f), Fma(a, Set1(0.5f), Set1(1.0f)));
  F32 q = Set1(4.819985791e-03f);
  q = Fma(q, t, Set1(9.233100462e-02f));
  q = Fma(q, t, Set1(-4.067952211e-01f));
  q = Fma(q, t, Set1(4.775637717e-01f));
  q = Fma(q, t, Set1(-3.373671973e-02f));
  q = Fma(q, t, Set1(3.119739981e-01f));
  q = Fma(q, t, Set1(2.709915969e-01f));
  q = Fma(q, t, Set1(2.829034315e-01f));
  const F32 tail = Sub(Set1(1.0f), Mul(Exp(Sub(Zero(), u)), Mul(t, q)));
  return CopySign(SelectLess(a, Set1(1.0f), Mul(a, p), tail), z);
}

// tanh(x), error below 1.3 units in the last place: a + a^3 P(a^2) up to 0.75, then 1 - 2 e / (1 + e) with e = exp(-2 a); P is
// fitted to a relative error of 2e-9. NaN stays NaN.
inline F32 Tanh(F32 x) {
  const F32 a = Abs(x);
  const F32 u = Mul(a, a);
  F32 p = Set1(1.736935694e-03f);
  p = Fma(p, u, Set1(-7.657255046e-03f));
  p = Fma(p, u, Set1(2.145203389e-02f));
  p = Fma(p, u, Set1(-5.389272422e-02f));
  p = Fma(p, u, Set1(1.333269477e-01f));
  p = Fma(p, u, Set1(-3.333331645e-01f));
  const F32 near = Fma(Mul(a, u), p, a);
  const F32 e = ExpOfNegative(Sub(Zero(), Add(a, a)));
  const F32 tail = Sub(Set1(1.0f), Div(Add(e, e), Add(Set1(1.0f), e)));
  return CopySign(SelectLess(a, Set1(0.75f), near, tail), x);
}

// The first n lanes of memory, the others `fill`.
inline F32 LoadFirst(const float* p, int64_t n, float fill) {
  if (n >= 16) return Load(p);
  float v[16];
  for (int64_t i = 0; i < 16; ++i) v[i] = i < n ? p[i] : fill;
  return Load(v);
}

inline void StoreFirst(float* p, int64_t n, F32 a) {
  if (n >= 16) {
    Store(p, a);
    return;
  }
  float v[16];
  Store(v, a);
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}

// Where a row's first group lies among QuantizedRows; its next one is kRowTile further, the same group of the next row of its
// tile RowStep.
inline int64_t RowIndex(int64_t row, int64_t groups) {
  return row / kRowTile * groups * kRowTile + row % kRowTile;
}
inline int64_t RowStep(int64_t groups) { return kRowTile == 1 ? groups : 1; }
