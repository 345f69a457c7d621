// The attention kinds of the avx512 table.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {
namespace isa_avx512_kinds {

#define KVASIR_SIMD "backend/cpu/simd_avx512.h"
#include "backend/cpu/ops_attention_kinds.h"

}  // namespace isa_avx512_kinds

constexpr AttentionKinds kAvx512Kinds = isa_avx512_kinds::kKinds;

}  // namespace kvasir::cpu
