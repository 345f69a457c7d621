// What sampling needs of a row of logits: the largest ones with their ids, and two log-sum-exps.
#include <algorithm>
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

// One pass with a rising threshold: candidates that cannot be among the best are never stored. The buffer is cut back
// to the best `count` whenever it has twice as many.
void Largest(const float* logits, int64_t n, int64_t count, std::vector<Candidate>& buffer) {
  buffer.clear();
  float threshold = -__builtin_inff();
  bool full = false;
  const auto cut = [&] {
    std::nth_element(buffer.begin(), buffer.begin() + count - 1, buffer.end(), Before);
    buffer.resize(static_cast<size_t>(count));
    threshold = buffer.back().logit;
    full = true;
  };
  constexpr int64_t kBlock = 32;
  for (int64_t base = 0; base < n; base += kBlock) {
    const int64_t end = std::min(n, base + kBlock);
    if (full && end - base == kBlock) {
      int above = 0;
      for (int64_t i = base; i < base + kBlock; ++i) above |= !(logits[i] <= threshold);
      if (above == 0) continue;
    }
    for (int64_t i = base; i < end; ++i) {
      // A NaN threshold is below everything.
      if (full && !(logits[i] > threshold || threshold != threshold)) continue;
      buffer.push_back({logits[i], static_cast<int32_t>(i)});
    }
    if (static_cast<int64_t>(buffer.size()) >= 2 * count) cut();
  }
  if (static_cast<int64_t>(buffer.size()) > count) cut();
  std::sort(buffer.begin(), buffer.end(), Before);
}

}  // namespace

void CpuBackend::Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                           LogitsSummary* summaries) {
  pool_.ParallelFor(rows, [&](int64_t row, int) {
    thread_local std::vector<Candidate> buffer;
    LogitsSummary& s = summaries[row];
    const float* x = logits + row * vocab;
    Largest(x, vocab, n_candidates, buffer);
    for (size_t i = 0; i < buffer.size(); ++i) {
      s.ids[i] = buffer[i].id;
      s.logits[i] = buffer[i].logit;
    }
    s.log_sum_exp_1 = kernels_.log_sum_exp(x, vocab, 1.0f);
    s.log_sum_exp =
        s.temperature == 1.0f ? s.log_sum_exp_1 : kernels_.log_sum_exp(x, vocab, 1.0f / s.temperature);
  });
}

}  // namespace kvasir::cpu
