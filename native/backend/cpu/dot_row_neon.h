// One row of an INT8 dot product where an instruction multiplies a quad of k. Included by dot_neon_dotprod.h and
// dot_neon_i8mm.h, which give LoadWeights, StartOf and AddQuad.

template <int kLane, int kSums>
inline void AddQuadOfRow(const uint8_t* w, int8x16_t x, int32x4_t (&acc)[kSums]) {
#pragma GCC unroll 16
  for (int i = 0; i < kSums; ++i) AddQuad<kLane>(acc[i], LoadWeights(w + 16 * i), x);
}

template <int kVectors>
inline void DotRow(const DotOperands& in, int32x4_t (&dots)[4 * kVectors]) {
  int32x4_t acc[4 * kVectors];
#pragma GCC unroll 16
  for (int32x4_t& sum : acc) sum = StartOf(*in.start);
  const uint8_t* w = in.w;
  const Quantized* from = static_cast<const Quantized*>(in.x);
  for (int64_t quad = 0; quad < in.quads; quad += 4, w += 4 * in.ld_w, from += 16) {
    const int8x16_t x = vld1q_s8(from);
    AddQuadOfRow<0>(w, x, acc);
    AddQuadOfRow<1>(w + in.ld_w, x, acc);
    AddQuadOfRow<2>(w + 2 * in.ld_w, x, acc);
    AddQuadOfRow<3>(w + 3 * in.ld_w, x, acc);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4 * kVectors; ++i) dots[i] = acc[i];
}
