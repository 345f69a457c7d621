// What the attentions of a spec read beside weights, computed once for all positions of a context, in the backend's memory:
// cosine and sine of rotary embeddings, scales of queries, slopes of a bias.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "model/model_spec.h"

namespace kvasir {

class KindTables {
 public:
  // Of positions [0, positions).
  KindTables(const ModelSpec& spec, int64_t positions, Device* device);

  // What they take, of a spec alone.
  static int64_t Bytes(const ModelSpec& spec, int64_t positions);
  int64_t bytes() const;
  // The addresses that an attention of this kind reads.
  void Point(size_t kind, AttentionShape* shape) const;
  const float* slopes(int64_t kind) const { return kinds_[static_cast<size_t>(kind)].slopes; }

 private:
  struct Kind {
    const float* cos = nullptr;       // [positions, rope_dim / 2]
    const float* sin = nullptr;       // the same
    const float* q_scales = nullptr;  // [positions] or nullptr
    const float* slopes = nullptr;    // [n_heads] or nullptr
  };

  const float* Keep(const std::vector<float>& values, const char* purpose);

  Device& device_;
  std::vector<std::unique_ptr<BackendMemory>> memory_;
  std::vector<Kind> kinds_;
};

}  // namespace kvasir
