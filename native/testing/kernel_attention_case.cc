#include "testing/kernel_attention_case.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "core/half.h"

namespace kvasir::testing {

namespace {

constexpr int kSlots = cpu::kPagePositions;

// The cache as a kernel sees it. Each page is an allocation of its own, for the address sanitizer.
struct Pages {
  std::vector<std::vector<float>> k_f32, v_f32, k_scales, v_scales;
  std::vector<std::vector<uint8_t>> k_u8;
  std::vector<std::vector<int8_t>> v_s8;
  std::vector<std::vector<uint16_t>> k_f16, v_f16;

  explicit Pages(const AttentionCase& c);
  cpu::ChunkPages View(const AttentionCase& c) const;
};

// Of a page that begins at position `page_first`, the first slot that any row attends to.
size_t FirstSlot(const AttentionCase& c, int page_first) {
  return static_cast<size_t>(std::clamp(c.begin() - page_first, 0, kSlots));
}

// [head_dim][64] and [64][head_dim] of Element, which `store` makes of a float.
template <typename Element, typename Store>
void PackFloats(const AttentionCase& c, int n, const Store& store, std::vector<std::vector<Element>>* k_pages,
                std::vector<std::vector<Element>>* v_pages) {
  const size_t dim = static_cast<size_t>(c.head_dim);
  const Element fill = store(c.garbage_past_end ? NAN : 0.0f);
  for (int first = 0; first < n; first += kSlots) {
    std::vector<Element> k(dim * kSlots, fill), v(dim * kSlots, fill);
    for (size_t slot = FirstSlot(c, first); slot < static_cast<size_t>(std::min(kSlots, n - first)); ++slot) {
      for (size_t d = 0; d < dim; ++d) {
        k[d * kSlots + slot] = store(c.k[(static_cast<size_t>(first) + slot) * dim + d]);
        v[slot * dim + d] = store(c.v[(static_cast<size_t>(first) + slot) * dim + d]);
      }
    }
    k_pages->push_back(std::move(k));
    v_pages->push_back(std::move(v));
  }
}

void PackS8(const AttentionCase& c, int n, Pages* pages) {
  const size_t dim = static_cast<size_t>(c.head_dim);
  const float scale = c.garbage_past_end ? NAN : 0.0f;
  for (int first = 0; first < n; first += kSlots) {
    std::vector<uint8_t> k(dim * kSlots, c.garbage_past_end ? 0x7f : kWeightOffset);
    std::vector<int8_t> v(dim * kSlots, c.garbage_past_end ? 0x7f : 0);
    std::vector<float> k_scales(kSlots, scale), v_scales(kSlots, scale);
    for (size_t slot = FirstSlot(c, first); slot < static_cast<size_t>(std::min(kSlots, n - first)); ++slot) {
      const size_t position = static_cast<size_t>(first) + slot;
      for (size_t d = 0; d < dim; ++d) {
        k[(d / 4 * kSlots + slot) * 4 + d % 4] =
            static_cast<uint8_t>(c.k[position * dim + d] + kWeightOffset);
        v[(slot / 2 * dim + d) * 2 + slot % 2] = static_cast<int8_t>(c.v[position * dim + d]);
      }
      k_scales[slot] = c.k_scales[position];
      v_scales[slot] = c.v_scales[position];
    }
    pages->k_u8.push_back(std::move(k));
    pages->v_s8.push_back(std::move(v));
    pages->k_scales.push_back(std::move(k_scales));
    pages->v_scales.push_back(std::move(v_scales));
  }
}

Pages::Pages(const AttentionCase& c) {
  switch (c.cache) {
    case Dtype::kInt8: PackS8(c, c.positions(), this); break;
    case Dtype::kF16: PackFloats(c, c.positions(), HalfFromFloat, &k_f16, &v_f16); break;
    case Dtype::kF32:
      PackFloats(
          c, c.positions(), [](float value) { return value; }, &k_f32, &v_f32);
      break;
  }
}

cpu::ChunkPages Pages::View(const AttentionCase& c) const {
  const size_t n_pages = static_cast<size_t>((c.positions() + kSlots - 1) / kSlots);
  cpu::ChunkPages view = {};
  view.n = static_cast<int>(n_pages);
  for (size_t i = 0; i < n_pages; ++i) {
    switch (c.cache) {
      case Dtype::kInt8: view.k[i] = k_u8[i].data(), view.v[i] = v_s8[i].data(); break;
      case Dtype::kF16: view.k[i] = k_f16[i].data(), view.v[i] = v_f16[i].data(); break;
      case Dtype::kF32: view.k[i] = k_f32[i].data(), view.v[i] = v_f32[i].data(); break;
    }
    view.k_scales[i] = c.int8() ? k_scales[i].data() : nullptr;
    view.v_scales[i] = c.int8() ? v_scales[i].data() : nullptr;
  }
  return view;
}

void AttendAsKind(const cpu::KernelTable& table, const AttentionCase& c, const cpu::AttentionChunk& chunk) {
  std::vector<const float*> distance_bias;
  for (const std::vector<float>& bias : c.distance_bias) distance_bias.push_back(bias.data());
  const cpu::ScoreKind kind = {
      .first = c.first.data(),
      .distance = c.distance.data(),
      .soft_cap = c.soft_cap,
      .slopes = c.slopes.empty() ? nullptr : c.slopes.data(),
      .distance_bias = distance_bias.empty() ? nullptr : distance_bias.data(),
      .reach = distance_bias.empty() ? 0 : static_cast<int>(c.distance_bias[0].size() / 2)};
  switch (c.cache) {
    case Dtype::kInt8: table.attention_kinds->chunk_s8(chunk, kind); break;
    case Dtype::kF16: table.attention_kinds->chunk_f16(chunk, kind); break;
    case Dtype::kF32: table.attention_kinds->chunk_f32(chunk, kind); break;
  }
}

std::vector<float> WholeNumbers(Random& random, int64_t n) {
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(static_cast<float>(random.Integer(-127, 127)));
  // Saturated head vectors: the largest dot product there is.
  for (int64_t i = 0; i < n / 8; ++i) values[static_cast<size_t>(i)] = i % 3 == 0 ? -127.0f : 127.0f;
  return values;
}

}  // namespace

float AttentionCase::Stored(float value) const {
  return cache == Dtype::kF16 ? FloatFromHalf(HalfFromFloat(value)) : value;
}

int AttentionCase::positions() const { return *std::max_element(n_valid.begin(), n_valid.end()); }

int AttentionCase::begin() const {
  int begin = first.empty() ? 0 : cpu::kChunkPositions;
  for (size_t row = 0; row < first.size(); ++row) {
    if (n_valid[row] > 0) begin = std::min(begin, first[row]);
  }
  return begin;
}

AttentionCase MakeAttention(Random& random, Dtype cache, int rows, int head_dim, std::vector<int> n_valid) {
  const bool int8 = cache == Dtype::kInt8;
  AttentionCase c;
  c.cache = cache;
  c.rows = rows;
  c.head_dim = head_dim;
  c.n_valid = std::move(n_valid);
  c.scale = static_cast<float>(1 / std::sqrt(head_dim));
  const int64_t q_size = rows * head_dim, kv_size = int64_t{cpu::kChunkPositions} * head_dim;
  c.q = int8 ? WholeNumbers(random, q_size) : random.Bells(q_size, 2);
  c.k = int8 ? WholeNumbers(random, kv_size) : random.Bells(kv_size, 1.5f);
  c.v = int8 ? WholeNumbers(random, kv_size) : random.Bells(kv_size);
  if (!int8) return c;
  for (int i = 0; i < rows; ++i) c.q_scales.push_back(random.Uniform(0.001f, 0.04f));
  for (int i = 0; i < cpu::kChunkPositions; ++i) {
    c.k_scales.push_back(random.Integer(0, 20) == 0 ? 0.0f : random.Uniform(0.001f, 0.04f));
    c.v_scales.push_back(random.Integer(0, 20) == 0 ? 0.0f : random.Uniform(0.001f, 0.04f));
  }
  return c;
}

AttentionState Run(const cpu::KernelTable& table, const AttentionCase& c, bool with_trace) {
  const Pages pages(c);
  const cpu::ChunkPages chunk_pages = pages.View(c);
  const size_t rows = static_cast<size_t>(c.rows), dim = static_cast<size_t>(c.head_dim);
  std::vector<uint8_t> q_s8;
  std::vector<int32_t> start;
  if (c.int8()) {
    q_s8 = StoreQuantized({c.q.begin(), c.q.end()}, table.quantized_bytes);
    for (size_t row = 0; row < rows; ++row) {
      int sum = 0;
      for (size_t d = 0; d < dim; ++d) sum += static_cast<int>(c.q[row * dim + d]);
      start.push_back(-kWeightOffset * sum);
    }
  }
  constexpr float kUntouched = AttentionState::kUntouched;
  AttentionState state{std::vector<float>(rows, kUntouched), std::vector<float>(rows, kUntouched),
                       std::vector<float>(rows * dim, kUntouched),
                       std::vector<float>(with_trace ? rows * cpu::kChunkPositions : 0, kUntouched)};
  const cpu::AttentionChunk chunk = {
      c.rows, c.head_dim, c.scale, c.q.data(), q_s8.data(), c.q_scales.data(), start.data(), chunk_pages.k,
      chunk_pages.v, chunk_pages.k_scales, chunk_pages.v_scales, c.n_valid.data(), state.max.data(),
      state.sum.data(), state.acc.data(), with_trace ? state.trace.data() : nullptr,
      // What it fetches and what it does not touch changes no result.
      &chunk_pages, with_trace};
  const cpu::KernelScope scope(table, c.rows);
  if (!c.first.empty()) {
    AttendAsKind(table, c, chunk);
    return state;
  }
  switch (c.cache) {
    case Dtype::kInt8: table.attention_chunk_s8(chunk); break;
    case Dtype::kF16: table.attention_chunk_f16(chunk); break;
    case Dtype::kF32: table.attention_chunk_f32(chunk); break;
  }
  return state;
}

std::string Difference(const AttentionState& a, const AttentionState& b) {
  std::string difference;
  const auto compare = [&](const char* what, const std::vector<float>& left,
                           const std::vector<float>& right) {
    const std::string text = BitDifference(left, right);
    if (!text.empty()) difference += what + text + " ";
  };
  compare("max", a.max, b.max);
  compare("sum", a.sum, b.sum);
  compare("acc", a.acc, b.acc);
  compare("trace", a.trace, b.trace);
  return difference;
}

double OracleScore(const AttentionCase& c, int row, int position) {
  double dot = 0;
  for (int d = 0; d < c.head_dim; ++d) {
    dot += static_cast<double>(c.q[static_cast<size_t>(row * c.head_dim + d)]) *
           c.Stored(c.k[static_cast<size_t>(position * c.head_dim + d)]);
  }
  if (c.int8())
    dot *=
        static_cast<double>(c.q_scales[static_cast<size_t>(row)]) * c.k_scales[static_cast<size_t>(position)];
  return dot * c.scale;
}

// float32: one rounding a dimension and one for the scale. INT8: the sum is exact, three products round.
double ScoreError(const AttentionCase& c, int row, int position) {
  if (c.int8()) return Gamma(4) * std::abs(OracleScore(c, row, position));
  double magnitude = 0;
  for (int d = 0; d < c.head_dim; ++d) {
    magnitude += std::abs(static_cast<double>(c.q[static_cast<size_t>(row * c.head_dim + d)]) *
                          c.Stored(c.k[static_cast<size_t>(position * c.head_dim + d)]));
  }
  return Gamma(c.head_dim + 1) * magnitude * c.scale;
}

AttentionOracle Oracle(const AttentionCase& c, int row) {
  const int n = c.n_valid[static_cast<size_t>(row)];
  std::vector<double> scores;
  double max = -HUGE_VAL, score_error = 0, sum = 0;
  for (int i = 0; i < n; ++i) {
    scores.push_back(OracleScore(c, row, i));
    max = std::max(max, scores.back());
    score_error = std::max(score_error, ScoreError(c, row, i));
  }
  for (double& s : scores) sum += (s = std::exp(s - max));
  // Relative error of a probability: its score and the maximum, one subtraction of at most 87 (beyond that it is 0),
  // and exp. Sums of n terms add n roundings; the quotient adds one.
  const double p_error = 2 * score_error + 87 * kUnit + 2e-7;
  const double relative = 2 * p_error + Gamma(n + 4) + Gamma(n / 16.0 + 6);
  AttentionOracle oracle;
  oracle.log_sum = max + std::log(sum);
  oracle.log_sum_error = p_error + Gamma(n / 16.0 + 6) + score_error + kUnit * std::abs(max);
  // INT8: a weight times its V scale is rounded to a 32,767th of the row's largest.
  double step = 0;
  for (int i = 0; c.int8() && i < n; ++i) {
    const double weight = scores[static_cast<size_t>(i)] * c.v_scales[static_cast<size_t>(i)];
    step = std::max(step, weight / sum / 32767);
  }
  for (int d = 0; d < c.head_dim; ++d) {
    double out = 0, magnitude = 0, rounding = 0;
    for (int i = 0; i < n; ++i) {
      double value = c.Stored(c.v[static_cast<size_t>(i * c.head_dim + d)]);
      rounding += 0.5001 * step * std::abs(value);
      if (c.int8()) value *= c.v_scales[static_cast<size_t>(i)];
      out += scores[static_cast<size_t>(i)] / sum * value;
      magnitude += scores[static_cast<size_t>(i)] / sum * std::abs(value);
    }
    oracle.out.push_back(out);
    oracle.out_error.push_back(relative * magnitude + rounding + 1e-30);
  }
  return oracle;
}

}  // namespace kvasir::testing
