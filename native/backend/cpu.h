// The CPU as a backend, and what it can run here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace kvasir {

// What the CPU can run, and what a load would choose now.
struct CpuReport {
  std::string brand;
  std::vector<std::string> compiled;   // kernel tables of this build, worst first
  std::vector<std::string> available;  // those that this CPU can run
  std::string selected;                // empty when KVASIR_CPU_ISA names one that it cannot; `error` says so
  std::string error;
  int cores = 1;
};

CpuReport DescribeCpu();
// The value of KVASIR_CPU_ISA, or empty. To be called on the thread that may write the environment.
std::string ForcedIsa();

// What MakeCpuBackend would make, without a thread: its traits, and its WorkBytes after ReserveSummary.
struct CpuWorkShape {
  int64_t max_positions = 0;
  int64_t padded_head_dim = 0;
  int64_t logit_rows = 0;
  int64_t vocab = 0;
  int64_t n_candidates = 0;
};
Traits PredictCpuTraits(int threads, const std::string& isa, int64_t least_step_rows = 0);
int64_t PredictCpuWork(int threads, const std::string& isa, const CpuWorkShape& shape);

// `threads` 0: one per available core. `isa` empty: the best table that this CPU has.
// `least_step_rows`: steps take as many tokens at least, whatever the threads and kernels would like.
// Throws Error(kInvalidOption).
std::unique_ptr<Backend> MakeCpuBackend(int threads, const std::string& isa, int64_t max_positions,
                                        int64_t padded_head_dim, int64_t least_step_rows = 0);

}  // namespace kvasir
