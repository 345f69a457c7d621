// Which kernel table runs: the best that this CPU has, or the one that KVASIR_CPU_ISA names.
#pragma once

#include <string>
#include <vector>

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {

// Tables in this build, worst first.
std::vector<const KernelTable*> CompiledKernels();
// For tests: a table of a name that this CPU lacks, in instructions that it has. Never the one that is chosen by itself.
void AddKernels(const KernelTable& table);
// Those that this CPU can run; those on tiles only if the system is asked for them (DetectCpu).
std::vector<const KernelTable*> AvailableKernels(bool ask_for_tiles = true);
// `isa` empty: the best available. Throws Error(kInvalidOption) for a name this build or this CPU lacks.
const KernelTable& SelectKernels(const std::string& isa);
}  // namespace kvasir::cpu
