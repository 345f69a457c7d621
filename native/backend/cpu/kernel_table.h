// The CPU kernels as one table of functions per ISA. Plain structs only: files built with special flags include this.
// Every table computes the same bits: reductions run in 16 virtual lanes with a fixed tree, fused multiply-adds are
// written out, and INT8 sums are exact. A table is chosen once (kernel_select.h), never per call.
#pragma once

#include <cstdint>

#include "backend/router_form.h"
#include "backend/state_form.h"
#include "quant/int8_layout.h"

namespace kvasir::cpu {

constexpr int kPagePositions = 64;  // positions of a KV cache page
constexpr int kChunkPositions =
    256;                          // positions that attention reduces from a fresh state, then merges in order
constexpr int kMaxTileRows = 16;  // query rows of one attention tile, in any table
constexpr int kMaxHeadDim = 256;
constexpr int64_t kConvChannels = 256;  // of a convolution that are computed at a time
constexpr int kQuantizedRows =
    4;  // that are quantized at a time; divides every table's row_tile, or that is 1
constexpr int64_t kLogitBlock = 32;    // logits of which only the largest is looked at first
constexpr int64_t kExpSumBlock = 256;  // logits that one float sum of the log-sum-exp takes

// Quantized rows, the input of a linear. A table's row_tile rows lie together, group by group: in order
// [rows / row_tile][groups][row_tile], which is [rows][groups] where row_tile is 1.
struct QuantizedRows {
  void* values;    // 64 of each row and group, int8 or int16 as KernelTable::quantized_bytes says
  float* scales;   // one of each row and group
  int32_t* start;  // one of each row and group: -128 * sum of its values, where the u8 x s8 sums begin
  // One of each row and group, of the avx2 table alone: start - sum of x[k] x[k + 2] over k % 4 < 2
  int32_t* start_of_sums;
  int64_t groups;
};

// What happens to a tile when its sums are complete.
struct Epilogue {
  float* out;  // [rows, ld_out], column 0 is the first column of the panel
  int64_t ld_out;
  const float* bias;  // [kPanelColumns], or nullptr
  int n_valid;        // columns of this panel that exist, 1..kPanelColumns
  bool accumulate;    // out += instead of out = (the residual stream)
};

struct LinearF32Args {
  const float* x;  // [rows, ld_x]
  int64_t ld_x;
  int64_t rows;
  int64_t k;
  const float* panel;  // [k, kPanelColumns]
  Epilogue epilogue;
  const void* next = nullptr;  // the panel that comes next: fetched into L2 by the way
};

struct LinearS8Args {
  QuantizedRows x;  // its pointers stand at the first row, which is the first of a tile
  int64_t rows;
  const Int8Block* panel;  // [groups]
  Epilogue epilogue;
  const void* next = nullptr;  // as in LinearF32Args
};

// Where the cache of one kv head lies, for the positions of a chunk: as AttentionChunk has them.
struct ChunkPages {
  static constexpr int kMost = kChunkPositions / kPagePositions;
  int n;  // pages that are read
  const void* k[kMost];
  const void* v[kMost];
  const float* k_scales[kMost];
  const float* v_scales[kMost];
};

// One kv head of one sequence over at most kChunkPositions cache positions.
struct AttentionChunk {
  int rows;                // 1..kMaxTileRows
  int head_dim;            // padded to 16
  float scale;             // multiplies q.k
  const float* q_f32;      // [rows, head_dim], or
  const void* q_s8;        // [rows, head_dim] as the table quantizes, with
  const float* q_scales;   // [rows]
  const int32_t* q_start;  // [rows]: -128 * sum(q)
  const void* const*
      k_pages;  // [chunk pages]: f32 or f16 [head_dim][64], or u8 [head_dim / 4][64][4] (offset 128)
  const void* const* v_pages;    // f32 or f16 [64][head_dim], or s8 [64 / 2][head_dim][2]
  const float* const* k_scales;  // s8: [chunk pages] of [64]
  const float* const* v_scales;
  const int* n_valid;  // [rows] positions of this chunk that the row attends to, 0..kChunkPositions
  // Results per row: the state of an online softmax over this chunk alone. Rows with n_valid 0 are left untouched.
  float* max;    // [rows]
  float* sum;    // [rows]
  float* acc;    // [rows, head_dim]
  float* trace;  // nullptr, or [rows, kChunkPositions]: the scores as the softmax takes them
  // The same thread's next chunk, or nullptr: it is asked for while this one is computed. And whether this one was.
  const ChunkPages* next = nullptr;
  bool fetched = false;
};

// What the rows of an AttentionChunk attend to and how, beyond n_valid. In this order: a scaled score is capped, slopes are
// added, then the bias of distances; then positions before `first` are masked, as those from n_valid on are.
struct ScoreKind {
  const int* first;     // [rows] position of the chunk that the row begins at, below n_valid or 0
  const int* distance;  // [rows] from the row's own position to the chunk's first: j - p
  float soft_cap;       // 0: none
  const float* slopes;  // [rows], or nullptr
  const float* const* distance_bias;  // [rows] of [2 * reach + 1], or nullptr
  int reach;
};

// attention_chunk_f32, _f16 and _s8 of a KernelTable where rows begin later or scores are changed: the same bits where neither
// is so.
struct AttentionKinds {
  void (*chunk_f32)(const AttentionChunk&, const ScoreKind&);
  void (*chunk_f16)(const AttentionChunk&, const ScoreKind&);
  void (*chunk_s8)(const AttentionChunk&, const ScoreKind&);
};
extern const AttentionKinds kScalarKinds, kAvx2Kinds, kAvxVnniKinds, kAvx512Kinds, kAvx512VnniKinds;

// Of a row: (x - mean) / sqrt(var + eps) * weight + bias, or x / sqrt(mean(x^2) + eps) * weight.
struct RowNorm {
  const float* weight;  // [n]
  const float* bias;    // [n] or nullptr; nullptr of an RMS norm
  float eps;
};

// A causal convolution of some channels of a sequence's rows.
struct ConvRows {
  int64_t rows;
  int64_t channels;     // at most kConvChannels
  int taps;             // 1..kMostTaps
  const float* weight;  // [taps, ld_weight]
  int64_t ld_weight;
  const float* bias;  // [channels] or nullptr
  // The taps - 1 input rows before, the oldest first, [taps - 1, ld_state], or nullptr: zeros; and those after, where `to` may
  // be `from`.
  const float* from;
  float* to;
  int64_t ld_state;
};

// One value head of a sequence's rows through the gated delta rule.
struct DeltaRows {
  int64_t rows;
  int64_t key_dim, value_dim;  // at most kMostStateHead
  const float* q;              // [rows, ld], of unit length or less, as k is
  const float* k;
  const float* v;
  int64_t ld;
  const float* beta;  // [rows, ld_gates]
  const float* decay;
  int64_t ld_gates;
  const float* from;  // S [key_dim, value_dim padded to 16], or nullptr: zeros; `to` may be `from`
  float* to;
  float* out;  // [rows, ld_out]
  int64_t ld_out;
};

// Ops of layers with a state.
struct StateKernels {
  // out [rows, ld_out] = c * conv(b * x) of in [rows, ld_in], where c begins `part` floats behind b, x behind c.
  void (*short_conv)(const ConvRows& conv, const float* in, int64_t ld_in, int64_t part, float* out,
                     int64_t ld_out);
  // x [rows, ld] = silu(conv(x)) in place
  void (*conv_silu)(const ConvRows& conv, float* x, int64_t ld);
  // x [n] *= scale / sqrt(sum of x^2 + 1e-6)
  void (*unit_length)(float* x, int64_t n, float scale);
  // In place, [2 n]: b to sigmoid(b), a to exp(rate * softplus(a + dt)).
  void (*delta_gates)(const float* rate, const float* dt, int64_t n, float* gates);
  void (*delta_rule)(const DeltaRows&);
  // x [n] = rms norm of x, times silu(gate)
  void (*gated_norm)(const float* gate, const RowNorm& norm, int64_t n, float* x);
};
extern const StateKernels kScalarStates, kAvx2States, kAvxVnniStates, kAvx512States, kAvx512VnniStates;

// Rows of an online softmax.
struct SoftmaxState {
  float* max;  // [rows]
  float* sum;  // [rows]
  float* acc;  // [rows, head_dim]
};

struct SwigluForm {
  float alpha, limit;
};

// What the experts that a row uses gave for it.
struct ExpertOutputs {
  const float* y;         // rows of n
  const int32_t* places;  // [used] of y's rows, in the order of ranks
  const float* weights;   // [used]
  int used;               // >= 1
  bool accumulate;        // onto what is there
};

struct KernelTable {
  const char* name;
  int quantized_bytes;  // size of a quantized activation
  int row_tile;         // of QuantizedRows
  // With many rows each thread takes blocks of its own, at most `block_rows` long for each MiB of L2, if that makes at least
  // `thread_rows` for each. Both are multiples of row_tile.
  int block_rows, thread_rows;
  // Rows of gate and up, 64 columns of each, that are computed before they are activated.
  int activated_rows;
  int attention_rows;  // query rows of a full attention tile
  // Registers that a thread sets up before it calls linear_s8 or attention_chunk_s8 with at least enter_rows rows, and gives
  // back afterwards; nullptr where there are none.
  int enter_rows;
  void (*enter)();
  void (*leave)();
  // From so many rows on a panel is read more than once, and it pays to fetch the next one meanwhile.
  int prefetch_rows_f32, prefetch_rows_s8;

  void (*linear_f32)(const LinearF32Args&);
  void (*linear_s8)(const LinearS8Args&);
  // out[i] = x[i] * 1/sqrt(mean(x^2) + eps) * weight[i]
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* out);
  // out[i] = (x[i] - mean) / sqrt(var + eps) * weight[i] + bias[i]; bias may be nullptr
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int64_t n, float eps,
                     float* out);
  // 1/sqrt(mean(x^2) + eps), and x[i] * scale * weight[i]: the two halves of rms_norm.
  float (*rms_scale)(const float* x, int64_t n, float eps);
  void (*scale_by_weight)(const float* x, const float* weight, int64_t n, float scale, float* out);
  // x[i] += scale * norm(y)[i], by one fused add
  void (*rms_norm_add)(const float* y, const RowNorm& norm, int64_t n, float scale, float* x);
  void (*layer_norm_add)(const float* y, const RowNorm& norm, int64_t n, float scale, float* x);
  // x[i] += scale * y[i], by one fused add
  void (*add_scaled)(const float* y, int64_t n, float scale, float* x);
  // x[i] *= scale
  void (*scale_values)(int64_t n, float scale, float* x);
  // x[i] = cap * tanh(x[i] / cap)
  void (*soft_cap)(int64_t n, float cap, float* x);
  // x[i] /= 1 + exp(-gate[i])
  void (*sigmoid_gate)(const float* gate, int64_t n, float* x);
  // Of a row: the experts that it uses, the best first, the lower id first among equals, and their weights [used].
  // logits [n_experts].
  void (*route)(const RouterForm& router, const float* logits, int32_t* ids, float* weights);
  // Of a row: out [n] = the weighted sum of what its experts gave, in the order of ranks.
  void (*sum_experts)(const ExpertOutputs& in, int64_t n, float* out);
  // x [rows, ld_x] f32, n of each row, to groups of 64 (the last one padded with zeros), rotated first unless they already
  // are. At most kQuantizedRows rows, all of one tile; `out` points to the first one's place.
  void (*quantize_rows)(const float* x, int64_t ld_x, int rows, int64_t n, bool rotate,
                        const QuantizedRows& out);
  // In place, orthonormal Hadamard of order `block` (a power of two, 1..64) on each block of x [n].
  void (*rotate_blocks)(float* x, int64_t n, int block);
  // [n_rows, k] f32 weights, n_rows <= kPanelColumns, to one panel of ceil(k / 64) blocks; missing rows become zeros.
  void (*pack_panel_s8)(const float* weights, int64_t n_rows, int64_t k, Int8Block* panel);
  // One head vector [n], n a multiple of 16: q * scale ~ x, scale = amax / 127. values as the table's quantized type.
  void (*quantize_head)(const float* x, int64_t n, void* values, float* scale, int32_t* start);
  // The same to plain int8.
  void (*quantize_head_s8)(const float* x, int64_t n, int8_t* values, float* scale);
  // x [n] to binary16, to the nearest, ties to even; beyond +-65,504 that is infinity. n is a multiple of 16.
  void (*round_to_half)(const float* x, int64_t n, uint16_t* out);
  // out[i] = act(gate[i]) * up[i], or act(up[i]) when gate is nullptr
  void (*silu)(const float* gate, const float* up, int64_t n, float* out);
  void (*gelu_tanh)(const float* gate, const float* up, int64_t n, float* out);
  void (*gelu_erf)(const float* gate, const float* up, int64_t n, float* out);
  void (*relu)(const float* gate, const float* up, int64_t n, float* out);
  void (*relu2)(const float* gate, const float* up, int64_t n, float* out);
  void (*quick_gelu)(const float* gate, const float* up, int64_t n, float* out);
  // The limited, shifted gate of ops_activations.h.
  void (*clamped_swiglu)(const float* gate, const float* up, int64_t n, const SwigluForm& form, float* out);
  void (*attention_chunk_f32)(const AttentionChunk&);
  void (*attention_chunk_f16)(const AttentionChunk&);  // over a cache of f16, with q_f32
  void (*attention_chunk_s8)(const AttentionChunk&);
  const AttentionKinds* attention_kinds;
  const StateKernels* states;
  // state <- state merged with that of a later chunk, rows <= kMaxTileRows
  void (*attention_merge)(SoftmaxState state, SoftmaxState later, int rows, int head_dim);
  // out[i] = acc[i] / sum
  void (*attention_finish)(const float* acc, float sum, int head_dim, float* out);
  // out [ceil(n / kLogitBlock)]: the largest of each block of x [n]
  void (*block_maxima)(const float* x, int64_t n, float* out);
  // sums [ceil(n / kExpSumBlock)]: of exp((x[i] - max) * inverse_temperature)
  void (*sum_exps)(const float* x, int64_t n, float max, float inverse_temperature, float* sums);
};

const KernelTable& ScalarKernels();
const KernelTable& Avx2Kernels();
const KernelTable& AvxVnniKernels();
const KernelTable& Avx512Kernels();
const KernelTable& Avx512VnniKernels();
const KernelTable& AmxKernels();

}  // namespace kvasir::cpu
