// What kernels need to know of a step (StepTable), gathered on the host and sent to the device in one copy. The addresses
// do not change between steps, so that a recorded graph reads the tables of the step that it is replayed for.
#pragma once

#include <memory>

#include "backend/cuda/gpu.h"
#include "backend/cuda/kernels.h"
#include "backend/step.h"

namespace kvasir::cuda {

class StepTables {
 public:
  // Steps of up to max_rows tokens, of sequences of up to max_positions.
  StepTables(const Gpu& gpu, int64_t max_rows, int64_t max_positions);

  // The stream must have read the tables of the step before. `recorded`: sizes are rounded up, so that like steps have
  // equal ones.
  void Send(const StepInput& step, bool recorded, const Gpu& gpu);
  const StepTable& table() const { return table_; }
  // Where a part of the step's arrays is on the device.
  const int32_t* At(const StepIndices& indices) const;

 private:
  void BuildTiles(const StepInput& step);

  int64_t max_rows_, max_tiles_, ld_pages_;
  std::unique_ptr<BackendMemory> device_memory_, pinned_;
  StepTable table_;
  struct HostTables;
};

}  // namespace kvasir::cuda
