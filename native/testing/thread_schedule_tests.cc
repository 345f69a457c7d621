// What the scheduler knows of an event loop's thread. Nothing here measures time.
#ifdef __linux__
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

#include "core/thread_schedule.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

#ifdef __linux__
// ns of the calling thread's time slice, as the kernel tells (debugging information: not every kernel has it); else 0.
int64_t TimeSlice() {
  std::ifstream file("/proc/thread-self/sched");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("se.slice", 0) == 0) return std::stoll(line.substr(line.find(':') + 1));
  }
  return 0;
}

// Whether a thread may choose its time slice: not before Linux 6.12, nor where a sandbox forbids it.
bool SlicesCanBeChosen() {
#ifdef SYS_sched_setattr
  bool chosen = false;
  std::thread([&] {
    // struct sched_attr, version 0: size and policy, flags, nice and priority, runtime, deadline, period.
    uint64_t attributes[6] = {sizeof attributes, 0, 0, 15'000'000, 0, 0};
    chosen = syscall(SYS_sched_setattr, 0, attributes, 0) == 0 && TimeSlice() == 15'000'000;
  }).join();
  return chosen;
#else
  return false;
#endif
}

// An event loop's thread has a short time slice at the same priority; a thread that it starts has not.
KV_TEST(thread_schedule_short_time_slices_are_not_inherited) {
  const int64_t before = TimeSlice();
  if (before == 0) return Skip("the kernel does not tell the length of time slices");
  if (before <= 100'000 || before >= 20'000'000) return Skip("time slices are not of the usual length here");
  if (!SlicesCanBeChosen()) return Skip("the kernel lets no thread choose its time slice");
  int64_t own = 0, inherited = 0;
  int policy = -1, priority = -1;
  std::thread([&] {
    PreferShortTimeSlice();
    own = TimeSlice();
    policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    priority = getpriority(PRIO_PROCESS, 0);
    std::thread([&] { inherited = TimeSlice(); }).join();
  }).join();
  KV_EXPECT_EQ(own, 100'000);
  KV_EXPECT_EQ(inherited, before);
  KV_EXPECT_EQ(policy, sched_getscheduler(0));
  KV_EXPECT_EQ(priority, getpriority(PRIO_PROCESS, 0));
}

// A host's own choice stays.
KV_TEST(thread_schedule_keeps_another_policy) {
  int policy = -1;
  std::thread([&] {
    const sched_param none{};
    if (sched_setscheduler(0, SCHED_BATCH, &none) != 0) return;
    PreferShortTimeSlice();
    policy = sched_getscheduler(0);
  }).join();
  if (policy == -1) return Skip("the policy cannot be changed");
  KV_EXPECT_EQ(policy, SCHED_BATCH);
}
#endif

}  // namespace
}  // namespace kvasir::testing
