// Attention steps (attention_step.h) on the CUDA kernels.
#pragma once

#include "testing/attention_step.h"

namespace kvasir::testing {

StepResult RunOnCuda(const AttentionStep& step);

}  // namespace kvasir::testing
