// Blocking of the matrix products: which thread does which panels, and how many rows at a time.
#include <algorithm>
#include <bit>

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
constexpr int64_t kTileMultiple = 48;  // rows; of what is computed side by side and of KernelTable::row_tile
// Fewer rows are computed as fast as their weights come, or nearly so.
constexpr int64_t kManyRows = 12;

int64_t PanelBytes(Dtype dtype, int64_t k) {
  if (dtype == Dtype::kF32) return k * kPanelColumns * static_cast<int64_t>(sizeof(float));
  return CeilDiv(k, kGroup) * static_cast<int64_t>(sizeof(Int8Block));
}

// Items cut into tasks: each thread's part of them into halves of what is left of it, down to one. The long tasks first
// keep what a thread reads in one stretch; the short ones at the end let all threads finish together, whichever of them
// was interrupted (guided self-scheduling, Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987).
struct Cut {
  int64_t items, parts;
  int64_t of_part;  // tasks

  Cut(int64_t n_items, int64_t n_parts) : items(n_items), parts(std::min(n_items, n_parts)) {
    of_part = std::bit_width(static_cast<uint64_t>(items / parts));
  }
  int64_t tasks() const { return parts * of_part; }
  int64_t First(int64_t task) const {
    const int64_t part = task / of_part, halvings = task % of_part;
    const int64_t end = items * (part + 1) / parts;
    return end - ((end - items * part / parts) >> halvings);
  }
};

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

// Between two jobs nothing comes.
void CpuBackend::Expect(const LinearWeight& weight, int64_t rows) {
  if (rows >= kManyRows) return;
  pool_.Expect(weight.panels, PackedBytes(weight.dtype, weight.n, weight.k));
}

// Panels [first, end) of a weight and rows [row, row + rows) of its input; column 0 of `out` is that of panel `first`,
// its row 0 is `row`. `next` is the panel that the same thread takes after them.
struct CpuBackend::PanelRun {
  int64_t first, end, next;
  int64_t row, rows;
  float* out;
  int64_t ld_out;
  bool accumulate;
};

void CpuBackend::LinearPanels(const LinearWeight& weight, const Activations& x, const PanelRun& run) const {
  const int64_t panel_bytes = PanelBytes(weight.dtype, weight.k);
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
      kernels_.linear_s8({.x = GroupAt(x, run.row, 0),
                          .rows = run.rows,
                          .panel = reinterpret_cast<const Int8Block*>(packed),
                          .epilogue = epilogue,
                          .next = next_panel});
    }
  }
}

void CpuBackend::Linear(const LinearWeight& weight, const Activations& x, int64_t rows, float* out,
                        int64_t ld_out, bool accumulate) {
  const int64_t n_panels = CeilDiv(weight.n, kPanelColumns);
  const int64_t panel_bytes = PanelBytes(weight.dtype, weight.k);
  const int64_t row_bytes = weight.dtype == Dtype::kF32
                                ? weight.k * 4
                                : CeilDiv(weight.k, kGroup) * kGroup * kernels_.quantized_bytes;
  const int64_t run = rows > 1 ? std::max<int64_t>(1, kPanelRunBytes / panel_bytes) : n_panels;
  const bool small = rows * weight.n * weight.k < (weight.dtype == Dtype::kF32 ? kSmallF32 : kSmallInt8);
  const Cut cut(n_panels, threads());
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

// One group of the activation's columns, [rows, ld] both; gate is nullptr where there is none.
struct CpuBackend::GatedPart {
  const float* gate;
  const float* up;
  int64_t rows, ld;
};

void CpuBackend::ActivateGroup(ActivationKind kind, const GatedPart& part, int64_t first_row, int64_t group,
                               Activations* out) const {
  const auto activate = Activate(kind);
  const auto activate_row = [&](int64_t r, float* to) {
    activate(part.gate == nullptr ? nullptr : part.gate + r * part.ld, part.up + r * part.ld, kGroup, to);
  };
  if (out->dtype == Dtype::kF32) {
    for (int64_t r = 0; r < part.rows; ++r) {
      activate_row(r, out->f32 + (first_row + r) * out->width + group * kGroup);
    }
    return;
  }
  for (int64_t first = 0; first < part.rows; first += kQuantizedRows) {
    const int count = static_cast<int>(std::min<int64_t>(kQuantizedRows, part.rows - first));
    alignas(64) float activated[kQuantizedRows][kGroup];
    for (int i = 0; i < count; ++i) activate_row(first + i, activated[i]);
    kernels_.quantize_rows(activated[0], kGroup, count, kGroup, true,
                           GroupAt(*out, first_row + first, group));
  }
}

// Some groups of 64 columns at a time, as many as KernelTable::activated_rows lets wait, gate and up, until they are activated
// and quantized: one in prefill, in decode all of a task, so that the weights of each come in one stretch.
void CpuBackend::LinearActivation(const LinearWeight& weight, ActivationKind kind, const Activations& x,
                                  int64_t rows, float* wide, float* scratch, Activations* out) {
  const int64_t width = out->width;
  const bool gated = weight.n == 2 * width;
  if (width % kGroup != 0) {  // gate and up share a panel, or a group is padded
    Linear(weight, x, rows, wide, weight.n, false);
    Activation(kind, gated, wide, rows, scratch, out);
    return;
  }
  if (out->dtype == Dtype::kF32) out->f32 = scratch;
  constexpr int64_t kGroupPanels = kGroup / kPanelColumns;
  const int64_t groups = width / kGroup;
  const Cut cut(groups, threads());
  const int64_t part_rows = kernels_.activated_rows;
  const int64_t span = std::max<int64_t>(1, part_rows / rows);
  const int64_t halves = gated ? 2 : 1;
  pool_.ParallelFor(cut.tasks(), [&](int64_t task, int thread) {
    const KernelScope scope(kernels_, rows);
    float* part = reinterpret_cast<float*>(activated_.data()) + thread * activated_stride_;
    const int64_t end = cut.First(task + 1);
    for (int64_t group = cut.First(task); group < end; group += span) {
      const int64_t n_groups = std::min(span, end - group), ld = halves * n_groups * kGroup;
      for (int64_t row = 0; row < rows; row += part_rows) {
        const int64_t count = std::min(part_rows, rows - row);
        for (int64_t half = 0; half < halves; ++half) {
          const int64_t up = width / kPanelColumns, of_group = group * kGroupPanels;
          const int64_t first = half * up + of_group;
          LinearPanels(weight, x,
                       {.first = first,
                        .end = first + n_groups * kGroupPanels,
                        .next = gated && half == 0 ? up + of_group : of_group + n_groups * kGroupPanels,
                        .row = row,
                        .rows = count,
                        .out = part + half * n_groups * kGroup,
                        .ld_out = ld,
                        .accumulate = false});
        }
        for (int64_t i = 0; i < n_groups; ++i) {
          const float* first = part + i * kGroup;
          const float* second = first + n_groups * kGroup;
          ActivateGroup(kind, {gated ? first : nullptr, gated ? second : first, count, ld}, row, group + i,
                        out);
        }
      }
    }
  });
}

}  // namespace kvasir::cpu
