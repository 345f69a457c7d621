#include "testing/attention_step.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/half.h"
#include "quant/int8_layout.h"

namespace kvasir::testing {

namespace {

constexpr float kUntouched = StepResult::kUntouched;
constexpr int32_t kNoPage = 1 << 24;  // far outside the pool
constexpr int64_t kLayer = StepPool::kLayer;

// One step on the CPU: `stored` rows from `qkv`, and attention unless out is nullptr.
struct CpuStep {
  Backend& backend;
  const AttentionStep& step;
  const StepPool& p;
  const AttentionShape& shape;
  uint8_t* pool;

  void Run(const std::vector<SequenceSpan>& spans, int64_t rows, const float* qkv,
           const AttentionTrace& trace, float* out, StepResult* result) {
    const size_t n = static_cast<size_t>(step.n_heads * rows);
    const size_t width = static_cast<size_t>(step.padded_head_dim());
    std::vector<float> f32(n * width, kUntouched), scales(n, kUntouched);
    std::vector<uint8_t> values(n * width * static_cast<size_t>(backend.traits().quantized_bytes));
    std::vector<int32_t> start(n);
    Queries queries = {.dtype = step.int8() ? Dtype::kInt8 : Dtype::kF32,
                       .f32 = f32.data(),
                       .values = values.data(),
                       .scales = scales.data(),
                       .start = start.data()};
    HeadNorm norm = step.norm;
    norm.q_weight = step.q_weight.data();
    norm.k_weight = step.k_weight.data();
    const AttentionArgs args = {
        .shape = &shape,
        .layout = &p.layout,
        .pages = pool,
        .layer = kLayer,
        .rows = rows,
        .sequences = spans.data(),
        .n_sequences = static_cast<int64_t>(spans.size()),
        .trace = trace,
        .bias = {.slopes = step.slopes.empty() ? nullptr : step.slopes.data(),
                 .distance_bias = step.distance_bias.empty() ? nullptr : step.distance_bias.data(),
                 .reach = step.reach,
                 .sinks = step.sinks.empty() ? nullptr : step.sinks.data()},
        .norm = norm};
    backend.StoreKv(args, {.first = 0, .count = rows, .lane = 0}, qkv, &queries);
    if (out == nullptr) return;
    backend.Attention(args, queries, out);
    result->queries = f32;
    if (step.int8()) {
      const std::vector<int> whole =
          LoadQuantized(values, static_cast<int>(backend.traits().quantized_bytes));
      result->queries.assign(whole.begin(), whole.end());
    }
    if (step.int8()) result->query_scales = scales;
  }
};

}  // namespace

int64_t AttentionStep::rows() const {
  int64_t rows = 0;
  for (const StepSequence& s : sequences) rows += s.n_tokens;
  return rows;
}
int64_t AttentionStep::longest() const {
  int64_t longest = 0;
  for (const StepSequence& s : sequences) longest = std::max(longest, s.start + s.n_tokens);
  return longest;
}
int64_t AttentionStep::history_rows() const {
  int64_t rows = 0;
  for (const StepSequence& s : sequences) rows += s.start;
  return rows;
}

AttentionShape AttentionStep::Shape() const {
  return {.n_heads = n_heads,
          .n_kv_heads = n_kv_heads,
          .head_dim = head_dim,
          .padded_head_dim = padded_head_dim(),
          .scale = scale,
          .soft_cap = soft_cap,
          .before = before,
          .after = after,
          .rope = rope,
          .rope_dim = rope_dim,
          .rotation = rotation};
}

StepPool::StepPool(const AttentionStep& step)
    : layout{.dtype = step.dtype,
             .n_layers = kLayers,
             .n_kv_heads = step.n_kv_heads,
             .head_dim = step.head_dim,
             .padded_head_dim = step.padded_head_dim(),
             .n_pages = 1},
      ld_pages((step.longest() + kKvPagePositions - 1) / kKvPagePositions + 1),
      pages(step.sequences.size() * static_cast<size_t>(ld_pages), kNoPage) {
  // Page 0 is nobody's, and sequences take theirs in turn, backwards.
  for (int64_t page = ld_pages - 1; page >= 0; --page) {
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      if (page * kKvPagePositions >= step.sequences[i].start + step.sequences[i].n_tokens) continue;
      pages[i * static_cast<size_t>(ld_pages) + static_cast<size_t>(page)] =
          static_cast<int32_t>(layout.n_pages++);
    }
  }
}

void StepPool::Release(const AttentionStep& step, std::vector<uint8_t>* pool) {
  const auto make_dirty = [&](const KvPlace& place) {
    std::fill_n(pool->begin() + place.k, layout.HeadBytes(), kDirt);
    std::fill_n(pool->begin() + place.v, layout.HeadBytes(), kDirt);
    std::fill_n(pool->begin() + place.k_scales, layout.HeadScaleBytes(), kDirt);
    std::fill_n(pool->begin() + place.v_scales, layout.HeadScaleBytes(), kDirt);
  };
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    const int64_t from = step.Shape().From(step.sequences[i].start);
    for (int64_t page = 0; page < from / kKvPagePositions; ++page) {
      int32_t& index = pages[i * static_cast<size_t>(ld_pages) + static_cast<size_t>(page)];
      for (int64_t head = 0; head < step.n_kv_heads; ++head) make_dirty(layout.Place(index, kLayer, head));
      index = -1;
    }
  }
}

void FillInputs(Random& random, AttentionStep* step) {
  step->scale = 1.7f / std::sqrt(static_cast<float>(step->head_dim));
  step->history = random.Bells(step->history_rows() * step->width(), 1.5f);
  step->qkv = random.Bells(step->rows() * step->width(), 1.5f);
  // A head of zeros: a scale of 0.
  std::fill_n(step->qkv.end() - step->head_dim, step->head_dim, 0.0f);
  const auto n_heads = step->n_heads;
  if (!step->slopes.empty()) step->slopes = random.Bells(n_heads, 0.05f);
  if (!step->sinks.empty()) step->sinks = random.Bells(n_heads, 3);
  if (!step->distance_bias.empty()) step->distance_bias = random.Bells(n_heads * (2 * step->reach + 1), 2);
  step->cos.clear();
  step->sin.clear();
  for (int64_t i = 0; i < step->longest() * step->rope_dim / 2; ++i) {
    const float angle = random.Uniform(-3, 3);
    step->cos.push_back(std::cos(angle));
    step->sin.push_back(std::sin(angle));
  }
  const bool whole = step->norm.kind == HeadNormKind::kFullRow;
  step->q_weight = random.Bells(step->head_dim * (whole ? step->n_heads : 1));
  step->k_weight = random.Bells(step->head_dim * (whole ? step->n_kv_heads : 1));
}

void ReadPool(const AttentionStep& step, const StepPool& p, const std::vector<uint8_t>& pool, int offset,
              const std::function<int64_t(bool, int64_t, int64_t)>& at, StepResult* result) {
  const int64_t width = step.padded_head_dim();
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    const int64_t length = step.sequences[i].start + step.sequences[i].n_tokens;
    for (int64_t position = 0; position < length; ++position) {
      const int64_t slot = position % kKvPagePositions;
      const int32_t page =
          p.pages[i * static_cast<size_t>(p.ld_pages) + static_cast<size_t>(position / kKvPagePositions)];
      for (int64_t head = 0; head < step.n_kv_heads; ++head) {
        if (page < 0) {
          for (std::vector<float>* to : {&result->keys, &result->values}) {
            to->insert(to->end(), static_cast<size_t>(width), NAN);
          }
          for (std::vector<float>* to : {&result->k_scales, &result->v_scales}) {
            if (step.int8()) to->push_back(NAN);
          }
          continue;
        }
        const KvPlace place = p.layout.Place(page, kLayer, head);
        for (const bool is_v : {false, true}) {
          const uint8_t* part = pool.data() + (is_v ? place.v : place.k);
          std::vector<float>& to = is_v ? result->values : result->keys;
          for (int64_t d = 0; d < width; ++d) {
            const int64_t index = at(is_v, d, slot);
            float value;
            if (step.int8()) {
              value = is_v ? static_cast<float>(static_cast<int8_t>(part[index]))
                           : static_cast<float>(static_cast<int8_t>(part[index] - offset));
            } else if (step.dtype == Dtype::kF16) {
              uint16_t half;
              std::memcpy(&half, part + index * 2, sizeof half);
              value = FloatFromHalf(half);
            } else {
              std::memcpy(&value, part + index * 4, sizeof value);
            }
            to.push_back(value);
          }
          if (!step.int8()) continue;
          float scale;
          const int64_t scales = is_v ? place.v_scales : place.k_scales;
          std::memcpy(&scale, pool.data() + scales + slot * 4, sizeof scale);
          (is_v ? result->v_scales : result->k_scales).push_back(scale);
        }
      }
    }
  }
}

StepResult RunOnCpu(const AttentionStep& step, const std::string& isa, int threads) {
  StepPool p(step);
  AttentionShape shape = step.Shape();
  shape.rope_cos = step.cos.data();
  shape.rope_sin = step.sin.data();
  shape.q_scales = step.q_scales.empty() ? nullptr : step.q_scales.data();
  std::vector<uint8_t> pool(static_cast<size_t>(p.layout.PoolBytes()), StepPool::kDirt);
  const std::unique_ptr<Backend> backend =
      MakeCpuBackend(threads, isa, step.longest(), step.padded_head_dim());
  p.layout.run = backend->traits().kv_run;
  CpuStep cpu = {*backend, step, p, shape, pool.data()};
  std::vector<SequenceSpan> history, spans;
  int64_t history_row = 0, row = 0;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    const StepSequence& s = step.sequences[i];
    const int32_t* pages = p.pages.data() + i * static_cast<size_t>(p.ld_pages);
    if (s.start > 0) history.push_back({pages, 0, s.start, history_row});
    spans.push_back({pages, s.start, s.n_tokens, row});
    history_row += s.start;
    row += s.n_tokens;
  }
  StepResult result;
  result.out.assign(static_cast<size_t>(step.rows() * step.n_heads * step.head_dim), kUntouched);
  result.scores.assign(step.trace ? static_cast<size_t>(step.rows() * step.n_heads * step.longest()) : 0,
                       kUntouched);
  cpu.Run(history, history_row, step.history.data(), {}, nullptr, &result);
  p.Release(step, &pool);
  cpu.Run(spans, row, step.qkv.data(), {step.trace ? result.scores.data() : nullptr, step.longest()},
          result.out.data(), &result);
  const int64_t width = step.padded_head_dim();
  ReadPool(
      step, p, pool, kWeightOffset,
      [&](bool is_v, int64_t d, int64_t slot) {
        if (step.int8()) {
          return is_v ? (slot / 2 * width + d) * 2 + slot % 2 : (d / 4 * kKvPagePositions + slot) * 4 + d % 4;
        }
        return is_v ? slot * width + d : d * kKvPagePositions + slot;
      },
      &result);
  return result;
}

std::string Difference(const StepResult& a, const StepResult& b) {
  std::string difference;
  const auto compare = [&](const char* what, const std::vector<float>& left,
                           const std::vector<float>& right) {
    const std::string text = BitDifference(left, right);
    if (!text.empty()) difference += what + (": " + text) + " ";
  };
  compare("queries", a.queries, b.queries);
  compare("query scales", a.query_scales, b.query_scales);
  compare("keys", a.keys, b.keys);
  compare("K scales", a.k_scales, b.k_scales);
  compare("values", a.values, b.values);
  compare("V scales", a.v_scales, b.v_scales);
  compare("scores", a.scores, b.scores);
  compare("out", a.out, b.out);
  return difference;
}

}  // namespace kvasir::testing
