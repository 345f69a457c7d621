// On a processor without tile registers the tests run the amx table over an emulation of them: compiled here a second time,
// for any processor.
#define KVASIR_TILES "testing/tiles_emulated.h"
#include "backend/cpu/kernels_amx.cc"
//
#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernel_select.h"

namespace kvasir::testing {

namespace {

[[maybe_unused]] const bool kAdded = [] {
  const bool missing = !cpu::DetectCpu().amx;
  if (missing) cpu::AddKernels(cpu::AmxKernelsEmulated());
  return missing;
}();

}  // namespace

}  // namespace kvasir::testing
