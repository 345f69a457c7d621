#include "core/thread_schedule.h"

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#endif

namespace kvasir {

#if defined(__linux__) && defined(SYS_sched_setattr)

namespace {

// The kernel's struct sched_attr, version 0, which not every C library declares.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  // ns; the time slice under SCHED_OTHER and SCHED_BATCH
  uint64_t deadline = 0;
  uint64_t period = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

constexpr uint64_t kLongSlice = 20'000'000;  // nobody has this by default
constexpr uint64_t kShortSlice = 100'000;    // the shortest that Linux gives
constexpr uint64_t kResetOnFork = 1;         // SCHED_FLAG_RESET_ON_FORK

}  // namespace

void PreferShortTimeSlice() {
  SchedulingAttributes attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER || attributes.nice < 0) return;
  // A kernel without time slices of one's own reports none.
  if (attributes.runtime <= kShortSlice || attributes.runtime >= kLongSlice) return;
  attributes.size = sizeof attributes;
  attributes.flags |= kResetOnFork;
  attributes.runtime = kShortSlice;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

#else

void PreferShortTimeSlice() {}

#endif

}  // namespace kvasir
