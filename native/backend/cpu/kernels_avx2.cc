// The avx2 kernel table: the shared kernel bodies over the lanes of simd_avx2.h.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {
namespace isa_avx2 {

#define KVASIR_SIMD "backend/cpu/simd_avx2.h"
#include "backend/cpu/linear_s8_avx2.h"

}  // namespace isa_avx2

const KernelTable& Avx2Kernels() {
  static constexpr KernelTable table =
      isa_avx2::MakeTable("avx2", kAvx2Kinds, kAvx2States, isa_avx2::LinearS8OfSums);
  return table;
}

}  // namespace kvasir::cpu
