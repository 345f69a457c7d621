// Blocks one after the other in a shuffled order, their threads as fibers.
#include "execution.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <sstream>

#include "block_state.h"
#include "random_order.h"
#include "tensor_core.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace cuda_emulation {

Block block;
Thread* running = nullptr;
RandomOrder random_order;

namespace {

Fiber* scheduler = nullptr;  // the host thread that runs the grid
const KernelCall* call = nullptr;

void MakeReady(Thread& thread) {
  thread.waiting = Waiting::kNothing;
  block.warps[thread.place.warp].ready |= 1u << thread.place.lane;
  block.ready_warps |= 1u << thread.place.warp;
}

// The next thread to go on, nullptr when all wait or are done.
Thread* TakeReady() {
  if (block.ready_warps == 0) return nullptr;
  int w = block.last_warp;
  if (!block.run_ahead || (block.ready_warps >> w & 1) == 0) w = random_order.SetBit(block.ready_warps);
  block.last_warp = w;
  Warp& warp = block.warps[w];
  const int lane = random_order.SetBit(warp.ready);
  warp.ready &= ~(1u << lane);
  if (warp.ready == 0) block.ready_warps &= ~(1u << w);
  return &block.threads[w * kWarpLanes + lane];
}

// Lets another thread go on; returns when somebody lets this one.
void Yield() {
  Thread& self = *running;
  Thread* next = TakeReady();
  running = next;
  if (next == &self) return;
  if (next != nullptr) threadIdx = next->index;
  self.fiber->SwitchTo(next == nullptr ? *scheduler : *next->fiber);
}

void ForgetWarpOrder() {
  const int n_warps = (block.n_threads + kWarpLanes - 1) / kWarpLanes;
  for (int w = 0; w < n_warps; ++w) {
    Warp& warp = block.warps[w];
    warp.tick = 1;
    warp.synced = 0;
    if (!warp.partly_known) continue;
    for (auto& row : warp.known) row.fill(0);
    warp.partly_known = false;
  }
}

void ReleaseBarrier() {
  const Thread* first = nullptr;
  for (int i = 0; i < block.n_threads; ++i) {
    Thread& thread = block.threads[i];
    if (thread.waiting != Waiting::kBlock) continue;
    if (first == nullptr) first = &thread;
    if (!(thread.site == first->site)) {
      std::ostringstream text;
      text << "threads of one block wait at different barriers: " << ThreadName(first->place.id) << " at "
           << first->site.file << ":" << first->site.line << ", " << ThreadName(thread.place.id) << " at "
           << thread.site.file << ":" << thread.site.line;
      Fault(text.str());
    }
    MakeReady(thread);
  }
  block.n_at_barrier = 0;
  ++block.epoch;
  ForgetWarpOrder();
}

// What a fault throws; the report is in block.fault.
struct Abandoned {};

void EndThread(Thread& self) {
  CopyAsyncCommitGroup();
  CopyAsyncWaitGroup(0);
  self.at_rest = true;
  block.warps[self.place.warp].alive &= ~(1u << self.place.lane);
  --block.n_alive;
  if (block.n_at_barrier > 0 && block.n_at_barrier == block.n_alive) ReleaseBarrier();
}

// One thread of a kernel after the other, for as long as the fiber lives.
void ThreadMain() {
  Thread& self = *running;
  self.fiber->Entered();
  for (;;) {
    try {
      call->invoke(call->arguments);
      EndThread(self);
    } catch (const Abandoned&) {
    }
    if (!block.fault.empty()) LeaveBlock();
    Yield();
  }
}

void ExecuteWarpBarrier(void* const*, uint32_t mask) {
  Warp& warp = block.warps[running->place.warp];
  ++warp.tick;
  if ((mask & warp.alive) == warp.alive) {
    warp.synced = warp.tick;
    return;
  }
  warp.partly_known = true;
  std::array<uint32_t, kWarpLanes> joint{};
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    for (int other = 0; other < kWarpLanes; ++other) {
      joint[other] = std::max(joint[other], warp.known[lane][other]);
    }
    joint[lane] = warp.tick;
  }
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if (mask >> lane & 1) warp.known[lane] = joint;
  }
}

void Describe(std::ostringstream& text, const Thread& thread) {
  text << ThreadName(thread.place.id);
  if (thread.at_rest) {
    text << " has ended";
    return;
  }
  text << " waits at " << thread.site.file << ":" << thread.site.line;
  if (thread.waiting == Waiting::kBlock) text << " (__syncthreads)";
  if (thread.waiting == Waiting::kWarp) {
    text << " for lanes 0x" << std::hex << thread.mask << std::dec << " of its warp";
  }
}

// No thread can go on, and not all have ended.
std::string DeadlockReport() {
  std::ostringstream text;
  text << "no thread can go on: ";
  for (int i = 0; i < block.n_threads; ++i) {
    const Thread& thread = block.threads[i];
    if (thread.waiting != Waiting::kWarp) continue;
    Describe(text, thread);
    for (int lane = 0; lane < kWarpLanes; ++lane) {
      if ((thread.mask >> lane & 1) == 0 || lane == thread.place.lane) continue;
      const int other = thread.place.warp * kWarpLanes + lane;
      if (other >= block.n_threads) {
        text << ", but lane " << lane << " is not in the block";
        return text.str();
      }
      const Thread& missing = block.threads[other];
      if (missing.waiting == Waiting::kWarp && missing.site == thread.site && missing.mask == thread.mask)
        continue;
      text << ", but ";
      Describe(text, missing);
      return text.str();
    }
  }
  text << block.n_at_barrier << " of " << block.n_alive << " threads wait at __syncthreads";
  return text.str();
}

void PrepareThreads() {
  block.n_threads = static_cast<int>(call->block.x * call->block.y * call->block.z);
  if (block.threads.empty()) block.threads.resize(kMaxThreads);
  for (int i = 0; i < block.n_threads; ++i) {
    Thread& thread = block.threads[i];
    thread.place = {i, i / kWarpLanes, i % kWarpLanes};
    const unsigned id = static_cast<unsigned>(i);
    thread.index = {id % call->block.x, id / call->block.x % call->block.y,
                    id / call->block.x / call->block.y};
    if (thread.fiber == nullptr) thread.fiber = std::make_unique<Fiber>(ThreadMain);
  }
}

void BeginBlock() {
  block.n_alive = block.n_threads;
  block.n_at_barrier = 0;
  block.run_ahead = (random_order.Next() & 1) != 0;
  block.first_epoch = ++block.epoch;
  ++block.serial;
  block.ready_warps = 0;
  for (int i = 0; i < block.n_threads; ++i) {
    Thread& thread = block.threads[i];
    thread.at_rest = false;
    thread.waiting = Waiting::kNothing;
    thread.copies.clear();
    thread.copy_groups = 0;
  }
  for (int first = 0; first < block.n_threads; first += kWarpLanes) {
    Warp& warp = block.warps[first / kWarpLanes];
    const int lanes = std::min(kWarpLanes, block.n_threads - first);
    warp.ready = warp.alive = 0xffffffffu >> (kWarpLanes - lanes);
    warp.waiting = 0;
    block.ready_warps |= 1u << (first / kWarpLanes);
  }
  ForgetWarpOrder();
  BeginSharedMemory(call->shared_bytes);
}

// Empty, or what went wrong.
std::string RunBlock() {
  BeginBlock();
  running = TakeReady();
  threadIdx = running->index;
  scheduler->SwitchTo(*running->fiber);
  running = nullptr;
  std::string fault = std::move(block.fault);
  block.fault.clear();
  if (fault.empty() && block.n_alive > 0) {
    std::ostringstream text;
    text << "kernel " << call->name << ", block (" << blockIdx.x << ", " << blockIdx.y << ", " << blockIdx.z
         << "): " << DeadlockReport();
    fault = text.str();
  }
  if (fault.empty()) return fault;
  for (int i = 0; i < block.n_threads; ++i) {
    Thread& thread = block.threads[i];
    if (!thread.at_rest) thread.fiber->Restart();
    thread.at_rest = true;
  }
  return fault;
}

}  // namespace

bool operator==(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

ThreadPlace Current() { return running->place; }

std::string ThreadName(int id) {
  const uint3& index = block.threads[id].index;
  std::ostringstream text;
  text << "thread (" << index.x << ", " << index.y << ", " << index.z << ")";
  return text.str();
}

void SetFault(const std::string& report) {
  std::ostringstream text;
  text << "kernel " << call->name << ", block (" << blockIdx.x << ", " << blockIdx.y << ", " << blockIdx.z
       << "), " << ThreadName(running->place.id) << ": " << report;
  block.fault = text.str();
}

void LeaveBlock() {
  Thread& self = *running;
  self.at_rest = false;  // wherever it was: it begins anew
  self.fiber->SwitchTo(*scheduler);
  __builtin_unreachable();
}

void Fault(const std::string& report) {
  SetFault(report);
  throw Abandoned();
}

void Collective(uint32_t mask, Execute execute, void* payload, Site site) {
  Thread& self = *running;
  Warp& warp = block.warps[self.place.warp];
  const uint32_t bit = 1u << self.place.lane;
  if ((mask & bit) == 0) {
    std::ostringstream text;
    text << "the mask 0x" << std::hex << mask << " at " << site.file << ":" << std::dec << site.line
         << " lacks the calling lane " << self.place.lane;
    Fault(text.str());
  }
  self.waiting = Waiting::kWarp;
  self.site = site;
  self.mask = mask;
  self.execute = execute;
  warp.payloads[self.place.lane] = payload;
  warp.waiting |= bit;
  if ((warp.waiting & mask) != mask) return Yield();
  Thread* lanes = &block.threads[self.place.warp * kWarpLanes];
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const Thread& other = lanes[std::countr_zero(rest)];
    if (other.execute == execute && other.mask == mask && other.site == site) continue;
    std::ostringstream text;
    text << "lanes of one mask do different things: it waits at " << site.file << ":" << site.line
         << " for lanes 0x" << std::hex << mask << std::dec << ", ";
    Describe(text, other);
    Fault(text.str());
  }
  execute(warp.payloads.data(), mask);
  warp.waiting &= ~mask;
  for (uint32_t rest = mask & ~bit; rest != 0; rest &= rest - 1) MakeReady(lanes[std::countr_zero(rest)]);
  self.waiting = Waiting::kNothing;
}

void WarpBarrier(uint32_t mask, Site site) { Collective(mask, ExecuteWarpBarrier, nullptr, site); }

void BlockBarrier(Site site) {
  Thread& self = *running;
  self.waiting = Waiting::kBlock;
  self.site = site;
  if (++block.n_at_barrier == block.n_alive) ReleaseBarrier();
  Yield();
}

std::string RunGrid(const KernelCall& kernel) {
  Fiber host;
  scheduler = &host;
  call = &kernel;
  blockDim = kernel.block;
  gridDim = kernel.grid;
  PrepareThreads();
  const uint64_t n_blocks = uint64_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z;
  // Every block once, in an order that a step prime to their number makes.
  const uint64_t start = random_order.Below(static_cast<uint32_t>(std::min<uint64_t>(n_blocks, UINT32_MAX)));
  uint64_t step = n_blocks == 1 ? 1 : 1 + random_order.Next() % (n_blocks - 1);
  while (std::gcd(step, n_blocks) != 1) step = step % n_blocks + 1;
  std::string fault;
  for (uint64_t i = 0, at = start; i < n_blocks && fault.empty(); ++i, at = (at + step) % n_blocks) {
    const uint64_t x = at % kernel.grid.x;
    const uint64_t y = at / kernel.grid.x % kernel.grid.y;
    blockIdx = {static_cast<unsigned>(x), static_cast<unsigned>(y),
                static_cast<unsigned>(at / kernel.grid.x / kernel.grid.y)};
    fault = RunBlock();
  }
  scheduler = nullptr;
  call = nullptr;
  return fault;
}

}  // namespace cuda_emulation
