// The avx512 kernel table: the shared kernel bodies over the lanes of simd_avx512.h.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {
namespace isa_avx512 {

#define KVASIR_SIMD "backend/cpu/simd_avx512.h"
#include "backend/cpu/ops_table.h"

}  // namespace isa_avx512

const KernelTable& Avx512Kernels() {
  static constexpr KernelTable table = isa_avx512::MakeTable("avx512", kAvx512Kinds, kAvx512States);
  return table;
}

}  // namespace kvasir::cpu
