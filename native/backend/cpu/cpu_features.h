// What this processor and operating system can run. It refuses to choose: see kernel_select.h.
#pragma once

#include <cstdint>
#include <string>

namespace kvasir::cpu {

struct CpuFeatures {
  bool avx2 = false;        // with FMA and F16C, and ymm state saved by the system
  bool avxvnni = false;     // avx2 and VNNI in VEX encoding
  bool avx512 = false;      // F, BW, DQ, VL, and zmm state saved by the system
  bool avx512vnni = false;  // avx512 and VNNI
  bool amx = false;  // avx512vnni, AMX-TILE and AMX-INT8, and tile state that the system granted this process
  bool neon = false;          // AArch64, all of it
  bool neon_dotprod = false;  // SDOT
  bool neon_i8mm = false;     // neon_dotprod, and USDOT and USMMLA
};

// Linux wants to be asked for the state of tiles, once and for all threads of the process. Whoever does not want them should
// not ask: signal handlers then need a larger alternate stack, and the system refuses small ones (sigaltstack).
CpuFeatures DetectCpu(bool ask_for_tiles = true);
// Of one core's second-level cache; 0 if the system does not tell.
int64_t L2Bytes();
// The processor's own name, or "unknown".
std::string CpuBrand();

}  // namespace kvasir::cpu
