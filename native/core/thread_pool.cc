#include "core/thread_pool.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <chrono>
#include <string>

#include "core/cpu_count.h"
#include "core/error.h"
#include "core/start_thread.h"

namespace kvasir {

namespace {

inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Long enough to bridge the ops of a step, short enough not to burn a core between steps.
constexpr std::chrono::microseconds kSpin{60}, kNoSpin{0};

int CurrentCpu() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

// Moves the calling thread to another core, if it may use one. Linux often wakes a thread where its waker runs, and
// leaves the two there for milliseconds: the helper would take turns with the caller instead of working beside it.
void LeaveCpu([[maybe_unused]] int cpu) {
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || !CPU_ISSET(cpu, &allowed)) return;
  cpu_set_t others = allowed;
  CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof(others), &others) != 0) return;
  sched_setaffinity(0, sizeof(allowed), &allowed);  // the thread has moved: it may go anywhere again
#endif
}

// Group::state: generation << 17 | open << 16 | helpers of the group in the job
constexpr uint64_t kOpen = uint64_t{1} << 16;
constexpr uint64_t kHelpers = kOpen - 1;
constexpr int kGenerationShift = 17;

size_t GroupsFor(int n_threads, int size) { return static_cast<size_t>((n_threads - 1 + size - 1) / size); }

// What comes in the microseconds between two jobs; more of it made no difference.
constexpr int64_t kFetchAhead = 48 * 1024;

}  // namespace

// Enters the job that `seen_state` showed, unless it has closed since.
bool ThreadPool::Group::Join(uint64_t seen_state) {
  const uint64_t generation = seen_state >> kGenerationShift;
  while (seen_state >> kGenerationShift == generation && (seen_state & kOpen) != 0) {
    if (state.compare_exchange_weak(seen_state, seen_state + 1, std::memory_order_acquire)) return true;
  }
  return false;
}

void ThreadPool::Group::Open(uint64_t generation) {
  // Sequentially consistent, as `parked` is: see Helper.
  state.store(generation << kGenerationShift | kOpen);
  if (parked.load() == 0) return;
  const std::lock_guard<std::mutex> lock(mutex);
  wake.notify_all();
}

void ThreadPool::Group::Close() { state.fetch_and(~kOpen); }

// Helpers finish the tasks they hold. With fewer free cores than threads one may be descheduled, so yield at last.
void ThreadPool::Group::AwaitHelpers() const {
  for (int spins = 0; (state.load(std::memory_order_acquire) & kHelpers) != 0; ++spins) {
    if (spins < 2000) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

ThreadPool::ThreadPool(int n_threads)
    : parts_(new Part[static_cast<size_t>(n_threads)]),
      groups_(GroupsFor(n_threads, kGroupSize)),
      crowded_(n_threads > AvailableCpus()) {
  helpers_.reserve(static_cast<size_t>(n_threads));
  try {
    for (int thread = 1; thread < n_threads; ++thread) {
      helpers_.push_back(StartThread([this, thread] { Helper(thread); }));
    }
  } catch (const Error&) {
    // The destructor of a half-built pool does not run: helpers that started would wait for ever.
    const size_t started = helpers_.size();
    Stop();
    throw Error(ErrorCode::kInsufficientMemory, "The system started only " + std::to_string(started + 1) +
                                                    " of " + std::to_string(n_threads) +
                                                    " threads; ask for fewer");
  }
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Stop() {
  stopping_.store(true);
  for (Group& group : groups_) {
    // Whoever has looked at stopping_ before is asleep when the lock is free.
    { const std::lock_guard<std::mutex> lock(group.mutex); }
    group.wake.notify_all();
  }
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::Run(int64_t n_tasks, TaskFn fn, const void* context) {
  fn_ = fn;
  context_ = context;
  for (int64_t thread = 0; thread < size(); ++thread) {
    Part& part = parts_[static_cast<size_t>(thread)];
    part.next.store(PartBegin(n_tasks, thread), std::memory_order_relaxed);
    part.end = PartBegin(n_tasks, thread + 1);
  }
  caller_cpu_.store(CurrentCpu(), std::memory_order_relaxed);
  ++generation_;
  for (Group& group : groups_) group.Open(generation_);
  RunTasks(0);
  for (Group& group : groups_) group.Close();
  for (const Group& group : groups_) group.AwaitHelpers();
}

void ThreadPool::Expect(const void* data, int64_t bytes) {
  expected_bytes_.store(bytes, std::memory_order_relaxed);
  expected_.store(static_cast<const char*>(data), std::memory_order_release);
}

// Until a job comes after `generation`. Returns what it was about; `fetched` is what the helper did last.
const char* ThreadPool::FetchExpected(int thread, uint64_t generation, const char* fetched) {
  const char* data = expected_.load(std::memory_order_acquire);
  if (data == fetched) return data;
  const std::atomic<uint64_t>& state = GroupOf(thread).state;
  const int64_t bytes = expected_bytes_.load(std::memory_order_relaxed);
  const int64_t begin = bytes * thread / size(), end = std::min(bytes, begin + kFetchAhead);
  for (int64_t i = begin; i < end; i += 64) {
    __builtin_prefetch(data + i, 0, 2);
    const bool look = i / 64 % 32 == 0;
    if (look && state.load(std::memory_order_relaxed) >> kGenerationShift != generation) break;
  }
  return data;
}

void ThreadPool::RunTasks(int thread) {
  const Running outer = running_;
  running_ = {this, thread};
  for (int i = 0; i < size(); ++i) {
    Part& part = parts_[static_cast<size_t>((thread + i) % size())];
    // Looking first: of a part that is done, which most are in the end, the line stays shared.
    while (part.next.load(std::memory_order_relaxed) < part.end) {
      const int64_t task = part.next.fetch_add(1, std::memory_order_relaxed);
      if (task >= part.end) break;
      fn_(context_, task, thread);
    }
  }
  running_ = outer;
}

void ThreadPool::Helper(int thread) {
  Group& group = GroupOf(thread);
  uint64_t seen = 0;
  const char* fetched = nullptr;
  for (;;) {
    uint64_t state = group.state.load(std::memory_order_acquire);
    const auto spin_until = std::chrono::steady_clock::now() + (crowded_ ? kNoSpin : kSpin);
    while (state >> kGenerationShift == seen) {
      for (int i = 0; i < 32; ++i) Pause();
      state = group.state.load(std::memory_order_acquire);
      if (std::chrono::steady_clock::now() < spin_until) continue;
      // Announce the sleep before the last look: either this sees the new job or the caller sees the sleeper.
      std::unique_lock<std::mutex> lock(group.mutex);
      group.parked.fetch_add(1);
      group.wake.wait(lock,
                      [&] { return stopping_.load() || group.state.load() >> kGenerationShift != seen; });
      group.parked.fetch_sub(1);
      if (stopping_.load()) return;
      state = group.state.load();
    }
    seen = state >> kGenerationShift;
    const int cpu = CurrentCpu();
    if (!crowded_ && may_move_.load(std::memory_order_relaxed) && cpu >= 0 &&
        cpu == caller_cpu_.load(std::memory_order_relaxed))
      LeaveCpu(cpu);
    if (!group.Join(state)) continue;
    RunTasks(thread);
    group.state.fetch_sub(1, std::memory_order_release);
    fetched = FetchExpected(thread, seen, fetched);
  }
}

}  // namespace kvasir
