// What StoreKv makes of queries and keys on the CPU backend: norms of heads and rows, rotary embedding, scales of positions.
// The scalar table against float64, every other table against the scalar one by bits.
#include <cmath>
#include <cstring>

#include "backend/cpu.h"
#include "backend/cpu/kernel_select.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr int64_t kRows = 5, kStart = 3;  // positions 3..7 of one page

struct Case {
  Dtype dtype = Dtype::kF32;
  int64_t n_heads = 4, n_kv_heads = 2, head_dim = 64;
  RopeKind rope = RopeKind::kHalf;
  int64_t rope_dim = 64;
  HeadNorm norm = {};
  bool scales = false;
  std::vector<float> qkv = {}, cos = {}, sin = {}, q_weight = {}, k_weight = {}, q_scales = {};

  int64_t padded() const { return (head_dim + 15) / 16 * 16; }
  int64_t width() const { return (n_heads + 2 * n_kv_heads) * head_dim; }
};

void FillInputs(Random& random, Case* c) {
  c->qkv = random.Bells(kRows * c->width());
  for (int64_t i = 0; i < (kStart + kRows) * c->rope_dim / 2; ++i) {
    const float angle = random.Uniform(-3, 3);
    c->cos.push_back(std::cos(angle));
    c->sin.push_back(std::sin(angle));
  }
  const bool whole = c->norm.kind == HeadNormKind::kFullRow;
  c->q_weight = random.Bells(c->head_dim * (whole ? c->n_heads : 1));
  c->k_weight = random.Bells(c->head_dim * (whole ? c->n_kv_heads : 1));
  for (int64_t i = 0; c->scales && i < kStart + kRows; ++i) c->q_scales.push_back(random.Uniform(0.5f, 2));
}

struct Stored {
  std::vector<float> queries, query_scales;  // [n_kv_heads, rows, group, padded]; scales of INT8
  std::vector<uint8_t> pool;                 // one page
  KvLayout layout;
};

Stored Run(const Case& c, const std::string& isa, int threads = 1) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend(threads, isa, 64, c.padded());
  Stored out;
  out.layout = {.dtype = c.dtype,
                .n_layers = 1,
                .n_kv_heads = c.n_kv_heads,
                .head_dim = c.head_dim,
                .padded_head_dim = c.padded(),
                .n_pages = 1};
  out.pool.assign(static_cast<size_t>(out.layout.PoolBytes()), 0x55);
  const size_t n = static_cast<size_t>(c.n_heads * kRows);
  out.queries.assign(n * static_cast<size_t>(c.padded()), 0);
  out.query_scales.assign(n, 0);
  std::vector<int32_t> start(n);
  Queries queries = {.dtype = c.dtype == Dtype::kInt8 ? Dtype::kInt8 : Dtype::kF32,
                     .f32 = out.queries.data(),
                     .values = out.queries.data(),
                     .scales = out.query_scales.data(),
                     .start = start.data()};
  const AttentionShape shape = {.n_heads = c.n_heads,
                                .n_kv_heads = c.n_kv_heads,
                                .head_dim = c.head_dim,
                                .padded_head_dim = c.padded(),
                                .rope = c.rope,
                                .rope_dim = c.rope_dim,
                                .rope_cos = c.cos.data(),
                                .rope_sin = c.sin.data(),
                                .q_scales = c.scales ? c.q_scales.data() : nullptr};
  HeadNorm norm = c.norm;
  norm.q_weight = c.q_weight.data();
  norm.k_weight = c.k_weight.data();
  const int32_t page = 0;
  const SequenceSpan span = {.pages = &page, .start = kStart, .n_tokens = kRows, .row = 0};
  const AttentionArgs args = {.shape = &shape,
                              .layout = &out.layout,
                              .pages = out.pool.data(),
                              .layer = 0,
                              .rows = kRows,
                              .sequences = &span,
                              .n_sequences = 1,
                              .trace = {},
                              .norm = norm};
  backend->StoreKv(args, {.first = 0, .count = kRows}, c.qkv.data(), &queries);
  // Quantized values are bytes or words, as the table likes them: their scales and what the cache holds are compared.
  if (c.dtype == Dtype::kInt8) out.queries.clear();
  return out;
}

std::vector<double> Normed(const std::vector<double>& x, const float* weight, double eps) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  std::vector<double> out;
  for (size_t i = 0; i < x.size(); ++i) {
    out.push_back(x[i] / std::sqrt(squares / static_cast<double>(x.size()) + eps) * weight[i]);
  }
  return out;
}

// One head by the definition. Pairs (i, i + half) or (2 i, 2 i + 1) turn.
std::vector<double> Turned(const Case& c, const std::vector<double>& x, int64_t position) {
  std::vector<double> out = x;
  const size_t half = static_cast<size_t>(c.rope_dim / 2), first = static_cast<size_t>(position) * half;
  for (size_t i = 0; c.rope != RopeKind::kNone && i < half; ++i) {
    const bool interleaved = c.rope == RopeKind::kInterleaved;
    const size_t low = interleaved ? 2 * i : i, high = interleaved ? 2 * i + 1 : i + half;
    out[low] = x[low] * c.cos[first + i] - x[high] * c.sin[first + i];
    out[high] = x[high] * c.cos[first + i] + x[low] * c.sin[first + i];
  }
  return out;
}

// The n heads of one row's queries or keys.
std::vector<double> Heads(const Case& c, int64_t row, bool is_query) {
  const size_t n = static_cast<size_t>(is_query ? c.n_heads : c.n_kv_heads),
               dim = static_cast<size_t>(c.head_dim);
  const float* from = c.qkv.data() + row * c.width() + (is_query ? 0 : c.n_heads * c.head_dim);
  const float* weight = (is_query ? c.q_weight : c.k_weight).data();
  std::vector<double> all(from, from + n * dim), out;
  if (c.norm.kind == HeadNormKind::kFullRow) all = Normed(all, weight, c.norm.eps);
  for (size_t h = 0; h < n; ++h) {
    std::vector<double> head(all.begin() + static_cast<std::ptrdiff_t>(h * dim),
                             all.begin() + static_cast<std::ptrdiff_t>((h + 1) * dim));
    const bool per_head = c.norm.kind == HeadNormKind::kPerHead;
    if (per_head && !c.norm.after_rope) head = Normed(head, weight, c.norm.eps);
    head = Turned(c, head, kStart + row);
    if (per_head && c.norm.after_rope) head = Normed(head, weight, c.norm.eps);
    for (double& v : head) v *= is_query && c.scales ? c.q_scales[static_cast<size_t>(kStart + row)] : 1.0f;
    out.insert(out.end(), head.begin(), head.end());
  }
  return out;
}

// Queries and keys of all rows, [rows, heads, head_dim], as stored by a float32 cache and by the definition.
struct Compared {
  std::vector<float> actual;
  std::vector<double> expected;
};

Compared Compare(const Case& c, const Stored& stored) {
  Compared out;
  const int64_t group = c.n_heads / c.n_kv_heads;
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t h = 0; h < c.n_heads; ++h) {
      const int64_t index = (h / group * kRows + row) * group + h % group;
      const float* query = stored.queries.data() + index * c.padded();
      out.actual.insert(out.actual.end(), query, query + c.head_dim);
    }
    for (int64_t h = 0; h < c.n_kv_heads; ++h) {
      const uint8_t* keys = stored.pool.data() + stored.layout.Place(0, 0, h).k;
      for (int64_t d = 0; d < c.head_dim; ++d) {
        float value;
        std::memcpy(&value, keys + (d * kKvPagePositions + kStart + row) * 4, sizeof value);
        out.actual.push_back(value);
      }
    }
    for (const bool is_query : {true, false}) {
      const std::vector<double> heads = Heads(c, row, is_query);
      out.expected.insert(out.expected.end(), heads.begin(), heads.end());
    }
  }
  return out;
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const int64_t head_dim : {8, 20, 64, 80, 128}) {
    for (const HeadNorm& norm :
         {HeadNorm{}, HeadNorm{HeadNormKind::kPerHead, false, 1e-6f},
          HeadNorm{HeadNormKind::kPerHead, true, 1e-5f}, HeadNorm{HeadNormKind::kFullRow, false, 1e-6f}}) {
      for (const RopeKind rope : {RopeKind::kNone, RopeKind::kHalf, RopeKind::kInterleaved}) {
        Case c;
        c.head_dim = head_dim;
        c.norm = norm;
        c.rope = rope;
        c.rope_dim = rope == RopeKind::kHalf ? head_dim : head_dim / 4 * 2;
        c.scales = rope != RopeKind::kInterleaved;
        cases.push_back(c);
      }
    }
  }
  // More kv heads than are prepared together.
  cases.push_back({.n_heads = 22,
                   .n_kv_heads = 11,
                   .head_dim = 16,
                   .rope_dim = 16,
                   .norm = {HeadNormKind::kFullRow, false, 1e-6f}});
  return cases;
}

KV_TEST(ops_store_kv_is_that_of_float64) {
  Random random(96);
  for (Case& c : Cases()) {
    FillInputs(random, &c);
    const Compared compared = Compare(c, Run(c, "scalar"));
    const std::vector<double> tolerance(compared.expected.size(), 1e-5);
    KV_EXPECT_EQ(Excess(compared.actual, compared.expected, tolerance), "");
    Case other = c;
    other.qkv[1] += 0.01f;
    KV_EXPECT(Excess(compared.actual, Compare(other, Run(other, "scalar")).expected, tolerance) != "");
  }
}

KV_TEST(ops_store_kv_does_not_depend_on_table_or_threads) {
  Random random(97);
  for (Case& c : Cases()) {
    FillInputs(random, &c);
    for (const Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kInt8}) {
      c.dtype = dtype;
      const Stored expected = Run(c, "scalar");
      for (const cpu::KernelTable* table : cpu::AvailableKernels()) {
        const Stored stored = Run(c, table->name, 3);
        KV_EXPECT_EQ(BitDifference(stored.queries, expected.queries), "");
        KV_EXPECT_EQ(BitDifference(stored.query_scales, expected.query_scales), "");
        KV_EXPECT(stored.pool == expected.pool);
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing
