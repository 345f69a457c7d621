// Working memory of the CPU backend, taken once and of a size that is known before: what its threads wait with, and what
// summaries of logits need. It computes nothing.
#pragma once

#include <atomic>
#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "core/aligned_buffer.h"

namespace kvasir::cpu {

// With fewer tiles a thread, attention is split by chunks too.
constexpr int64_t kSplitTiles = 4;

// Of the threads.
class ThreadWork {
 public:
  struct Shape {
    int64_t threads, max_positions, padded_head_dim;
  };
  ThreadWork(const KernelTable& kernels, const Shape& shape);
  static int64_t Bytes(const KernelTable& kernels, const Shape& shape);
  int64_t bytes() const { return static_cast<int64_t>(memory_.size()); }

  // A line each: a thread's last word to itself.
  struct alignas(64) FetchedTask {
    int64_t task;
  };

  int64_t states = 0;  // of split attention
  float* partials =
      nullptr;  // [states, kMaxTileRows * (2 + padded_head_dim)]: max, sum, acc of a tile's rows
  FetchedTask* fetched = nullptr;               // [threads]: whose pages a thread has asked for
  std::atomic<int64_t>* chunks_left = nullptr;  // [kSplitTiles * threads]: of each tile
  float* activated = nullptr;  // [threads, activated_stride]: columns that wait for their activation
  int64_t activated_stride = 0;

 private:
  ThreadWork() = default;
  void Take(Arena& arena, const KernelTable& kernels, const Shape& shape);

  AlignedBuffer memory_;
};

// Of summaries.
class SummaryWork {
 public:
  struct Shape {
    int64_t rows = 0, vocab = 0, n_candidates = 0;
  };
  SummaryWork() = default;
  explicit SummaryWork(const Shape& shape);
  static int64_t Bytes(const Shape& shape);
  bool Holds(const Shape& shape) const;
  int64_t bytes() const { return static_cast<int64_t>(memory_.size()); }

  // Values that are looked at one by one; where more reach the threshold, all are.
  static constexpr int64_t kMostReached = 16384;

  float* block_maxima = nullptr;  // [rows, ceil(vocab / kLogitBlock)]
  float* part_maxima = nullptr;   // [rows, parts]
  float* exp_sums = nullptr;      // [rows, 2, ceil(vocab / kExpSumBlock)]
  // Of a row: what its candidates are found with.
  struct Candidates {
    int32_t* ordered;  // [max(blocks, kMostReached)]
    int32_t* ids;      // [kMostReached]
    uint64_t* keys;    // [max(kMostReached, n_candidates)]
  };
  Candidates OfRow(int64_t row) const;

 private:
  void Take(Arena& arena, const Shape& shape);

  Shape shape_;
  int32_t *ordered_ = nullptr, *ids_ = nullptr;
  uint64_t* keys_ = nullptr;
  AlignedBuffer memory_;
};

// Values of a task: whole blocks of both kinds.
constexpr int64_t kPartValues = 8192;
static_assert(kPartValues % kLogitBlock == 0 && kPartValues % kExpSumBlock == 0);

}  // namespace kvasir::cpu
