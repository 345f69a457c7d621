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
  struct Shape {
    int64_t rows = 0;       // most tokens of a step
    int64_t positions = 0;  // most of a sequence
    int64_t tables = 1;     // of pages
  };
  StepTables(const Gpu& gpu, const Shape& shape);

  // The stream must have read the tables of the step before. `recorded`: sizes are rounded up, so that like steps have
  // equal ones.
  void Send(const StepInput& step, bool recorded, const Gpu& gpu);
  const StepTable& table() const { return table_; }
  // With the pages of one of its page tables.
  StepTable WithPages(int64_t table) const;
  // Where a part of the step's arrays is on the device.
  const int32_t* At(const StepIndices& indices) const;

 private:
  void BuildTiles(const StepInput& step);

  int64_t max_rows_, max_tiles_, ld_pages_;
  int64_t page_stride_ = 0;  // from one page table to the next, of the running step
  std::unique_ptr<BackendMemory> device_memory_, pinned_;
  StepTable table_;
  struct HostTables;
};

}  // namespace kvasir::cuda
