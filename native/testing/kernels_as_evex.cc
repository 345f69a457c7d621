// On a CPU with AVX-512 VNNI and without AVX-VNNI the tests run the avxvnni table in the other encoding.
#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernel_select.h"

namespace kvasir::cpu {

const KernelTable& AvxVnniKernelsAsEvex();  // of kernels_avxvnni.cc

}  // namespace kvasir::cpu

namespace kvasir::testing {

namespace {

[[maybe_unused]] const bool kAdded = [] {
  const cpu::CpuFeatures cpu = cpu::DetectCpu();
  const bool other = cpu.avx512vnni && !cpu.avxvnni;
  if (other) cpu::AddKernels(cpu::AvxVnniKernelsAsEvex());
  return other;
}();

}  // namespace

}  // namespace kvasir::testing
