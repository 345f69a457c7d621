// Exact search over INT8 vectors: those of largest cosine to a query, found by looking at every one. A vector is stored as
// int8 of its direction, with a float32 scale that gives what is stored the length 1. Queries are of int16: their
// rounding is no part of the loss. It refuses approximation: there is no graph and no cell that could be missed.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/cpu/vector_kernels.h"
#include "core/aligned_buffer.h"
#include "core/cancellation.h"
#include "core/thread_pool.h"

namespace kvasir {

class VectorIndex {
 public:
  static constexpr int64_t kMostDimensions = 65536;
  static constexpr int64_t kMostVectors = INT32_MAX;

  // `threads` 0: one per available core. `isa` empty: the best table that this CPU has. Throws Error(kInvalidOption).
  VectorIndex(int64_t dimensions, int threads, const std::string& isa);

  int64_t dimensions() const { return dimensions_; }
  int64_t size() const;
  int threads() const { return threads_; }

  // Appends vectors [count, dimensions] with their ids [count], or with their places for ids where `ids` is nullptr. Returns
  // the largest distance of a stored vector, of length 1, from the direction that it stands for. A zero vector stays zero.
  // Throws Error(kInvalidOption) naming a vector that is not finite, Error(kInsufficientMemory); nothing is added then.
  double Add(const float* vectors, const double* ids, int64_t count);
  // Forgets those from `size` on.
  void Truncate(int64_t size);

  struct Hit {
    int64_t index;
    double id, score;
  };
  struct Query {
    const float* vector;                    // [dimensions]
    int64_t k;                              // >= 1
    const CancellationToken* cancellation;  // its hits are incomplete when it was cancelled
  };
  // Of each query the min(k, size) vectors of largest cosine, the best first, of equal ones the lower index. A zero vector's
  // cosine is 0. The vectors are read once for all queries. Throws Error(kInvalidOption) for a query that is not finite.
  std::vector<std::vector<Hit>> Search(const std::vector<Query>& queries);

  // Bytes of `count` stored vectors from `first` on: int8 [count, dimensions], then their ids as float64 [count] where the
  // index has ids of its own.
  std::vector<uint8_t> Read(int64_t first, int64_t count) const;
  // Appends what Read gave. Throws Error(kModelFormat).
  void Append(const uint8_t* bytes, int64_t size, int64_t count, bool has_ids);
  bool has_ids() const;

 private:
  // A fixed number of vectors; an index grows by whole segments, so that nothing moves.
  struct Segment {
    AlignedBuffer values;       // int8 [segment_rows_, padded_], zeros from `dimensions` on
    std::vector<float> scales;  // [segment_rows_]
  };
  struct PreparedQuery;
  class Best;

  ThreadPool& Pool();
  void Reserve(int64_t size);
  int8_t* Values(int64_t row) const;
  float& Scale(int64_t row);
  void AppendIds(const double* ids, int64_t count);
  double Quantize(const float* vector, float* scratch, int64_t row);
  std::vector<std::vector<Best>> ScanAll(const std::vector<PreparedQuery>& queries,
                                         const std::vector<Best>& none);
  void Scan(int64_t first, int64_t count, const std::vector<PreparedQuery>& queries, std::vector<Best>& best,
            int32_t* dots);

  const int64_t dimensions_, padded_;
  const int threads_;
  const cpu::KernelTable& kernels_;
  const cpu::DotVectors dot_vectors_;
  const int64_t segment_rows_, task_rows_;
  std::unique_ptr<ThreadPool> pool_;  // made for the first work that is worth it
  std::vector<Segment> segments_;
  std::vector<double> ids_;  // [size_], or empty: each vector's id is its place
  int64_t size_ = 0;
  mutable std::mutex mutex_;  // one call at a time
};

}  // namespace kvasir
