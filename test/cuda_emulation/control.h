// What tests steer: the seed of every order that CUDA leaves open, faults to inject, the size of the device, and what was
// found wrong. Refuses to be used by the backend.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cuda_emulation {

// Order of blocks, of ready threads, and of work in independent streams. Also KVASIR_EMULATION_SEED, read whenever the
// devices are counted; 1 by default.
void SetSeed(uint64_t seed);

// What was found wrong since the last call, oldest first. Each made its launch fail.
std::vector<std::string> TakeReports();

// Counted from now, 1 is the next; 0 is none. Also KVASIR_EMULATION_FAULT, one of `alloc:3` (that allocation fails,
// once), `launch:17` (that launch fails while it runs, which is sticky), `lost:100` (from that call of the runtime on,
// all fail), `device:none`, `device:old-driver`.
struct Faults {
  int64_t allocation = 0;
  int64_t launch = 0;
  int64_t lost = 0;
};
void InjectFaults(const Faults& faults);

// Device memory in bytes. Also KVASIR_EMULATION_MEMORY; 8 GiB by default.
void SetDeviceMemory(uint64_t bytes);
// Live cudaMalloc'd bytes.
uint64_t AllocatedDeviceMemory();

// Back to a device without memory, streams, errors and faults. The environment's faults count anew.
void ResetDevice();

}  // namespace cuda_emulation
