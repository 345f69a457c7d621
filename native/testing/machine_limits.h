// What this machine can do at most, measured: the denominators of every "share of the limit" in docs/benchmarks.md.
// Never shipped.
#pragma once

#include <cstdint>
#include <string>

namespace kvasir::testing {

// Bytes a second read by `threads` threads that walk their halves of one buffer on huge pages, the best of `rounds`.
double BestReadBandwidth(int64_t bytes, int threads, int rounds);

struct PeakRates {
  double int8_ops = 0;  // multiply and add counted as two
  double fp32_flops = 0;
};

// Register-only loops of the instructions that a kernel table is made of, all threads at once, the best of `rounds`.
// Tables other than avx2, avxvnni, avx512, avx512vnni and amx give zeros.
PeakRates MeasurePeaks(const std::string& isa, int threads, int rounds);

}  // namespace kvasir::testing
