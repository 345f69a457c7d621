// The scalar kernel table: the shared kernel bodies over the lanes of simd_scalar.h.
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "core/half.h"

namespace kvasir::cpu {
namespace isa_scalar {

#define KVASIR_SIMD "backend/cpu/simd_scalar.h"
#include "backend/cpu/ops_table.h"

}  // namespace isa_scalar

const KernelTable& ScalarKernels() {
  static constexpr KernelTable table = isa_scalar::MakeTable("scalar", kScalarKinds, kScalarStates);
  return table;
}

}  // namespace kvasir::cpu
