// The one table of a model's tensors, in the order of the graph: of the memory they lie in, of loading and of the quantized
// file. Loading, prediction, writing, moving to a device, keepFp32, compare and lib/ (native.tensorsOf) ask it. It knows
// canonical names and shapes; it reads nothing, and says nothing of how a checkpoint stores them.
//
// Canonical names, N a layer, E an expert; [rows, columns]:
//   embed.tokens [vocab, hidden]   embed.positions [positions, hidden]   embed.types [types, hidden]   embed.norm
//   layers.N.attn_norm, layers.N.attn_post_norm, layers.N.ffn_norm, layers.N.ffn_post_norm [hidden], as the stack has them
//   layers.N.qkv of q [n_heads * head_dim, hidden], k, v [n_kv_heads * head_dim, hidden]   layers.N.attn_gate as q (output gate)
//   layers.N.q_norm, k_norm [head_dim], or [n_heads * head_dim], [n_kv_heads * head_dim]   layers.N.sinks [n_heads]
//   in place of q, k, v and what is theirs, in a layer with a state: layers.N.conv [taps, channels], layers.N.conv.bias [channels],
//   and layers.N.conv_in [3 channels, hidden], or layers.N.delta_in of delta_q, delta_k [key_heads * key_dim, hidden], delta_v,
//   delta_z [value_heads * value_dim, hidden], layers.N.delta_gates of delta_b, delta_a [value_heads, hidden],
//   layers.N.delta_rate, delta_dt [value_heads], layers.N.delta_norm [value_dim]
//   layers.N.score_bias [buckets, n_heads], of each layer also where a checkpoint has one for all
//   layers.N.o [hidden, n_heads * head_dim, or a state's output]
//   layers.N.gate_up of gate (gated only), up [ffn, hidden]   layers.N.down [hidden, ffn]
//   with experts: layers.N.router [experts, hidden] and router_bias [experts], layers.N.experts.E.gate_up|down,
//   layers.N.shared.gate_up|down, layers.N.shared_gate [1, hidden]
//   final_norm [hidden]   lm_head [vocab, hidden] (absent: tied to embed.tokens)
// A linear's part "layers.N.q" is the tensor "layers.N.q.weight" and, where a checkpoint has one, "layers.N.q.bias"; a norm
// is ".weight" and, optionally, ".bias"; the rest goes by its bare name.
#pragma once

#include <string>
#include <vector>

#include "model/model_spec.h"

namespace kvasir {

enum class TensorRole {
  kTable,   // rows that are looked up; a linear in memory
  kLinear,  // packed
  kVector   // float32 values that stay as they are
};

// Which place of the graph a tensor has; model/weights.h keeps one member for each.
enum class TensorPlace {
  kEmbedTokens,
  kEmbedPositions,
  kEmbedTypes,
  kEmbedNorm,
  kAttnNorm,
  kAttnPostNorm,
  kQkv,
  kQNorm,
  kKNorm,
  kSinks,
  kScoreBias,
  kAttnGate,
  kStateIn,
  kConv,
  kConvBias,
  kDeltaGates,
  kDeltaRate,
  kDeltaDt,
  kDeltaNorm,
  kO,
  kFfnNorm,
  kFfnPostNorm,
  kRouter,
  kRouterBias,
  kGateUp,
  kDown,
  kExpertGateUp,
  kExpertDown,
  kSharedGateUp,
  kSharedDown,
  kSharedGate,
  kFinalNorm,
  kLmHead
};

// Rows of one canonical tensor inside a packed linear.
struct TensorPart {
  std::string name;  // without ".weight"
  int64_t rows;
};

struct ModelTensor {
  static constexpr int64_t kBeforeLayers = -1;

  TensorPlace place = TensorPlace::kEmbedTokens;
  TensorRole role = TensorRole::kLinear;
  std::string name;               // "layers.3.qkv", "layers.3.attn_norm.bias"
  int64_t layer = kBeforeLayers;  // the number of layers: after them
  int64_t expert = -1;
  int64_t rows = 1;
  int64_t columns = 0;
  std::vector<TensorPart> parts = {};  // of a table or linear; together they are its rows
  bool is_bias = false;                // of a norm
  bool float32 = false;                // of a linear: it is never INT8
  bool optional = false;               // a checkpoint may leave it out
};

std::vector<ModelTensor> TensorsOf(const ModelSpec& spec);

// What a linear of a layer reads: the last part of the name of an intermediate tensor in a trace (model/taps.h), for an expert
// of the rows that use it; kActivation: what activation makes of its gate_up. nullptr for what is no linear of a layer.
constexpr const char* kActivation = "activation";
const char* ReadBy(const ModelTensor& tensor, const ModelSpec& spec);

}  // namespace kvasir
