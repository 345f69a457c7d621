// Blocking of the matrix products: which thread does which panels, and how many rows at a time.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

namespace {

// One core's L2 holds a block of rows and a run of panels together: 1 MiB on Skylake-X and Zen 4, so half for each.
constexpr int64_t kRowBlockBytes = 256 * 1024;
constexpr int64_t kPanelRunBytes = 384 * 1024;
// Multiply-adds below which handing work to another core costs more (about 1 us) than it saves.
constexpr int64_t kSmallF32 = 1 << 16;
constexpr int64_t kSmallInt8 = 1 << 18;
constexpr int64_t kTileMultiple = 48;  // rows; of what is computed side by side and of KernelTable::row_tile
// Fewer rows are computed as fast as their weights come, or nearly so.
constexpr int64_t kManyRows = 12;

}  // namespace

// Between two jobs nothing comes. Where a linear has sides, the threads divide the first; each takes the other's columns
// beside its own.
void CpuBackend::ExpectAfter(const LinearWeight& weight, int64_t rows) {
  if (weight.next == nullptr || rows >= kManyRows) return;
  const LinearWeight& next = *weight.next;
  pool_.Expect(next.panels, PackedBytes(next.dtype, next.n / next.sides, next.k));
}

void CpuBackend::LinearPanels(const LinearWeight& weight, const LinearInput& x, const PanelRun& run) const {
  const int64_t panel_bytes = PackedBytes(weight.dtype, kPanelColumns, weight.k);
  // A panel that is read once comes at the speed of memory: the hardware runs ahead. While one is read again, nothing comes.
  const int prefetch_rows =
      weight.dtype == Dtype::kF32 ? kernels_.prefetch_rows_f32 : kernels_.prefetch_rows_s8;
  for (int64_t panel = run.first; panel < run.end; ++panel) {
    const int64_t column = panel * kPanelColumns;
    const int64_t next = panel + 1 < run.end ? panel + 1 : run.next;
    const uint8_t* packed = static_cast<const uint8_t*>(weight.panels) + panel * panel_bytes;
    const void* next_panel = run.rows < prefetch_rows || next * kPanelColumns >= weight.n
                                 ? nullptr
                                 : static_cast<const uint8_t*>(weight.panels) + next * panel_bytes;
    const Epilogue epilogue = {
        .out = run.out + (panel - run.first) * kPanelColumns,
        .ld_out = run.ld_out,
        .bias = weight.bias == nullptr ? nullptr : weight.bias + column,
        .n_valid = static_cast<int>(std::min<int64_t>(kPanelColumns, weight.n - column)),
        .accumulate = run.accumulate,
    };
    if (weight.dtype == Dtype::kF32) {
      kernels_.linear_f32({.x = x.f32 + run.row * weight.k,
                           .ld_x = weight.k,
                           .rows = run.rows,
                           .k = weight.k,
                           .panel = reinterpret_cast<const float*>(packed),
                           .epilogue = epilogue,
                           .next = next_panel});
    } else {
      kernels_.linear_s8({.x = GroupAt(kernels_, x, run.row, 0),
                          .rows = run.rows,
                          .panel = reinterpret_cast<const Int8Block*>(packed),
                          .epilogue = epilogue,
                          .next = next_panel});
    }
  }
}

void CpuBackend::Linear(const LinearWeight& weight, const LinearInput& x, int64_t rows, float* out,
                        int64_t ld_out, bool accumulate) {
  const int64_t n_panels = CeilDiv(weight.n, kPanelColumns);
  const int64_t panel_bytes = PackedBytes(weight.dtype, kPanelColumns, weight.k);
  const int64_t row_bytes = weight.dtype == Dtype::kF32
                                ? weight.k * 4
                                : CeilDiv(weight.k, kGroup) * kGroup * kernels_.quantized_bytes;
  const int64_t run = rows > 1 ? std::max<int64_t>(1, kPanelRunBytes / panel_bytes) : n_panels;
  const bool small = rows * weight.n * weight.k < (weight.dtype == Dtype::kF32 ? kSmallF32 : kSmallInt8);
  const Cut cut(n_panels, threads());
  ExpectAfter(weight, rows);
  // Whole tiles of every table.
  const int64_t block = std::max(kTileMultiple, kRowBlockBytes / row_bytes / kTileMultiple * kTileMultiple);

  const auto panels = [&](int64_t first, int64_t end) {
    for (int64_t row = 0; row < rows; row += block) {
      LinearPanels(weight, x,
                   {.first = first,
                    .end = end,
                    .next = end,
                    .row = row,
                    .rows = std::min(block, rows - row),
                    .out = out + row * ld_out + first * kPanelColumns,
                    .ld_out = ld_out,
                    .accumulate = accumulate});
    }
  };
  pool_.ParallelFor(small ? 1 : cut.tasks(), [&](int64_t task, int) {
    const KernelScope scope(kernels_, rows);
    const int64_t last = small ? n_panels : cut.First(task + 1);
    for (int64_t first = small ? 0 : cut.First(task); first < last; first += run) {
      panels(first, std::min(last, first + run));
    }
  });
}

}  // namespace kvasir::cpu
