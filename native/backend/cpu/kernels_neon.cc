// The neon kernel table: the shared kernel bodies over the lanes of simd_neon.h.
#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/kernel_tables_neon.h"

namespace kvasir::cpu {
namespace isa_neon {

#define KVASIR_DOT "backend/cpu/dot_neon.h"
#define KVASIR_SIMD "backend/cpu/simd_neon.h"
#include "backend/cpu/ops_table.h"

}  // namespace isa_neon

const KernelTable& NeonKernels() {
  static constexpr KernelTable table = isa_neon::MakeTable("neon", kNeonKinds, kNeonStates);
  return table;
}

}  // namespace kvasir::cpu
