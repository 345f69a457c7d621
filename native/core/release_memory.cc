#include "core/release_memory.h"

#include <atomic>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace kvasir {

namespace {
std::atomic<bool> allowed{false};
}

void AllowReleasing() { allowed.store(true); }

void ReleaseFreeMemory() {
#ifdef __GLIBC__
  if (allowed.load()) malloc_trim(0);
#endif
}

}  // namespace kvasir
