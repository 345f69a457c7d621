// Sixteen float lanes in plain C++: the oracle that every ISA must equal bit for bit.
// Included inside a namespace of its own by kernels_scalar.cc, after <cmath> and core/half.h.
// It refuses to be fast.

constexpr int kGemmRows = 4;       // rows of a GEMM tile
constexpr int kS8TileVectors = 2;  // 16-column vectors of an INT8 tile
constexpr int kS8Rows = 4;
constexpr int kAttentionRows = 4;  // query rows that share one pass over V
constexpr int kScoreRows = 3;
constexpr int kDeltaVectors = 2;  // columns of S that go through the delta rule together, in vectors
constexpr int kPrefetchRowsF32 = kGemmRows + 1;
constexpr int kPrefetchRowsS8 = kS8Rows + 1;
using Quantized = int8_t;

struct F32 {
  float v[16];
};
struct I32 {
  int32_t v[16];
};

template <typename Fn>
inline F32 Map(const Fn& fn) {
  F32 out;
  for (int i = 0; i < 16; ++i) out.v[i] = fn(i);
  return out;
}

inline F32 Zero() {
  return Map([](int) { return 0.0f; });
}
inline F32 Set1(float x) {
  return Map([=](int) { return x; });
}
inline F32 Load(const float* p) {
  return Map([=](int i) { return p[i]; });
}
inline void Store(float* p, F32 a) {
  for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
inline F32 LoadHalf(const uint16_t* p) {
  return Map([=](int i) { return FloatFromHalf(p[i]); });
}
inline void StoreHalf(uint16_t* p, F32 a) {
  for (int i = 0; i < 16; ++i) p[i] = HalfFromFloat(a.v[i]);
}
inline uint16_t HalfBits(float x) { return HalfFromFloat(x); }
inline float HalfValue(uint16_t bits) { return FloatFromHalf(bits); }
inline F32 Add(F32 a, F32 b) {
  return Map([&](int i) { return a.v[i] + b.v[i]; });
}
inline F32 Sub(F32 a, F32 b) {
  return Map([&](int i) { return a.v[i] - b.v[i]; });
}
inline F32 Mul(F32 a, F32 b) {
  return Map([&](int i) { return a.v[i] * b.v[i]; });
}
inline F32 Div(F32 a, F32 b) {
  return Map([&](int i) { return a.v[i] / b.v[i]; });
}
inline F32 Fma(F32 a, F32 b, F32 c) {
  return Map([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
}
// As x86 does it: the second operand when they do not compare.
inline F32 Max(F32 a, F32 b) {
  return Map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline F32 Min(F32 a, F32 b) {
  return Map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline F32 Abs(F32 a) {
  return Map([&](int i) { return FloatFromBits(BitsFromFloat(a.v[i]) & 0x7fffffffu); });
}
inline F32 CopySign(F32 magnitude, F32 sign) {
  return Map([&](int i) {
    return FloatFromBits((BitsFromFloat(magnitude.v[i]) & 0x7fffffffu) |
                         (BitsFromFloat(sign.v[i]) & 0x80000000u));
  });
}
inline F32 SelectLess(F32 a, F32 b, F32 if_less, F32 otherwise) {
  return Map([&](int i) { return a.v[i] < b.v[i] ? if_less.v[i] : otherwise.v[i]; });
}
// Lane i gets `inside` where i < n, else `outside`.
inline F32 SelectFirst(int n, F32 inside, F32 outside) {
  return Map([&](int i) { return i < n ? inside.v[i] : outside.v[i]; });
}
// Nearest even; what does not fit (NaN too) becomes INT32_MIN, as on x86.
inline I32 Round(F32 a) {
  I32 out;
  for (int i = 0; i < 16; ++i) {
    const float x = a.v[i];
    out.v[i] =
        x >= -2147483648.0f && x < 2147483648.0f ? static_cast<int32_t>(std::nearbyintf(x)) : INT32_MIN;
  }
  return out;
}
inline F32 FromInt(I32 a) {
  return Map([&](int i) { return static_cast<float>(a.v[i]); });
}
// p * 2^n where x is not below `least`, else 0. n is added to the exponent, which p and the product have room for.
inline F32 TimesPow2(F32 p, I32 n, F32 x, float least) {
  return Map([&](int i) {
    const uint32_t product = BitsFromFloat(p.v[i]) + (static_cast<uint32_t>(n.v[i]) << 23);
    return x.v[i] < least ? 0.0f : FloatFromBits(product);
  });
}
// x[i] + x[i ^ kStride] in lanes with bit kStride clear, x[i ^ kStride] - x[i] in the others.
template <int kStride>
inline F32 Butterfly(F32 a) {
  return Map([&](int i) {
    const float other = a.v[i ^ kStride];
    return (i & kStride) ? other - a.v[i] : a.v[i] + other;
  });
}
inline void StoreQuantized(Quantized* p, I32 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}
inline void StoreS8(int8_t* p, I32 a) { StoreQuantized(p, a); }
inline I32 LoadInt(const int32_t* p) {
  I32 out;
  for (int i = 0; i < 16; ++i) out.v[i] = p[i];
  return out;
}
inline void StoreStartOfSums(int32_t /*start*/, const I32 (&/*q*/)[4], int32_t* /*out*/) {}
// Lanes i and i + 8, then i and i + 4, 2, 1: the same tree on every ISA.
inline float Sum(F32 a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] + a.v[i + half];
  }
  return a.v[0];
}
inline float MaxLane(F32 a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
  }
  return a.v[0];
}
inline void StoreInt(int32_t* p, I32 a) {
  for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
// For tiles (attention_s8_amx.h): times 256; the low and the high bytes of 64 values, in the order that simd_avx512.h tells;
// sixteen pairs of bytes from each of two places, in turn.
inline I32 TimesByte(I32 a) {
  for (int i = 0; i < 16; ++i) a.v[i] *= 256;
  return a;
}
inline void StoreWeightBytes(const I32 (&q)[4], uint8_t* low, uint8_t* high) {
  for (int value = 0; value < 64; ++value) {
    const int quad = value / 4, at = 4 * (quad % 4 * 4 + quad / 4) + value % 4;
    low[at] = static_cast<uint8_t>(q[value / 16].v[value % 16] & 0xff);
    high[at] = static_cast<uint8_t>(q[value / 16].v[value % 16] >> 8);
  }
}
inline void JoinPairs(const int8_t* first, const int8_t* second, int8_t* out) {
  for (int i = 0; i < 32; ++i) {
    out[i / 2 * 4 + i % 2] = first[i];
    out[i / 2 * 4 + 2 + i % 2] = second[i];
  }
}
inline I32 AddInt(I32 a, I32 b) {
  for (int i = 0; i < 16; ++i) a.v[i] += b.v[i];
  return a;
}
inline int32_t SumInt(I32 a) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += a.v[i];
  return sum;
}
inline I32 MaxInt(I32 a, I32 b) {
  for (int i = 0; i < 16; ++i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline I32 MinInt(I32 a, I32 b) {
  for (int i = 0; i < 16; ++i) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
inline I32 SetInt(int32_t x) {
  I32 out;
  for (int32_t& v : out.v) v = x;
  return out;
}

// dots[r][v] = start[r] + w[v] x x[r], exact; see DotOperands.
template <int kRows, int kVectors>
inline void DotBlock(const DotOperands& in, I32 (&dots)[kRows][kVectors]) {
  const Quantized* x = static_cast<const Quantized*>(in.x);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      for (int column = 0; column < 16; ++column) {
        int32_t sum = in.start[r * in.ld_start];
        for (int64_t quad = 0; quad < in.quads; ++quad) {
          const uint8_t* w = in.w + quad * in.ld_w + (16 * v + column) * 4;
          for (int i = 0; i < 4; ++i) sum += w[i] * x[r * in.ld_x + quad * 4 + i];
        }
        dots[r][v].v[column] = sum;
      }
    }
  }
}

// Sixteen pairs of int16: products are summed within a pair, exactly.
struct Pairs {
  int16_t v[16][2];
};
inline Pairs LoadPairs(const int8_t* p) {
  Pairs out;
  for (int i = 0; i < 32; ++i) out.v[i / 2][i % 2] = p[i];
  return out;
}
inline Pairs SetPair(const int16_t* p) {
  Pairs out;
  for (auto& pair : out.v) pair[0] = p[0], pair[1] = p[1];
  return out;
}
inline void AddDotPairs(I32& acc, const Pairs& a, const Pairs& b) {
  for (int i = 0; i < 16; ++i) acc.v[i] += a.v[i][0] * b.v[i][0] + a.v[i][1] * b.v[i][1];
}
inline void StoreS16(int16_t* p, I32 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int16_t>(a.v[i]);
}
constexpr int kPairRows = 4;  // query rows that share one pass over V in INT8
constexpr int kPairVectors = 2;
constexpr int kStreamRows = 0;  // too few registers
constexpr int kStreamVectors = 0;
