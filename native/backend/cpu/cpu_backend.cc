#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>

#include "backend/cpu.h"
#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernel_select.h"
#include "core/cpu_count.h"
#include "core/error.h"

namespace kvasir {

std::unique_ptr<Backend> MakeCpuBackend(int threads, const std::string& isa, int64_t max_positions,
                                        int64_t padded_head_dim) {
  if (threads < 0 || threads > 1024) {
    throw Error(ErrorCode::kInvalidOption, "threads must be between 1 and 1024, or 0 for one per core");
  }
  const cpu::KernelTable& kernels = cpu::SelectKernels(isa);
  return std::make_unique<cpu::CpuBackend>(threads == 0 ? AvailableCpus() : threads, kernels, max_positions,
                                           padded_head_dim);
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

Traits TraitsOf(const KernelTable& kernels, int threads) {
  return {.kernels = kernels.name,
          .threads = threads,
          .block_rows = kernels.block_rows * std::clamp<int64_t>(L2Bytes() >> 20, 1, kMostL2MiB),
          .kv_run = kChunkPositions / kKvPagePositions,  // a chunk of attention
          .quantized_bytes = kernels.quantized_bytes,
          .pack_panel_s8 = kernels.pack_panel_s8};
}

}  // namespace

CpuBackend::CpuBackend(int threads, const KernelTable& kernels, int64_t max_positions,
                       int64_t padded_head_dim)
    : kernels_(kernels),
      pool_(threads),
      chunks_left_(static_cast<size_t>(kSplitTiles * threads)),
      fetched_(static_cast<size_t>(threads)),
      activated_stride_(int64_t{kernels.activated_rows} * 2 * kGroup),
      activated_(static_cast<size_t>(threads * activated_stride_) * sizeof(float), "activations") {
  traits_ = TraitsOf(kernels, threads);
  if (padded_head_dim > kMaxHeadDim) {
    throw Error(
        ErrorCode::kUnsupportedArchitecture,
        "Attention heads of more than " + std::to_string(kMaxHeadDim) + " dimensions are not supported");
  }
  const int64_t max_chunks = (max_positions + kChunkPositions - 1) / kChunkPositions;
  partials_.resize(
      static_cast<size_t>(kSplitTiles * threads * max_chunks * kMaxTileRows * (2 + padded_head_dim)));
}

// With many rows each thread takes blocks through all ops of a run, so that what they hand on stays in its L2 and the
// threads meet once, at the end. With few, a block's ops share their columns among the threads.
void CpuBackend::ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) {
  const int64_t most = traits().block_rows;
  if (rows < kernels_.thread_rows * threads()) {
    for (int64_t first = 0; first < rows; first += most) fn({first, std::min(most, rows - first), 0});
    return;
  }
  // As many blocks for each thread, of sizes that differ by one unit.
  const int64_t unit = kernels_.row_tile > 1 ? kernels_.row_tile : kRowUnit;
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
