// The running thread of a kernel: where it meets others. Threads are fibers; one runs at a time, until it waits, and
// which goes on next is chosen by seed. Refuses what CUDA leaves undefined: it is reported and the launch fails.
#pragma once

#include <cstdint>
#include <string>

namespace cuda_emulation {

// A place in a kernel's source. As a default argument it is the caller's.
struct Site {
  const char* file;
  int line;
  static constexpr Site Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};
bool operator==(const Site& a, const Site& b);

// Who is where, for reports and for the shadow of shared memory.
struct ThreadPlace {
  int id;  // in the block, x fastest
  int warp;
  int lane;
};
ThreadPlace Current();

// What lanes of a warp do together once all of `mask` are there: `execute` sees each lane's payload, by lane.
using Execute = void (*)(void* const* payloads, uint32_t mask);
void Collective(uint32_t mask, Execute execute, void* payload, Site site);
// The same, ordering the lanes' accesses to memory: __syncwarp alone does that.
void WarpBarrier(uint32_t mask, Site site);
void BlockBarrier(Site site);

// Ends the launch with this text, after kernel, block and thread.
[[noreturn]] void Fault(const std::string& text);

}  // namespace cuda_emulation

inline void __syncthreads(cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  cuda_emulation::BlockBarrier(site);
}
inline void __syncwarp(uint32_t mask = 0xffffffffu,
                       cuda_emulation::Site site = cuda_emulation::Site::Here()) {
  cuda_emulation::WarpBarrier(mask, site);
}
