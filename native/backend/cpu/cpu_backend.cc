#include "backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernel_select.h"
#include "core/aligned_buffer.h"
#include "core/cpu_count.h"
#include "core/error.h"
#include "core/half.h"

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

// fn(first, count) for a few rows at a time: element-wise work that is worth handing to another thread.
template <typename Fn>
void ForFewRows(ThreadPool& pool, int64_t rows, const Fn& fn) {
  constexpr int64_t kFew = kQuantizedRows;
  pool.ParallelFor(CeilDiv(rows, kFew),
                   [&](int64_t task, int) { fn(task * kFew, std::min(kFew, rows - task * kFew)); });
}

// Blocks are cut at multiples of a table's tile of rows, or of this, what INT8 kernels without one compute side by side.
constexpr int64_t kRowUnit = 6;

// Blocks grow with L2 up to this: no larger one was measured.
constexpr int64_t kMostL2MiB = 2;

int64_t GroupsOf(int64_t width) { return CeilDiv(width, kGroup); }

class CpuMemory final : public BackendMemory {
 public:
  explicit CpuMemory(AlignedBuffer buffer)
      : BackendMemory(buffer.data(), buffer.size()), buffer_(std::move(buffer)) {}

 private:
  AlignedBuffer buffer_;
};

}  // namespace

CpuBackend::CpuBackend(int threads, const KernelTable& kernels, int64_t max_positions,
                       int64_t padded_head_dim)
    : kernels_(kernels),
      block_rows_(kernels.block_rows * std::clamp<int64_t>(L2Bytes() >> 20, 1, kMostL2MiB)),
      pool_(threads),
      chunks_left_(static_cast<size_t>(kSplitTiles * threads)),
      fetched_(static_cast<size_t>(threads)),
      activated_stride_(int64_t{kernels.activated_rows} * 2 * kGroup),
      activated_(static_cast<size_t>(threads * activated_stride_) * sizeof(float), "activations") {
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
  const int64_t most = block_rows_;
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

std::unique_ptr<BackendMemory> CpuBackend::Allocate(int64_t bytes, const std::string& purpose, bool lazy) {
  return std::make_unique<CpuMemory>(AlignedBuffer(static_cast<size_t>(bytes), purpose, lazy));
}

void CpuBackend::Upload(void* to, const void* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

void CpuBackend::UploadLinear(const LinearWeight& packed, const LinearWeight& own) {
  Upload(own.panels, packed.panels, PackedBytes(packed.dtype, packed.n, packed.k));
  if (packed.bias == nullptr) return;
  Upload(const_cast<float*>(own.bias), packed.bias, CeilDiv(packed.n, kPanelColumns) * kPanelColumns * 4);
}

void CpuBackend::Embed(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) {
  const int64_t k = table.k;
  const auto lookup = [&](int64_t i, int) {
    const int64_t panel = ids[i] / kPanelColumns, column = ids[i] % kPanelColumns;
    float* out = x + i * k;
    if (table.dtype == Dtype::kF32) {
      const float* values = static_cast<const float*>(table.panels) + panel * k * kPanelColumns + column;
      for (int64_t j = 0; j < k; ++j) out[j] = values[j * kPanelColumns];
      return;
    }
    const Int8Block* blocks = static_cast<const Int8Block*>(table.panels) + panel * GroupsOf(k);
    for (int64_t base = 0; base < k; base += kGroup, ++blocks) {
      const float scale = FloatFromHalf(blocks->scales[column]);
      float group[kGroup];
      for (int j = 0; j < kGroup; ++j) {
        group[j] = static_cast<float>(blocks->weights[j / 4][column][j % 4] - kWeightOffset) * scale;
      }
      kernels_.rotate_blocks(group, kGroup, kGroup);
      std::copy_n(group, std::min<int64_t>(kGroup, k - base), out + base);
    }
  };
  pool_.ParallelFor(n, lookup);
}

void CpuBackend::AddRows(const float* table, const int32_t* positions, int64_t n, int64_t width, float* x) {
  for (int64_t i = 0; i < n; ++i) {
    const float* row = table + positions[i] * width;
    for (int64_t j = 0; j < width; ++j) x[i * width + j] += row[j];
  }
}

void CpuBackend::GatherRows(const float* x, const int32_t* indices, int64_t n, int64_t width, float* out) {
  for (int64_t i = 0; i < n; ++i) std::copy_n(x + indices[i] * width, width, out + i * width);
}

QuantizedRows CpuBackend::GroupAt(const Activations& x, int64_t row, int64_t group) const {
  const int64_t tile = kernels_.row_tile;
  const int64_t index = (row / tile * GroupsOf(x.width) + group) * tile + row % tile;
  return {
      .values = static_cast<uint8_t*>(x.values) + index * kGroup * kernels_.quantized_bytes,
      .scales = x.scales + index,
      .start = x.start + index,
      .start_of_sums = x.start_of_sums + index,
      .groups = GroupsOf(x.width),
  };
}

// At most kQuantizedRows of them.
void CpuBackend::QuantizeRows(const float* x, int64_t row, int64_t count, bool rotate,
                              Activations* out) const {
  kernels_.quantize_rows(x, out->width, static_cast<int>(count), out->width, rotate, GroupAt(*out, row, 0));
}

void CpuBackend::Norm(const NormWeight& weight, const float* x, int64_t rows, Activations* out) {
  const int64_t width = out->width;
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      float* normed = out->f32 + row * width;
      if (weight.kind == NormKind::kRms) {
        kernels_.rms_norm(x + row * width, weight.weight, width, weight.eps, normed);
      } else {
        kernels_.layer_norm(x + row * width, weight.weight, weight.bias, width, weight.eps, normed);
      }
    }
    if (out->dtype == Dtype::kInt8) QuantizeRows(out->f32 + first * width, first, count, true, out);
  });
}

void CpuBackend::Prepare(float* x, int64_t rows, bool rotated, Activations* out) {
  if (out->dtype == Dtype::kF32) {
    out->f32 = x;
    return;
  }
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    QuantizeRows(x + first * out->width, first, count, !rotated, out);
  });
}

CpuBackend::ActivateFn CpuBackend::Activate(ActivationKind kind) const {
  switch (kind) {
    case ActivationKind::kSilu: return kernels_.silu;
    case ActivationKind::kGeluTanh: return kernels_.gelu_tanh;
    case ActivationKind::kGeluErf: return kernels_.gelu_erf;
  }
  return kernels_.silu;
}

void CpuBackend::Activation(ActivationKind kind, bool gated, const float* x, int64_t rows, float* scratch,
                            Activations* out) {
  const auto activate = Activate(kind);
  const int64_t width = out->width;
  if (out->dtype == Dtype::kF32) out->f32 = scratch;
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      const float* gate = gated ? x + row * 2 * width : nullptr;
      const float* up = gated ? gate + width : x + row * width;
      activate(gate, up, width, scratch + row * width);
    }
    if (out->dtype == Dtype::kInt8) QuantizeRows(scratch + first * width, first, count, true, out);
  });
}

void CpuBackend::RotateBlocks(float* x, int64_t rows, int64_t width, int block) {
  ForFewRows(pool_, rows, [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      kernels_.rotate_blocks(x + row * width, width, block);
    }
  });
}

}  // namespace kvasir::cpu
