// What the graph needs to know of an architecture: kinds of rotary embeddings, attentions and feed-forwards, and a stack of
// layers that names them. lib/architectures/ fills it in; this room never looks at a family's name. It crosses the border as
// JSON (model/spec_json.h), whose one schema in TypeScript is lib/spec.ts; the INT8 form of a model holds the same JSON.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/attention.h"
#include "backend/op_forms.h"
#include "backend/router_form.h"
#include "backend/state_form.h"
#include "backend/types.h"

namespace kvasir {

struct RopeSpec {
  RopeKind kind = RopeKind::kHalf;
  std::vector<float> inverse_frequencies;  // [rotated dimensions / 2]
  float scale = 1;                         // multiplies cosine and sine
  // LongRoPE: those of a model that is loaded for more than long_beyond positions; empty: the same.
  std::vector<float> long_inverse_frequencies;
  int64_t long_beyond = 0;

  // Of a model that is loaded for so many positions.
  const std::vector<float>& FrequenciesFor(int64_t positions) const {
    const bool is_long = !long_inverse_frequencies.empty() && positions > long_beyond;
    return is_long ? long_inverse_frequencies : inverse_frequencies;
  }
};

// RMS norm of queries and keys.
struct HeadNormSpec {
  HeadNormKind kind = HeadNormKind::kNone;
  bool after_rope = false;
};

// Added to a score by the distance of key and query.
struct ScoreBiasSpec {
  enum class Kind { kNone, kAlibi, kBuckets };
  Kind kind = Kind::kNone;
  std::vector<float> slopes;   // kAlibi: [n_heads]
  int64_t buckets = 0;         // kBuckets: rows of the table [buckets, n_heads] (T5, arXiv:1910.10683)
  int64_t max_distance = 0;    // from which on all distances share a bucket
  bool bidirectional = false;  // half of the buckets are for keys behind the query
};

struct AttentionSpec {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0;     // multiplies q.k; 0: 1 / sqrt(head_dim)
  int64_t rope = -1;   // index into ModelSpec::ropes; -1: none
  int64_t window = 0;  // a query sees keys less than `window` positions away; 0: all
  bool causal = true;  // false: it also sees those behind it, within the window; see ModelSpec::sees_ahead
  HeadNormSpec head_norm;
  ScoreBiasSpec score_bias;
  float soft_cap = 0;        // score = cap tanh(score / cap); 0: none
  bool sinks = false;        // a learned logit for each head in the softmax's denominator
  bool output_gate = false;  // attended *= sigmoid(gate), gate a linear of what q is made of
  float query_scale_beta =
      0;  // queries times 1 + beta log(1 + floor(position / query_scale_positions)); 0: none
  int64_t query_scale_positions = 0;

  int64_t q_size() const { return n_heads * head_dim; }
  int64_t kv_size() const { return n_kv_heads * head_dim; }
  int64_t qkv_size() const { return q_size() + 2 * kv_size(); }
  int64_t padded_head_dim() const { return (head_dim + 15) / 16 * 16; }
};

// In place of attention: what a layer remembers of a sequence has one size, however long that is.
struct StateSpec {
  enum class Kind { kShortConv, kDeltaNet };
  Kind kind = Kind::kShortConv;
  int64_t taps = 0;      // rows that the convolution reads, its own included
  int64_t channels = 0;  // of kShortConv
  DeltaHeads heads;      // of kDeltaNet

  bool is_delta_net() const { return kind == Kind::kDeltaNet; }
  int64_t conv_channels() const { return is_delta_net() ? heads.conv_channels() : channels; }
  // Of its input linear, and of what its output linear reads.
  int64_t in_size() const { return is_delta_net() ? heads.in_size() : 3 * channels; }
  int64_t mixed_size() const { return is_delta_net() ? heads.value_size() : channels; }
  int64_t gates_size() const { return is_delta_net() ? 2 * heads.value_heads : 0; }
  // Floats of the state of one sequence.
  int64_t state_size() const {
    const int64_t rule = is_delta_net() ? heads.value_heads * heads.key_dim * heads.padded_value_dim() : 0;
    return (taps - 1) * conv_channels() + rule;
  }
};

struct ExpertsSpec {
  int64_t count = 0;  // 0: no experts, one feed-forward
  int64_t used = 0;
  RouterScore score = RouterScore::kSoftmax;
  bool selection_bias = false;  // added to scores for the choice alone
  int64_t groups = 1;           // the choice is among the best used_groups of them
  int64_t used_groups = 1;
  GroupScore group_score = GroupScore::kSumOfTwoLargest;
  bool renormalize = false;  // weights are divided by max(their sum + sum_added, sum_least)
  float sum_added = 0;
  float sum_least = 0;
  float scale = 1;          // of the weights of those used
  int64_t shared_size = 0;  // of an expert that every row uses; 0: none
  bool shared_gate = false;
};

struct FeedForwardSpec {
  ActivationForm activation;
  bool gated = false;
  int64_t size = 0;  // of each expert, if there are any
  ExpertsSpec experts;

  bool has_experts() const { return experts.count > 0; }

  int64_t gate_up_size() const { return (gated ? 2 : 1) * size; }
};

struct EmbeddingSpec {
  float scale = 1;
  int64_t positions = 0;        // rows of a learned table; 0: none
  int64_t position_offset = 0;  // row of position 0
  int64_t types = 0;            // rows of a table of token types; 0: none
  bool norm = false;
};

// How a layer f joins the residual stream x.
enum class BlockForm {
  kPre,       // x += f(norm(x))
  kPost,      // x += norm(f(x))
  kSandwich,  // x += norm(f(norm(x)))
  kParallel,  // x += attention(norm(x)) + feed-forward(norm(x))
  kAddNorm    // x = norm(x + f(x))
};

struct LayerSpec {
  int64_t attention = 0;     // index into ModelSpec::attentions; -1: a state is in its place
  int64_t feed_forward = 0;  // index into ModelSpec::feed_forwards
  int64_t state = -1;        // index into ModelSpec::states; -1: none
};

struct StackSpec {
  BlockForm form = BlockForm::kPre;
  bool shared_norm = false;  // kParallel: attention and feed-forward read the same norm
  bool first_norm = true;    // kPre: the first attention reads a norm of x, not x itself
  std::vector<LayerSpec> layers;
};

enum class HeadKind { kLogits, kNone };  // kNone: a model gives hidden states alone

struct ModelSpec {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t max_positions = 0;
  std::vector<RopeSpec> ropes;
  std::vector<AttentionSpec> attentions;
  std::vector<StateSpec> states;
  std::vector<FeedForwardSpec> feed_forwards;
  EmbeddingSpec embedding;
  StackSpec stack;
  NormKind norm = NormKind::kRms;
  float norm_eps = 0;
  bool final_norm = true;     // before the head; without it hidden states are those of the last layer
  float residual_scale = 1;   // of what each layer adds
  float logits_scale = 1;     // multiplies logits, before logits_soft_cap
  float logits_soft_cap = 0;  // 0: none
  HeadKind head = HeadKind::kLogits;

  int64_t n_layers() const { return static_cast<int64_t>(stack.layers.size()); }
  const LayerSpec& layer(int64_t i) const { return stack.layers[static_cast<size_t>(i)]; }
  bool has_state(int64_t i) const { return layer(i).state >= 0; }
  bool has_states() const;  // in any layer
  const StateSpec& state_of(int64_t i) const { return states[static_cast<size_t>(layer(i).state)]; }
  // Of a layer without a state.
  const AttentionSpec& attention_of(int64_t i) const {
    return attentions[static_cast<size_t>(layer(i).attention)];
  }
  const FeedForwardSpec& feed_forward_of(int64_t i) const {
    return feed_forwards[static_cast<size_t>(layer(i).feed_forward)];
  }
  bool has_experts() const;  // in any feed-forward
  // Whether tokens see later ones in any layer. A sequence then comes in one step, whole.
  bool sees_ahead() const;
  // What a step must be able to take, where sequences have up to `context` tokens.
  int64_t least_step_rows(int64_t context) const { return sees_ahead() ? context : 0; }
  // Whether what a layer adds to the residual stream is computed apart from it.
  bool adds_apart() const {
    return stack.form == BlockForm::kPost || stack.form == BlockForm::kSandwich || residual_scale != 1;
  }
  // The largest of all kinds.
  int64_t padded_head_dim() const;
  int64_t qkv_size() const;
  int64_t attended_size() const;  // n_heads * head_dim, or a state's mixed_size
  int64_t ffn_size() const;
  int64_t gate_up_size() const;
  // Throws Error(kModelFormat | kUnsupportedArchitecture) for sizes and numbers that cannot be.
  void Check() const;
};

// Scales that a container has beside a tensor. Of each of its matrices [rows, columns], a value is what is stored times the
// scale of its block: one of [ceil(rows / block_rows), ceil(columns / block_columns)], row-major.
struct TensorScales {
  std::string name;  // in the container; empty: there are none
  int64_t block_rows = 1;
  int64_t block_columns = 1;
};

// Where one canonical tensor (model/tensors.h) lies in a container. Row r of it is row
// first_row + r / group * stride + r % group of the stored one, or of the expert's part of it.
struct TensorSource {
  std::string name;
  bool transposed = false;  // stored as [columns, rows]
  int64_t first_row = 0;
  int64_t group = 0;          // 0: rows follow each other
  int64_t stride = 0;         // from one group's first row to the next one's
  int64_t expert = -1;        // index into the outermost of three dimensions; -1: there are at most two
  bool add_one = false;       // the value is 1 + what is stored
  bool negative_exp = false;  // the value is -exp(what is stored)
  bool fp4 = false;  // bytes of two E2M1 values each, the lower nibble first: [..., columns / 32, 16]
  TensorScales scales;

  // Beside other tensors in the stored one.
  bool is_part() const { return group > 0 || expert >= 0; }
};

using TensorMap = std::map<std::string, TensorSource>;

struct LoadOptions {
  Dtype dtype = Dtype::kInt8;
  Dtype kv_dtype = Dtype::kInt8;
  int64_t context_length = 0;  // longest sequence
  int64_t kv_capacity = 0;     // positions of the paged cache over all sequences
  int64_t state_slots = 0;     // states of sequences in memory, of a model that has any; 0: see StateCountsOf
  int64_t kept_states = -1;    // more of them, for prefixes that are kept; -1: see StateCountsOf
  int threads = 0;
  std::string isa;
  int device = -1;                     // CUDA's index of the GPU that runs layers, -1: none does
  int64_t gpu_layers = -1;             // how many, the last ones; -1: as many as its free memory takes
  std::string cuda_library;            // see ForcedCudaLibrary in backend/cuda_library.h
  std::vector<std::string> keep_fp32;  // linears (model/tensors.h) that stay float32 where dtype is kInt8

  Dtype DtypeOf(const std::string& linear) const {
    for (const std::string& kept : keep_fp32) {
      if (kept == linear) return Dtype::kF32;
    }
    return dtype;
  }
};

}  // namespace kvasir
