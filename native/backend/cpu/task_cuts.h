// How the work of an op is cut into tasks of the pool. It knows sizes only.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "core/thread_pool.h"

namespace kvasir::cpu {

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Items cut into tasks: each thread's part of them into halves of what is left of it, down to one. The long tasks first
// keep what a thread reads in one stretch; the short ones at the end let all threads finish together, whichever of them
// was interrupted (guided self-scheduling, Polychronopoulos and Kuck, IEEE Transactions on Computers C-36, 1987).
struct Cut {
  int64_t items, parts;
  int64_t of_part;  // tasks

  Cut(int64_t n_items, int64_t n_parts) : items(n_items), parts(std::min(n_items, n_parts)) {
    of_part = std::bit_width(static_cast<uint64_t>(items / parts));
  }
  int64_t tasks() const { return parts * of_part; }
  int64_t First(int64_t task) const {
    const int64_t part = task / of_part, halvings = task % of_part;
    const int64_t end = items * (part + 1) / parts;
    return end - ((end - items * part / parts) >> halvings);
  }
};

// fn(first, count) for a few rows at a time: element-wise work that is worth handing to another thread.
template <typename Fn>
void ForFewRows(ThreadPool& pool, int64_t rows, const Fn& fn) {
  constexpr int64_t kFew = kQuantizedRows;
  pool.ParallelFor(CeilDiv(rows, kFew),
                   [&](int64_t task, int) { fn(task * kFew, std::min(kFew, rows - task * kFew)); });
}

}  // namespace kvasir::cpu
