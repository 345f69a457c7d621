#include "testing/cuda_attention_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "backend/cuda/kernels.h"
#include "core/half.h"
#include "quant/int8_layout.h"
#include "testing/cuda_device_array.h"

namespace kvasir::testing {

namespace {

constexpr float kUntouched = -54321.0f;
constexpr uint8_t kDirt = 0xff;       // as floats NaN
constexpr int32_t kNoPage = 1 << 24;  // far outside the pool
constexpr int64_t kLayers = 2, kLayer = 1;

// Both sides' memory but for the kernels: tables of a step, and the pool.
struct Prepared {
  KvLayout layout;
  AttentionShape shape;
  int64_t ld_pages;
  std::vector<int32_t> pages;  // [sequences, ld_pages]
};

Prepared Prepare(const AttentionStep& step) {
  Prepared p;
  p.layout = {.dtype = step.dtype,
              .n_layers = kLayers,
              .n_kv_heads = step.n_kv_heads,
              .head_dim = step.head_dim,
              .padded_head_dim = step.padded_head_dim()};
  p.shape = {.n_heads = step.n_heads,
             .n_kv_heads = step.n_kv_heads,
             .head_dim = step.head_dim,
             .padded_head_dim = step.padded_head_dim(),
             .scale = step.scale,
             .rope = step.rope,
             .rope_dim = step.rope_dim,
             .rotation = step.rotation};
  p.ld_pages = (step.longest() + kKvPagePositions - 1) / kKvPagePositions + 1;
  p.pages.assign(step.sequences.size() * static_cast<size_t>(p.ld_pages), kNoPage);
  p.layout.n_pages = 1;
  // Page 0 is nobody's, and sequences take theirs in turn, backwards.
  for (int64_t page = p.ld_pages - 1; page >= 0; --page) {
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      if (page * kKvPagePositions >= step.sequences[i].start + step.sequences[i].n_tokens) continue;
      p.pages[i * static_cast<size_t>(p.ld_pages) + static_cast<size_t>(page)] =
          static_cast<int32_t>(p.layout.n_pages++);
    }
  }
  return p;
}

// Reads what a pool stores. `at(k or v, dimension, slot)` is the element's place within a head's part.
template <typename At>
void ReadPool(const AttentionStep& step, const Prepared& p, const std::vector<uint8_t>& pool, int offset,
              const At& at, StepResult* result) {
  const int64_t width = step.padded_head_dim();
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    const int64_t length = step.sequences[i].start + step.sequences[i].n_tokens;
    for (int64_t position = 0; position < length; ++position) {
      const int64_t slot = position % kKvPagePositions;
      const int32_t page =
          p.pages[i * static_cast<size_t>(p.ld_pages) + static_cast<size_t>(position / kKvPagePositions)];
      for (int64_t head = 0; head < step.n_kv_heads; ++head) {
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

std::vector<float> FromBytes(const std::vector<int8_t>& values) { return {values.begin(), values.end()}; }

// One step on the CPU: `stored` rows from `qkv`, and attention unless out is nullptr.
struct CpuStep {
  Backend& backend;
  const AttentionStep& step;
  const Prepared& p;
  uint8_t* pool;

  void Run(const std::vector<SequenceSpan>& spans, int64_t rows, const float* qkv,
           const AttentionTrace& trace, float* out, StepResult* result) {
    const size_t n = static_cast<size_t>(step.n_heads * rows);
    const size_t width = static_cast<size_t>(step.padded_head_dim());
    std::vector<float> f32(n * width, kUntouched), scales(n, kUntouched);
    std::vector<int8_t> values(n * width);
    std::vector<int32_t> start(n);
    Queries queries = {.dtype = step.int8() ? Dtype::kInt8 : Dtype::kF32,
                       .f32 = f32.data(),
                       .values = values.data(),
                       .scales = scales.data(),
                       .start = start.data()};
    HeadNorm norm = step.norm;
    norm.q_weight = step.q_weight.data();
    norm.k_weight = step.k_weight.data();
    const AttentionArgs args = {.shape = &p.shape,
                                .layout = &p.layout,
                                .pages = pool,
                                .layer = kLayer,
                                .rows = rows,
                                .sequences = spans.data(),
                                .n_sequences = static_cast<int64_t>(spans.size()),
                                .trace = trace,
                                .norm = norm};
    backend.StoreKv(args, {.first = 0, .count = rows, .lane = 0}, qkv, &queries);
    if (out == nullptr) return;
    backend.Attention(args, queries, out);
    result->queries = step.int8() ? FromBytes(values) : f32;
    if (step.int8()) result->query_scales = scales;
  }
};

// The step's rows as device tables. Tiles as StepTable wants them.
struct DeviceTables {
  std::vector<int32_t> positions, sequences;
  std::vector<cuda::AttentionTile> tiles;

  DeviceTables(const AttentionStep& step, bool history) {
    for (size_t i = 0; i < step.sequences.size(); ++i) {
      const StepSequence& s = step.sequences[i];
      const int64_t first = history ? 0 : s.start, count = history ? s.start : s.n_tokens;
      const int64_t rows = count * step.group(), step_row = static_cast<int64_t>(positions.size());
      for (int64_t token = 0; token < count; ++token) {
        positions.push_back(static_cast<int32_t>(first + token));
        sequences.push_back(static_cast<int32_t>(i));
      }
      for (int64_t row = 0; row < rows; row += cuda::kTileRows) {
        tiles.push_back({static_cast<int32_t>(i), static_cast<int32_t>(row),
                         static_cast<int32_t>(std::min<int64_t>(cuda::kTileRows, rows - row)),
                         static_cast<int32_t>(step_row), static_cast<int32_t>(first)});
      }
    }
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

void FillInputs(Random& random, AttentionStep* step) {
  step->scale = 1.7f / std::sqrt(static_cast<float>(step->head_dim));
  step->history = random.Bells(step->history_rows() * step->width(), 1.5f);
  step->qkv = random.Bells(step->rows() * step->width(), 1.5f);
  // A head of zeros: a scale of 0.
  std::fill_n(step->qkv.end() - step->head_dim, step->head_dim, 0.0f);
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

StepResult RunOnCpu(const AttentionStep& step) {
  Prepared p = Prepare(step);
  p.shape.rope_cos = step.cos.data();
  p.shape.rope_sin = step.sin.data();
  p.shape.q_scales = step.q_scales.empty() ? nullptr : step.q_scales.data();
  std::vector<uint8_t> pool(static_cast<size_t>(p.layout.PoolBytes()), kDirt);
  const std::unique_ptr<Backend> backend =
      MakeCpuBackend(1, "scalar", step.longest(), step.padded_head_dim());
  p.layout.run = backend->traits().kv_run;
  CpuStep cpu = {*backend, step, p, pool.data()};
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

StepResult RunOnCuda(const AttentionStep& step) {
  Prepared p = Prepare(step);
  DeviceArray<float> cos(step.cos), sin(step.sin), history(step.history), qkv(step.qkv);
  p.shape.rope_cos = cos.data();
  p.shape.rope_sin = sin.data();
  DeviceArray<float> q_weight(step.q_weight), k_weight(step.k_weight), q_scales(step.q_scales);
  if (!step.q_scales.empty()) p.shape.q_scales = q_scales.data();
  HeadNorm norm = step.norm;
  norm.q_weight = q_weight.data();
  norm.k_weight = k_weight.data();
  DeviceArray<uint8_t> pool(std::vector<uint8_t>(static_cast<size_t>(p.layout.PoolBytes()), kDirt));
  DeviceArray<int32_t> pages(p.pages);
  const cuda::KvPages kv = {pool.data(), p.layout, kLayer};
  const size_t n = static_cast<size_t>(step.n_heads * std::max(step.rows(), step.history_rows()));
  const size_t width = static_cast<size_t>(step.padded_head_dim());
  DeviceArray<float> f32(std::vector<float>(n * width, kUntouched)),
      scales(std::vector<float>(n, kUntouched));
  DeviceArray<int8_t> values{std::vector<int8_t>(n * width)};
  const Queries queries = {.dtype = step.int8() ? Dtype::kInt8 : Dtype::kF32,
                           .f32 = f32.data(),
                           .values = values.data(),
                           .scales = scales.data()};

  const auto table = [&](DeviceArray<int32_t>& positions, DeviceArray<int32_t>& sequences, int64_t rows) {
    cuda::StepTable t;
    t.positions = positions.data();
    t.sequences = sequences.data();
    t.pages = pages.data();
    t.ld_pages = p.ld_pages;
    t.rows = rows;
    return t;
  };
  const DeviceTables old(step, true), now(step, false);
  DeviceArray<int32_t> old_positions(old.positions), old_sequences(old.sequences);
  DeviceArray<int32_t> positions(now.positions), sequences(now.sequences);
  DeviceArray<cuda::AttentionTile> tiles(now.tiles);
  if (step.history_rows() > 0) {
    cuda::StoreKv(p.shape, norm, kv, table(old_positions, old_sequences, step.history_rows()),
                  {.first = 0, .count = step.history_rows()}, history.data(), queries, nullptr);
  }
  cuda::StepTable t = table(positions, sequences, step.rows());
  t.tiles = tiles.data();
  t.n_tiles = static_cast<int64_t>(now.tiles.size());
  t.max_chunks = (step.longest() + cuda::kChunk - 1) / cuda::kChunk + step.spare_chunks;
  t.split = step.split;
  const int64_t rows_at_once = step.store_rows > 0 ? step.store_rows : step.rows();
  for (int64_t first = 0; first < step.rows(); first += rows_at_once) {
    cuda::StoreKv(p.shape, norm, kv, t,
                  {.first = first, .count = std::min(rows_at_once, step.rows() - first)},
                  qkv.data() + first * step.width(), queries, nullptr);
  }
  const size_t out_size = static_cast<size_t>(step.rows() * step.n_heads * step.head_dim);
  const size_t scores_size =
      step.trace ? static_cast<size_t>(step.rows() * step.n_heads * step.longest()) : 0;
  DeviceArray<float> out(std::vector<float>(out_size, kUntouched));
  DeviceArray<float> scores(std::vector<float>(scores_size, kUntouched));
  const int64_t partial_bytes =
      step.split ? cuda::AttentionPartialBytes(p.shape, t.n_tiles, t.max_chunks) : 0;
  DeviceArray<float> partials(std::vector<float>(static_cast<size_t>(partial_bytes / 4), NAN));
  cuda::Attention(p.shape, kv, t, queries, {step.trace ? scores.data() : nullptr, step.longest()},
                  partials.data(), out.data(), nullptr);

  StepResult result;
  result.out = out.Read();
  result.scores = scores.Read();
  const size_t n_queries = static_cast<size_t>(step.n_heads * step.rows());
  result.queries = step.int8() ? FromBytes(values.Read()) : f32.Read();
  result.queries.resize(n_queries * width);
  if (step.int8()) {
    result.query_scales = scales.Read();
    result.query_scales.resize(n_queries);
  }
  ReadPool(
      step, p, pool.Read(), 0,
      [&](bool is_v, int64_t d, int64_t slot) {
        const int64_t by_position = slot * static_cast<int64_t>(width) + d;
        return is_v && step.int8() ? d * kKvPagePositions + slot % 16 * 4 + slot / 16 : by_position;
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
