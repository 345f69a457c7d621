// Device memory and pinned host memory: each allocation in pages of its own, ending at one that nobody may touch. The
// begin is aligned to 16 bytes, the widest access, and no more. Fresh memory is full of 0xff: NaN, and -1.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <sstream>

#include "device_state.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace cuda_emulation {
namespace {

constexpr unsigned char kMargin = 0xc5;
constexpr size_t kQuarantine = 4096;  // freed allocations that stay out of reach
// Beyond this much, opening and closing device memory would cost more than it finds.
constexpr uint64_t kMaxProtected = uint64_t{256} << 20;

std::map<uintptr_t, Allocation> live;
std::deque<Allocation> freed;
int n_accesses = 0;  // DeviceMemoryAccess that live

size_t Page() {
  static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return page;
}

void Protect(const Allocation& allocation, int protection) {
  mprotect(allocation.mapping + Page(), allocation.mapping_bytes - 2 * Page(), protection);
}

void ProtectAll(int protection) {
  if (Device().allocated > kMaxProtected) protection = PROT_READ | PROT_WRITE;
  for (const auto& [address, allocation] : live) {
    if (!allocation.pinned) Protect(allocation, protection);
  }
}

void Unmap(const Allocation& allocation) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(allocation.mapping, allocation.mapping_bytes);
#endif
  munmap(allocation.mapping, allocation.mapping_bytes);
}

}  // namespace

void* Allocate(size_t bytes, bool pinned) {
  const size_t page = Page();
  const size_t padded = (bytes + 15) / 16 * 16;
  const size_t inner = (padded + page - 1) / page * page;
  void* mapping =
      mmap(nullptr, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  Allocation allocation{nullptr, bytes, static_cast<uint8_t*>(mapping), inner + 2 * page, pinned};
  uint8_t* const first = allocation.mapping + page;
  allocation.begin = first + inner - padded;
  Protect(allocation, PROT_READ | PROT_WRITE);
  std::memset(first, kMargin, static_cast<size_t>(allocation.begin - first));
  std::memset(allocation.begin, 0xff, bytes);
  std::memset(allocation.begin + bytes, kMargin, padded - bytes);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(first, static_cast<size_t>(allocation.begin - first));
  ASAN_POISON_MEMORY_REGION(allocation.begin + bytes, padded - bytes);
#endif
  live[reinterpret_cast<uintptr_t>(allocation.begin)] = allocation;
  if (!pinned) {
    Device().allocated += bytes;
    if (n_accesses == 0 && Device().allocated <= kMaxProtected) Protect(allocation, PROT_NONE);
  }
  return allocation.begin;
}

bool Release(void* p, bool pinned) {
  const auto found = live.find(reinterpret_cast<uintptr_t>(p));
  if (found == live.end() || found->second.pinned != pinned) return false;
  const Allocation allocation = found->second;
  live.erase(found);
  if (!pinned) Device().allocated -= allocation.bytes;
  Protect(allocation, PROT_NONE);
  madvise(allocation.mapping, allocation.mapping_bytes, MADV_DONTNEED);
  freed.push_back(allocation);
  if (freed.size() > kQuarantine) {
    Unmap(freed.front());
    freed.pop_front();
  }
  return true;
}

void ReleaseAll() {
  for (const auto& [address, allocation] : live) Unmap(allocation);
  for (const Allocation& allocation : freed) Unmap(allocation);
  live.clear();
  freed.clear();
  Device().allocated = 0;
}

const Allocation* FindAllocation(const void* p, size_t bytes) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  auto after = live.upper_bound(address);
  if (after == live.begin()) return nullptr;
  const Allocation& allocation = std::prev(after)->second;
  const size_t offset = address - reinterpret_cast<uintptr_t>(allocation.begin);
  return offset <= allocation.bytes && bytes <= allocation.bytes - offset ? &allocation : nullptr;
}

std::string DescribeAddress(const void* p) {
  const uint8_t* address = static_cast<const uint8_t*>(p);
  std::ostringstream text;
  text << "address " << p;
  const auto describe = [&](const Allocation& allocation, const char* kind) {
    if (address < allocation.mapping || address >= allocation.mapping + allocation.mapping_bytes)
      return false;
    text << ", byte " << address - allocation.begin << " of " << kind << " " << allocation.bytes << " bytes";
    return true;
  };
  for (const auto& [begin, allocation] : live) {
    if (describe(allocation, allocation.pinned ? "pinned memory of" : "device memory of")) return text.str();
  }
  for (const Allocation& allocation : freed) {
    if (describe(allocation, "freed memory of")) return text.str();
  }
  text << ", not device memory";
  return text.str();
}

std::string CheckMargins() {
#if !defined(__SANITIZE_ADDRESS__)
  for (const auto& [address, allocation] : live) {
    const uint8_t* const end = allocation.mapping + allocation.mapping_bytes - Page();
    for (const uint8_t* p = allocation.begin + allocation.bytes; p != end; ++p) {
      if (*p != kMargin) return "wrote to " + DescribeAddress(p);
    }
  }
#endif
  return "";
}

DeviceMemoryAccess::DeviceMemoryAccess() {
  if (n_accesses++ == 0) ProtectAll(PROT_READ | PROT_WRITE);
}

DeviceMemoryAccess::~DeviceMemoryAccess() {
  if (--n_accesses == 0) ProtectAll(PROT_NONE);
}

}  // namespace cuda_emulation
