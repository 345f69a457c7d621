// The shadow of shared memory: for each byte who last wrote and read it, and when. A stamp is, from the high end,
//   epoch 32 | tick 19 | pending 1 | atomic 1 | who 11
// where the epoch rises with each block and each __syncthreads and the tick with each __syncwarp of the warp (execution.cc).
// `who` is a thread, or all of a warp (kWarpOf + warp), or any (kAnybody): several that nothing orders.
#include "shared_memory.h"

#include <array>
#include <sstream>

#include "block_state.h"

namespace cuda_emulation {
namespace {

constexpr uint32_t kArenaBytes = 228 << 10;
constexpr uint32_t kStaticBytes = 48 << 10;  // more must be dynamic
constexpr int kMaxArrays = 64;
constexpr uint32_t kWarpOf = kMaxThreads;
constexpr uint32_t kAnybody = kWarpOf + kMaxThreads / kWarpLanes;
constexpr uint64_t kAtomic = uint64_t{1} << 11;
constexpr uint64_t kPending = uint64_t{1} << 12;
constexpr int kTickShift = 13;
constexpr uint64_t kMaxTick = (1 << 19) - 1;

struct Arena {
  alignas(16) std::array<unsigned char, kArenaBytes> bytes;
  std::array<uint64_t, kArenaBytes> written;
  std::array<uint64_t, kArenaBytes> read;
  std::array<SharedArray, kMaxArrays> arrays;
  int n_arrays;
  uint32_t used;
};
Arena arena;

uint32_t Epoch(uint64_t stamp) { return static_cast<uint32_t>(stamp >> 32); }
uint32_t Tick(uint64_t stamp) { return static_cast<uint32_t>(stamp >> kTickShift & kMaxTick); }
uint32_t Who(uint64_t stamp) { return static_cast<uint32_t>(stamp & 0x7ff); }

uint64_t StampOf(uint32_t who) {
  const uint64_t tick = std::min<uint64_t>(block.warps[running->place.warp].tick, kMaxTick);
  return uint64_t{block.epoch} << 32 | tick << kTickShift | who;
}
uint64_t Stamp() { return StampOf(static_cast<uint32_t>(running->place.id)); }

// Whether what the stamp tells happened before what the running thread does now.
bool Ordered(uint64_t stamp) {
  if (Epoch(stamp) != block.epoch) return true;
  const uint32_t who = Who(stamp);
  const uint32_t self = static_cast<uint32_t>(running->place.id);
  if (who == self) return true;
  if (who == kAnybody) return false;
  const uint32_t warp_of_who = who >= kWarpOf ? who - kWarpOf : who / kWarpLanes;
  if (warp_of_who != self / kWarpLanes) return false;
  const Warp& warp = block.warps[warp_of_who];
  const uint32_t tick = Tick(stamp);
  if (tick < warp.synced) return true;
  if (!warp.partly_known) return false;
  const auto& known = warp.known[running->place.lane];
  if (who < kWarpOf) return tick < known[who % kWarpLanes];
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    if (lane != running->place.lane && tick >= known[lane]) return false;
  }
  return true;
}

// Who did it, when the running thread does it as well and nothing orders the two.
uint64_t Joined(uint64_t stamp) {
  const uint32_t warp = static_cast<uint32_t>(running->place.warp);
  const uint32_t who = Who(stamp);
  const bool same_warp = who == kWarpOf + warp || (who < kWarpOf && who / kWarpLanes == warp);
  return StampOf(same_warp ? kWarpOf + warp : kAnybody);
}

std::string WhoName(uint64_t stamp) {
  const uint32_t who = Who(stamp);
  if (who < kWarpOf) return ThreadName(static_cast<int>(who));
  if (who < kAnybody) return "several threads of warp " + std::to_string(who - kWarpOf);
  return "threads of several warps";
}

std::string Where(const SharedArray* array, int64_t offset) {
  std::ostringstream text;
  const int64_t element = array->element;
  text << array->name << "[" << (offset - (offset % element + element) % element) / element << "]";
  if (offset % element != 0) text << " (byte " << offset << ")";
  return text.str();
}

void ReportRace(const SharedArray* array, int64_t offset, const char* now, const char* before,
                uint64_t stamp) {
  Fault(std::string(now) + " " + Where(array, offset) + ", which " + WhoName(stamp) + " " + before +
        " with no barrier between");
}

// The access's place in the arena.
uint32_t Checked(const SharedArray* array, int64_t offset, uint32_t bytes, uint32_t align, const char* what) {
  if (array == nullptr) Fault(std::string(what) + " shared memory through a null pointer");
  if (offset < 0 || offset + bytes > array->bytes) {
    Fault(std::string(what) + " " + Where(array, offset) + ", outside its " + std::to_string(array->bytes) +
          " bytes");
  }
  if (offset % align != 0) {
    Fault(std::string(what) + " " + Where(array, offset) + ", which is not aligned to " +
          std::to_string(align) + " bytes");
  }
  return array->begin + static_cast<uint32_t>(offset);
}

void CheckWrite(const SharedArray* array, int64_t offset, uint32_t at, bool atomic) {
  const uint64_t written = arena.written[at];
  if (Epoch(written) >= block.first_epoch && (written & kPending) != 0) {
    Fault("writes " + Where(array, offset) + ", where a cp.async of " + WhoName(written) + " is under way");
  }
  if (!Ordered(written) && !(atomic && (written & kAtomic) != 0)) {
    ReportRace(array, offset, "writes", "wrote", written);
  }
  if (!Ordered(arena.read[at])) ReportRace(array, offset, "writes", "read", arena.read[at]);
}

void CheckRead(const SharedArray* array, int64_t offset, uint32_t at) {
  const uint64_t written = arena.written[at];
  if (Epoch(written) < block.first_epoch)
    Fault("reads " + Where(array, offset) + ", which nobody has written");
  if ((written & kPending) != 0) {
    Fault("reads " + Where(array, offset) + " before the cp.async of " + WhoName(written) + " is waited for");
  }
}

}  // namespace

void BeginSharedMemory(size_t dynamic_bytes) {
  arena.n_arrays = 1;
  arena.arrays[0] = {"dynamic", 0, static_cast<uint32_t>(dynamic_bytes), 1};
  arena.used = static_cast<uint32_t>((dynamic_bytes + 15) / 16 * 16);
}

const SharedArray* DynamicSharedArray() { return &arena.arrays[0]; }

const SharedArray* DeclareShared(SharedSite* site, const char* name, uint32_t bytes, uint32_t element) {
  if (site->block == block.serial) return site->array;
  const uint32_t fixed = arena.used - (arena.arrays[0].bytes + 15) / 16 * 16 + bytes;
  if (fixed > kStaticBytes)
    Fault("declares more than 48 KiB of static shared memory, with " + std::string(name));
  if (arena.used + bytes > kArenaBytes || arena.n_arrays == kMaxArrays) {
    Fault("declares more shared memory than there is, with " + std::string(name));
  }
  SharedArray& array = arena.arrays[static_cast<size_t>(arena.n_arrays++)];
  array = {name, arena.used, bytes, element};
  arena.used += (bytes + 15) / 16 * 16;
  *site = {block.serial, &array};
  return &array;
}

void LoadShared(const SharedArray* array, int64_t offset, void* to, uint32_t bytes, uint32_t align) {
  const uint32_t at = Checked(array, offset, bytes, align, "reads");
  const uint64_t stamp = Stamp();
  const uint64_t now = uint64_t{block.epoch} << 32;
  for (uint32_t i = 0; i < bytes; ++i) {
    const uint64_t written = arena.written[at + i];
    if (Epoch(written) < block.first_epoch || (written & kPending) != 0) CheckRead(array, offset + i, at + i);
    if (written >= now && !Ordered(written)) ReportRace(array, offset + i, "reads", "wrote", written);
    uint64_t& read = arena.read[at + i];
    read = read < now || Ordered(read) ? stamp : Joined(read);
  }
  std::memcpy(to, &arena.bytes[at], bytes);
}

void StoreShared(const SharedArray* array, int64_t offset, const void* from, uint32_t bytes, uint32_t align) {
  const uint32_t at = Checked(array, offset, bytes, align, "writes");
  const uint64_t stamp = Stamp();
  for (uint32_t i = 0; i < bytes; ++i) {
    CheckWrite(array, offset + i, at + i, false);
    arena.written[at + i] = stamp;
  }
  std::memcpy(&arena.bytes[at], from, bytes);
}

uint32_t AddShared(const SharedArray* array, int64_t offset, uint32_t value) {
  const uint32_t at = Checked(array, offset, 4, 4, "adds to");
  for (uint32_t i = 0; i < 4; ++i) {
    CheckRead(array, offset + i, at + i);
    CheckWrite(array, offset + i, at + i, true);
    uint64_t& written = arena.written[at + i];
    written = (Ordered(written) ? Stamp() : Joined(written)) | kAtomic;
  }
  uint32_t old;
  std::memcpy(&old, &arena.bytes[at], 4);
  value += old;
  std::memcpy(&arena.bytes[at], &value, 4);
  return old;
}

void BeginCopyToShared(const SharedArray* array, int64_t offset, uint32_t bytes) {
  const uint32_t at = Checked(array, offset, bytes, bytes, "copies to");
  for (uint32_t i = 0; i < bytes; ++i) {
    CheckWrite(array, offset + i, at + i, false);
    arena.written[at + i] = Stamp() | kPending;
  }
}

void EndCopyToShared(const SharedArray* array, int64_t offset, const void* from, uint32_t bytes) {
  const uint32_t at = array->begin + static_cast<uint32_t>(offset);
  for (uint32_t i = 0; i < bytes; ++i) arena.written[at + i] = Stamp();
  std::memcpy(&arena.bytes[at], from, bytes);
}

}  // namespace cuda_emulation
