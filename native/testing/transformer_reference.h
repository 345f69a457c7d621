// The whole transformer in float64, one token at a time, straight from the definition of each part. It knows nothing of
// packing, pages, batches or quantization.
#pragma once

#include <vector>

#include "testing/transformer_models.h"

namespace kvasir::testing {

class Float64Model {
 public:
  Float64Model(const ModelKind& kind, const RandomContainer& container)
      : kind_(kind), container_(container) {}
  // Logits after each token, [tokens][vocab].
  std::vector<std::vector<double>> Logits(const std::vector<int32_t>& tokens) const;

 private:
  using Vector = std::vector<double>;
  Vector Norm(const std::string& name, const Vector& x) const;
  Vector Linear(const std::string& name, const Vector& x) const;
  void Rope(int64_t position, double* head) const;
  Vector Attend(const std::vector<Vector>& keys, const std::vector<Vector>& values, const Vector& q) const;
  Vector FeedForward(const std::string& layer, const Vector& x) const;

  const ModelKind& kind_;
  const RandomContainer& container_;
};

}  // namespace kvasir::testing
