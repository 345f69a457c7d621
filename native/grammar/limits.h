// Budgets of one grammar and what is thrown beyond them. Grammars come from strangers: whatever they hold, compiling and
// matching end within these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace kvasir::grammar {

// LIMIT_EXCEEDED of lib/errors.ts; the addon gives it that code.
class LimitError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

constexpr size_t kMostIrNodes = 1 << 20;
constexpr int kDeepestIr = 2000;               // frames of the C stack while it is built: 200 bytes each
constexpr size_t kMostStates = 400'000;        // of the automaton, 32 bytes each
constexpr size_t kMostFrames = 32'768;         // sets of states, at most 1 KiB of transitions each
constexpr size_t kMostConfigs = 8'192;         // of one frame
constexpr size_t kMostProductStates = 20'000;  // of an intersection or a difference
constexpr size_t kMostStackNodes = 1 << 18;
constexpr size_t kMostLocalStates = 1 << 16;
constexpr size_t kMostHeadSteps = 20'000;            // to close one set of heads
constexpr size_t kMostBehind = 64;                   // lists of tokens behind a rule that a matcher keeps
constexpr size_t kMostWays = 8'192;                  // lengths of ways to the end that a matcher keeps
constexpr size_t kMostMaskBytes = size_t{64} << 20;  // beyond it kept masks are dropped
constexpr size_t kLongestCompletion = 1 << 14;       // bytes
constexpr uint32_t kLongestToken = 1024;             // bytes; longer tokens are never allowed
constexpr uint32_t kFar = 1u << 30;                  // a distance in bytes that nothing reaches
constexpr uint8_t kFirstTokenByte = 0xF8;            // from here on bytes are of special tokens' codes alone
constexpr uint32_t kUnbounded = UINT32_MAX;          // most repetitions

inline uint32_t AddDistance(uint32_t a, uint32_t b) { return a >= kFar - b || b >= kFar ? kFar : a + b; }
inline uint32_t TimesDistance(uint32_t times, uint32_t length) {
  const uint64_t product = uint64_t{times} * length;
  return product >= kFar ? kFar : static_cast<uint32_t>(product);
}

}  // namespace kvasir::grammar
