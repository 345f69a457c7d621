// The vector index against sorting every stored vector's cosine in float64: order, ties, segments, threads, kernel tables;
// what it stores against the given directions; what it refuses.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "vectors/vector_index.h"

namespace kvasir::testing {
namespace {

using Hits = std::vector<VectorIndex::Hit>;

const CancellationToken kNever;

Hits SearchOne(VectorIndex& index, const std::vector<float>& query, int64_t k) {
  return index.Search({{query.data(), k, &kNever}})[0];
}

// Stored values [size, n] of an index without ids.
std::vector<int8_t> Stored(const VectorIndex& index) {
  const std::vector<uint8_t> bytes = index.Read(0, index.size());
  std::vector<int8_t> values(bytes.size());
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// The cosine of stored vector `row` to a query, and the ranking of all of them.
double CosineTo(const std::vector<int8_t>& values, int64_t row, const std::vector<float>& query) {
  const auto n = static_cast<int64_t>(query.size());
  double dot = 0, vv = 0, qq = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double v = values[static_cast<size_t>(row * n + k)], q = query[static_cast<size_t>(k)];
    dot += v * q;
    vv += v * v;
    qq += q * q;
  }
  return vv == 0 || qq == 0 ? 0 : dot / std::sqrt(vv * qq);
}

struct IndexCase {
  int64_t n, count, k;
};

// The query's rounding to int16, as a bound of what it changes of a cosine.
double Rounding(int64_t n) {
  const double most = std::min<double>(32767, INT32_MAX / (128.0 * static_cast<double>((n + 31) / 32 * 32)));
  return std::sqrt(static_cast<double>(n)) / std::floor(most) + 1e-7;
}

void CheckRanking(const IndexCase& c, const Hits& hits, const std::vector<int8_t>& values,
                  const std::vector<float>& query) {
  KV_EXPECT_EQ(static_cast<int64_t>(hits.size()), std::min(c.k, c.count));
  std::vector<bool> taken(static_cast<size_t>(c.count));
  double last = std::numeric_limits<double>::infinity();
  int64_t last_index = -1;
  for (const VectorIndex::Hit& hit : hits) {
    KV_EXPECT(hit.score < last || (hit.score == last && hit.index > last_index));
    KV_EXPECT(std::abs(hit.score - CosineTo(values, hit.index, query)) <= Rounding(c.n));
    KV_EXPECT(!taken[static_cast<size_t>(hit.index)]);
    taken[static_cast<size_t>(hit.index)] = true;
    last = hit.score;
    last_index = hit.index;
  }
  // None that was left out is better than the last.
  for (int64_t row = 0; row < c.count; ++row) {
    if (!taken[static_cast<size_t>(row)]) KV_EXPECT(CosineTo(values, row, query) <= last + Rounding(c.n));
  }
}

KV_TEST(vector_index_ranks_every_stored_vector) {
  const IndexCase cases[] = {{1, 5, 3},       {3, 40, 40},      {32, 1, 9},      {33, 257, 10},
                             {384, 3000, 10}, {384, 3000, 700}, {1024, 900, 10}, {65536, 9, 4}};
  for (const IndexCase& c : cases) {
    Random random(static_cast<uint32_t>(c.n + c.count));
    std::vector<float> vectors = random.Bells(c.n * c.count);
    // The same vector three times, and a zero one.
    for (const int64_t copy : {c.count / 2, c.count - 1}) {
      std::copy_n(vectors.begin(), c.n, vectors.begin() + copy * c.n);
    }
    if (c.count > 5) std::fill_n(vectors.begin() + 2 * c.n, c.n, 0.0f);
    const std::vector<float> query = random.Bells(c.n, 1e-20f);
    Hits expected;
    for (const int threads : {1, 3}) {
      VectorIndex index(c.n, threads, "");
      index.Add(vectors.data(), nullptr, c.count / 3);
      index.Add(vectors.data() + c.count / 3 * c.n, nullptr, c.count - c.count / 3);
      const Hits hits = SearchOne(index, query, c.k);
      CheckRanking(c, hits, Stored(index), query);
      if (threads == 1) expected = hits;
      for (size_t i = 0; i < hits.size(); ++i) {
        KV_EXPECT_EQ(hits[i].index, expected[i].index);
        KV_EXPECT_EQ(hits[i].score, expected[i].score);
      }
    }
  }
}

KV_TEST(vector_index_over_several_segments_is_the_same_by_every_table) {
  const int64_t n = 4096, count = 4500, k = 50;  // three segments of 2,048 vectors
  Random random(5);
  const std::vector<float> vectors = random.Bells(n * count), query = random.Bells(n);
  std::vector<const cpu::KernelTable*> tables = OtherKernels();
  tables.push_back(&cpu::ScalarKernels());
  Hits expected;
  for (const cpu::KernelTable* table : tables) {
    VectorIndex index(n, 2, table->name);
    index.Add(vectors.data(), nullptr, count);
    const Hits hits = SearchOne(index, query, k);
    if (expected.empty()) {
      expected = hits;
      CheckRanking({n, count, k}, hits, Stored(index), query);
    }
    for (size_t i = 0; i < hits.size(); ++i) {
      KV_EXPECT_EQ(hits[i].index, expected[i].index);
      KV_EXPECT_EQ(hits[i].score, expected[i].score);
    }
  }
}

KV_TEST(vector_index_stores_directions_within_its_step) {
  const int64_t n = 100;
  for (const float size : {1e-40f, 1e-3f, 1.0f, 3e37f}) {
    Random random(9);
    std::vector<float> vectors = random.Bells(n * 20, size);
    VectorIndex index(n, 1, "");
    const double distance = index.Add(vectors.data(), nullptr, 20);
    // Half a step of 1/127 of the largest component, which is at most 0.4 here, in each of 100.
    KV_EXPECT(distance > 0 && distance < 10 * 0.4 / 254);
    for (int64_t row = 0; row < 20; ++row) {
      const std::vector<float> query(vectors.begin() + row * n, vectors.begin() + (row + 1) * n);
      const Hits hits = SearchOne(index, query, 1);
      KV_EXPECT_EQ(hits[0].index, row);
      KV_EXPECT(std::abs(hits[0].score - 1) < distance * distance);
    }
  }
}

KV_TEST(vector_index_keeps_ids_and_forgets_what_is_cut) {
  Random random(3);
  const int64_t n = 40;
  const std::vector<float> vectors = random.Bells(n * 6);
  VectorIndex index(n, 2, "");
  index.Add(vectors.data(), nullptr, 2);
  const double ids[] = {0x1p53 - 1, 7, 7};
  index.Add(vectors.data() + 2 * n, ids, 3);
  index.Add(vectors.data() + 5 * n, nullptr, 1);
  VectorIndex copy(n, 1, "");
  const std::vector<uint8_t> bytes = index.Read(0, 6);
  copy.Append(bytes.data(), static_cast<int64_t>(bytes.size()), 6, true);
  for (VectorIndex* each : {&index, &copy}) {
    const double expected[] = {0, 1, 0x1p53 - 1, 7, 7, 5};
    for (int64_t row = 0; row < 6; ++row) {
      const std::vector<float> query(vectors.begin() + row * n, vectors.begin() + (row + 1) * n);
      KV_EXPECT_EQ(SearchOne(*each, query, 1)[0].id, expected[row]);
    }
  }
  index.Truncate(1);
  KV_EXPECT_EQ(index.size(), int64_t{1});
  KV_EXPECT_EQ(SearchOne(index, {vectors.begin() + n, vectors.begin() + 2 * n}, 5).size(), size_t{1});
}

KV_TEST(vector_index_refuses_what_it_cannot_hold) {
  KV_EXPECT_THROWS(ErrorCode::kInvalidOption, VectorIndex(0, 1, ""));
  KV_EXPECT_THROWS(ErrorCode::kInvalidOption, VectorIndex(65537, 1, ""));
  VectorIndex index(3, 1, "");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> bad = {1, 2, 3, 4, nan, 6};
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "vectors[1] has a NaN at 1",
                        index.Add(bad.data(), nullptr, 2));
  KV_EXPECT_EQ(index.size(), int64_t{0});
  KV_EXPECT(SearchOne(index, {1, 2, 3}, 4).empty());
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "infinite", SearchOne(index, {1, INFINITY, 3}, 4));
  const uint8_t bytes[11] = {1, 2, 3, 0, 0, 0, 0, 0, 0, 0xf0, 0xbf};  // the id -1
  KV_EXPECT_THROWS(ErrorCode::kModelFormat, index.Append(bytes, 10, 1, true));
  KV_EXPECT_THROWS_WITH(ErrorCode::kModelFormat, "id", index.Append(bytes, 11, 1, true));
  KV_EXPECT_EQ(index.size(), int64_t{0});
  index.Append(bytes, 3, 1, false);
  // A cancelled query leaves the others whole.
  CancellationToken cancelled;
  cancelled.Cancel();
  const std::vector<float> query = {1, 2, 3};
  const auto found = index.Search({{query.data(), 1, &cancelled}, {query.data(), 1, &kNever}});
  KV_EXPECT(found[0].empty());
  KV_EXPECT(std::abs(found[1][0].score - 1) < 1e-6);
}

}  // namespace
}  // namespace kvasir::testing
