// What the parts of the emulation share about the kernel that runs: its threads, warps and epochs. One kernel runs at a
// time, under the runtime's lock. Refuses to be seen by kernels.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device_types.h"
#include "execution.h"
#include "fiber.h"

namespace cuda_emulation {

constexpr int kMaxThreads = 1024;
constexpr int kWarpLanes = 32;

struct SharedArray;

enum class Waiting { kNothing, kWarp, kBlock };

struct PendingCopy {
  const SharedArray* array;
  int64_t offset;
  const void* from;  // nullptr: zeros
  int64_t group;     // 0: not committed
};

struct Thread {
  std::unique_ptr<Fiber> fiber;
  ThreadPlace place{};
  uint3 index{};
  bool at_rest = true;  // between two kernels
  Waiting waiting = Waiting::kNothing;
  Site site{};
  uint32_t mask = 0;
  Execute execute = nullptr;
  std::vector<PendingCopy> copies;
  int64_t copy_groups = 0;
};

// A warp's lanes, and what its __syncwarps ordered since the last __syncthreads. An access in tick t of lane j is
// ordered before what lane i does when t < synced, or t < known[i][j].
struct Warp {
  uint32_t ready = 0;
  uint32_t waiting = 0;  // at a collective
  uint32_t alive = 0;
  std::array<void*, kWarpLanes> payloads{};
  uint32_t tick = 1;
  uint32_t synced = 0;
  bool partly_known = false;
  std::array<std::array<uint32_t, kWarpLanes>, kWarpLanes> known{};
};

struct Block {
  uint3 index{};
  int n_threads = 0;
  int n_alive = 0;
  int n_at_barrier = 0;
  uint32_t ready_warps = 0;
  bool run_ahead = false;  // a warp goes on as long as it can
  int last_warp = 0;
  uint32_t epoch = 0;        // rises with each block and each barrier
  uint32_t first_epoch = 0;  // of this block
  uint64_t serial = 0;       // of this block
  std::string fault;         // what stopped it
  std::array<Warp, kMaxThreads / kWarpLanes> warps;
  std::vector<Thread> threads;
};
extern Block block;
extern Thread* running;  // nullptr outside kernels

struct KernelCall {
  const char* name;
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  void (*invoke)(const void* arguments);
  const void* arguments;
};
// Runs a whole grid. Empty, or the report of what went wrong.
std::string RunGrid(const KernelCall& call);

// Shared memory of a new block.
void BeginSharedMemory(size_t dynamic_bytes);
// A copy that a thread has begun: until its end nobody may touch those bytes.
void BeginCopyToShared(const SharedArray* array, int64_t offset, uint32_t bytes);
void EndCopyToShared(const SharedArray* array, int64_t offset, const void* from, uint32_t bytes);
// `thread (3, 0, 0)` of the running block.
std::string ThreadName(int id);
// Fault() in two steps, for a signal handler: it cannot throw, and what it holds when it leaves is lost.
void SetFault(const std::string& report);
[[noreturn]] void LeaveBlock();

}  // namespace cuda_emulation
