// The avx512vnni kernel table: the shared kernel bodies over the lanes of simd_avx512.h.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {
namespace isa_avx512vnni {

#define KVASIR_SIMD_VNNI
#define KVASIR_SIMD "backend/cpu/simd_avx512.h"
#include "backend/cpu/ops_table.h"

}  // namespace isa_avx512vnni

const KernelTable& Avx512VnniKernels() {
  static constexpr KernelTable table =
      isa_avx512vnni::MakeTable("avx512vnni", kAvx512VnniKinds, kAvx512VnniStates);
  return table;
}

}  // namespace kvasir::cpu
