// The attention kinds of the neon_i8mm table.
#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/kernel_tables_neon.h"

namespace kvasir::cpu {
namespace isa_neon_i8mm_kinds {

#define KVASIR_DOT "backend/cpu/dot_neon_i8mm.h"
#define KVASIR_SIMD "backend/cpu/simd_neon.h"
#include "backend/cpu/ops_attention_kinds.h"

}  // namespace isa_neon_i8mm_kinds

constexpr AttentionKinds kNeonI8mmKinds = isa_neon_i8mm_kinds::kKinds;

}  // namespace kvasir::cpu
