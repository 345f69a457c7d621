// The avxvnni kernel table (AVX2 and AVX-VNNI: no AVX-512): the shared kernel bodies over the lanes of simd_avx2.h.
//
// KVASIR_AVXVNNI_AS_EVEX compiles it a second time, for tests: the same instructions as AVX-512 encodes them, because many
// processors have only one of the two encodings.
#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"

#ifdef KVASIR_AVXVNNI_AS_EVEX
#define KVASIR_VNNI_ENCODING "%{evex%} "
#define KVASIR_AVXVNNI isa_avxvnni_as_evex
#define KVASIR_AVXVNNI_KERNELS AvxVnniKernelsAsEvex
#define KVASIR_AVXVNNI_KINDS kAvxVnniKindsAsEvex
#define KVASIR_AVXVNNI_STATES kAvxVnniStatesAsEvex
#else
#define KVASIR_VNNI_ENCODING "%{vex%} "
#define KVASIR_AVXVNNI isa_avxvnni
#define KVASIR_AVXVNNI_KERNELS AvxVnniKernels
#define KVASIR_AVXVNNI_KINDS kAvxVnniKinds
#define KVASIR_AVXVNNI_STATES kAvxVnniStates
#endif

namespace kvasir::cpu {

extern const AttentionKinds KVASIR_AVXVNNI_KINDS;
extern const StateKernels KVASIR_AVXVNNI_STATES;

namespace KVASIR_AVXVNNI {

#define KVASIR_SIMD_VNNI
#define KVASIR_SIMD "backend/cpu/simd_avx2.h"
#include "backend/cpu/ops_table.h"

}  // namespace KVASIR_AVXVNNI

const KernelTable& KVASIR_AVXVNNI_KERNELS() {
  static constexpr KernelTable table =
      KVASIR_AVXVNNI::MakeTable("avxvnni", KVASIR_AVXVNNI_KINDS, KVASIR_AVXVNNI_STATES);
  return table;
}

}  // namespace kvasir::cpu
