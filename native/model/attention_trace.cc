#include "model/attention_trace.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace kvasir {

namespace {

// The scores of a row and a head where it attends, [first, end), and its sink, which is one more score, or nullptr.
struct ScoresOfRow {
  const float* first;
  const float* end;
  const float* sink;

  float Max() const {
    const float max = *std::max_element(first, end);
    return sink == nullptr ? max : std::max(max, *sink);
  }
};

void Softmax(const ScoresOfRow& row, float* weights) {
  const float max = row.Max();
  const auto term = [max](float score) { return std::exp(static_cast<double>(score - max)); };
  double sum = 0;
  for (const float* score = row.first; score < row.end; ++score) sum += term(*score);
  if (row.sink != nullptr) sum += term(*row.sink);
  for (const float* score = row.first; score < row.end; ++score) {
    *weights++ = static_cast<float>(term(*score) / sum);
  }
}

// With w = exp(s - max) / sum: -sum(w ln w) = ln(sum) - sum(exp(s - max) (s - max)) / sum.
float Entropy(const ScoresOfRow& row) {
  const float max = row.Max();
  double sum = 0, weighted = 0;
  const auto add = [&](float score) {
    const double below = static_cast<double>(score - max), term = std::exp(below);
    sum += term;
    if (term > 0) weighted += term * below;
  };
  for (const float* score = row.first; score < row.end; ++score) add(*score);
  if (row.sink != nullptr) add(*row.sink);
  return static_cast<float>(std::log(sum) - weighted / sum);
}

// Calls take(scores, index of the first of them in [rows, n_heads, positions], row * n_heads + head) for each row and head.
template <typename Take>
void ForScores(const AttentionArgs& args, const ScoreRows& rows, const Take& take) {
  const AttentionShape& shape = *args.shape;
  for (int64_t i = 0; i < args.n_sequences; ++i) {
    const SequenceSpan& s = args.sequences[i];
    const int64_t first = std::max(rows.first, s.row), end = std::min(rows.end, s.row + s.n_tokens);
    for (int64_t row = first; row < end; ++row) {
      const int64_t position = s.start + row - s.row;
      const int64_t from = shape.From(position), to = shape.To(position, s.Length());
      for (int64_t head = 0; head < shape.n_heads; ++head) {
        const int64_t index = row * shape.n_heads + head, at = index * args.trace.positions;
        const float* sink = rows.sinks == nullptr ? nullptr : rows.sinks + head;
        take(ScoresOfRow{rows.scores + at + from, rows.scores + at + to, sink}, at + from, index);
      }
    }
  }
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

void CopyScores(const AttentionArgs& args, const ScoreRows& rows, float* out) {
  ForScores(args, rows,
            [out](const ScoresOfRow& row, int64_t at, int64_t) { std::copy(row.first, row.end, out + at); });
}

void AttentionWeights(const AttentionArgs& args, const ScoreRows& rows, float* out) {
  ForScores(args, rows, [out](const ScoresOfRow& row, int64_t at, int64_t) { Softmax(row, out + at); });
}

void AttentionEntropies(const AttentionArgs& args, const ScoreRows& rows, float* out) {
  ForScores(args, rows, [out](const ScoresOfRow& row, int64_t, int64_t index) { out[index] = Entropy(row); });
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
