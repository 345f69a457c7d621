// The operations of the transformer as one interface, with the arithmetic contract that each implementation keeps:
// a row's result does not depend on the rows beside it, on chunking or on the number of threads.
// Shapes are checked when weights are loaded and batches are built, not here. It knows no graph and no file format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace kvasir {

// kF16 is for the KV cache alone: its values are rounded to binary16, the arithmetic is float32's.
enum class Dtype { kF32, kF16, kInt8 };
enum class NormKind { kRms, kLayer };
enum class ActivationKind { kSilu, kGeluTanh, kGeluErf };
enum class RopeKind { kNone, kHalf, kInterleaved };

constexpr int64_t kKvPagePositions = 64;

// y = x W^T + b, W [n, k], packed as the backend likes it. Memory belongs to whoever asked for the packing.
struct LinearWeight {
  Dtype dtype = Dtype::kF32;
  int64_t n = 0;
  int64_t k = 0;
  void* panels = nullptr;
  const float* bias = nullptr;  // [n padded to 32] or nullptr
};

struct NormWeight {
  NormKind kind = NormKind::kRms;
  float eps = 0;
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [width] or nullptr
};

// Rows as the linears of one dtype read them. `f32` is used when dtype is kF32, the others when it is kInt8: they hold rows
// and groups in the backend's order, rows padded to a multiple of Backend::row_tile().
struct Activations {
  Dtype dtype = Dtype::kF32;
  int64_t width = 0;
  float* f32 = nullptr;              // [rows, width]
  void* values = nullptr;            // [rows, groups, 64] quantized, rotated
  float* scales = nullptr;           // [rows, groups]
  int32_t* start = nullptr;          // [rows, groups]
  int32_t* start_of_sums = nullptr;  // [rows, groups], of the avx2 kernels
};

// Memory that the ops of one backend reach. The host reads and writes it through that backend alone.
class BackendMemory {
 public:
  BackendMemory(uint8_t* data, size_t size) : data_(data), size_(size) {}
  virtual ~BackendMemory() = default;
  BackendMemory(const BackendMemory&) = delete;
  BackendMemory& operator=(const BackendMemory&) = delete;
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_;
  size_t size_;
};

// Where a head's part of a page lies in the pool, in bytes.
struct KvPlace {
  int64_t k, v;                // HeadBytes() each
  int64_t k_scales, v_scales;  // HeadScaleBytes() each
};

// How the pool of pages of the KV cache lies in memory. A page holds kKvPagePositions positions of one sequence, all
// layers of a backend. Pages with consecutive numbers form runs of `run`; the last run may be shorter. Per run and layer:
// of each kv head K of the pages, then V; after them (INT8) the scales of K by head and page, then those of V, float32.
// Of a sequence that has a whole run attention reads K and V of a head in one stretch.
struct KvLayout {
  Dtype dtype = Dtype::kF32;
  int64_t n_layers = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t padded_head_dim = 0;  // multiple of 16
  int64_t n_pages = 0;
  int64_t run = 1;

  int64_t ValueBytes() const { return dtype == Dtype::kF32 ? 4 : dtype == Dtype::kF16 ? 2 : 1; }
  int64_t HeadBytes() const { return padded_head_dim * kKvPagePositions * ValueBytes(); }
  int64_t HeadScaleBytes() const { return dtype == Dtype::kInt8 ? kKvPagePositions * 4 : 0; }
  int64_t LayerBytes() const { return 2 * n_kv_heads * (HeadBytes() + HeadScaleBytes()); }
  int64_t PageBytes() const { return n_layers * LayerBytes(); }
  int64_t PoolBytes() const { return n_pages * PageBytes(); }
  KvPlace Place(int64_t page, int64_t layer, int64_t head) const {
    const int64_t in_run = page % run, first = page - in_run;
    const int64_t n = n_pages - first < run ? n_pages - first : run;
    const int64_t begin = first * PageBytes() + layer * n * LayerBytes();
    const int64_t k = begin + (2 * head * n + in_run) * HeadBytes();
    const int64_t scales = begin + 2 * n_kv_heads * n * HeadBytes();
    const int64_t k_scales = scales + (head * n + in_run) * HeadScaleBytes();
    return {k, k + n * HeadBytes(), k_scales, k_scales + n_kv_heads * n * HeadScaleBytes()};
  }
};

// One sequence of a batch step: rows [row, row + n_tokens) hold positions [start, start + n_tokens).
struct SequenceSpan {
  const int32_t* pages = nullptr;  // indices into the pool of pages
  int64_t start = 0;
  int64_t n_tokens = 0;
  int64_t row = 0;
};

struct AttentionShape {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t padded_head_dim = 0;
  float scale = 0;  // multiplies q.k
  RopeKind rope = RopeKind::kNone;
  int64_t rope_dim = 0;             // leading dimensions of a head that rotate
  const float* rope_cos = nullptr;  // [positions, rope_dim / 2]
  const float* rope_sin = nullptr;
  // Order of the Hadamard rotation of Q, K and V heads for an INT8 cache: the power of two up to 64 that divides
  // head_dim. 1 for a float cache.
  int rotation = 1;
};

// Rows [first, first + count) of a step. `lane` names the scratch memory that work on them may use.
struct RowBlock {
  int64_t first = 0;
  int64_t count = 0;
  int lane = 0;
};

// Queries of a step, grouped by kv head: [n_kv_heads, rows, n_heads / n_kv_heads, padded_head_dim].
struct Queries {
  Dtype dtype = Dtype::kF32;
  float* f32 = nullptr;
  void* values = nullptr;
  float* scales = nullptr;   // [n_kv_heads, rows, group]
  int32_t* start = nullptr;  // the same
};

// Optional record of raw attention scores, [rows, n_heads, positions]; see model/taps.h.
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
  AttentionTrace trace;
};

// A step as a whole, for backends that prepare for it. Ops take their ids, positions, sequences and row indices from the
// same arrays.
struct StepInput {
  const int32_t* tokens = nullptr;     // [rows]
  const int32_t* positions = nullptr;  // [rows]
  int64_t rows = 0;
  const SequenceSpan* sequences = nullptr;
  int64_t n_sequences = 0;
  const int32_t* wanted = nullptr;  // [n_wanted] rows whose logits are computed
  int64_t n_wanted = 0;
  const AttentionShape* shape = nullptr;
  bool whole = true;  // all layers of the backend, and no trace
};

// What sampling needs of one row of logits.
struct LogitsSummary {
  float temperature = 1;     // in: of log_sum_exp; > 0
  double log_sum_exp = 0;    // out
  double log_sum_exp_1 = 0;  // out: at temperature 1
  int32_t* ids = nullptr;    // out: [n_candidates], largest logit first, lower id first among equals
  float* logits = nullptr;   // out: [n_candidates]
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string kernels() const = 0;
  virtual int threads() const = 0;
  virtual int64_t quantized_bytes() const = 0;    // size of a quantized activation value
  virtual int64_t row_tile() const { return 1; }  // rows of Activations that lie together
  // "cpu" or "cuda:N".
  virtual std::string device() const = 0;

  // Zeroed memory; with `lazy` it may come on first touch. Throws Error(kInsufficientMemory) naming `purpose`.
  virtual std::unique_ptr<BackendMemory> Allocate(int64_t bytes, const std::string& purpose, bool lazy) = 0;
  // What Allocate can still give, as far as it is known.
  virtual int64_t FreeBytes() = 0;
  // To the backend's memory from the host's or its own, in the order of the ops before and after.
  virtual void Upload(void* to, const void* from, int64_t bytes) = 0;
  virtual void Copy(void* to, const void* from, int64_t bytes) = 0;
  // values [n] where the host can read them, when the ops before have run: themselves, or a copy in *buffer.
  virtual const float* HostView(const float* values, int64_t n, std::vector<float>* buffer) = 0;

  // Ops from here to EndStep, or after an error to AbandonStep, belong to this step. A backend may record them, to run
  // those of a like step at once: their results are read through HostView and Summarize alone.
  virtual void BeginStep(const StepInput& step) = 0;
  // Waits until the step has run.
  virtual void EndStep() = 0;
  virtual void AbandonStep() noexcept = 0;

  // Pages of the KV cache that lie side by side (KvLayout::run).
  virtual int64_t kv_run() const = 0;
  // Most rows of a block. There are as many lanes as threads().
  virtual int64_t block_rows() const = 0;
  // Calls fn for blocks that together are all `rows`. A backend may run blocks side by side, each lane one at a time;
  // the ops that fn calls then work alone on their lane. fn must not throw.
  virtual void ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) = 0;

  // Bytes of a packed linear without its bias, and how many of them are scales.
  virtual int64_t PackedBytes(Dtype dtype, int64_t n, int64_t k) const = 0;
  virtual int64_t PackedScaleBytes(Dtype dtype, int64_t n, int64_t k) const = 0;
  // Rows [first, first + n_rows) of W, given as f32 [n_rows, k], into `weight.panels`; `first` is a multiple of 32.
  // Of an INT8 linear these are Int8Blocks [ceil(n / 32), ceil(k / 64)] (quant/int8_layout.h), which files hold too.
  // Up to 32 rows may be packed on any thread, beside others.
  virtual void PackRows(const LinearWeight& weight, int64_t first, int64_t n_rows, const float* rows) = 0;

  // Panels and bias as the CPU backend packed them, in host memory, into those of `own`, as this backend likes them.
  virtual void UploadLinear(const LinearWeight& packed, const LinearWeight& own) = 0;

  // A hint: after the next linear comes this one, for so many rows.
  virtual void Expect(const LinearWeight&, int64_t) {}
  // x [n, table.k] = rows of the table, unpacked (and rotated back).
  virtual void Embed(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) = 0;
  // x [n, width] += table[positions[i]]
  virtual void AddRows(const float* table, const int32_t* positions, int64_t n, int64_t width, float* x) = 0;
  // out [n, width] = rows x[indices[i]]
  virtual void GatherRows(const float* x, const int32_t* indices, int64_t n, int64_t width, float* out) = 0;
  virtual void Norm(const NormWeight& weight, const float* x, int64_t rows, Activations* out) = 0;
  // x as input of a linear. With dtype f32 this only points to x. `rotated`: x H is what x holds already.
  virtual void Prepare(float* x, int64_t rows, bool rotated, Activations* out) = 0;
  // out [rows, ld_out] = (accumulate ? out : 0) + x W^T + b
  virtual void Linear(const LinearWeight& weight, const Activations& x, int64_t rows, float* out,
                      int64_t ld_out, bool accumulate) = 0;
  // act(gate) * up for gate_up [rows, 2 * width], or act(x) for x [rows, width]; f32 work rows are in `scratch`.
  virtual void Activation(ActivationKind kind, bool gated, const float* x, int64_t rows, float* scratch,
                          Activations* out) = 0;
  // Linear and Activation in one: x W^T, W of gate and up or of up alone, activated, as input of the next linear.
  // scratch [rows, out->width] as for Activation, wide [rows, weight.n].
  virtual void LinearActivation(const LinearWeight& weight, ActivationKind kind, const Activations& x,
                                int64_t rows, float* wide, float* scratch, Activations* out) = 0;
  // qkv [block.count, (n_heads + 2 n_kv_heads) * head_dim]: rotary embedding, then K and V into the cache, Q into
  // queries.
  virtual void StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv,
                       Queries* queries) = 0;
  // out [rows, n_heads * head_dim], where args.sequences say: these may be parts of the step's, and other rows of `out`
  // are undefined then. V's rotation is still in it.
  virtual void Attention(const AttentionArgs& args, const Queries& queries, float* out) = 0;
  // In place: undoes a head rotation of x [rows, width].
  virtual void RotateBlocks(float* x, int64_t rows, int64_t width, int block) = 0;
  // logits [rows, vocab]
  virtual void Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                         LogitsSummary* summaries) = 0;
};

// What the CPU can run, and what a load would choose now.
struct CpuReport {
  std::string brand;
  std::vector<std::string> compiled;   // kernel tables of this build, worst first
  std::vector<std::string> available;  // those that this CPU can run
  std::string selected;                // empty when KVASIR_CPU_ISA names one that it cannot; `error` says so
  std::string error;
  int cores = 1;
};

CpuReport DescribeCpu();
// The value of KVASIR_CPU_ISA, or empty. To be called on the thread that may write the environment.
std::string ForcedIsa();

// `threads` 0: one per available core. `isa` empty: the best table that this CPU has.
// Throws Error(kInvalidOption).
std::unique_ptr<Backend> MakeCpuBackend(int threads, const std::string& isa, int64_t max_positions,
                                        int64_t padded_head_dim);

}  // namespace kvasir
