// Dot products of INT8 vectors with an int16 query: every table against sums in int64, at the largest values that they may
// have, and nothing is written behind the last one.
#include "backend/cpu/vector_kernels.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

struct VectorCase {
  int64_t rows, n;
  bool extreme;
};

void CheckDots(const cpu::KernelTable& table, const VectorCase& c) {
  Random random(static_cast<uint32_t>(c.rows * 7 + c.n));
  const int64_t most = std::min<int64_t>(32767, INT32_MAX / (128 * c.n));
  std::vector<int8_t> vectors(static_cast<size_t>(c.rows * c.n));
  alignas(cpu::kQueryAlignment) static int16_t query[65536];
  for (int8_t& v : vectors) v = static_cast<int8_t>(c.extreme ? -128 : random.Integer(-128, 127));
  for (int64_t k = 0; k < c.n; ++k) {
    query[k] = static_cast<int16_t>(c.extreme ? most : random.Integer(-most, most));
  }
  std::vector<int32_t> dots(static_cast<size_t>(c.rows) + 1, 12345);
  cpu::DotVectorsOf(table)(vectors.data(), c.rows, query, c.n, dots.data());
  for (int64_t row = 0; row < c.rows; ++row) {
    int64_t sum = 0;
    for (int64_t k = 0; k < c.n; ++k) {
      sum += static_cast<int64_t>(vectors[static_cast<size_t>(row * c.n + k)]) * query[k];
    }
    KV_EXPECT_EQ(static_cast<int64_t>(dots[static_cast<size_t>(row)]), sum);
  }
  KV_EXPECT_EQ(dots.back(), 12345);
}

KV_TEST(kernel_dot_vectors_is_the_exact_sum) {
  std::vector<const cpu::KernelTable*> tables = OtherKernels();
  tables.push_back(&cpu::ScalarKernels());
  for (const cpu::KernelTable* table : tables) {
    for (const int64_t rows : {1, 3, 4, 5, 11}) {
      for (const int64_t n : {32, 96, 384, 1024, 4096}) {
        CheckDots(*table, {rows, n, false});
        CheckDots(*table, {rows, n, true});
      }
    }
    CheckDots(*table, {2, 65536, true});
  }
}

}  // namespace
}  // namespace kvasir::testing
