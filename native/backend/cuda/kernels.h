// The kernels as host functions: each queues its work on a stream and returns. All pointers are device memory; the
// structs are those of the room above, with device memory behind them. Every kernel computes the bits of the CPU's scalar
// table (backend/cpu/ops_*.h over simd_scalar.h): the same reductions in the same order, exact integer sums, and exp, erf
// and division written out. Shapes are checked where weights are loaded, not here.
#pragma once

#include <cstdint>

#include "backend/attention.h"
#include "backend/cuda/cuda_platform.h"
#include "backend/op_forms.h"
#include "backend/router_form.h"
#include "backend/types.h"
#include "quant/int8_layout.h"

namespace kvasir::cuda {

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int kPanel = 16;     // output columns of an INT8 linear that lie together
constexpr int kTileRows = 16;  // query rows of one attention tile, the rows of an mma
constexpr int kChunk = 256;    // positions that attention reduces from a fresh state, then merges in order
constexpr int kPage = 64;      // positions of a KV cache page
constexpr int kMaxHeadDim = 256;

// An INT8 linear on the device, from `LinearWeight::panels`: first all weights, then all scales. A panel is 16 columns.
//   weights s8  [ceil(n / 32) * 2 panels][groups][2 halves][8 columns][4 quarters][16]   q in [-127, 127], no offset
//   scales  f16 [ceil(n / 32) * 2 panels][groups][8 columns][2]
// Columns c and c + 8 lie together. The 16 bytes of half h, column c, quarter t are k = 16 t + 8 h + 0..3 of column c,
// the same of column c + 8, then k + 4 of both: what lane 4 c + t of a warp holds of the A operand of mma.m16n8k32
// (weights are its 16 rows), in the order of its registers. Lane 4 r + t reads the 16 bytes of quarter t of row r of x:
// the B operand of both halves. The order of k inside a group does not matter as long as both sides have the same. So a
// lane's loads are 16 bytes, a warp's 512 in a row, for tensor cores and dp4a alike. As many bytes as the CPU's blocks.
// An FP32 linear is as on the CPU: [ceil(n / 32)] panels of [k][32] f32.
struct Int8Linear {
  const int8_t* weights;
  const uint16_t* scales;
  int64_t panels;  // of kPanel columns
  int64_t groups;
};
inline Int8Linear Int8LinearOf(const LinearWeight& w) {
  const int64_t panels = (w.n + kPanelColumns - 1) / kPanelColumns * (kPanelColumns / kPanel);
  const int64_t groups = (w.k + kGroup - 1) / kGroup;
  const int8_t* weights = static_cast<const int8_t*>(w.panels);
  return {weights, reinterpret_cast<const uint16_t*>(weights + panels * groups * kPanel * kGroup), panels,
          groups};
}

// Query rows of a step are numbered per sequence and kv head: token * group + head in group (group = n_heads /
// n_kv_heads). A tile is at most kTileRows of them.
struct AttentionTile {
  int32_t sequence;  // in the step: a row of StepTable::pages
  int32_t first;     // query row within the sequence
  int32_t rows;      // 1..kTileRows
  int32_t step_row;  // the step's row of the sequence's first token
  int32_t start;     // position of that token
};

// What differs from step to step, in device memory at fixed addresses: a recorded graph can be replayed for the next
// step of the same shape.
struct StepTable {
  const int32_t* tokens = nullptr;     // [rows]
  const int32_t* positions = nullptr;  // [rows] position within the sequence
  const int32_t* sequences = nullptr;  // [rows] sequence in the step
  const int32_t* pages = nullptr;  // [n_sequences, ld_pages] indices of KV pages; -1 where nothing reads one
  const AttentionTile* tiles = nullptr;
  const int32_t* lengths = nullptr;  // [n_sequences] positions in memory after the step
  const int32_t* wanted = nullptr;   // [n_wanted] rows whose logits are wanted
  int64_t ld_pages = 0;
  int64_t rows = 0;
  int64_t n_tiles = 0;
  int64_t max_chunks = 0;  // chunks of the longest sequence, or more (rounded up for a recorded graph)
  bool split = false;      // one block a chunk instead of one a tile: few tiles, long sequences
};

// Rows as they leave an op and enter a linear, of the device's layout of LinearInput.
struct Activations {
  Dtype dtype = Dtype::kF32;
  int64_t width = 0;
  float* f32 = nullptr;     // [rows, width], or nullptr where nobody reads them
  void* values = nullptr;   // s8 [rows, groups, 64] quantized, rotated
  float* scales = nullptr;  // [rows, groups]
};
// What LinearInput::data holds: all values, then all scales.
inline int64_t LinearInputGroups(int64_t rows, int64_t width) { return rows * CeilDiv(width, kGroup); }
inline Activations ActivationsOf(const LinearInput& x) {
  const int64_t value_bytes = LinearInputGroups(x.rows, x.width) * kGroup;
  uint8_t* data = static_cast<uint8_t*>(x.data);
  return {.dtype = x.dtype,
          .width = x.width,
          .f32 = x.f32,
          .values = data,
          .scales = data == nullptr ? nullptr : reinterpret_cast<float*>(data + value_bytes)};
}

// The KV cache of the layers that are on the device. The layout's runs are single
// pages; inside a head's part:
//   f32, f16: K [64 positions][padded_head_dim], V [64][padded_head_dim]
//   s8:  K [64 positions][padded_head_dim], V [padded_head_dim][64], where position p is byte p % 16 * 4 + p / 16: the
//        softmax has positions 16 apart in one lane, whose weights then leave as whole words; scales as on the CPU
struct KvPages {
  uint8_t* pages = nullptr;
  KvLayout layout;
  int64_t layer = 0;
};

// ---- rows.cu, quantize_rows.cu: work on single rows ----

// Panels [first, first + count) of 32 columns of a linear as the CPU has them, blocks [count][groups] in device memory, into
// `own` in the layout of Int8Linear.
void RepackInt8(const Int8Block* blocks, int64_t first, int64_t count, const LinearWeight& own,
                cudaStream_t stream);
// x [rows, table.k] f32 = rows of the table, unpacked and rotated back. ids [rows].
void Embed(const LinearWeight& table, const int32_t* ids, int64_t rows, float* x, cudaStream_t stream);
// x [rows, width] += table[positions[i]]
void AddRows(const float* table, const int32_t* positions, int64_t rows, int64_t width, float* x,
             cudaStream_t stream);
// out [n, width] = x[indices[i]]
void GatherRows(const float* x, const int32_t* indices, int64_t n, int64_t width, float* out,
                cudaStream_t stream);
// out->f32 [rows, width]; with out->dtype kInt8 also rotated and quantized, in one pass.
void Norm(const NormWeight& weight, const float* x, int64_t rows, const Activations& out,
          cudaStream_t stream);
// x [rows, out.width] to groups of 64 (values and scales), rotated first unless it already is.
void Quantize(const float* x, int64_t rows, bool rotated, const Activations& out, cudaStream_t stream);
// act(gate) * up of gate_up [rows, 2 * width], or act(x) of x [rows, width], into out.f32 and, where
// out.dtype is kInt8, quantized; out.f32 may then be nullptr.
void Activate(const ActivationForm& form, bool gated, const float* x, int64_t rows, const Activations& out,
              cudaStream_t stream);
// In place: undoes a head rotation of x [rows, width].
void RotateBlocks(float* x, int64_t rows, int64_t width, int block, cudaStream_t stream);

// ---- residual.cu: see backend/op_forms.h ----

// x [rows, width] joined by y [rows, width]; y may be nullptr for kAddThenNorm.
void AddNorm(const AddNormForm& form, const float* y, int64_t rows, int64_t width, float* x,
             cudaStream_t stream);
// x [rows, width] += factor of the row * y [rows, width]
void AddScaledRows(const RowFactors& factors, const float* y, int64_t rows, int64_t width, float* x,
                   cudaStream_t stream);
// x [rows, width] scaled and capped.
void Scale(const Scaling& scaling, int64_t rows, int64_t width, float* x, cudaStream_t stream);
// x [rows, width] *= sigmoid(gate [rows, ld_gate])
void ApplyGate(const float* gate, int64_t ld_gate, int64_t rows, int64_t width, float* x,
               cudaStream_t stream);

// ---- experts.cu ----

// ids and weights [rows, router.used] of logits [rows, router.n_experts]; see KernelTable::route.
void Route(const RouterForm& router, const float* logits, int64_t rows, int32_t* ids, float* weights,
           cudaStream_t stream);
// out [n] = rows x[rows[i]], in the form of out.dtype, which x must have.
void GatherInput(const Activations& x, const int32_t* rows, int64_t n, const Activations& out,
                 cudaStream_t stream);
// out [rows, width] (+)= for each row the weighted sum of what its experts gave; see KernelTable::sum_experts.
struct ExpertSums {
  const float* y = nullptr;         // [rows * used, width]
  const int32_t* places = nullptr;  // [rows, used] of y's rows, in the order of ranks
  const float* weights = nullptr;   // [rows, used]
  int64_t used = 0;
  bool accumulate = false;
};
void SumExperts(const ExpertSums& in, int64_t rows, int64_t width, float* out, cudaStream_t stream);

// ---- linear_s8.cu, linear_f32.cu ----

// out [rows, ld_out] = (accumulate ? out : 0) + x W^T + b
void Linear(const LinearWeight& weight, const Activations& x, int64_t rows, float* out, int64_t ld_out,
            bool accumulate, cudaStream_t stream);

// ---- attention_store.cu, attention_s8*.cu, attention_f32*.cu, attention_merge.cu ----

// Rows of the step, qkv [block.count, (n_heads + 2 n_kv_heads) * head_dim]: head norm, rotary embedding, K and V
// into the cache, Q into queries ([n_kv_heads, step rows, group, padded_head_dim] f32 or s8 with scales).
void StoreKv(const AttentionShape& shape, const HeadNorm& norm, const KvPages& kv, const StepTable& step,
             const RowBlock& block, const float* qkv, const Queries& queries, cudaStream_t stream);
// Bytes of `partials` for a step with `split`.
int64_t AttentionPartialBytes(const AttentionShape& shape, int64_t n_tiles, int64_t max_chunks);
// out [step rows, n_heads * head_dim]. V's rotation is still in it. Sequences are those of the step's table; the trace and
// the biases are device memory.
void Attention(const AttentionArgs& args, const StepTable& step, const Queries& queries, float* partials,
               float* out, cudaStream_t stream);

// ---- logits.cu ----

constexpr int kSumBlock = 256;  // logits that one float sum of the log-sum-exp takes

// Of each row of logits [rows, vocab]: the `count` (at most 256, at most vocab) largest with their ids, largest first,
// the lower id first among equals, NaN last; the maximum; and for both inverse temperatures the sums of
// exp((x - max) * inverse) over blocks of kSumBlock, in the CPU's order, which the host adds in double.
struct LogitsOutput {
  int32_t* ids = nullptr;   // [rows, count]
  float* logits = nullptr;  // [rows, count]
  float* max = nullptr;     // [rows]
  float* sums = nullptr;    // [rows, 2, ceil(vocab / kSumBlock)]: at inverse[row], and at 1
  void* scratch = nullptr;  // SummaryScratchBytes(rows, vocab), aligned to 8
};
int64_t SummaryScratchBytes(int64_t rows, int64_t vocab);
void SummarizeLogits(const float* logits, int64_t rows, int64_t vocab, int64_t count, const float* inverse,
                     const LogitsOutput& out, cudaStream_t stream);

}  // namespace kvasir::cuda
