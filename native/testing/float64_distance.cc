#include "testing/float64_distance.h"

#include <algorithm>
#include <cmath>

#include "testing/transformer_reference.h"

namespace kvasir::testing {

Distance DistanceOf(const Rows& actual, const std::vector<std::vector<double>>& expected) {
  Distance d;
  double n = 0;
  for (size_t row = 0; row < expected.size(); ++row) {
    for (size_t i = 0; i < expected[row].size(); ++i, ++n) {
      const double error = actual[row][i] - expected[row][i];
      // A comparison with NaN would be false: let it count.
      if (!(std::abs(error) <= d.largest)) d.largest = std::isnan(error) ? HUGE_VAL : std::abs(error);
      d.rms += error * error;
      d.rms_expected += expected[row][i] * expected[row][i];
    }
  }
  d.rms = std::sqrt(d.rms / n);
  d.rms_expected = std::sqrt(d.rms_expected / n);
  return d;
}

double Tolerance(const ModelSpec& s, double rms_expected) {
  const double sums = 6 * static_cast<double>(s.n_layers()) + 2;
  const double k = static_cast<double>(std::max(s.hidden_size, s.ffn_size()));
  return 5 * std::sqrt(sums * k / 2) * kUnit * rms_expected;
}

double Sensitivity(const ModelKind& kind, const RandomContainer& container,
                   const std::vector<int32_t>& tokens, const std::vector<std::vector<double>>& expected,
                   int64_t positions, const std::vector<AdapterTensor>* adapter) {
  RandomContainer rounded = container;
  std::vector<AdapterTensor> rounded_adapter;
  if (adapter != nullptr) rounded_adapter = *adapter;
  Random random(3);
  const auto move = [&](std::vector<float>& values) {
    for (float& value : values) value *= 1 + 2 * static_cast<float>(kUnit) * random.Uniform(-1, 1);
  };
  for (const TensorInfo& tensor : container.tensors()) move(rounded.values(tensor.name));
  for (AdapterTensor& tensor : rounded_adapter) {
    move(tensor.a);
    move(tensor.b);
  }
  Rows moved;
  for (const std::vector<double>& row :
       Float64Model(kind, rounded, positions, &rounded_adapter).Outputs(tokens)) {
    moved.emplace_back(row.begin(), row.end());
  }
  return DistanceOf(moved, expected).rms;
}

double SumError(const ModelSpec& s) {
  const double k = static_cast<double>(std::max({s.hidden_size, s.ffn_size(), s.attended_size()}));
  return 2 * 5 * std::sqrt(k / 2) / (2 / std::sqrt(3.0));
}

}  // namespace kvasir::testing
