// The attention kinds and state kernels of the avx512vnni table and of amx.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {
namespace isa_avx512vnni_kinds {

#define KVASIR_SIMD_VNNI
#define KVASIR_SIMD "backend/cpu/simd_avx512.h"
#include "backend/cpu/ops_attention_kinds.h"
#include "backend/cpu/ops_states.h"

}  // namespace isa_avx512vnni_kinds

constexpr AttentionKinds kAvx512VnniKinds = isa_avx512vnni_kinds::kKinds;
constexpr StateKernels kAvx512VnniStates = isa_avx512vnni_kinds::kStates;

}  // namespace kvasir::cpu
