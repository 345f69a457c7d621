// The weights of one transformer, packed for its backend, in one arena on huge pages. Loading reads rows from a
// container a block at a time, so that its memory stays close to the model's own. It knows canonical tensor names
// (lib/native.ts lists them) and no file format.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/aligned_buffer.h"
#include "core/cancellation.h"
#include "io/container.h"
#include "model/model_spec.h"

namespace kvasir {

struct LayerWeights {
  NormWeight attn_norm;
  LinearWeight qkv;  // [(n_heads + 2 n_kv_heads) * head_dim, hidden]
  LinearWeight o;    // [hidden, n_heads * head_dim]
  NormWeight ffn_norm;
  LinearWeight gate_up;  // [2 * ffn or ffn, hidden]: gate rows first
  LinearWeight down;     // [hidden, ffn]
};

struct Weights {
  LinearWeight embed_tokens;               // [vocab, hidden]
  const float* embed_positions = nullptr;  // [max_positions, hidden] or nullptr
  std::vector<LayerWeights> layers;
  NormWeight final_norm;
  LinearWeight lm_head;  // shares embed_tokens' panels when tied
  Arena arena;
  int64_t bytes = 0;
  int64_t scale_bytes = 0;
  int64_t parameters = 0;
};

struct WeightBytes {
  int64_t total = 0;
  int64_t scales = 0;
};

// What LoadWeights would allocate, from shapes alone.
WeightBytes PredictWeightBytes(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options,
                               const Backend& backend);

// progress(loaded, total) in tensor elements. Throws Error(kModelFormat) naming a tensor that is missing or has the
// wrong shape, kInsufficientMemory, kCancelled.
std::unique_ptr<Weights> LoadWeights(const ModelSpec& spec, const TensorMap& tensors,
                                     const LoadOptions& options, const Container& container, Backend& backend,
                                     const CancellationToken& cancellation,
                                     const std::function<void(int64_t, int64_t)>& progress);

}  // namespace kvasir
