// Blocking of the matrix products: which thread does which panels, and how many rows at a time.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "core/error.h"

namespace kvasir::cpu {

namespace {

// One core's L2 holds a block of rows and a run of panels together: 1 MiB on Skylake-X and Zen 4, so half for each.
constexpr int64_t kRowBlockBytes = 256 * 1024;
constexpr int64_t kPanelRunBytes = 384 * 1024;
// Multiply-adds below which handing work to another core costs more (about 1 us) than it saves.
constexpr int64_t kSmallF32 = 1 << 16;
constexpr int64_t kSmallInt8 = 1 << 18;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t PanelBytes(Dtype dtype, int64_t k) {
  if (dtype == Dtype::kF32) return k * kPanelColumns * static_cast<int64_t>(sizeof(float));
  return CeilDiv(k, kGroup) * static_cast<int64_t>(sizeof(Int8Block));
}

}  // namespace

int64_t CpuBackend::PackedBytes(Dtype dtype, int64_t n, int64_t k) const {
  return CeilDiv(n, kPanelColumns) * PanelBytes(dtype, k);
}

int64_t CpuBackend::PackedScaleBytes(Dtype dtype, int64_t n, int64_t k) const {
  if (dtype == Dtype::kF32) return 0;
  return CeilDiv(n, kPanelColumns) * CeilDiv(k, kGroup) * static_cast<int64_t>(sizeof(Int8Block::scales));
}

void CpuBackend::PackRows(const LinearWeight& weight, int64_t first, int64_t n_rows, const float* rows) {
  const int64_t k = weight.k;
  uint8_t* panels =
      static_cast<uint8_t*>(weight.panels) + first / kPanelColumns * PanelBytes(weight.dtype, k);
  pool_.ParallelFor(CeilDiv(n_rows, kPanelColumns), [&](int64_t panel, int) {
    const float* source = rows + panel * kPanelColumns * k;
    const int64_t count = std::min<int64_t>(kPanelColumns, n_rows - panel * kPanelColumns);
    uint8_t* target = panels + panel * PanelBytes(weight.dtype, k);
    if (weight.dtype == Dtype::kInt8) {
      kernels_.pack_panel_s8(source, count, k, reinterpret_cast<Int8Block*>(target));
      return;
    }
    float* packed = reinterpret_cast<float*>(target);
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t column = 0; column < kPanelColumns; ++column) {
        packed[i * kPanelColumns + column] = column < count ? source[column * k + i] : 0.0f;
      }
    }
  });
}

void CpuBackend::Linear(const LinearWeight& weight, const Activations& x, int64_t rows, float* out,
                        int64_t ld_out, bool accumulate) {
  const int64_t n_panels = CeilDiv(weight.n, kPanelColumns);
  const int64_t panel_bytes = PanelBytes(weight.dtype, weight.k);
  const int64_t groups = CeilDiv(weight.k, kGroup);
  const int64_t row_bytes =
      weight.dtype == Dtype::kF32 ? weight.k * 4 : groups * kGroup * kernels_.quantized_bytes;
  // At least four runs a thread, so that an interrupted core does not hold up the other; at most what L2 keeps.
  int64_t run = std::max<int64_t>(1, n_panels / (4 * threads()));
  if (rows > 1) run = std::min(run, std::max<int64_t>(1, kPanelRunBytes / panel_bytes));
  const bool small = rows * weight.n * weight.k < (weight.dtype == Dtype::kF32 ? kSmallF32 : kSmallInt8);
  if (small) run = n_panels;
  const int64_t block =
      std::max<int64_t>(12, kRowBlockBytes / row_bytes / 12 * 12);  // 12: a multiple of every tile

  pool_.ParallelFor(CeilDiv(n_panels, run), [&](int64_t task, int) {
    const int64_t end = std::min(n_panels, (task + 1) * run);
    for (int64_t row = 0; row < rows; row += block) {
      const int64_t count = std::min(block, rows - row);
      for (int64_t panel = task * run; panel < end; ++panel) {
        const int64_t column = panel * kPanelColumns;
        const uint8_t* packed = static_cast<const uint8_t*>(weight.panels) + panel * panel_bytes;
        const Epilogue epilogue = {
            .out = out + row * ld_out + column,
            .ld_out = ld_out,
            .bias = weight.bias == nullptr ? nullptr : weight.bias + column,
            .n_valid = static_cast<int>(std::min<int64_t>(kPanelColumns, weight.n - column)),
            .accumulate = accumulate,
        };
        if (weight.dtype == Dtype::kF32) {
          kernels_.linear_f32({.x = x.f32 + row * weight.k,
                               .ld_x = weight.k,
                               .rows = count,
                               .k = weight.k,
                               .panel = reinterpret_cast<const float*>(packed),
                               .epilogue = epilogue});
        } else {
          const QuantizedRows input = {
              .values = static_cast<uint8_t*>(x.values) + row * row_bytes,
              .scales = x.scales + row * groups,
              .start = x.start + row * groups,
              .groups = groups,
          };
          kernels_.linear_s8({.x = input,
                              .rows = count,
                              .panel = reinterpret_cast<const Int8Block*>(packed),
                              .epilogue = epilogue});
        }
      }
    }
  });
}

}  // namespace kvasir::cpu
