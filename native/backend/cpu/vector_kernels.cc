#include "backend/cpu/vector_kernels.h"

#include <string>

#include "backend/cpu/cpu_features.h"

namespace kvasir::cpu {

DotVectors DotVectorsOf([[maybe_unused]] const KernelTable& table) {
#if defined(__x86_64__)
  const std::string name = table.name;
  const CpuFeatures cpu = DetectCpu(false);
#ifndef KVASIR_NO_AVX512
  if (cpu.avx512 && (name == "avx512" || name == "avx512vnni" || name == "amx")) return DotVectorsAvx512;
#endif
  if (cpu.avx2 && name != "scalar") return DotVectorsAvx2;
#elif defined(__aarch64__) && !defined(KVASIR_NO_NEON)
  if (std::string(table.name) != "scalar") return DotVectorsNeon;
#endif
  return DotVectorsScalar;
}

}  // namespace kvasir::cpu
