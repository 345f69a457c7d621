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

// x *= weight / rms(x), of n values.
void RmsNorm(const float* weight, int64_t n, float eps, double* x) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) x[i] *= scale * weight[i];
}

// x [head_dim] of one head.
void Rotate(const AttentionShape& shape, int64_t position, double* x) {
  const int64_t half = shape.rope_dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    const bool interleaved = shape.rope == RopeKind::kInterleaved;
    double& low = x[interleaved ? 2 * i : i];
    double& high = x[interleaved ? 2 * i + 1 : i + half];
    const double cos = shape.rope_cos[position * half + i], sin = shape.rope_sin[position * half + i];
    const double turned = low * cos - high * sin;
    high = high * cos + low * sin;
    low = turned;
  }
}

// One row's heads, of `row` [n * head_dim] into `out`; `scale` multiplies them at the end.
void MeetRow(const AttentionShape& shape, const HeadNorm& norm, const float* weight, int64_t position,
             int64_t n, double scale, const float* row, float* out) {
  const int64_t dim = shape.head_dim;
  std::vector<double> x(row, row + n * dim);
  if (norm.kind == HeadNormKind::kFullRow) RmsNorm(weight, n * dim, norm.eps, x.data());
  const bool per_head = norm.kind == HeadNormKind::kPerHead;
  for (int64_t h = 0; h < n; ++h) {
    double* head = x.data() + h * dim;
    if (per_head && !norm.after_rope) RmsNorm(weight, dim, norm.eps, head);
    if (shape.rope != RopeKind::kNone) Rotate(shape, position, head);
    if (per_head && norm.after_rope) RmsNorm(weight, dim, norm.eps, head);
  }
  for (int64_t i = 0; i < n * dim; ++i) out[i] = static_cast<float>(x[static_cast<size_t>(i)] * scale);
}

}  // namespace

MetHeads MeetingHeads(const AttentionShape& shape, const HeadNorm& norm, const int32_t* positions,
                      int64_t rows, const float* qkv) {
  const int64_t q = shape.n_heads * shape.head_dim, k = shape.n_kv_heads * shape.head_dim;
  MetHeads met = {std::vector<float>(static_cast<size_t>(rows * q)),
                  std::vector<float>(static_cast<size_t>(rows * k))};
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t position = positions[row];
    const double scale = shape.q_scales == nullptr ? 1 : shape.q_scales[position];
    const float* values = qkv + row * (q + 2 * k);
    MeetRow(shape, norm, norm.q_weight, position, shape.n_heads, scale, values, met.q.data() + row * q);
    MeetRow(shape, norm, norm.k_weight, position, shape.n_kv_heads, 1, values + q, met.k.data() + row * k);
  }
  return met;
}

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
