// The INT8 form of a model as a file: safetensors that hold the blocks of each linear exactly as they lie in memory
// (quant/int8_layout.h), so that loading reads them into place and computes nothing. docs/int8-format.md describes the file.
// Whatever the file says is checked: its scheme, names, dtypes, shapes, values and sums.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/container.h"
#include "io/safetensors_writer.h"
#include "model/load_tasks.h"
#include "model/weight_plan.h"

namespace kvasir {

// Throws Error(kModelFormat) for another scheme or version, and naming a tensor that is missing, too many, or has
// another dtype or shape than the plans need.
void CheckStored(const std::vector<TensorPlan>& plans, const Container& container);

// Fills the targets of the plans, whose memory is there. Throws Error(kModelFormat) naming a tensor whose values cannot
// be, or are not those that were written.
void LoadStored(const std::vector<TensorPlan>& plans, const Container& container, LoadTasks* tasks);

// What a file of these weights holds, in its order, pointing into them, and what it says of itself.
std::vector<TensorToWrite> StoredTensors(const std::vector<TensorPlan>& plans);
std::map<std::string, std::string> StoredMetadata(const std::vector<TensorToWrite>& tensors);

}  // namespace kvasir
