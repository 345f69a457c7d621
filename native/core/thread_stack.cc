#include "core/thread_stack.h"

#include <cstdlib>

#if defined(__linux__) && !defined(__GLIBC__)
#include <pthread.h>
#endif

namespace kvasir {

#if defined(__linux__) && !defined(__GLIBC__)

namespace {

constexpr size_t kStackBytes = size_t{1} << 20;

// musl never makes it smaller than it is.
bool Widen() {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  const bool done = pthread_attr_setstacksize(&attributes, kStackBytes) == 0 &&
                    pthread_setattr_default_np(&attributes) == 0;
  pthread_attr_destroy(&attributes);
  return done;
}

}  // namespace

void WidenThreadStacks() { [[maybe_unused]] static const bool done = Widen(); }

#else

void WidenThreadStacks() {}

#endif

}  // namespace kvasir
