// The attention kinds and state kernels of the avx2 table.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {
namespace isa_avx2_kinds {

#define KVASIR_SIMD "backend/cpu/simd_avx2.h"
#include "backend/cpu/ops_attention_kinds.h"
#include "backend/cpu/ops_states.h"

}  // namespace isa_avx2_kinds

constexpr AttentionKinds kAvx2Kinds = isa_avx2_kinds::kKinds;
constexpr StateKernels kAvx2States = isa_avx2_kinds::kStates;

}  // namespace kvasir::cpu
