#include "backend/cpu/cpu_work.h"

#include <algorithm>
#include <new>

#include "backend/cpu/task_cuts.h"

namespace kvasir::cpu {

namespace {

// States of split attention. Of more than there are, a window at a time is computed and merged: each is a job of so many
// tasks, enough for all threads.
constexpr int64_t kMostStates = 1024, kStatesPerThread = 16;

template <typename T>
T* TakeValues(Arena& arena, int64_t count) {
  return arena.TakeArray<T>(static_cast<size_t>(count));
}

int64_t OrderedOf(const SummaryWork::Shape& shape) {
  return std::max(CeilDiv(shape.vocab, kLogitBlock), SummaryWork::kMostReached);
}
int64_t KeysOf(const SummaryWork::Shape& shape) {
  return std::max(SummaryWork::kMostReached, shape.n_candidates);
}

}  // namespace

void ThreadWork::Take(Arena& arena, const KernelTable& kernels, const Shape& shape) {
  const int64_t tiles = kSplitTiles * shape.threads, chunks = CeilDiv(shape.max_positions, kChunkPositions);
  // A state more for each tile: what was merged so far.
  states = std::min(tiles * (chunks + 1), std::max(kMostStates, kStatesPerThread * shape.threads));
  partials = TakeValues<float>(arena, states * kMaxTileRows * (2 + shape.padded_head_dim));
  fetched = TakeValues<FetchedTask>(arena, shape.threads);
  chunks_left = TakeValues<std::atomic<int64_t>>(arena, tiles);
  activated_stride = int64_t{kernels.activated_rows} * 2 * kGroup;
  activated = TakeValues<float>(arena, shape.threads * activated_stride);
}

int64_t ThreadWork::Bytes(const KernelTable& kernels, const Shape& shape) {
  Arena counting;
  ThreadWork().Take(counting, kernels, shape);
  return static_cast<int64_t>(counting.used());
}

ThreadWork::ThreadWork(const KernelTable& kernels, const Shape& shape)
    : memory_(static_cast<size_t>(Bytes(kernels, shape)), "the threads' work") {
  Arena arena(memory_.data(), memory_.size());
  Take(arena, kernels, shape);
  for (int64_t tile = 0; tile < kSplitTiles * shape.threads; ++tile) {
    new (chunks_left + tile) std::atomic<int64_t>(0);
  }
}

void SummaryWork::Take(Arena& arena, const Shape& shape) {
  shape_ = shape;
  block_maxima = TakeValues<float>(arena, shape.rows * CeilDiv(shape.vocab, kLogitBlock));
  part_maxima = TakeValues<float>(arena, shape.rows * CeilDiv(shape.vocab, kPartValues));
  exp_sums = TakeValues<float>(arena, shape.rows * 2 * CeilDiv(shape.vocab, kExpSumBlock));
  ordered_ = TakeValues<int32_t>(arena, shape.rows * OrderedOf(shape));
  ids_ = TakeValues<int32_t>(arena, shape.rows * kMostReached);
  keys_ = TakeValues<uint64_t>(arena, shape.rows * KeysOf(shape));
}

int64_t SummaryWork::Bytes(const Shape& shape) {
  Arena counting;
  SummaryWork().Take(counting, shape);
  return static_cast<int64_t>(counting.used());
}

SummaryWork::SummaryWork(const Shape& shape)
    : memory_(static_cast<size_t>(Bytes(shape)), "summaries of logits") {
  Arena arena(memory_.data(), memory_.size());
  Take(arena, shape);
}

bool SummaryWork::Holds(const Shape& shape) const {
  return shape.rows <= shape_.rows && shape.vocab <= shape_.vocab &&
         shape.n_candidates <= shape_.n_candidates;
}

SummaryWork::Candidates SummaryWork::OfRow(int64_t row) const {
  return {ordered_ + row * OrderedOf(shape_), ids_ + row * kMostReached, keys_ + row * KeysOf(shape_)};
}

}  // namespace kvasir::cpu
