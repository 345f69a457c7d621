// The one source of every order that CUDA leaves open. Refuses to be good randomness: it is fast and follows the seed.
#pragma once

#include <bit>
#include <cstdint>

namespace cuda_emulation {

class RandomOrder {
 public:
  void Seed(uint64_t seed) { state_ = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du; }

  uint32_t Next() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<uint32_t>(state_ * 0x2545f4914f6cdd1du >> 32);
  }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(static_cast<uint64_t>(Next()) * n >> 32); }
  // One of the set bits, the first after a random place.
  int SetBit(uint32_t bits) {
    const int turn = static_cast<int>(Next() & 31);
    return (std::countr_zero(std::rotr(bits, turn)) + turn) & 31;
  }

 private:
  uint64_t state_ = 0x2545f4914f6cdd1du;
};

// Guarded by the runtime's lock (device_state.h).
extern RandomOrder random_order;

}  // namespace cuda_emulation
