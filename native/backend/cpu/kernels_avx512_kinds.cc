// The attention kinds and state kernels of the avx512 table.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {
namespace isa_avx512_kinds {

#define KVASIR_SIMD "backend/cpu/simd_avx512.h"
#include "backend/cpu/ops_attention_kinds.h"
#include "backend/cpu/ops_states.h"

}  // namespace isa_avx512_kinds

constexpr AttentionKinds kAvx512Kinds = isa_avx512_kinds::kKinds;
constexpr StateKernels kAvx512States = isa_avx512_kinds::kStates;

}  // namespace kvasir::cpu
