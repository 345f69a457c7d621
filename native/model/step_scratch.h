// Working memory of a step, taken once: what spans all of its tokens, and per lane what the rows of one block need (see
// Ops::ForRowBlocks). A lane's memory is small enough to stay in a core's cache. It computes nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "core/aligned_buffer.h"
#include "model/adapters.h"
#include "model/model_spec.h"
#include "model/weights.h"

namespace kvasir {

// Rows of one block between its ops.
struct RowScratch {
  float* wide = nullptr;     // [rows, max(qkv, 2 * ffn)]
  float* work = nullptr;     // [rows, ffn]
  LinearInput normed;        // width hidden
  LinearInput o_input;       // width n_heads * head_dim, or of a state
  LinearInput down_input;    // width ffn
  AdaptedRows adapted;       // of the block
  float* gate_up = nullptr;  // [rows, 2 * ffn or ffn] while there are adapters
};

// Rows of a step between the router and the sum of its experts.
struct ExpertsScratch {
  LinearInput input;              // [tokens], width hidden, also in float32
  float* logits = nullptr;        // [tokens, experts]
  int32_t* ids = nullptr;         // [tokens, used]
  float* weights = nullptr;       // [tokens, used]
  float* shared_gates = nullptr;  // [tokens]
  float* out = nullptr;           // [tokens, hidden]: what all experts of a row give
  void* work = nullptr;           // of Ops::Experts
};

struct ScratchShape {
  int64_t tokens = 0;      // of a step
  int64_t logit_rows = 0;  // whose logits are computed at a time
  Traits traits;
};

// What Ops::Experts is told of a feed-forward with experts; its weights may be absent where only memory is asked for.
ExpertsForm ExpertsFormOf(const FeedForwardSpec& f, int64_t hidden, const LayerWeights* weights);

class StepScratch {
 public:
  StepScratch() = default;
  StepScratch(const ModelSpec& spec, const LoadOptions& options, const ScratchShape& shape, Backend* backend);

  static int64_t Bytes(const ModelSpec& spec, const LoadOptions& options, const ScratchShape& shape,
                       const Ops& ops);
  // `rows` rows of a block from `arena`. `fused`: LinearActivation does not use `wide`.
  static RowScratch TakeRows(Arena& arena, const ModelSpec& spec, Dtype dtype, int64_t rows, const Ops& ops,
                             bool fused);

  int64_t bytes() const { return static_cast<int64_t>(memory_->size()); }

  float* x = nullptr;         // [tokens, hidden]: the residual stream
  float* attended = nullptr;  // [tokens, n_heads * head_dim or a state's mixed_size()]
  // Of layers with a state:
  float* state_in = nullptr;     // [tokens, StateSpec::in_size()]
  float* state_gates = nullptr;  // [tokens, StateSpec::gates_size()]
  // Of the rows whose logits are wanted.
  float* gathered = nullptr;           // [logit_rows, hidden]
  float* gathered_attended = nullptr;  // [logit_rows, as attended]
  float* logits = nullptr;             // [logit_rows, vocab], of a model with a head
  LinearInput final_normed;            // [logit_rows], width hidden
  Queries queries;
  ExpertsScratch experts;  // empty where no layer has any
  std::vector<RowScratch> lanes;

 private:
  void Take(Arena& arena, const ModelSpec& spec, const LoadOptions& options, const ScratchShape& shape,
            const Ops& ops);
  void TakeExperts(Arena& arena, const ModelSpec& spec, Dtype dtype, int64_t tokens, const Ops& ops);

  std::unique_ptr<BackendMemory> memory_;
};

}  // namespace kvasir
