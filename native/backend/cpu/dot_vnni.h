// The INT8 dot product of processors with VNNI. Included by a simd_<isa>.h inside its namespace, which gives Ints (a register
// of int32), kIntsPerI32 (registers of an I32), SetInts, LoadInts, JoinInts and DpBusd.

// dots[r][v] = start[r] + w[v] x x[r], exact; see DotOperands.
template <int kRows, int kVectors>
inline void DotBlock(const DotOperands& in, I32 (&dots)[kRows][kVectors]) {
  constexpr int kRegisters = kVectors * kIntsPerI32;
  Ints acc[kRows][kRegisters];  // not `dots`: as far as GCC knows, x could lie there
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) acc[r][v] = SetInts(in.start[r * in.ld_start]);
  }
  const uint8_t* w = in.w;
  const Quantized* x = static_cast<const Quantized*>(in.x);
  for (int64_t quad = 0; quad < in.quads; ++quad, w += in.ld_w, x += 4) {
    Ints weights[kRegisters];
#pragma GCC unroll 16
    for (int v = 0; v < kRegisters; ++v) weights[v] = LoadInts(w + sizeof(Ints) * v);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      int32_t bytes;
      __builtin_memcpy(&bytes, x + r * in.ld_x, 4);
      const Ints input = SetInts(bytes);
#pragma GCC unroll 16
      for (int v = 0; v < kRegisters; ++v) DpBusd(acc[r][v], weights[v], input);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) dots[r][v] = JoinInts(acc[r] + v * kIntsPerI32);
  }
}
