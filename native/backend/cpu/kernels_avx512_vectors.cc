// The kernel of vector search over the lanes of simd_avx512.h.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/vector_kernels.h"

namespace kvasir::cpu {
namespace isa_avx512_vectors {

#define KVASIR_SIMD "backend/cpu/simd_avx512.h"
#include "backend/cpu/ops_vectors.h"

}  // namespace isa_avx512_vectors

void DotVectorsAvx512(const int8_t* vectors, int64_t rows, const int16_t* query, int64_t n, int32_t* dots) {
  isa_avx512_vectors::DotAllRows(vectors, rows, query, n, dots);
}

}  // namespace kvasir::cpu
