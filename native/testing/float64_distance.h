// How far a float32 model's rows are from those of the float64 model, and how far they may be by the number of roundings.
#pragma once

#include <vector>

#include "testing/kernel_inputs.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {

struct Distance {
  double largest = 0, rms = 0, rms_expected = 0;
};

Distance DistanceOf(const Rows& actual, const std::vector<std::vector<double>>& expected);

// Rounding errors behave like independent noise. A sum of k products of size 1/sqrt(k) ends with a relative error of
// about sqrt(k / 2) u (a partial sum's error is half its final size on average), each layer has 6 such sums in a row
// (norm, qkv, attention, o, up, down) and a residual stream that carries them on, the head has 2 more:
// rms = sqrt(6 L + 2) sqrt(k / 2) u, and the largest of 40,000 values lies below 5 rms.
double Tolerance(const ModelSpec& spec, double rms_expected);

// How far outputs go (rms) when each weight is off by up to two roundings: some specs, those that divide by the size of a
// small output above all, answer to it more than others. `expected` are those of the model with the adapter, if any.
double Sensitivity(const ModelKind& kind, const RandomContainer& container,
                   const std::vector<int32_t>& tokens, const std::vector<std::vector<double>>& expected,
                   int64_t positions, const std::vector<AdapterTensor>* adapter = nullptr);

// Weights that are off by up to 2 u move a sum of k products by about 2 u / sqrt(3) of the root mean square of its size; a
// float32 sum of k errs by about sqrt(k / 2) u of it. As many roundings again are in norms, softmax and activations, and the
// largest of all values lies below 5 rms.
double SumError(const ModelSpec& spec);

}  // namespace kvasir::testing
