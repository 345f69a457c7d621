// What an AArch64 processor can run, as its operating system tells. All of them have the instructions of the neon table.
#include "backend/cpu/cpu_features.h"

#if defined(__aarch64__)

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
#endif

namespace kvasir::cpu {

#if defined(__APPLE__)
namespace {

bool Has(const char* name) {
  int value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(name, &value, &bytes, nullptr, 0) == 0 && value != 0;
}

}  // namespace
#endif

CpuFeatures DetectCpu(bool) {
  CpuFeatures f;
  f.neon = true;
#if defined(__linux__)
  constexpr unsigned long kDotprod = 1ul << 20, kI8mm = 1ul << 13;  // HWCAP_ASIMDDP, HWCAP2_I8MM
  f.neon_dotprod = (getauxval(AT_HWCAP) & kDotprod) != 0;
  f.neon_i8mm = f.neon_dotprod && (getauxval(AT_HWCAP2) & kI8mm) != 0;
#elif defined(__APPLE__)
  f.neon_dotprod = Has("hw.optional.arm.FEAT_DotProd");
  f.neon_i8mm = f.neon_dotprod && Has("hw.optional.arm.FEAT_I8MM");
#elif defined(_WIN32)
  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE, PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE: older headers lack the second.
  constexpr DWORD kDotprod = 43, kI8mm = 66;
  f.neon_dotprod = IsProcessorFeaturePresent(kDotprod) != 0;
  f.neon_i8mm = f.neon_dotprod && IsProcessorFeaturePresent(kI8mm) != 0;
#endif
  return f;
}

std::string CpuBrand() {
#if defined(__APPLE__)
  char brand[128] = {};
  size_t bytes = sizeof brand - 1;
  if (sysctlbyname("machdep.cpu.brand_string", brand, &bytes, nullptr, 0) == 0 && brand[0] != 0) return brand;
#endif
  return "unknown";
}

}  // namespace kvasir::cpu

#endif
