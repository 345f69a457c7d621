// The attention kinds and state kernels of the scalar table.
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "core/half.h"

namespace kvasir::cpu {
namespace isa_scalar_kinds {

#define KVASIR_SIMD "backend/cpu/simd_scalar.h"
#include "backend/cpu/ops_attention_kinds.h"
#include "backend/cpu/ops_states.h"

}  // namespace isa_scalar_kinds

constexpr AttentionKinds kScalarKinds = isa_scalar_kinds::kKinds;
constexpr StateKernels kScalarStates = isa_scalar_kinds::kStates;

}  // namespace kvasir::cpu
