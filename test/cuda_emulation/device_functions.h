// CUDA's device functions with exactly their meaning in IEEE arithmetic: one rounding where _rn says so, saturation and
// NaN as the cvt instructions have them. Refuses approximations (__expf, rsqrtf): their bits are the GPU's alone.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "device_types.h"
#include "execution.h"

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }

namespace cuda_emulation {

// cvt.<rounding>.s32.f32: NaN is 0, what does not fit is the nearest end.
inline int FloatToInt(float rounded) {
  if (std::isnan(rounded)) return 0;
  if (rounded >= 0x1p31f) return INT32_MAX;
  if (rounded < -0x1p31f) return INT32_MIN;
  return static_cast<int>(rounded);
}
inline unsigned FloatToUnsigned(float rounded) {
  if (std::isnan(rounded) || rounded <= 0) return 0;
  if (rounded >= 0x1p32f) return UINT32_MAX;
  return static_cast<unsigned>(rounded);
}

}  // namespace cuda_emulation

inline int __float2int_rn(float a) { return cuda_emulation::FloatToInt(std::nearbyint(a)); }
inline int __float2int_rz(float a) { return cuda_emulation::FloatToInt(std::trunc(a)); }
inline int __float2int_rd(float a) { return cuda_emulation::FloatToInt(std::floor(a)); }
inline unsigned __float2uint_rn(float a) { return cuda_emulation::FloatToUnsigned(std::nearbyint(a)); }
inline float __int2float_rn(int a) { return static_cast<float>(a); }
inline float __uint2float_rn(unsigned a) { return static_cast<float>(a); }
inline float __ll2float_rn(long long a) { return static_cast<float>(a); }
inline float __double2float_rn(double a) { return static_cast<float>(a); }

inline float __int_as_float(int a) { return std::bit_cast<float>(a); }
inline int __float_as_int(float a) { return std::bit_cast<int>(a); }
inline float __uint_as_float(unsigned a) { return std::bit_cast<float>(a); }
inline unsigned __float_as_uint(float a) { return std::bit_cast<unsigned>(a); }

inline int __popc(unsigned a) { return std::popcount(a); }
inline int __popcll(unsigned long long a) { return std::popcount(a); }
inline int __clz(int a) { return std::countl_zero(static_cast<unsigned>(a)); }
inline int __clzll(long long a) { return std::countl_zero(static_cast<unsigned long long>(a)); }
inline int __ffs(int a) { return a == 0 ? 0 : std::countr_zero(static_cast<unsigned>(a)) + 1; }
inline int __ffsll(long long a) {
  return a == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(a)) + 1;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
// Each of the four low nibbles of `selector` picks a byte of b:a; its bit 3 asks for the sign of that byte instead.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  unsigned out = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned pick = selector >> (4 * i) & 0xf;
    const unsigned byte = bytes >> (8 * (pick & 7)) & 0xff;
    out |= (pick & 8 ? (byte & 0x80 ? 0xffu : 0u) : byte) << (8 * i);
  }
  return out;
}

inline int __dp4a(int a, int b, int c) {
  unsigned sum = static_cast<unsigned>(c);
  for (int i = 0; i < 32; i += 8) {
    sum += static_cast<unsigned>(static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i));
  }
  return static_cast<int>(sum);
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 0xff) * (b >> i & 0xff);
  return c;
}

#define CUDA_EMULATION_MIN_MAX(T)                  \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
CUDA_EMULATION_MIN_MAX(int)
CUDA_EMULATION_MIN_MAX(unsigned)
CUDA_EMULATION_MIN_MAX(long)
CUDA_EMULATION_MIN_MAX(unsigned long)
CUDA_EMULATION_MIN_MAX(long long)
CUDA_EMULATION_MIN_MAX(unsigned long long)
#undef CUDA_EMULATION_MIN_MAX
// A NaN loses, as fminf has it.
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

template <typename T>
T __ldg(const T* p) {
  return *p;
}
template <typename T>
T __ldcs(const T* p) {
  return *p;
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// One fiber runs at a time: plain code is atomic.
template <typename T>
T atomicAdd(T* p, T v) {
  static_assert(std::is_integral_v<T>, "float sums in any order have other bits each time");
  const T old = *p;
  *p = static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(v));
  return old;
}
template <typename T>
T atomicMax(T* p, T v) {
  const T old = *p;
  *p = old < v ? v : old;
  return old;
}
template <typename T>
T atomicMin(T* p, T v) {
  const T old = *p;
  *p = v < old ? v : old;
  return old;
}

namespace cuda_emulation {

struct ShufflePayload {
  uint64_t bits;  // in: the lane's value; out: what it gets
  int lane;       // whose value is wanted
  int width;
};
void ExecuteShuffle(void* const* payloads, uint32_t mask);

enum class ShuffleKind { kIndex, kUp, kDown, kXor };
// The lane whose value a shuffle reads; its own where PTX's shfl.sync keeps it.
int ShuffleSource(ShuffleKind kind, int lane, int operand, int width);

template <typename T>
T Shuffle(ShuffleKind kind, uint32_t mask, T value, int operand, int width, Site site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA shuffles words of 4 or 8 bytes");
  ShufflePayload payload{0, ShuffleSource(kind, Current().lane, operand, width), width};
  std::memcpy(&payload.bits, &value, sizeof(T));
  Collective(mask, ExecuteShuffle, &payload, site);
  std::memcpy(&value, &payload.bits, sizeof(T));
  return value;
}

// The lanes of the mask whose predicate holds.
uint32_t Ballot(uint32_t mask, bool predicate, Site site);

}  // namespace cuda_emulation

template <typename T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32,
              cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  return cuda_emulation::Shuffle(cuda_emulation::ShuffleKind::kIndex, mask, value, lane, width, site);
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32,
                 cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  return cuda_emulation::Shuffle(cuda_emulation::ShuffleKind::kUp, mask, value, static_cast<int>(delta),
                                 width, site);
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32,
                   cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  return cuda_emulation::Shuffle(cuda_emulation::ShuffleKind::kDown, mask, value, static_cast<int>(delta),
                                 width, site);
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32,
                  cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  return cuda_emulation::Shuffle(cuda_emulation::ShuffleKind::kXor, mask, value, lane_mask, width, site);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate,
                              cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  return cuda_emulation::Ballot(mask, predicate != 0, site);
}
inline int __any_sync(uint32_t mask, int predicate,
                      cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  return cuda_emulation::Ballot(mask, predicate != 0, site) != 0;
}
inline int __all_sync(uint32_t mask, int predicate,
                      cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  return cuda_emulation::Ballot(mask, predicate != 0, site) == mask;
}
