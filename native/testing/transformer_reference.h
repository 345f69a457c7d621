// The whole transformer in float64, straight from the definition of each kind: the executable description of a spec. It
// knows nothing of packing, pages, batches or quantization.
#pragma once

#include <vector>

#include "testing/transformer_models.h"

namespace kvasir::testing {

class Float64Model {
 public:
  // As a model that is loaded for `positions`; with an adapter of parts of linears ("layers.0.q"), which outlives this.
  Float64Model(const ModelKind& kind, const RandomContainer& container, int64_t positions = 0,
               const std::vector<AdapterTensor>* adapter = nullptr)
      : spec_(kind.spec), tied_(kind.tied), container_(container), positions_(positions), adapter_(adapter) {}
  // Hidden states of each token, after the final norm, if there is one, [tokens][hidden].
  std::vector<std::vector<double>> Hidden(const std::vector<int32_t>& tokens) const;
  // Logits after each token, [tokens][vocab].
  std::vector<std::vector<double>> Logits(const std::vector<int32_t>& tokens) const;
  // What the model gives of each token: logits, or hidden states where it has no head.
  std::vector<std::vector<double>> Outputs(const std::vector<int32_t>& tokens) const;

 private:
  using Vector = std::vector<double>;
  using Rows = std::vector<Vector>;  // of all tokens

  Vector Norm(const std::string& name, const Vector& x) const;
  Vector Linear(const std::string& name, const Vector& x) const;
  void Adapt(const std::string& name, const Vector& x, Vector* out) const;
  Rows Each(const Rows& x, const std::string& norm) const;
  void Rope(const AttentionSpec& a, int64_t position, double* head) const;
  void HeadNorm(const AttentionSpec& a, const std::string& name, Vector* heads) const;
  Vector Rotated(const AttentionSpec& a, const std::string& norm, int64_t position, Vector heads) const;
  double Score(int64_t layer, int64_t head, int64_t position, int64_t key, double dot) const;
  Rows Attention(int64_t layer, const Rows& x) const;
  Rows Convolved(const StateSpec& state, const std::string& at, const Rows& x) const;
  Rows ShortConv(const StateSpec& state, const std::string& at, const Rows& x) const;
  Rows DeltaNet(const StateSpec& state, const std::string& at, const Rows& x) const;
  void GatedNorm(const std::string& at, const Vector& z, Vector* heads) const;
  Rows State(int64_t layer, const Rows& x) const;
  Vector FeedForward(const FeedForwardSpec& f, const std::string& at, const Vector& x) const;
  Vector Experts(const FeedForwardSpec& f, const std::string& at, const Vector& x) const;
  void Join(Rows* x, const Rows& y, const std::string& post) const;
  Rows Embedded(const std::vector<int32_t>& tokens) const;
  void RunLayer(int64_t layer, Rows* x) const;
  bool NormsInput() const;

  const ModelSpec& spec_;
  bool tied_;
  const RandomContainer& container_;
  int64_t positions_;
  const std::vector<AdapterTensor>* adapter_;
};

}  // namespace kvasir::testing
