// The attention kinds of the scalar table.
#include <cmath>
#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "core/half.h"

namespace kvasir::cpu {
namespace isa_scalar_kinds {

#define KVASIR_SIMD "backend/cpu/simd_scalar.h"
#include "backend/cpu/ops_attention_kinds.h"

}  // namespace isa_scalar_kinds

constexpr AttentionKinds kScalarKinds = isa_scalar_kinds::kKinds;

}  // namespace kvasir::cpu
