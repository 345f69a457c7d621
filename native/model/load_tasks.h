// The work of a load as one list of independent tasks, shared among threads of its own. Unlike those of the thread
// pool these tasks may throw: the first error stops the rest. It knows nothing of what is loaded.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <mutex>

#include "core/cancellation.h"
#include "core/thread_pool.h"

namespace kvasir {

class LoadTasks {
 public:
  // progress(loaded, total) comes on the calling thread only.
  LoadTasks(int threads, const CancellationToken& cancellation, int64_t total,
            const std::function<void(int64_t, int64_t)>& progress)
      : pool_(threads), cancellation_(cancellation), total_(total), progress_(progress) {}

  int threads() const { return pool_.size(); }

  // fn(task, thread) returns how many of `total` it has loaded. Throws what a task threw first, or Error(kCancelled).
  template <typename Fn>
  void Run(int64_t n_tasks, const Fn& fn) {
    pool_.ParallelFor(n_tasks, [&](int64_t task, int thread) {
      if (failed_.load(std::memory_order_relaxed)) return;
      try {
        cancellation_.ThrowIfCancelled();
        const int64_t count = fn(task, thread);
        const int64_t loaded = loaded_.fetch_add(count) + count;
        if (thread == 0 && progress_ && loaded < total_) progress_(loaded, total_);
      } catch (...) {
        Keep(std::current_exception());
      }
    });
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

 private:
  void Keep(std::exception_ptr error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (error_ == nullptr) error_ = std::move(error);
    failed_.store(true);
  }

  ThreadPool pool_;
  const CancellationToken& cancellation_;
  const int64_t total_;
  const std::function<void(int64_t, int64_t)>& progress_;
  std::atomic<int64_t> loaded_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace kvasir
