// The neon_i8mm kernel table: the shared kernel bodies over the lanes of simd_neon.h, with USDOT and USMMLA.
#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/kernel_tables_neon.h"

namespace kvasir::cpu {
namespace isa_neon_i8mm {

#define KVASIR_DOT "backend/cpu/dot_neon_i8mm.h"
#define KVASIR_SIMD "backend/cpu/simd_neon.h"
#include "backend/cpu/ops_table.h"

}  // namespace isa_neon_i8mm

const KernelTable& NeonI8mmKernels() {
  static constexpr KernelTable table = isa_neon_i8mm::MakeTable("neon_i8mm", kNeonI8mmKinds, kNeonStates);
  return table;
}

}  // namespace kvasir::cpu
