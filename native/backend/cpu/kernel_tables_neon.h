// The kernel tables of AArch64, and the parts that they share.
#pragma once

#include "backend/cpu/kernel_table.h"

namespace kvasir::cpu {

extern const AttentionKinds kNeonKinds, kNeonDotprodKinds, kNeonI8mmKinds;
extern const StateKernels kNeonStates;

const KernelTable& NeonKernels();
const KernelTable& NeonDotprodKernels();
const KernelTable& NeonI8mmKernels();

}  // namespace kvasir::cpu
