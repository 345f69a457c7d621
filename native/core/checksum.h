// A checksum of stored words that any number of threads can add up in pieces. It finds damage, not forgery: a change of
// any single word always shows (its factor is odd, so no difference is multiplied to 0), others but for one in 2^64 or so.
#pragma once

#include <cstdint>
#include <cstring>

namespace kvasir {

// Sum over 8-byte words i of word * (2 i + 1), modulo 2^64; a last part of a word is filled up with zeros.
// `begin` is the place of the piece in the whole and a multiple of 8; the sums of all pieces add up to the whole's.
inline uint64_t Checksum(const void* bytes, uint64_t size, uint64_t begin = 0) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  uint64_t sum = 0, factor = begin / 8 * 2 + 1, word = 0;
  for (uint64_t i = 0; i + 8 <= size; i += 8, factor += 2) {
    std::memcpy(&word, from + i, 8);
    sum += word * factor;
  }
  word = 0;
  std::memcpy(&word, from + size / 8 * 8, size % 8);
  return sum + word * factor;
}

}  // namespace kvasir
