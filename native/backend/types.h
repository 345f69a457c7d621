// Kinds of ops, and the plain structs that ops read and write. No owner of memory, no shape that is checked here.
#pragma once

#include <cstdint>

#include "quant/linear_weight.h"

namespace kvasir {

enum class NormKind { kRms, kLayer };
enum class ActivationKind { kSilu, kGeluTanh, kGeluErf, kRelu, kRelu2, kQuickGelu, kClampedSwiglu };

struct NormWeight {
  NormKind kind = NormKind::kRms;
  float eps = 0;
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [width] or nullptr
};

// Rows as linears of one dtype read them. What `data` holds is the backend's secret; the same rows in float32 are read
// by linears of that dtype and by whoever looks into a model.
struct LinearInput {
  Dtype dtype = Dtype::kF32;
  int64_t width = 0;
  int64_t rows = 0;      // that `data` has room for
  float* f32 = nullptr;  // [rows, width]
  void* data = nullptr;  // Ops::LinearInputBytes(dtype, rows, width)
};

// Rows [first, first + count) of a step. `lane` names the scratch memory that work on them may use.
struct RowBlock {
  int64_t first = 0;
  int64_t count = 0;
  int lane = 0;
};

// What sampling needs of one row of logits.
struct LogitsSummary {
  float temperature = 1;     // in: of log_sum_exp; > 0
  double log_sum_exp = 0;    // out
  double log_sum_exp_1 = 0;  // out: at temperature 1
  int32_t* ids = nullptr;    // out: [n_candidates], largest logit first, lower id first among equals
  float* logits = nullptr;   // out: [n_candidates]
};

}  // namespace kvasir
