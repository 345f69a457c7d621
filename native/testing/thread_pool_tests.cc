// The thread pool: every task exactly once, no lost wake-ups, nothing left running. Meant for the thread sanitizer too.
#ifdef __linux__
#include <sched.h>
#endif

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/thread_pool.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr int kLargestPool = 4;

// Plain ints on purpose: each task owns one, and the end of ParallelFor is what publishes them.
void ExpectEachOnce(ThreadPool& pool, int64_t n_tasks) {
  std::vector<int> runs(static_cast<size_t>(n_tasks));
  std::vector<int> threads(static_cast<size_t>(n_tasks));
  pool.ParallelFor(n_tasks, [&](int64_t task, int thread) {
    ++runs[static_cast<size_t>(task)];
    threads[static_cast<size_t>(task)] = thread;
  });
  for (size_t i = 0; i < runs.size(); ++i) {
    KV_EXPECT_EQ(runs[i], 1);
    KV_EXPECT(threads[i] >= 0 && threads[i] < pool.size());
  }
}

KV_TEST(thread_pool_runs_every_task_once) {
  for (int size = 1; size <= kLargestPool; ++size) {
    ThreadPool pool(size);
    KV_EXPECT_EQ(pool.size(), size);
    for (const int64_t n : {0, 1, 2, 3, 4, 5, 7, 64, 1000}) ExpectEachOnce(pool, n);
  }
}

// Several groups of helpers.
KV_TEST(thread_pool_of_many_groups_runs_every_task_once) {
  for (const int size : {9, 10, 17, 64}) {
    ThreadPool pool(size);
    for (const int64_t n : {2, 16, 65, 1000}) {
      const int64_t before = pool.jobs();
      ExpectEachOnce(pool, n);
      KV_EXPECT_EQ(pool.jobs() - before, int64_t{1});
    }
    ExpectEachOnce(pool, 1);  // the caller alone: no job
    KV_EXPECT_EQ(pool.jobs(), int64_t{4});
  }
}

// A task of one pool is not one of another's: what it asks of that one is shared among its threads.
KV_TEST(thread_pool_in_a_task_of_another_pool) {
  ThreadPool outer(2);
  std::atomic<int64_t> sum{0};
  outer.ParallelFor(4, [&](int64_t task, int) {
    ThreadPool inner(3);
    inner.ParallelFor(100, [&](int64_t i, int thread) {
      KV_EXPECT(thread >= 0 && thread < 3);
      sum += i + task;
    });
    KV_EXPECT_EQ(inner.jobs(), int64_t{1});
  });
  KV_EXPECT_EQ(sum.load(), int64_t{4 * 4950 + 100 * 6});
}

// Threads that own a scratch area by their number must not meet in it.
KV_TEST(thread_pool_numbers_are_exclusive) {
  ThreadPool pool(kLargestPool);
  std::vector<int64_t> sums(kLargestPool);
  for (int round = 0; round < 20; ++round) {
    pool.ParallelFor(500, [&](int64_t task, int thread) { sums[static_cast<size_t>(thread)] += task; });
  }
  int64_t total = 0;
  for (const int64_t sum : sums) total += sum;
  KV_EXPECT_EQ(total, 20 * 499 * 500 / 2);
}

// A lost wake-up would hang here: jobs follow each other faster than helpers park, as fast, and slower.
KV_TEST(thread_pool_loses_no_wake_up) {
  for (const int size : {2, 3}) {
    ThreadPool pool(size);
    // On a busy machine a job waits for a descheduled helper: two seconds must do.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    int64_t sum = 0, job = 0;
    int64_t parts[2] = {};
    for (; job < 100000 && std::chrono::steady_clock::now() < end; ++job) {
      pool.ParallelFor(2, [&](int64_t task, int) { parts[task] = job + task; });
      sum += parts[1] - parts[0];
    }
    KV_EXPECT_EQ(sum, job);
    KV_EXPECT(job > 100);
  }
}

// A thread's own part comes first and in order, then what the others have left.
KV_TEST(thread_pool_goes_through_parts_in_order) {
  for (const int size : {2, 3, 8}) {
    ThreadPool pool(size);
    for (const int64_t n : {1, 7, 64, 1000}) {
      for (int round = 0; round < 20; ++round) {
        std::vector<std::vector<int64_t>> tasks(static_cast<size_t>(size));
        pool.ParallelFor(
            n, [&](int64_t task, int thread) { tasks[static_cast<size_t>(thread)].push_back(task); });
        for (int64_t thread = 0; n > 1 && thread < size; ++thread) {
          const std::vector<int64_t>& own = tasks[static_cast<size_t>(thread)];
          for (size_t i = 1; i < own.size(); ++i) {
            // Once around from the thread's own beginning.
            const int64_t begin = thread * n / size;
            KV_EXPECT((own[i] - begin + n) % n > (own[i - 1] - begin + n) % n);
          }
        }
      }
    }
  }
}

// A hint is only that: of nothing, of less than a cache line, of much, and beside jobs.
KV_TEST(thread_pool_takes_hints) {
  const std::vector<char> bytes(1 << 20);
  for (const int size : {1, 2, 4}) {
    ThreadPool pool(size);
    for (const int64_t n : {0, 1, 63, 4096, 1 << 20}) {
      for (int round = 0; round < 20; ++round) {
        pool.Expect(bytes.data(), n);
        ExpectEachOnce(pool, 16);
      }
    }
  }
}

KV_TEST(thread_pool_wakes_parked_helpers) {
  for (const int size : {2, 4}) {
    ThreadPool pool(size);
    // Around the 60 us that helpers spin, and far beyond it.
    for (const int microseconds : {1, 30, 50, 55, 60, 65, 70, 100, 1000, 20000}) {
      for (int round = 0; round < 5; ++round) {
        std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
        ExpectEachOnce(pool, 16);
      }
    }
  }
}

KV_TEST(thread_pool_ends_while_spinning_parked_or_unused) {
  for (int size = 1; size <= kLargestPool; ++size) {
    { ThreadPool unused(size); }
    for (const int microseconds : {0, 40, 60, 80, 3000}) {
      ThreadPool pool(size);
      ExpectEachOnce(pool, 3);
      std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
    }
  }
}

#ifdef __linux__
// One task for each of two threads; the caller waits in its own until the helper has run, 20 ms at most.
template <typename Fn>
bool RunOnHelper(ThreadPool& pool, const Fn& fn) {
  std::atomic<bool> ran{false};
  pool.ParallelFor(2, [&](int64_t, int thread) {
    if (thread == 1) {
      fn();
      ran = true;
      return;
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (!ran && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  });
  return ran;
}

// A helper that is put where the caller runs works elsewhere in the next job, and may still run anywhere.
KV_TEST(thread_pool_helpers_leave_the_callers_core) {
  cpu_set_t allowed;
  KV_EXPECT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  if (CPU_COUNT(&allowed) < 2) return Skip("one core");
  ThreadPool pool(2);
  const int mine = sched_getcpu();
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(mine, &here);
  KV_EXPECT_EQ(sched_setaffinity(0, sizeof here, &here), 0);
  int seen = 0, away = 0;
  for (int round = 0; round < 50; ++round) {
    const bool put = RunOnHelper(pool, [&] {
      sched_setaffinity(0, sizeof here, &here);
      sched_setaffinity(0, sizeof allowed, &allowed);
    });
    cpu_set_t found;
    int cpu = -1;
    if (!put || !RunOnHelper(pool, [&] {
          sched_getaffinity(0, sizeof found, &found);
          cpu = sched_getcpu();
        })) {
      continue;
    }
    ++seen;
    away += cpu == mine ? 0 : 1;
    KV_EXPECT(CPU_EQUAL(&found, &allowed) != 0);
  }
  KV_EXPECT(seen > 0 && 2 * away > seen);
  sched_setaffinity(0, sizeof allowed, &allowed);
}
#endif

// With the thread that asks busy in its own task, helpers must do the rest.
KV_TEST(thread_pool_shares_work) {
  ThreadPool pool(2);
  std::atomic<int> started{0};
  pool.ParallelFor(2, [&](int64_t, int) {
    ++started;
    // Each task waits for the other: only two threads can end this.
    for (int i = 0; i < 20000 && started.load() < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    KV_EXPECT_EQ(started.load(), 2);
  });
}

}  // namespace
}  // namespace kvasir::testing
