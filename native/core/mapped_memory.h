// Memory of the system's own, by whole pages: mmap, or VirtualAlloc on Windows. It throws nothing and counts nothing: see
// aligned_buffer.h.
#pragma once

#include <cstddef>

namespace kvasir {

// Zeroed; nullptr where the system refuses. With `lazy` Linux does not check that all of it could come; Windows always does.
void* MapMemory(size_t bytes, bool lazy);
// All that MapMemory gave.
void UnmapMemory(void* begin, size_t bytes);
// Of whole huge pages: a wish, on Linux alone.
void PreferHugePages(void* begin, size_t bytes);
// Physical memory of whole pages goes back to the system; what was there is lost. A wish on macOS.
void DiscardMemory(void* begin, size_t bytes);

}  // namespace kvasir
