#include "backend/cpu/kernel_select.h"

#include "backend/cpu/cpu_features.h"
#include "core/error.h"

namespace kvasir::cpu {

std::vector<const KernelTable*> CompiledKernels() {
  std::vector<const KernelTable*> tables = {&ScalarKernels()};
#if defined(__x86_64__)
  tables.push_back(&Avx2Kernels());
#ifndef KVASIR_NO_AVX512
  tables.push_back(&Avx512Kernels());
  tables.push_back(&Avx512VnniKernels());
#endif
#endif
  return tables;
}

std::vector<const KernelTable*> AvailableKernels() {
  const CpuFeatures cpu = DetectCpu();
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : CompiledKernels()) {
    const std::string name = table->name;
    const bool runs = name == "scalar" || (name == "avx2" && cpu.avx2) || (name == "avx512" && cpu.avx512) ||
                      (name == "avx512vnni" && cpu.avx512vnni);
    if (runs) tables.push_back(table);
  }
  return tables;
}

const KernelTable& SelectKernels(const std::string& isa) {
  const std::vector<const KernelTable*> available = AvailableKernels();
  if (isa.empty()) return *available.back();
  std::string names;
  for (const KernelTable* table : available) {
    if (isa == table->name) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  throw Error(
      ErrorCode::kInvalidOption,
      "KVASIR_CPU_ISA is '" + isa + "', which this machine cannot run; unset it or use one of: " + names);
}

}  // namespace kvasir::cpu
