// What sampling needs of a row of logits: the largest ones with their ids, and two log-sum-exps.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

namespace {

struct Candidate {
  float logit;
  int32_t id;
};

// Largest first; the lower id first among equals; NaN last.
bool Before(const Candidate& a, const Candidate& b) {
  if (a.logit > b.logit) return true;
  if (a.logit == b.logit) return a.id < b.id;
  return b.logit != b.logit && a.logit == a.logit;
}

// Of small vocabularies and of rows with NaN.
void Largest(const float* logits, int64_t n, int64_t count, std::vector<Candidate>& buffer) {
  buffer.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) buffer[static_cast<size_t>(i)] = {logits[i], static_cast<int32_t>(i)};
  if (count < n) std::nth_element(buffer.begin(), buffer.begin() + count - 1, buffer.end(), Before);
  buffer.resize(static_cast<size_t>(count));
  std::sort(buffer.begin(), buffer.end(), Before);
}

// Integers in the order of the floats; -0 below +0, no NaN.
int32_t Ordered(float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  return bits ^ ((bits >> 31) & INT32_MAX);
}

float FromOrdered(int32_t ordered) { return std::bit_cast<float>(ordered ^ ((ordered >> 31) & INT32_MAX)); }

// A value that at least `count` of `values` reach, and few more: by halving the range, as a count is one pass without
// branches. `values` has at least `count`.
int32_t ReachedBy(const std::vector<int32_t>& values, int64_t count) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  int64_t low = *least, high = int64_t{*most} + 1;  // `low` is reached by enough, `high` by too few
  while (high - low > 1) {
    const auto middle = static_cast<int32_t>(low + (high - low) / 2);
    int32_t reached = 0;
    for (const int32_t value : values) reached += value >= middle;
    (reached >= count ? low : high) = middle;
    if (reached >= count && reached <= count + count / 8) break;
  }
  return static_cast<int32_t>(low);
}

// The same from the largest value of each block: what `count` of those reach, `count` values reach, and only blocks that
// reach it are read. False where NaN or too few blocks leave that open.
bool LargestOfBlocks(const float* logits, int64_t n, const float* maxima, int64_t count,
                     std::vector<Candidate>& buffer) {
  const int64_t blocks = CeilDiv(n, kLogitBlock);
  if (blocks < count) return false;
  thread_local std::vector<int32_t> ordered, ids;
  thread_local std::vector<uint64_t> keys;  // largest first, then the lower id
  ordered.resize(static_cast<size_t>(blocks));
  std::transform(maxima, maxima + blocks, ordered.begin(), Ordered);
  const float threshold = FromOrdered(ReachedBy(ordered, count));
  ordered.clear();
  ids.clear();
  for (int64_t block = 0; block < blocks; ++block) {
    if (maxima[block] < threshold) continue;
    const int64_t end = std::min(n, (block + 1) * kLogitBlock);
    for (int64_t i = block * kLogitBlock; i < end; ++i) {
      if (!(logits[i] >= threshold)) continue;
      ordered.push_back(Ordered(logits[i] == 0 ? 0.0f : logits[i]));  // -0 equals +0
      ids.push_back(static_cast<int32_t>(i));
    }
  }
  if (static_cast<int64_t>(ids.size()) < count) return false;
  // Frequent tokens are neighbours in most vocabularies, so these may still be ten times too many.
  const int32_t least = ReachedBy(ordered, count);
  keys.clear();
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ordered[i] < least) continue;
    const auto descending = static_cast<uint32_t>(INT32_MAX - int64_t{ordered[i]});
    keys.push_back(uint64_t{descending} << 32 | static_cast<uint32_t>(ids[i]));
  }
  std::sort(keys.begin(), keys.end());
  buffer.clear();
  for (int64_t i = 0; i < count; ++i) {
    const auto id = static_cast<int32_t>(keys[static_cast<size_t>(i)] & UINT32_MAX);
    buffer.push_back({logits[id], id});
  }
  return true;
}

// Values of a task: whole blocks of both kinds.
constexpr int64_t kPartValues = 8192;
static_assert(kPartValues % kLogitBlock == 0 && kPartValues % kExpSumBlock == 0);

// Of a log-sum-exp: sums of blocks were taken in float lanes, their total is double: the error stays that of exp.
double LogSumExp(float max, float inverse_temperature, const float* sums, int64_t n_sums) {
  double total = 0;
  for (int64_t i = 0; i < n_sums; ++i) total += static_cast<double>(sums[i]);
  return static_cast<double>(max) * static_cast<double>(inverse_temperature) + std::log(total);
}

}  // namespace

// Two jobs: the maxima of all blocks; then, beside each other, the candidates they lead to and the sums of exp.
void CpuBackend::Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                           LogitsSummary* summaries) {
  const int64_t parts = CeilDiv(vocab, kPartValues);
  const int64_t n_maxima = CeilDiv(vocab, kLogitBlock), n_sums = CeilDiv(vocab, kExpSumBlock);
  block_maxima_.resize(static_cast<size_t>(rows * n_maxima));
  part_maxima_.resize(static_cast<size_t>(rows * parts));
  exp_sums_.resize(static_cast<size_t>(rows * 2 * n_sums));
  const auto maxima_of = [&](int64_t row) { return block_maxima_.data() + row * n_maxima; };
  pool_.ParallelFor(rows * parts, [&](int64_t task, int) {
    const int64_t row = task / parts, first = task % parts * kPartValues;
    const int64_t n = std::min(kPartValues, vocab - first);
    float* maxima = maxima_of(row) + first / kLogitBlock;
    kernels_.block_maxima(logits + row * vocab + first, n, maxima);
    part_maxima_[static_cast<size_t>(task)] = *std::max_element(maxima, maxima + CeilDiv(n, kLogitBlock));
  });
  const auto max_of = [&](int64_t row) {
    const float* maxima = part_maxima_.data() + row * parts;
    return *std::max_element(maxima, maxima + parts);
  };
  const auto sums_of = [&](int64_t row, int64_t which) {
    return exp_sums_.data() + (2 * row + which) * n_sums;
  };
  pool_.ParallelFor(rows * (parts + 1), [&](int64_t task, int) {
    const int64_t row = task / (parts + 1), part = task % (parts + 1) - 1;
    LogitsSummary& s = summaries[row];
    const float* x = logits + row * vocab;
    if (part < 0) {
      thread_local std::vector<Candidate> buffer;
      if (!LargestOfBlocks(x, vocab, maxima_of(row), n_candidates, buffer)) {
        Largest(x, vocab, n_candidates, buffer);
      }
      for (size_t i = 0; i < buffer.size(); ++i) {
        s.ids[i] = buffer[i].id;
        s.logits[i] = buffer[i].logit;
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
