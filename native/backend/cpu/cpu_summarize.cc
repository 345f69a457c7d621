// What sampling needs of a row of logits: the largest ones with their ids, and two log-sum-exps.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

namespace {

// Integers in the order of the floats; -0 below +0, no NaN.
int32_t Ordered(float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  return bits ^ ((bits >> 31) & INT32_MAX);
}

float FromOrdered(int32_t ordered) { return std::bit_cast<float>(ordered ^ ((ordered >> 31) & INT32_MAX)); }

// Ascending keys: largest logit first, the lower id first among equals (-0 equals +0), NaN last.
uint64_t KeyOf(float logit, int64_t id) {
  const bool is_nan = logit != logit;
  const auto descending = static_cast<uint32_t>(INT32_MAX - int64_t{Ordered(logit == 0 ? 0.0f : logit)});
  return uint64_t{is_nan ? UINT32_MAX : descending} << 32 | static_cast<uint32_t>(id);
}

// The keys of the `count` largest, in order. Of small vocabularies, of rows with NaN and of rows with many equal logits.
void Largest(const float* logits, int64_t n, int64_t count, uint64_t* keys) {
  for (int64_t i = 0; i < count; ++i) keys[i] = KeyOf(logits[i], i);
  std::make_heap(keys, keys + count);
  for (int64_t i = count; i < n; ++i) {
    const uint64_t key = KeyOf(logits[i], i);
    if (key >= keys[0]) continue;
    std::pop_heap(keys, keys + count);
    keys[count - 1] = key;
    std::push_heap(keys, keys + count);
  }
  std::sort_heap(keys, keys + count);
}

// A value that at least `count` of values [n] reach, and few more: by halving the range, as a count is one pass without
// branches. n is at least `count`.
int32_t ReachedBy(const int32_t* values, int64_t n, int64_t count) {
  const auto [least, most] = std::minmax_element(values, values + n);
  int64_t low = *least, high = int64_t{*most} + 1;  // `low` is reached by enough, `high` by too few
  while (high - low > 1) {
    const auto middle = static_cast<int32_t>(low + (high - low) / 2);
    int32_t reached = 0;
    for (int64_t i = 0; i < n; ++i) reached += values[i] >= middle;
    (reached >= count ? low : high) = middle;
    if (reached >= count && reached <= count + count / 8) break;
  }
  return static_cast<int32_t>(low);
}

// The same from the largest value of each block: what `count` of those reach, `count` values reach, and only blocks that
// reach it are read. False where NaN, too few blocks or too many values leave that open.
bool LargestOfBlocks(const float* logits, int64_t n, const float* maxima, int64_t count,
                     const SummaryWork::Candidates& work) {
  const int64_t blocks = CeilDiv(n, kLogitBlock);
  if (blocks < count) return false;
  std::transform(maxima, maxima + blocks, work.ordered, Ordered);
  const float threshold = FromOrdered(ReachedBy(work.ordered, blocks, count));
  int64_t reached = 0;
  for (int64_t block = 0; block < blocks; ++block) {
    if (maxima[block] < threshold) continue;
    const int64_t end = std::min(n, (block + 1) * kLogitBlock);
    if (reached + kLogitBlock > SummaryWork::kMostReached) return false;
    for (int64_t i = block * kLogitBlock; i < end; ++i) {
      if (!(logits[i] >= threshold)) continue;
      work.ordered[reached] = Ordered(logits[i] == 0 ? 0.0f : logits[i]);  // -0 equals +0
      work.ids[reached++] = static_cast<int32_t>(i);
    }
  }
  if (reached < count) return false;
  // Frequent tokens are neighbours in most vocabularies, so these may still be ten times too many.
  const int32_t least = ReachedBy(work.ordered, reached, count);
  int64_t kept = 0;
  for (int64_t i = 0; i < reached; ++i) {
    if (work.ordered[i] >= least) work.keys[kept++] = KeyOf(logits[work.ids[i]], work.ids[i]);
  }
  std::sort(work.keys, work.keys + kept);
  return true;
}

// Of a log-sum-exp: sums of blocks were taken in float lanes, their total is double: the error stays that of exp.
double LogSumExp(float max, float inverse_temperature, const float* sums, int64_t n_sums) {
  double total = 0;
  for (int64_t i = 0; i < n_sums; ++i) total += static_cast<double>(sums[i]);
  return static_cast<double>(max) * static_cast<double>(inverse_temperature) + std::log(total);
}

}  // namespace

void CpuBackend::ReserveSummary(int64_t rows, int64_t vocab, int64_t n_candidates) {
  const SummaryWork::Shape shape = {rows, vocab, n_candidates};
  if (summary_.Holds(shape)) return;
  summary_ = {};
  summary_ = SummaryWork(shape);
}

// Two jobs: the maxima of all blocks; then, beside each other, the candidates they lead to and the sums of exp.
void CpuBackend::Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                           LogitsSummary* summaries) {
  const int64_t parts = CeilDiv(vocab, kPartValues);
  const int64_t n_maxima = CeilDiv(vocab, kLogitBlock), n_sums = CeilDiv(vocab, kExpSumBlock);
  ReserveSummary(rows, vocab, n_candidates);
  const auto maxima_of = [&](int64_t row) { return summary_.block_maxima + row * n_maxima; };
  pool_.ParallelFor(rows * parts, [&](int64_t task, int) {
    const int64_t row = task / parts, first = task % parts * kPartValues;
    const int64_t n = std::min(kPartValues, vocab - first);
    float* maxima = maxima_of(row) + first / kLogitBlock;
    kernels_.block_maxima(logits + row * vocab + first, n, maxima);
    summary_.part_maxima[task] = *std::max_element(maxima, maxima + CeilDiv(n, kLogitBlock));
  });
  const auto max_of = [&](int64_t row) {
    const float* maxima = summary_.part_maxima + row * parts;
    return *std::max_element(maxima, maxima + parts);
  };
  const auto sums_of = [&](int64_t row, int64_t which) {
    return summary_.exp_sums + (2 * row + which) * n_sums;
  };
  pool_.ParallelFor(rows * (parts + 1), [&](int64_t task, int) {
    const int64_t row = task / (parts + 1), part = task % (parts + 1) - 1;
    LogitsSummary& s = summaries[row];
    const float* x = logits + row * vocab;
    if (part < 0) {
      const SummaryWork::Candidates work = summary_.OfRow(row);
      if (!LargestOfBlocks(x, vocab, maxima_of(row), n_candidates, work)) {
        Largest(x, vocab, n_candidates, work.keys);
      }
      for (int64_t i = 0; i < n_candidates; ++i) {
        s.ids[i] = static_cast<int32_t>(work.keys[i] & UINT32_MAX);
        s.logits[i] = x[s.ids[i]];
      }
      return;
    }
    const int64_t first = part * kPartValues, n = std::min(kPartValues, vocab - first);
    const float max = max_of(row);
    kernels_.sum_exps(x + first, n, max, 1.0f, sums_of(row, 0) + first / kExpSumBlock);
    if (s.temperature == 1.0f) return;
    kernels_.sum_exps(x + first, n, max, 1.0f / s.temperature, sums_of(row, 1) + first / kExpSumBlock);
  });
  for (int64_t row = 0; row < rows; ++row) {
    LogitsSummary& s = summaries[row];
    s.log_sum_exp_1 = LogSumExp(max_of(row), 1.0f, sums_of(row, 0), n_sums);
    s.log_sum_exp = s.temperature == 1.0f
                        ? s.log_sum_exp_1
                        : LogSumExp(max_of(row), 1.0f / s.temperature, sums_of(row, 1), n_sums);
  }
}

}  // namespace kvasir::cpu
