#include "core/mapped_memory.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#endif

namespace kvasir {

#if defined(_WIN32)

void* MapMemory(size_t bytes, bool) {
  return VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}
void UnmapMemory(void* begin, size_t) { VirtualFree(begin, 0, MEM_RELEASE); }
void PreferHugePages(void*, size_t) {}
void DiscardMemory(void* begin, size_t bytes) { VirtualAlloc(begin, bytes, MEM_RESET, PAGE_READWRITE); }

#else

void* MapMemory(size_t bytes, bool lazy) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (lazy ? MAP_NORESERVE : 0);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}
void UnmapMemory(void* begin, size_t bytes) { munmap(begin, bytes); }
void PreferHugePages([[maybe_unused]] void* begin, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(begin, bytes, MADV_HUGEPAGE);
#endif
}
void DiscardMemory(void* begin, size_t bytes) { madvise(begin, bytes, MADV_DONTNEED); }

#endif

}  // namespace kvasir
