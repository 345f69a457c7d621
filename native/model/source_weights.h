// Weights as a checkpoint stores them, to weights as the backend packs them: rows are converted to float32 and packed a
// panel at a time, by all threads of a load, so that beside the model only a panel for each thread is in memory.
#pragma once

#include "model/load_tasks.h"
#include "model/tensor_reader.h"
#include "model/weight_plan.h"

namespace kvasir {

// Throws Error(kModelFormat) naming a tensor that is missing or has another shape.
void CheckSource(const std::vector<TensorPlan>& plans, const TensorMap& tensors, const TensorReader& reader);

// Fills the targets of the plans, whose memory is there. Throws Error(kModelFormat) naming a tensor with a value that is
// not finite, or with weights too large for INT8 scales.
void LoadSource(const std::vector<TensorPlan>& plans, const TensorMap& tensors, TensorReader* reader,
                PackPanelFn pack_panel_s8, LoadTasks* tasks);

}  // namespace kvasir
