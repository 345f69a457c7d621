// The attention kinds and state kernels of the neon table; the latter are those of all tables of AArch64.
#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/kernel_tables_neon.h"

namespace kvasir::cpu {
namespace isa_neon_kinds {

#define KVASIR_DOT "backend/cpu/dot_neon.h"
#define KVASIR_SIMD "backend/cpu/simd_neon.h"
#include "backend/cpu/ops_attention_kinds.h"
#include "backend/cpu/ops_states.h"

}  // namespace isa_neon_kinds

constexpr AttentionKinds kNeonKinds = isa_neon_kinds::kKinds;
constexpr StateKernels kNeonStates = isa_neon_kinds::kStates;

}  // namespace kvasir::cpu
