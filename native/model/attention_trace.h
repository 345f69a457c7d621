// What attention of a traced step shows: queries and keys as they meet, the scores where rows attend, and the softmax weights
// that they give.
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

// Queries [rows, n_heads * head_dim] and keys [rows, n_kv_heads * head_dim] as scores take them, in their own basis.
struct MetHeads {
  std::vector<float> q, k;
};

// Of qkv [rows, (n_heads + 2 n_kv_heads) * head_dim] at `positions` [rows]: through the norm of heads, the rotary embedding and
// the scale of the position, in float64. The tables of `shape` and the weights of `norm` are on the host.
MetHeads MeetingHeads(const AttentionShape& shape, const HeadNorm& norm, const int32_t* positions,
                      int64_t rows, const float* qkv);

// Throws Error(kInternal) for a sequence that is cut although its tokens attend to later ones: their keys would be missing.
void CheckSpans(const AttentionShape& shape, const SequenceSpan* sequences, int64_t n_sequences);

}  // namespace kvasir
