// One attention tile over one chunk of a paged cache, as tests build it: plain [position][dimension] values, packed
// into pages as the kernels read them, and the same attention naively in float64.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernel_table.h"
#include "testing/kernel_inputs.h"

namespace kvasir::testing {

struct AttentionCase {
  Dtype cache = Dtype::kF32;
  int rows = 0;
  int head_dim = 0;  // multiple of 16
  float scale = 0;
  std::vector<int> n_valid;  // [rows]
  // Quantized values are whole numbers and have scales; others have none. K and V are rounded to the cache's type where
  // they are packed.
  std::vector<float> q, k, v;  // [rows, head_dim], [256, head_dim], [256, head_dim]
  std::vector<float> q_scales, k_scales, v_scales;
  // Of cpu::ScoreKind, [rows] each where they are not empty; a case without `first` is for the plain kernels.
  std::vector<int> first, distance;
  float soft_cap = 0;
  std::vector<float> slopes;
  std::vector<std::vector<float>> distance_bias;
  // What the slots past the largest n_valid hold, and those before begin(): zeros, or NaN (INT8: 0x7f with scales of NaN).
  bool garbage_past_end = true;

  bool int8() const { return cache == Dtype::kInt8; }
  float Stored(float value) const;  // K or V as the cache holds it
  int positions() const;            // the largest n_valid
  int begin() const;                // the smallest `first` of rows that attend to anything; 0 without
};

struct AttentionState {
  std::vector<float> max, sum, acc;  // [rows], [rows], [rows, head_dim]; kUntouched where nothing was written
  std::vector<float> trace;          // [rows, 256]
  static constexpr float kUntouched = -54321.0f;
};

AttentionCase MakeAttention(Random& random, Dtype cache, int rows, int head_dim, std::vector<int> n_valid);
AttentionState Run(const cpu::KernelTable& table, const AttentionCase& c, bool with_trace);
std::string Difference(const AttentionState& a, const AttentionState& b);

// Softmax attention of one row in float64, with a bound on a float32 kernel's error.
struct AttentionOracle {
  double log_sum = 0;  // log of the sum of exp(scores)
  double log_sum_error = 0;
  std::vector<double> out, out_error;  // [head_dim]
};
AttentionOracle Oracle(const AttentionCase& c, int row);
double OracleScore(const AttentionCase& c, int row, int position);
double ScoreError(const AttentionCase& c, int row, int position);

}  // namespace kvasir::testing
