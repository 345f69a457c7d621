#include "model/attention_trace.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace kvasir {

namespace {

// weights[j] of scores[j], j in [from, to); a sink is one more score.
void Softmax(const float* scores, int64_t from, int64_t to, const float* sink, float* weights) {
  float max = *std::max_element(scores + from, scores + to);
  if (sink != nullptr) max = std::max(max, *sink);
  const auto term = [max](float score) { return std::exp(static_cast<double>(score - max)); };
  double sum = 0;
  for (int64_t j = from; j < to; ++j) sum += term(scores[j]);
  if (sink != nullptr) sum += term(*sink);
  for (int64_t j = from; j < to; ++j) weights[j] = static_cast<float>(term(scores[j]) / sum);
}

}  // namespace

TracedAttention TraceAttention(const AttentionArgs& args, const float* scores, const float* sinks) {
  const AttentionShape& shape = *args.shape;
  const int64_t positions = args.trace.positions;
  const auto size = static_cast<size_t>(args.rows * shape.n_heads * positions);
  TracedAttention traced = {std::vector<float>(size, 0.0f), std::vector<float>(size, 0.0f)};
  for (int64_t i = 0; i < args.n_sequences; ++i) {
    const SequenceSpan& s = args.sequences[i];
    for (int64_t row = 0; row < s.n_tokens * shape.n_heads; ++row) {
      const int64_t position = s.start + row / shape.n_heads, head = row % shape.n_heads;
      const int64_t from = shape.From(position), to = shape.To(position, s.Length());
      const int64_t at = (s.row * shape.n_heads + row) * positions;
      std::copy(scores + at + from, scores + at + to, traced.scores.data() + at + from);
      Softmax(scores + at, from, to, sinks == nullptr ? nullptr : sinks + head, traced.weights.data() + at);
    }
  }
  return traced;
}

void CheckSpans(const AttentionShape& shape, const SequenceSpan* sequences, int64_t n_sequences) {
  const bool cut = std::any_of(sequences, sequences + n_sequences,
                               [](const SequenceSpan& s) { return s.start > 0 || s.beyond > 0; });
  if (shape.after > 0 && cut) {
    throw Error(ErrorCode::kInternal,
                "A sequence whose tokens attend to later ones was cut: it must come in one step");
  }
}

}  // namespace kvasir
