#include "testing/kernel_inputs.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "backend/cpu/kernel_select.h"
#include "testing/native_tests.h"

namespace kvasir::testing {

bool IsNightly() { return std::getenv("KVASIR_NIGHTLY") != nullptr; }

int64_t Random::Integer(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(engine_() % static_cast<uint64_t>(high - low + 1));
}

float Random::Uniform(float low, float high) {
  return low + (high - low) * static_cast<float>(engine_() >> 8) * 0x1p-24f;
}

// The sum of four uniform values of variance 1/4.
float Random::Bell() {
  constexpr float kHalfWidth = 0.8660254f;
  float sum = 0;
  for (int i = 0; i < 4; ++i) sum += Uniform(-kHalfWidth, kHalfWidth);
  return sum;
}

std::vector<float> Random::Bells(int64_t n, float scale) {
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = scale * Bell();
  return values;
}

std::vector<float> Values(Random& random, int64_t n, Pattern pattern) {
  std::vector<float> values = random.Bells(n);
  const float equal = random.Bell() + 4;
  for (float& v : values) {
    switch (pattern) {
      case Pattern::kBell: break;
      case Pattern::kOutliers: v *= random.Integer(0, 40) == 0 ? 300.0f : 1.0f; break;
      case Pattern::kZero: v = 0; break;
      case Pattern::kEqual: v = equal; break;
      case Pattern::kSaturated: v = v < 0 ? -equal : equal; break;
      case Pattern::kTiny: v *= 1e-40f; break;
      case Pattern::kHuge: v *= 1e15f; break;
    }
  }
  return values;
}

std::vector<float> Matrix(Random& random, int64_t rows, int64_t k) {
  std::vector<float> all;
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<float> values = Values(random, k, static_cast<Pattern>(row % 5));
    const float scale = std::ldexp(random.Uniform(1, 2), static_cast<int>(random.Integer(-4, 3)));
    for (const float v : values) all.push_back(v * scale);
  }
  return all;
}

std::vector<const cpu::KernelTable*> OtherKernels() {
  static const std::vector<const cpu::KernelTable*> tables = [] {
    std::vector<const cpu::KernelTable*> available = cpu::AvailableKernels();
    for (const cpu::KernelTable* table : cpu::CompiledKernels()) {
      const std::string name = table->name;
      const auto has_name = [&](const cpu::KernelTable* one) { return one->name == name; };
      if (std::none_of(available.begin(), available.end(), has_name)) {
        Skip("this CPU cannot run the kernels '" + name + "'");
      }
    }
    available.erase(available.begin());  // scalar
    if (available.empty()) Skip("there are only scalar kernels to test here");
    return available;
  }();
  return tables;
}

std::string BitDifference(const std::vector<float>& actual, const std::vector<float>& expected) {
  if (actual.size() != expected.size()) return "sizes differ";
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::memcmp(&actual[i], &expected[i], sizeof(float)) == 0) continue;
    if (std::isnan(actual[i]) && std::isnan(expected[i])) continue;
    std::ostringstream message;
    message.precision(9);
    message << "[" << i << "] " << actual[i] << " is not " << expected[i];
    return message.str();
  }
  return "";
}

std::string Excess(const std::vector<float>& actual, const std::vector<double>& expected,
                   const std::vector<double>& tolerance) {
  if (actual.size() != expected.size() || actual.size() != tolerance.size()) return "sizes differ";
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::abs(actual[i] - expected[i]) <= tolerance[i]) continue;
    std::ostringstream message;
    message.precision(9);
    message << "[" << i << "] " << actual[i] << " is not within " << tolerance[i] << " of " << expected[i];
    return message.str();
  }
  return "";
}

Guarded::Guarded(int64_t n, float fill) : values_(static_cast<size_t>(n + kMargin), fill) {
  std::fill(values_.end() - kMargin, values_.end(), kSentinel);
}

bool Guarded::intact() const {
  return std::all_of(values_.end() - kMargin, values_.end(), [](float v) { return v == kSentinel; });
}

std::vector<uint8_t> StoreQuantized(const std::vector<int>& values, int bytes) {
  std::vector<uint8_t> stored(values.size() * static_cast<size_t>(bytes));
  for (size_t i = 0; i < values.size(); ++i) {
    const int8_t narrow = static_cast<int8_t>(values[i]);
    const int16_t wide = static_cast<int16_t>(values[i]);
    std::memcpy(stored.data() + i * static_cast<size_t>(bytes),
                bytes == 1 ? static_cast<const void*>(&narrow) : &wide, static_cast<size_t>(bytes));
  }
  return stored;
}

std::vector<int> LoadQuantized(const std::vector<uint8_t>& stored, int bytes) {
  std::vector<int> values(stored.size() / static_cast<size_t>(bytes));
  for (size_t i = 0; i < values.size(); ++i) {
    int8_t narrow = 0;
    int16_t wide = 0;
    std::memcpy(&narrow, stored.data() + i, 1);
    if (bytes == 2) std::memcpy(&wide, stored.data() + 2 * i, 2);
    values[i] = bytes == 1 ? narrow : wide;
  }
  return values;
}

std::vector<double> Hadamard(const std::vector<double>& x) {
  if (x.size() == 1) return x;
  const size_t half = x.size() / 2;
  const std::vector<double> low = Hadamard({x.begin(), x.begin() + static_cast<int64_t>(half)});
  const std::vector<double> high = Hadamard({x.begin() + static_cast<int64_t>(half), x.end()});
  std::vector<double> out(x.size());
  for (size_t i = 0; i < half; ++i) {
    out[i] = (low[i] + high[i]) * std::sqrt(0.5);
    out[half + i] = (low[i] - high[i]) * std::sqrt(0.5);
  }
  return out;
}

std::vector<double> RotatedBlocks(const std::vector<float>& x, int block) {
  std::vector<double> out(x.begin(), x.end());
  for (int64_t base = 0; base + block <= static_cast<int64_t>(x.size()); base += block) {
    const std::vector<double> rotated = Hadamard({out.begin() + base, out.begin() + base + block});
    std::copy(rotated.begin(), rotated.end(), out.begin() + base);
  }
  return out;
}

}  // namespace kvasir::testing
