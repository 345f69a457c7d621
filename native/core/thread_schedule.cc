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
  uint64_t runtime = 0;  // ns; a turn's length under SCHED_OTHER and SCHED_BATCH
  uint64_t deadline = 0;
  uint64_t period = 0;
};
static_assert(sizeof(SchedulingAttributes) == 48);

constexpr uint64_t kTurn = 20'000'000;

}  // namespace

void PreferLongTurns() {
  SchedulingAttributes attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  // A host that chose another policy, or longer turns, meant it.
  if (attributes.policy != SCHED_OTHER || attributes.runtime >= kTurn) return;
  attributes.size = sizeof attributes;
  attributes.runtime = kTurn;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

#else

void PreferLongTurns() {}

#endif

}  // namespace kvasir
