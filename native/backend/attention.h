// What StoreKv and Attention are told: heads, cache, sequences.
#pragma once

#include <cstdint>

#include "backend/kv_layout.h"
#include "backend/step.h"

namespace kvasir {

enum class RopeKind { kNone, kHalf, kInterleaved };

// RMS norm of queries and keys: of each head, with one weight for all heads, or of all heads of a row together.
enum class HeadNormKind { kNone, kPerHead, kFullRow };
struct HeadNorm {
  HeadNormKind kind = HeadNormKind::kNone;
  bool after_rope = false;  // of kPerHead alone: kFullRow comes before
  float eps = 0;
  const float* q_weight = nullptr;  // [head_dim], or [n_heads * head_dim]
  const float* k_weight = nullptr;  // [head_dim], or [n_kv_heads * head_dim]
};
constexpr int64_t kUnbounded = INT64_MAX;  // of AttentionShape::before and after

struct AttentionShape {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t padded_head_dim = 0;
  float scale = 0;     // multiplies q.k
  float soft_cap = 0;  // a score becomes soft_cap * tanh(score / soft_cap); 0: it stays
  // A row at position p attends to positions p - before to p + after, as far as they are in memory. With after > 0 all
  // tokens of a sequence are in one step.
  int64_t before = kUnbounded;
  int64_t after = 0;
  RopeKind rope = RopeKind::kNone;
  int64_t rope_dim = 0;             // leading dimensions of a head that rotate
  const float* rope_cos = nullptr;  // [positions, rope_dim / 2]
  const float* rope_sin = nullptr;
  const float* q_scales = nullptr;  // [positions] or nullptr: multiply queries after rotary embedding
  // Order of the Hadamard rotation of Q, K and V heads for an INT8 cache: the power of two up to 64 that divides
  // head_dim. 1 for a float cache.
  int rotation = 1;

  // Positions [From(p), To(p, length)) of a sequence of `length` that a row at position p attends to.
  int64_t From(int64_t position) const { return before < position ? position - before : 0; }
  int64_t To(int64_t position, int64_t length) const {
    return after < length - position ? position + after + 1 : length;
  }
};

// What a layer adds to its scaled and capped scores, in the backend's memory; nullptr where it adds nothing.
struct AttentionBias {
  const float* slopes = nullptr;  // [n_heads]: minus slope * |p - j| for a row at p and position j (ALiBi)
  const float* distance_bias =
      nullptr;  // [n_heads, 2 * reach + 1]: plus [clamp(j - p, -reach, reach) + reach]
  int64_t reach = 0;
  const float* sinks = nullptr;  // [n_heads]: one more score of each row, of no position and without a value
};

// Queries of a step, grouped by kv head: [n_kv_heads, rows, n_heads / n_kv_heads, padded_head_dim].
struct Queries {
  Dtype dtype = Dtype::kF32;
  float* f32 = nullptr;
  void* values = nullptr;
  float* scales = nullptr;   // [n_kv_heads, rows, group]
  int32_t* start = nullptr;  // the same
};

// Optional record of attention scores as the softmax takes them, [rows, n_heads, positions], where a row attends; see
// model/taps.h.
struct AttentionTrace {
  float* scores = nullptr;
  int64_t positions = 0;
};

struct AttentionArgs {
  const AttentionShape* shape = nullptr;
  const KvLayout* layout = nullptr;
  uint8_t* pages = nullptr;  // the pool
  int64_t layer = 0;         // among those of the backend
  int64_t rows = 0;
  const SequenceSpan* sequences = nullptr;
  int64_t n_sequences = 0;
  int64_t table = 0;  // of StepInput::sequences, whose pages these sequences have
  AttentionTrace trace;
  AttentionBias bias = {};  // of the layer's scores
  HeadNorm norm = {};       // of the layer's queries and keys
};

}  // namespace kvasir
