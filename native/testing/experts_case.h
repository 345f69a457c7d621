// Feed-forward layers of experts as tests run them on any backend. It refuses to judge results.
#pragma once

#include <vector>

#include "testing/kernel_inputs.h"
#include "testing/ops_arrays.h"

namespace kvasir::testing {

enum class ExpertDtypes { kF32, kInt8, kMixed };  // kMixed: the second half of the experts is FP32

struct ExpertsCase {
  ExpertDtypes dtypes = ExpertDtypes::kInt8;
  int64_t hidden = 64, size = 64, rows = 1;
  RouterForm router = {};
  ActivationForm activation = {};
  bool gated = true;
  bool accumulate = false;
  std::vector<float> x = {}, before = {}, logits = {};          // [rows, hidden], the same, [rows, n_experts]
  std::vector<std::vector<float>> gate_up = {}, down = {};      // an expert: [wide, hidden], [hidden, size]
  std::vector<std::vector<float>> up_bias = {}, out_bias = {};  // [wide], [hidden]

  int64_t wide() const { return (gated ? 2 : 1) * size; }
  Dtype DtypeOf(int64_t expert) const;
};

void FillInputs(Random& random, ExpertsCase* c);

struct ExpertsResult {
  std::vector<int32_t> ids;     // [rows, used]
  std::vector<float> weights;   // [rows, used]
  std::vector<float> out;       // [rows, hidden]
  std::vector<float> separate;  // the same from single linears of one row and one expert at a time
};

// `separate` only if asked for.
ExpertsResult Run(const ExpertsCase& c, Backend& backend, bool separate);

}  // namespace kvasir::testing
