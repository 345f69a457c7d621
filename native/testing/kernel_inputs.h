// What the kernel tests share: seeded inputs that discriminate, guarded outputs, comparison by bits and against a
// derived tolerance. It refuses to compute what a kernel computes: each test has its own oracle.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/kernel_table.h"

namespace kvasir::testing {

// Sanitizers run the tests at -O1, an order of magnitude slower: sizes shrink, properties stay.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// `npm run test:nightly`: whole sweeps in place of samples.
bool IsNightly();

constexpr double kUnit = 0x1p-24;  // half a unit in the last place of 1.0f

// The bound of n successive roundings, relative to the sum of magnitudes (Higham, section 3.1).
inline double Gamma(double n) { return n * kUnit / (1 - n * kUnit); }

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int64_t Integer(int64_t low, int64_t high);  // both included
  float Uniform(float low, float high);
  float Bell();  // mean 0, standard deviation 1, |value| < 3.5
  std::vector<float> Bells(int64_t n, float scale = 1);

 private:
  std::mt19937 engine_;
};

enum class Pattern { kBell, kOutliers, kZero, kEqual, kSaturated, kTiny, kHuge };
constexpr int kPatterns = 7;

// n values that follow a pattern: kOutliers has a few values 300 times the others', kSaturated only +-amax, kTiny
// denormals, kHuge about 1e15 (their squares still fit).
std::vector<float> Values(Random& random, int64_t n, Pattern pattern);
// [rows, k]: the patterns in turn, each row with a scale of its own.
std::vector<float> Matrix(Random& random, int64_t rows, int64_t k);

// Tables to compare with the scalar one. What this CPU cannot run is named on the terminal, once.
std::vector<const cpu::KernelTable*> OtherKernels();

// Empty, or where `actual` first differs from `expected` in a bit. NaNs count as equal whatever their payload: which
// operand's payload survives is the compiler's choice.
std::string BitDifference(const std::vector<float>& actual, const std::vector<float>& expected);
// Empty, or the first place with |actual - expected| > tolerance; a NaN is a difference.
std::string Excess(const std::vector<float>& actual, const std::vector<double>& expected,
                   const std::vector<double>& tolerance);

// n floats with 16 sentinels after them, where no kernel may write.
class Guarded {
 public:
  explicit Guarded(int64_t n, float fill = kSentinel);
  float* data() { return values_.data(); }
  bool intact() const;  // the sentinels
  std::vector<float> values() const { return {values_.begin(), values_.end() - kMargin}; }
  static constexpr float kSentinel = -12345.678f;

 private:
  static constexpr int64_t kMargin = 16;
  std::vector<float> values_;
};

// Quantized values as a table stores them: int8 or int16.
std::vector<uint8_t> StoreQuantized(const std::vector<int>& values, int bytes);
std::vector<int> LoadQuantized(const std::vector<uint8_t>& stored, int bytes);

// x H for one block of H's order: H of order 2n is [[H, H], [H, -H]] / sqrt(2), in float64.
std::vector<double> Hadamard(const std::vector<double>& x);
// The same on each block of `block`; what is left at the end stays as it is.
std::vector<double> RotatedBlocks(const std::vector<float>& x, int block);

}  // namespace kvasir::testing
