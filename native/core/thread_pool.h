// The engine's helper threads. One caller at a time hands out a range of tasks and works along; helpers spin briefly
// for the next range (the ops of a decode step follow each other within microseconds) and then park. Helpers are in
// groups of eight, each with a word, a lock and a condition of its own, so that many do not queue at one.
// It refuses to queue: there is one job at a time, a task that asks for another runs it alone, and tasks must not throw.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kvasir {

class ThreadPool {
 public:
  // n_threads counts the caller: n_threads - 1 helpers are started.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // From here on helpers of all pools run where the system puts them, and never change their own affinity.
  static void StayPut() { may_move_.store(false, std::memory_order_relaxed); }

  // A hint: a later job's threads will read parts of these bytes, in order. Helpers that wait fetch the beginning of theirs.
  void Expect(const void* data, int64_t bytes);

  int size() const { return static_cast<int>(helpers_.size()) + 1; }
  // Jobs that all threads were asked to, so far: each is a barrier. To be read by the caller of ParallelFor.
  int64_t jobs() const { return static_cast<int64_t>(generation_); }
  // Where a thread's part of a job begins; it ends where the next one's begins.
  int64_t PartBegin(int64_t n_tasks, int64_t thread) const { return thread * n_tasks / size(); }

  // Calls fn(task, thread) for every task in [0, n_tasks), thread in [0, size()). Each thread goes through a part of the
  // range in order, so that what its tasks read in memory follows on, and then takes from the others' parts, so that
  // uneven ones balance; which thread runs a task must not change its result. Returns when all are done.
  template <typename Fn>
  void ParallelFor(int64_t n_tasks, const Fn& fn) {
    const bool nested = running_.pool == this;
    if (n_tasks <= 1 || helpers_.empty() || nested) {
      for (int64_t task = 0; task < n_tasks; ++task) fn(task, nested ? running_.thread : 0);
      return;
    }
    Run(
        n_tasks,
        [](const void* context, int64_t task, int thread) {
          (*static_cast<const Fn*>(context))(task, thread);
        },
        &fn);
  }

 private:
  void Stop();
  using TaskFn = void (*)(const void* context, int64_t task, int thread);
  void Run(int64_t n_tasks, TaskFn fn, const void* context);
  void Helper(int thread);
  void RunTasks(int thread);
  struct Group;
  Group& GroupOf(int thread) { return groups_[static_cast<size_t>((thread - 1) / kGroupSize)]; }
  const char* FetchExpected(int thread, uint64_t generation, const char* fetched);

  // The job that the calling thread is in, of whichever pool, and which of that pool's threads it is there.
  struct Running {
    const ThreadPool* pool;
    int thread;
  };
  inline static std::atomic<bool> may_move_{true};
  inline static thread_local Running running_ = {nullptr, 0};

  std::vector<std::thread> helpers_;
  // The job. Written by the caller while no helper is in it.
  TaskFn fn_ = nullptr;
  const void* context_ = nullptr;
  // A thread's part of the tasks that nobody has begun. A cache line each: most claims are the owner's.
  struct alignas(64) Part {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::unique_ptr<Part[]> parts_;
  static constexpr int kGroupSize = 8;
  // A word of generation of the job, whether it is open, and how many of the group's helpers are in it: a helper that wakes
  // late finds the job closed and stays out, so the caller never waits for a thread that the system has not scheduled.
  struct alignas(64) Group {
    std::atomic<uint64_t> state{0};
    std::atomic<int> parked{0};
    std::mutex mutex;
    std::condition_variable wake;

    bool Join(uint64_t seen_state);
    void Open(uint64_t generation);
    void Close();
    void AwaitHelpers() const;
  };
  std::vector<Group> groups_;
  uint64_t generation_ = 0;  // of the last job
  // An old size beside a new place only makes the hint a bad one.
  std::atomic<const char*> expected_{nullptr};
  std::atomic<int64_t> expected_bytes_{0};
  // More threads than cores: whoever waits takes a core from who works, and no core is free to move to.
  const bool crowded_;
  std::atomic<int> caller_cpu_{-1};  // where the job began
  std::atomic<bool> stopping_{false};
};

}  // namespace kvasir
