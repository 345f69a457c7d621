#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>

#include "backend/cpu.h"
#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernel_select.h"
#include "core/cpu_count.h"
#include "core/error.h"

namespace kvasir {

namespace {

int CheckedThreads(int threads) {
  if (threads < 0 || threads > 1024) {
    throw Error(ErrorCode::kInvalidOption, "threads must be between 1 and 1024, or 0 for one per core");
  }
  return threads == 0 ? AvailableCpus() : threads;
}

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend(int threads, const std::string& isa, int64_t max_positions,
                                        int64_t padded_head_dim, int64_t least_step_rows) {
  const int count = CheckedThreads(threads);
  return std::make_unique<cpu::CpuBackend>(count, cpu::SelectKernels(isa), max_positions, padded_head_dim,
                                           least_step_rows);
}

Traits PredictCpuTraits(int threads, const std::string& isa, int64_t least_step_rows) {
  const int count = CheckedThreads(threads);
  return cpu::TraitsOf(cpu::SelectKernels(isa), count, least_step_rows);
}

int64_t PredictCpuWork(int threads, const std::string& isa, const CpuWorkShape& shape) {
  const int count = CheckedThreads(threads);
  return cpu::ThreadWork::Bytes(cpu::SelectKernels(isa),
                                {count, shape.max_positions, shape.padded_head_dim}) +
         cpu::SummaryWork::Bytes({shape.logit_rows, shape.vocab, shape.n_candidates});
}

std::string ForcedIsa() {
  const char* value = std::getenv("KVASIR_CPU_ISA");
  return value == nullptr ? "" : value;
}

CpuReport DescribeCpu() {
  CpuReport report;
  report.brand = cpu::CpuBrand();
  for (const cpu::KernelTable* table : cpu::CompiledKernels()) report.compiled.push_back(table->name);
  for (const cpu::KernelTable* table : cpu::AvailableKernels()) report.available.push_back(table->name);
  report.cores = AvailableCpus();
  try {
    report.selected = cpu::SelectKernels(ForcedIsa()).name;
  } catch (const Error& error) {
    report.error = error.what();
  }
  return report;
}

}  // namespace kvasir

namespace kvasir::cpu {

namespace {

// Blocks are cut at multiples of a table's tile of rows, or of this, what INT8 kernels without one compute side by side.
constexpr int64_t kRowUnit = 6;

// Blocks grow with L2 up to this: no larger one was measured.
constexpr int64_t kMostL2MiB = 2;

int64_t UnitOf(const KernelTable& kernels) { return kernels.row_tile > 1 ? kernels.row_tile : kRowUnit; }

// Steps grow with the threads, so that each gets blocks of its own; beyond the largest a thread's rows would be so many that
// tokens of others wait too long.
constexpr int64_t kStepRows = 512, kMostStepRows = 2048;

int64_t StepRows(const KernelTable& kernels, int threads) {
  int64_t rows = kStepRows;
  while (rows < kMostStepRows && rows < int64_t{kernels.thread_rows} * threads) rows *= 2;
  return rows;
}

// Rows of a step from which on each thread takes blocks of its own. A step that must take more rows changes nothing here.
int64_t RowsForBlocks(const KernelTable& kernels, int threads) {
  const int64_t wanted = int64_t{kernels.thread_rows} * threads, step_rows = StepRows(kernels, threads);
  return wanted <= step_rows ? wanted : step_rows / 2;
}

}  // namespace

Traits TraitsOf(const KernelTable& kernels, int threads, int64_t least_step_rows) {
  const int64_t block_rows = kernels.block_rows * std::clamp<int64_t>(L2Bytes() >> 20, 1, kMostL2MiB);
  const int64_t step_rows = std::max(StepRows(kernels, threads), least_step_rows), unit = UnitOf(kernels);
  return {.kernels = kernels.name,
          .threads = threads,
          .step_rows = step_rows,
          .block_rows = block_rows,
          .lane_rows = std::min(block_rows, CeilDiv(CeilDiv(step_rows, unit), threads) * unit),
          .kv_run = kChunkPositions / kKvPagePositions,  // a chunk of attention
          .quantized_bytes = kernels.quantized_bytes,
          .fuses_activation = true,
          .pack_panel_s8 = kernels.pack_panel_s8};
}

CpuBackend::CpuBackend(int threads, const KernelTable& kernels, int64_t max_positions,
                       int64_t padded_head_dim, int64_t least_step_rows)
    : kernels_(kernels), pool_(threads), work_(kernels, {threads, max_positions, padded_head_dim}) {
  traits_ = TraitsOf(kernels, threads, least_step_rows);
  if (padded_head_dim > kMaxHeadDim) {
    throw Error(
        ErrorCode::kUnsupportedArchitecture,
        "Attention heads of more than " + std::to_string(kMaxHeadDim) + " dimensions are not supported");
  }
}

int64_t CpuBackend::WorkBytes() const { return work_.bytes() + summary_.bytes(); }

// With many rows each thread takes blocks through all ops of a run, so that what they hand on stays in its L2 and the
// threads meet once, at the end. With few, a block's ops share their columns among the threads.
void CpuBackend::ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) {
  const int64_t most = traits().block_rows;
  if (rows < RowsForBlocks(kernels_, threads())) {
    for (int64_t first = 0; first < rows; first += most) fn({first, std::min(most, rows - first), 0});
    return;
  }
  // As many blocks for each thread, of sizes that differ by one unit.
  const int64_t unit = UnitOf(kernels_);
  const int64_t units = CeilDiv(rows, unit);
  const int64_t blocks = CeilDiv(CeilDiv(units, most / unit), threads()) * threads();
  pool_.ParallelFor(blocks, [&](int64_t block, int thread) {
    const int64_t first = units * block / blocks * unit;
    const int64_t end = std::min(rows, units * (block + 1) / blocks * unit);
    if (first < end) fn({first, end - first, thread});
  });
}

int64_t CpuBackend::LinearInputBytes(Dtype dtype, int64_t rows, int64_t width) const {
  return dtype == Dtype::kInt8 ? LinearInputPlan(kernels_, rows, width).bytes : 0;
}

}  // namespace kvasir::cpu
