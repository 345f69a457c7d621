// The attention kinds and state kernels of the avxvnni table; a second time for tests, as kernels_avxvnni.cc says.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

#ifdef KVASIR_AVXVNNI_AS_EVEX
#define KVASIR_VNNI_ENCODING "%{evex%} "
#define KVASIR_AVXVNNI isa_avxvnni_as_evex_kinds
#define KVASIR_AVXVNNI_KINDS kAvxVnniKindsAsEvex
#define KVASIR_AVXVNNI_STATES kAvxVnniStatesAsEvex
#else
#define KVASIR_VNNI_ENCODING "%{vex%} "
#define KVASIR_AVXVNNI isa_avxvnni_kinds
#define KVASIR_AVXVNNI_KINDS kAvxVnniKinds
#define KVASIR_AVXVNNI_STATES kAvxVnniStates
#endif

namespace kvasir::cpu {
namespace KVASIR_AVXVNNI {

#define KVASIR_SIMD_VNNI
#define KVASIR_SIMD "backend/cpu/simd_avx2.h"
#include "backend/cpu/ops_attention_kinds.h"
#include "backend/cpu/ops_states.h"

}  // namespace KVASIR_AVXVNNI

extern const AttentionKinds KVASIR_AVXVNNI_KINDS;
constexpr AttentionKinds KVASIR_AVXVNNI_KINDS = KVASIR_AVXVNNI::kKinds;
extern const StateKernels KVASIR_AVXVNNI_STATES;
constexpr StateKernels KVASIR_AVXVNNI_STATES = KVASIR_AVXVNNI::kStates;

}  // namespace kvasir::cpu
