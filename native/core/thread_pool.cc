#include "core/thread_pool.h"

#include <chrono>

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
constexpr std::chrono::microseconds kSpin{60};

}  // namespace

ThreadPool::ThreadPool(int n_threads) {
  for (int thread = 1; thread < n_threads; ++thread) {
    helpers_.emplace_back([this, thread] { Helper(thread); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_.store(true);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::Run(int64_t n_tasks, TaskFn fn, const void* context) {
  fn_ = fn;
  context_ = context;
  n_tasks_ = n_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  helpers_running_.store(static_cast<int>(helpers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1);  // sequentially consistent: ordered against the helper's `parked_` below
  if (parked_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  ClaimTasks(0);
  // A helper may hold the last task; with more threads than free cores it may even be descheduled, so yield at last.
  for (int spins = 0; helpers_running_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < 20000) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::ClaimTasks(int thread) {
  for (;;) {
    const int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (task >= n_tasks_) return;
    fn_(context_, task, thread);
  }
}

void ThreadPool::Helper(int thread) {
  uint64_t seen = 0;
  for (;;) {
    const auto spin_until = std::chrono::steady_clock::now() + kSpin;
    while (generation_.load(std::memory_order_acquire) == seen) {
      for (int i = 0; i < 32; ++i) Pause();
      if (std::chrono::steady_clock::now() < spin_until) continue;
      std::unique_lock<std::mutex> lock(mutex_);
      parked_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
      parked_.fetch_sub(1);
    }
    ++seen;
    if (stopping_.load()) return;
    ClaimTasks(thread);
    helpers_running_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace kvasir
