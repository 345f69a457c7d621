// The kernel of vector search over the lanes of simd_scalar.h.
#include <cmath>
#include <cstdint>

#include "backend/cpu/vector_kernels.h"
#include "core/half.h"

namespace kvasir::cpu {
namespace isa_scalar_vectors {

#define KVASIR_SIMD "backend/cpu/simd_scalar.h"
#include "backend/cpu/ops_vectors.h"

}  // namespace isa_scalar_vectors

void DotVectorsScalar(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots) {
  isa_scalar_vectors::DotAllRows(vectors, rows, query, n, dots);
}

}  // namespace kvasir::cpu
