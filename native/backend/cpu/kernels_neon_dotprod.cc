// The neon_dotprod kernel table: the shared kernel bodies over the lanes of simd_neon.h, with SDOT.
#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/kernel_tables_neon.h"

namespace kvasir::cpu {
namespace isa_neon_dotprod {

#define KVASIR_DOT "backend/cpu/dot_neon_dotprod.h"
#define KVASIR_SIMD "backend/cpu/simd_neon.h"
#include "backend/cpu/ops_table.h"

}  // namespace isa_neon_dotprod

const KernelTable& NeonDotprodKernels() {
  static constexpr KernelTable table =
      isa_neon_dotprod::MakeTable("neon_dotprod", kNeonDotprodKinds, kNeonStates);
  return table;
}

}  // namespace kvasir::cpu
