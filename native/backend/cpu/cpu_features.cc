// What does not depend on the architecture; cpu_features_x86.cc and cpu_features_arm.cc have the rest.
#include "backend/cpu/cpu_features.h"

#if defined(__linux__)
#include <unistd.h>
#endif

namespace kvasir::cpu {

int64_t L2Bytes() {
#if defined(_SC_LEVEL2_CACHE_SIZE)
  const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
  return bytes > 0 ? bytes : 0;
#else
  return 0;
#endif
}

#if !defined(__x86_64__) && !defined(__aarch64__)
CpuFeatures DetectCpu(bool) { return {}; }
std::string CpuBrand() { return "unknown"; }
#endif

}  // namespace kvasir::cpu
