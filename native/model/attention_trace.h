// What attention of a traced step shows: queries and keys as they meet, the scores where rows attend, the softmax weights
// that they give, and how evenly these are spread.
#pragma once

#include <vector>

#include "backend/attention.h"

namespace kvasir {

// Rows [first, end) of a traced step: the scores as args.trace has them and the sinks as args.bias has them, on the host.
struct ScoreRows {
  const float* scores = nullptr;
  const float* sinks = nullptr;
  int64_t first = 0;
  int64_t end = 0;
};

// Those rows of out [rows of the step, n_heads, positions], where they attend.
void CopyScores(const AttentionArgs& args, const ScoreRows& rows, float* out);

// The same of weights. With sinks those of a row add up to less than 1.
void AttentionWeights(const AttentionArgs& args, const ScoreRows& rows, float* out);

// Those rows of out [rows of the step, n_heads]: -sum(w ln w) of the weights, in nats, without making them. A sink is one more
// of them.
void AttentionEntropies(const AttentionArgs& args, const ScoreRows& rows, float* out);

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
