// What an x86 processor can run: CPUID, and the registers that the operating system saves.
#include "backend/cpu/cpu_features.h"

#if defined(__x86_64__)

#include <cpuid.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstring>

namespace kvasir::cpu {

namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers Cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool Bit(uint32_t word, int bit) { return (word >> bit & 1u) != 0; }

// XCR0: which register state the operating system saves.
uint64_t SavedState() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// A thread's 8 KB of tile state are saved only in processes that asked (Linux, Documentation/arch/x86/xstate.rst).
bool AskForTileState() {
#if defined(__linux__)
  constexpr int64_t kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

}  // namespace

CpuFeatures DetectCpu(bool ask_for_tiles) {
  CpuFeatures f;
  const Registers base = Cpuid(1);
  if (!Bit(base.ecx, 27)) return f;  // OSXSAVE
  const uint64_t saved = SavedState();
  const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6;
  const Registers extended = Cpuid(7);
  f.avx2 = ymm && Bit(base.ecx, 12) && Bit(base.ecx, 29) && Bit(extended.ebx, 5);
  f.avxvnni = f.avx2 && extended.eax >= 1 && Bit(Cpuid(7, 1).eax, 4);
  f.avx512 = f.avx2 && zmm && Bit(extended.ebx, 16) && Bit(extended.ebx, 17) && Bit(extended.ebx, 30) &&
             Bit(extended.ebx, 31);
  f.avx512vnni = f.avx512 && Bit(extended.ecx, 11);
  const bool tiles = (saved & 0x60000) == 0x60000 && Bit(extended.edx, 24) && Bit(extended.edx, 25);
  f.amx = ask_for_tiles && f.avx512vnni && tiles && AskForTileState();
  return f;
}

std::string CpuBrand() {
  char brand[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = Cpuid(0x80000002u + i);
    std::memcpy(brand + 16 * i, &r, 16);
  }
  std::string name(brand);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  return name.empty() ? "unknown" : name;
}

}  // namespace kvasir::cpu

#endif
