#include "model/source_weights.h"

#include <algorithm>

#include "core/error.h"
#include "quant/int8_check.h"

namespace kvasir {

namespace {

// Weights of a task: some ten microseconds of reading, little beside the whole, so that threads end together.
constexpr int64_t kTaskValues = 128 * 1024;

// Some panels of a linear.
struct PanelRun {
  const LinearPlan* plan;
  int64_t first;  // row
  int64_t rows;
};

class SourceLoader {
 public:
  SourceLoader(const TensorMap& tensors, TensorReader* reader, PackPanelFn pack_panel_s8, LoadTasks* tasks)
      : tensors_(tensors), reader_(*reader), pack_panel_s8_(pack_panel_s8), tasks_(*tasks) {}

  void Load(const std::vector<TensorPlan>& plans) {
    int64_t largest_k = 0;
    VisitPlans(
        plans,
        [&](const LinearPlan& plan) {
          largest_k = std::max(largest_k, plan.k);
          const int64_t rows = std::max<int64_t>(1, kTaskValues / plan.k / kPanelColumns) * kPanelColumns;
          for (int64_t first = 0; first < plan.n(); first += rows) {
            runs_.push_back({&plan, first, std::min(rows, plan.n() - first)});
          }
          if (plan.biased) LoadBias(plan);
        },
        [&](const VectorPlan& plan) {
          reader_.ReadRows(plan.name, 0, plan.rows, plan.columns, plan.values);
          CheckFinite(plan.name, plan.values, plan.rows * plan.columns);
        });
    const auto staging_bytes = static_cast<size_t>(kPanelColumns * largest_k * 4);
    for (int i = 0; i < tasks_.threads(); ++i) staging_.emplace_back(staging_bytes, "converting the weights");
    tasks_.Run(static_cast<int64_t>(runs_.size()), [&](int64_t task, int thread) {
      return Pack(runs_[static_cast<size_t>(task)],
                  reinterpret_cast<float*>(staging_[static_cast<size_t>(thread)].data()));
    });
  }

 private:
  int64_t Pack(const PanelRun& run, float* staging) {
    const LinearPlan& plan = *run.plan;
    for (int64_t row = run.first; row < run.first + run.rows; row += kPanelColumns) {
      const int64_t count = std::min<int64_t>(kPanelColumns, run.first + run.rows - row);
      Stage(plan, row, count, staging);
      PackRows(*plan.target, row, count, staging, pack_panel_s8_);
      if (plan.target->dtype == Dtype::kInt8) CheckPanel(plan, row, count, staging);
    }
    return run.rows * plan.k;
  }

  // A panel may span parts.
  void Stage(const LinearPlan& plan, int64_t first, int64_t count, float* out) {
    int64_t part_begin = 0;
    for (const TensorPart& part : plan.parts) {
      const int64_t begin = std::max(first, part_begin),
                    end = std::min(first + count, part_begin + part.rows);
      if (begin < end) {
        const std::string name = WeightName(part, tensors_);
        reader_.ReadRows(name, begin - part_begin, end - begin, plan.k, out);
        // INT8 shows it in the scales, which cost less to look at.
        if (plan.target->dtype != Dtype::kInt8) CheckFinite(name, out, (end - begin) * plan.k);
        out += (end - begin) * plan.k;
      }
      part_begin += part.rows;
    }
  }

  void LoadBias(const LinearPlan& plan) {
    float* out = plan.target->bias;
    for (const TensorPart& part : plan.parts) {
      const std::string name = part.name + ".bias";
      if (reader_.Has(name)) {
        reader_.ReadRows(name, 0, 1, part.rows, out);
        CheckFinite(name, out, part.rows);
      }
      out += part.rows;
    }
  }

  void CheckFinite(const std::string& name, const float* values, int64_t n) const {
    if (FirstNotFinite(values, n) == n) return;
    throw Error(ErrorCode::kModelFormat, "Tensor '" + tensors_.at(name).name +
                                             "' holds a value that is infinite or not a number; the file is "
                                             "damaged, or its training went wrong");
  }

  // Rotation spreads a value that is not finite over its whole group, so the group's scale is not finite either; it
  // also is not where it has overflowed binary16.
  void CheckPanel(const LinearPlan& plan, int64_t row, int64_t count, const float* values) const {
    const int64_t groups = (plan.k + kGroup - 1) / kGroup;
    const auto* blocks = static_cast<const Int8Block*>(plan.target->panels) + row / kPanelColumns * groups;
    int64_t block = 0, column = 0;
    if (CheckBlocks(blocks, groups, &block, &column) == BlockFault::kNone) return;
    const int64_t bad = FirstNotFinite(values, count * plan.k);
    const std::string name = NameOf(plan, row + (bad < count * plan.k ? bad / plan.k : column));
    if (bad < count * plan.k) CheckFinite(name, values + bad, 1);
    throw Error(ErrorCode::kModelFormat,
                "Tensor '" + tensors_.at(name).name +
                    "' has weights above 8.3e6, too large for the scales of INT8; load it with dtype 'fp32'");
  }

  // The canonical tensor that a row of the linear comes from.
  std::string NameOf(const LinearPlan& plan, int64_t row) const {
    const TensorPart* part = plan.parts.data();
    for (int64_t end = part->rows; row >= end; end += part->rows) ++part;
    return WeightName(*part, tensors_);
  }

  const TensorMap& tensors_;
  TensorReader& reader_;
  PackPanelFn pack_panel_s8_;
  LoadTasks& tasks_;
  std::vector<PanelRun> runs_;
  std::vector<AlignedBuffer> staging_;  // [32, k] f32 a thread, mapped: what malloc keeps would stay resident
};

}  // namespace

void CheckSource(const std::vector<TensorPlan>& plans, const TensorMap& tensors, const TensorReader& reader) {
  VisitPlans(
      plans,
      [&](const LinearPlan& plan) {
        for (const TensorPart& part : plan.parts) {
          reader.CheckShape(WeightName(part, tensors), part.rows, plan.k);
          if (reader.Has(part.name + ".bias")) reader.CheckShape(part.name + ".bias", 1, part.rows);
        }
      },
      [&](const VectorPlan& plan) { reader.CheckShape(plan.name, plan.rows, plan.columns); });
}

void LoadSource(const std::vector<TensorPlan>& plans, const TensorMap& tensors, TensorReader* reader,
                PackPanelFn pack_panel_s8, LoadTasks* tasks) {
  SourceLoader(tensors, reader, pack_panel_s8, tasks).Load(plans);
}

}  // namespace kvasir
