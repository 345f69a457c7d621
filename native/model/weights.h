// The weights of one transformer, packed for its backend, in one arena on huge pages. They come from a checkpoint, and
// are packed panel by panel, or from the INT8 form of a model, and are read into place. It knows canonical tensor names
// (model/tensors.h) and no file format.
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

// Of one layer, those that its kinds have (model/tensors.h); the others stay empty.
struct LayerWeights {
  NormWeight attn_norm, attn_post_norm;
  LinearWeight qkv;                   // [(n_heads + 2 n_kv_heads) * head_dim, hidden]
  const float* q_norm = nullptr;      // [head_dim] or [n_heads * head_dim]
  const float* k_norm = nullptr;      // [head_dim] or [n_kv_heads * head_dim]
  const float* sinks = nullptr;       // [n_heads]
  const float* score_bias = nullptr;  // [buckets, n_heads]
  LinearWeight attn_gate;             // [n_heads * head_dim, hidden]
  // In place of those, with a state:
  LinearWeight state_in;              // [StateSpec::in_size(), hidden]
  const float* conv = nullptr;        // [taps, channels]
  const float* conv_bias = nullptr;   // [channels] or nullptr
  LinearWeight delta_gates;           // [2 value_heads, hidden]
  const float* delta_rate = nullptr;  // [value_heads]
  const float* delta_dt = nullptr;    // [value_heads]
  const float* delta_norm = nullptr;  // [value_dim]
  LinearWeight o;                     // [hidden, n_heads * head_dim or StateSpec::mixed_size()]
  NormWeight ffn_norm, ffn_post_norm;
  LinearWeight gate_up;  // [2 * ffn or ffn, hidden]: gate rows first
  LinearWeight down;     // [hidden, ffn]
  // In place of the two, with experts:
  LinearWeight router;                       // [experts, hidden]
  const float* router_bias = nullptr;        // [experts]
  std::vector<LinearWeight> expert_gate_up;  // [experts]
  std::vector<LinearWeight> expert_down;     // [experts]
  LinearWeight shared_gate_up, shared_down;  // of the expert that every row uses
  LinearWeight shared_gate;                  // [1, hidden]
};

struct Weights {
  LinearWeight embed_tokens;               // [vocab, hidden]
  const float* embed_positions = nullptr;  // [positions, hidden] or nullptr
  const float* embed_types = nullptr;      // [types, hidden] or nullptr
  NormWeight embed_norm;
  std::vector<LayerWeights> layers;
  NormWeight final_norm;
  LinearWeight lm_head;  // shares embed_tokens' panels when tied
  AlignedBuffer memory;
  std::unique_ptr<BackendMemory> device_memory;  // of what MoveToDevice moved, or nullptr
  int64_t bytes = 0;
  int64_t scale_bytes = 0;
  int64_t parameters = 0;

  bool is_tied() const { return lm_head.panels == embed_tokens.panels; }
};

struct WeightBytes {
  int64_t total = 0;
  int64_t scales = 0;
};

// What LoadWeights would allocate, from shapes alone. Throws Error(kInvalidOption) as it does.
WeightBytes PredictWeightBytes(const ModelSpec& spec, const TensorMap& tensors, const LoadOptions& options);

// Whether a checkpoint has every tensor of the table, in its shape: throws Error(kModelFormat) naming one that it has not.
void CheckTensors(const ModelSpec& spec, const TensorMap& tensors, const Container& checkpoint);

// `traits` are those of the CPU backend, whose threads and kernels pack. progress(loaded, total) comes on this thread.
// Throws Error(kModelFormat) naming a tensor that is missing, has the
// wrong shape or values that cannot be, kInvalidOption for the INT8 form as float32, kInsufficientMemory, kCancelled.
std::unique_ptr<Weights> LoadWeights(const ModelSpec& spec, const TensorMap& tensors,
                                     const LoadOptions& options, const Container& container,
                                     const Traits& traits, const CancellationToken& cancellation,
                                     const std::function<void(int64_t, int64_t)>& progress);

}  // namespace kvasir
