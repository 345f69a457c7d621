// Work on single rows: rotation, quantization, log-sum-exp. Included by each kernels_<isa>.cc inside its own namespace.
#pragma once

#include "backend/cpu/ops_math.h"

// Hadamard transform of 64 values: strides 1, 2, 4, 8 inside a vector, 16 and 32 across. Times kRotationNorm, a power
// of two and so exact wherever it is applied, it is orthonormal.
constexpr float kRotationNorm = 0.125f;
inline void RotateSums64(F32 (&v)[4]) {
  for (F32& x : v) x = Butterfly<1>(x);
  for (F32& x : v) x = Butterfly<2>(x);
  for (F32& x : v) x = Butterfly<4>(x);
  for (F32& x : v) x = Butterfly<8>(x);
  const F32 a = Add(v[0], v[1]), b = Sub(v[0], v[1]), c = Add(v[2], v[3]), d = Sub(v[2], v[3]);
  v[0] = Add(a, c);
  v[1] = Add(b, d);
  v[2] = Sub(a, c);
  v[3] = Sub(b, d);
}
inline void Rotate64(F32 (&v)[4]) {
  RotateSums64(v);
  for (F32& x : v) x = Mul(x, Set1(kRotationNorm));
}

// Sums and differences within each kBlock of a vector's lanes.
template <int kBlock>
inline F32 RotateLanes(F32 x) {
  x = Butterfly<1>(x);
  if constexpr (kBlock > 2) x = Butterfly<2>(x);
  if constexpr (kBlock > 4) x = Butterfly<4>(x);
  if constexpr (kBlock > 8) x = Butterfly<8>(x);
  return x;
}

// n a multiple of kBlock, kBlock at most 16.
template <int kBlock>
inline void RotateWithinVectors(float* x, int64_t n) {
  const F32 norm = Set1(1.0f / __builtin_sqrtf(kBlock));
  for (int64_t i = 0; i < n; i += 16) {
    StoreFirst(x + i, n - i, Mul(RotateLanes<kBlock>(LoadFirst(x + i, n - i, 0.0f)), norm));
  }
}

inline void Rotate32(float* x) {
  const F32 norm = Set1(1.0f / __builtin_sqrtf(32));
  const F32 low = RotateLanes<16>(Load(x)), high = RotateLanes<16>(Load(x + 16));
  Store(x, Mul(Add(low, high), norm));
  Store(x + 16, Mul(Sub(low, high), norm));
}

inline void Rotate64(float* x) {
  F32 v[4];
  for (int i = 0; i < 4; ++i) v[i] = Load(x + 16 * i);
  Rotate64(v);
  for (int i = 0; i < 4; ++i) Store(x + 16 * i, v[i]);
}

void RotateBlocks(float* x, int64_t n, int block) {
  const int64_t whole = n / block * block;
  switch (block) {
    case 2: return RotateWithinVectors<2>(x, whole);
    case 4: return RotateWithinVectors<4>(x, whole);
    case 8: return RotateWithinVectors<8>(x, whole);
    case 16: return RotateWithinVectors<16>(x, whole);
    case 32:
      for (int64_t i = 0; i < whole; i += 32) Rotate32(x + i);
      return;
    case 64:
      for (int64_t i = 0; i < whole; i += 64) Rotate64(x + i);
      return;
  }
}

// scale = amax / 127 and the factor 127 / amax; both 0 for a group of zeros.
struct QuantScale {
  float scale, inverse;
};
inline QuantScale ScaleOf(float amax) {
  if (!(amax > 0.0f)) return {0.0f, 0.0f};
  const float inverse = 127.0f / amax;
  return {amax / 127.0f, inverse <= 3.4028234e38f ? inverse : 0.0f};
}

// round(x * inverse) for |x| * inverse < 127.5. The bound is for NaN, which converts to the smallest integer.
inline I32 Quantize(F32 x, F32 inverse) { return MaxInt(Round(Mul(x, inverse)), SetInt(-127)); }

// From the group `index` of QuantizedRows on.
inline QuantizedRows GroupsFrom(const QuantizedRows& rows, int64_t index) {
  return {.values = static_cast<Quantized*>(rows.values) + index * kGroup,
          .scales = rows.scales + index,
          .start = rows.start + index,
          .start_of_sums = rows.start_of_sums + index,
          .groups = rows.groups};
}

// Up to 64 values, zeros behind them, rotated but for the factor kRotationNorm. Returns the largest of each lane.
inline F32 LoadGroup(const float* x, int64_t n, bool rotate, F32 (&v)[4]) {
  for (int i = 0; i < 4; ++i) {
    const int64_t left = n - 16 * i;
    v[i] = left > 0 ? LoadFirst(x + 16 * i, left, 0.0f) : Zero();
  }
  if (rotate) RotateSums64(v);
  return Max(Max(Abs(v[0]), Abs(v[1])), Max(Abs(v[2]), Abs(v[3])));
}

// Returns the sums of lanes.
inline I32 StoreGroup(const F32 (&v)[4], F32 inverse, const QuantizedRows& out, I32 (&q)[4]) {
  for (int i = 0; i < 4; ++i) {
    q[i] = Quantize(v[i], inverse);
    StoreQuantized(static_cast<Quantized*>(out.values) + 16 * i, q[i]);
  }
  return AddInt(AddInt(q[0], q[1]), AddInt(q[2], q[3]));
}

inline void QuantizeGroup(const float* x, int64_t n, bool rotate, const QuantizedRows& out) {
  F32 v[4];
  const F32 largest = LoadGroup(x, n, rotate, v);
  const float norm = rotate ? kRotationNorm : 1.0f;
  const QuantScale s = ScaleOf(MaxLane(largest) * norm);
  I32 q[4];
  const I32 sums = StoreGroup(v, Set1(s.inverse * norm), out, q);
  *out.scales = s.scale;
  *out.start = -kWeightOffset * SumInt(sums);
  StoreStartOfSums(*out.start, q, out.start_of_sums);
}

// With registers for it (KVASIR_FOUR_GROUPS), the same of four groups, x[i] to out[i]: their largest values, scales and sums
// are found side by side.
#ifdef KVASIR_FOUR_GROUPS
inline void QuantizeFourGroups(const float* const (&x)[4], int64_t n, bool rotate,
                               const QuantizedRows (&out)[4]) {
  F32 v[4][4], largest[4];
  for (int i = 0; i < 4; ++i) largest[i] = LoadGroup(x[i], n, rotate, v[i]);
  const F32 norm = Set1(rotate ? kRotationNorm : 1.0f);
  const F32 amax = Mul(MaxLanes(largest), norm);
  const F32 exact = Div(Set1(127.0f), amax);
  const F32 finite = SelectLess(exact, Set1(__builtin_inff()), exact, Zero());
  const F32 inverse = Mul(SelectLess(Zero(), amax, finite, Zero()), norm);
  I32 sums[4];
  for (int i = 0; i < 4; ++i) {
    I32 q[4];
    sums[i] = StoreGroup(v[i], Lane(inverse, 4 * i), out[i], q);
  }
  float scales[16];
  int32_t totals[16];
  Store(scales, SelectLess(Zero(), amax, Div(amax, Set1(127.0f)), Zero()));
  StoreInt(totals, SumLanes(sums));
  for (int i = 0; i < 4; ++i) {
    *out[i].scales = scales[4 * i];
    *out[i].start = -kWeightOffset * totals[4 * i];
  }
}

// Groups with x `ld_x` apart and the results `ld_out`.
inline void QuantizeFourGroups(const float* x, int64_t ld_x, int64_t n, bool rotate, const QuantizedRows& out,
                               int64_t ld_out) {
  const float* from[4];
  QuantizedRows to[4];
  for (int i = 0; i < 4; ++i) {
    from[i] = x + i * ld_x;
    to[i] = GroupsFrom(out, i * ld_out);
  }
  QuantizeFourGroups(from, n, rotate, to);
}
#endif

inline void QuantizeRow(const float* x, int64_t n, bool rotate, const QuantizedRows& out) {
  int64_t base = 0, index = 0;
#ifdef KVASIR_FOUR_GROUPS
  for (; base + 4 * kGroup <= n; base += 4 * kGroup, index += 4 * kRowTile) {
    QuantizeFourGroups(x + base, kGroup, kGroup, rotate, GroupsFrom(out, index), kRowTile);
  }
#endif
  for (; base < n; base += kGroup, index += kRowTile) {
    QuantizeGroup(x + base, n - base, rotate, GroupsFrom(out, index));
  }
}

void QuantizeRows(const float* x, int64_t ld_x, int rows, int64_t n, bool rotate, const QuantizedRows& out) {
  const int64_t step = RowStep(out.groups);
#ifdef KVASIR_FOUR_GROUPS
  if (rows == 4) {
    for (int64_t base = 0, index = 0; base < n; base += kGroup, index += kRowTile) {
      QuantizeFourGroups(x + base, ld_x, n - base, rotate, GroupsFrom(out, index), step);
    }
    return;
  }
#endif
  for (int row = 0; row < rows; ++row) QuantizeRow(x + row * ld_x, n, rotate, GroupsFrom(out, row * step));
}

// Up to 64 weights, rotated, as a binary16 scale and int8 values.
inline void PackGroup(const float* weights, int64_t n, uint16_t* stored_scale, int8_t* q) {
  F32 v[4];
  for (int i = 0; i < 4; ++i) {
    const int64_t left = n - 16 * i;
    v[i] = left > 0 ? LoadFirst(weights + 16 * i, left, 0.0f) : Zero();
  }
  Rotate64(v);
  const F32 largest = Max(Max(Abs(v[0]), Abs(v[1])), Max(Abs(v[2]), Abs(v[3])));
  const float exact = MaxLane(largest) / 127.0f;
  // The scale is rounded to binary16 first, and the values are quantized with what is stored.
  uint16_t bits = HalfBits(exact);
  float scale = HalfValue(bits);
  // Subnormal scales are 2^-24 apart: one that was rounded down would cut off up to all of the largest values.
  if (scale < 0x1p-14f && scale < exact) scale = HalfValue(++bits);
  *stored_scale = bits;
  const F32 inverse = Set1(scale > 0.0f ? 1.0f / scale : 0.0f);
  // The rounded scale may be too small by a little.
  for (int i = 0; i < 4; ++i) StoreS8(q + 16 * i, MinInt(Quantize(v[i], inverse), SetInt(127)));
}

void PackPanelS8(const float* weights, int64_t n_rows, int64_t k, Int8Block* panel) {
  static_assert(kWeightOffset == 128, "adding it to an int8 turns the sign bit");
  for (int64_t base = 0; base < k; base += kGroup, ++panel) {
    alignas(64) int8_t q[kPanelColumns][kGroup];
    for (int64_t row = 0; row < n_rows; ++row) {
      PackGroup(weights + row * k + base, k - base, &panel->scales[row], q[row]);
    }
    for (int64_t row = n_rows; row < kPanelColumns; ++row) {
      panel->scales[row] = 0;
      __builtin_memset(q[row], 0, kGroup);
    }
    // Four weights of a column move as one word: byte by byte, packing SmolLM2-135M took 100 ms of two cores (Zen 4)
    // instead of 43.
    for (int64_t row = 0; row < kPanelColumns; ++row) {
      for (int quad = 0; quad < kGroup / 4; ++quad) {
        uint32_t word;
        __builtin_memcpy(&word, q[row] + 4 * quad, 4);
        word ^= 0x80808080u;
        __builtin_memcpy(panel->weights[quad][row], &word, 4);
      }
    }
  }
}

template <typename StoreFn>
inline int32_t QuantizeHeadTo(const float* x, int64_t n, float* scale, const StoreFn& store) {
  F32 largest = Zero();
  for (int64_t i = 0; i < n; i += 16) largest = Max(Abs(Load(x + i)), largest);
  const QuantScale s = ScaleOf(MaxLane(largest));
  int32_t sum = 0;
  for (int64_t i = 0; i < n; i += 16) {
    const I32 q = Quantize(Load(x + i), Set1(s.inverse));
    store(i, q);
    sum += SumInt(q);
  }
  *scale = s.scale;
  return sum;
}

void QuantizeHead(const float* x, int64_t n, void* values, float* scale, int32_t* start) {
  Quantized* out = static_cast<Quantized*>(values);
  *start =
      -kWeightOffset * QuantizeHeadTo(x, n, scale, [=](int64_t i, I32 q) { StoreQuantized(out + i, q); });
}

void QuantizeHeadS8(const float* x, int64_t n, int8_t* values, float* scale) {
  QuantizeHeadTo(x, n, scale, [=](int64_t i, I32 q) { StoreS8(values + i, q); });
}

void RoundToHalf(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; i += 16) StoreHalf(out + i, Load(x + i));
}

// A NaN counts for nothing.
void BlockMaxima(const float* x, int64_t n, float* out) {
  constexpr float kLeast = -__builtin_inff();
  for (int64_t base = 0; base < n; base += kLogitBlock) {
    F32 largest = Set1(kLeast);
    for (int64_t i = base; i < base + kLogitBlock; i += 16) {
      largest = Max(LoadFirst(x + i, n - i, kLeast), largest);
    }
    *out++ = MaxLane(largest);
  }
}

void SumExps(const float* x, int64_t n, float max, float inverse_temperature, float* sums) {
  const F32 shift = Set1(max), inverse = Set1(inverse_temperature);
  for (int64_t base = 0; base < n; base += kExpSumBlock) {
    F32 part = Zero();
    const int64_t end = base + kExpSumBlock < n ? base + kExpSumBlock : n;
    for (int64_t i = base; i < end; i += 16) {
      const F32 v = LoadFirst(x + i, n - i, -__builtin_inff());
      part = Add(part, Exp(Mul(Sub(v, shift), inverse)));
    }
    *sums++ = Sum(part);
  }
}
