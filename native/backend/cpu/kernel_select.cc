#include "backend/cpu/kernel_select.h"

#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernel_tables_neon.h"
#include "core/error.h"

namespace kvasir::cpu {

namespace {

// Never freed: a thread may still load while the process exits.
std::vector<const KernelTable*>& AddedKernels() {
  static auto& added = *new std::vector<const KernelTable*>;
  return added;
}

bool Runs(const CpuFeatures& cpu, const std::string& name) {
  if (name == "avx2") return cpu.avx2;
  if (name == "avxvnni") return cpu.avxvnni;
  if (name == "avx512") return cpu.avx512;
  if (name == "avx512vnni") return cpu.avx512vnni;
  if (name == "amx") return cpu.amx;
  if (name == "neon") return cpu.neon;
  if (name == "neon_dotprod") return cpu.neon_dotprod;
  if (name == "neon_i8mm") return cpu.neon_i8mm;
  return name == "scalar";
}

bool IsCompiled(const std::string& name) {
  for (const KernelTable* table : CompiledKernels()) {
    if (name == table->name) return true;
  }
  return false;
}

}  // namespace

std::vector<const KernelTable*> CompiledKernels() {
  std::vector<const KernelTable*> tables = {&ScalarKernels()};
#if defined(__x86_64__)
  tables.push_back(&Avx2Kernels());
#ifndef KVASIR_NO_AVXVNNI
  tables.push_back(&AvxVnniKernels());
#endif
#ifndef KVASIR_NO_AVX512
  tables.push_back(&Avx512Kernels());
  tables.push_back(&Avx512VnniKernels());
#ifndef KVASIR_NO_AMX
  tables.push_back(&AmxKernels());
#endif
#endif
#elif defined(__aarch64__)
#ifndef KVASIR_NO_NEON
  tables.push_back(&NeonKernels());
#ifndef KVASIR_NO_NEON_DOTPROD
  tables.push_back(&NeonDotprodKernels());
#ifndef KVASIR_NO_NEON_I8MM
  tables.push_back(&NeonI8mmKernels());
#endif
#endif
#endif
#endif
  return tables;
}

std::vector<const KernelTable*> AvailableKernels(bool ask_for_tiles) {
  const CpuFeatures cpu = DetectCpu(ask_for_tiles);
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : CompiledKernels()) {
    if (Runs(cpu, table->name)) tables.push_back(table);
  }
  tables.insert(tables.begin() + 1, AddedKernels().begin(), AddedKernels().end());  // behind scalar
  return tables;
}

void AddKernels(const KernelTable& table) { AddedKernels().push_back(&table); }

const KernelTable& SelectKernels(const std::string& isa) {
  const bool without_tiles = isa != "amx" && IsCompiled(isa);
  const std::vector<const KernelTable*> available = AvailableKernels(!without_tiles);
  if (isa.empty()) return *available.back();
  std::string names;
  for (const KernelTable* table : available) {
    if (isa == table->name) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  }
  throw Error(ErrorCode::kInvalidOption,
              "KVASIR_CPU_ISA is '" + isa + "', which " +
                  (IsCompiled(isa) ? "this machine cannot run" : "this build has no kernels for") +
                  "; unset it or use one of: " + names);
}

}  // namespace kvasir::cpu
