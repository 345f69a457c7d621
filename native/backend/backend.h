// A backend: a device, the ops that run on it, and what a graph must know of them (Traits). Implementations live in the
// rooms below this one; cpu.h and cuda_library.h make them.
#pragma once

#include <cstdint>
#include <string>

#include "backend/device.h"
#include "backend/ops.h"
#include "quant/pack.h"

namespace kvasir {

struct Traits {
  std::string kernels;          // such as "avx2" or "sm_90"
  int threads = 1;              // lanes that ForRowBlocks names
  int64_t step_rows = 512;      // most tokens of a step; as many at least as who made the backend asked for
  int64_t block_rows = 0;       // most rows of a block on the first lane
  int64_t lane_rows = 0;        // and on the others
  int64_t kv_run = 1;           // pages of the KV cache that lie side by side (KvLayout::run)
  int64_t quantized_bytes = 1;  // size of a quantized value of Queries
  // LinearActivation whose output is whole groups of 64 wide leaves `wide` alone.
  bool fuses_activation = false;
  PackPanelFn pack_panel_s8 = nullptr;  // of the host; nullptr where a device's backend packs nothing
};

class Backend : public Device, public Ops {
 public:
  const Traits& traits() const { return traits_; }

 protected:
  Traits traits_;  // set once, where a backend is made
};

// One step: begun when this is made, abandoned unless it was ended.
class StepScope {
 public:
  StepScope(Ops& ops, const StepInput& step) : ops_(ops) {
    try {
      ops_.BeginStep(step);
    } catch (...) {
      ops_.AbandonStep();
      throw;
    }
  }
  ~StepScope() {
    if (!ended_) ops_.AbandonStep();
  }
  StepScope(const StepScope&) = delete;
  StepScope& operator=(const StepScope&) = delete;

  // Waits until the step has run. Throws what it failed with.
  void End() {
    ops_.EndStep();
    ended_ = true;
  }

 private:
  Ops& ops_;
  bool ended_ = false;
};

}  // namespace kvasir
