// What attention of a traced step shows: the scores where rows attend, and the softmax weights that they give.
#pragma once

#include <vector>

#include "backend/attention.h"

namespace kvasir {

// Both [rows, n_heads, positions], zero where a row does not attend. With sinks the weights of a row add up to less than 1.
struct TracedAttention {
  std::vector<float> scores, weights;
};

// `scores` as args.trace has them and `sinks` as args.bias has them, both on the host.
TracedAttention TraceAttention(const AttentionArgs& args, const float* scores, const float* sinks);

// Throws Error(kInternal) for a sequence that is cut although its tokens attend to later ones: their keys would be missing.
void CheckSpans(const AttentionShape& shape, const SequenceSpan* sequences, int64_t n_sequences);

}  // namespace kvasir
