#include "model/graph_support.h"

#include "core/error.h"

namespace kvasir {

namespace {

void Refuse(bool there, const char* what) {
  if (!there) return;
  throw Error(ErrorCode::kUnsupportedArchitecture,
              std::string("This model uses ") + what + ", which is not supported");
}

}  // namespace

void CheckGpuSupports(const ModelSpec& spec) {
  Refuse(spec.has_states(), "layers with a state on a GPU");
  const AttentionSpec& first = spec.attentions.front();
  for (const AttentionSpec& a : spec.attentions) {
    const bool same =
        a.n_heads == first.n_heads && a.n_kv_heads == first.n_kv_heads && a.head_dim == first.head_dim;
    Refuse(!same, "heads of several shapes on a GPU");
  }
}

}  // namespace kvasir
