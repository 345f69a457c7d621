// The operations of the transformer, with the arithmetic contract that each implementation keeps: a row's result does not
// depend on the rows beside it, on chunking or on the number of threads. Shapes are checked when weights are loaded and
// batches are built, not here. It knows no graph and no file format.
#pragma once

#include <cstdint>
#include <functional>

#include "backend/attention.h"
#include "backend/op_forms.h"
#include "backend/router_form.h"
#include "backend/state_form.h"
#include "backend/step.h"
#include "backend/types.h"

namespace kvasir {

class Ops {
 public:
  virtual ~Ops() = default;

  // For StepScope (backend.h) alone. Ops from BeginStep to EndStep, or after an error to AbandonStep, belong to this step.
  // A backend may record them, to run those of a like step at once: their results are read through Device::HostView and
  // Summarize alone. EndStep waits until the step has run.
  virtual void BeginStep(const StepInput& step) = 0;
  virtual void EndStep() = 0;
  virtual void AbandonStep() noexcept = 0;

  // Calls fn for blocks that together are all `rows`, as long as Traits says. A backend may run blocks side by
  // side, each lane one at a time; the ops that fn calls then work alone on their lane. fn must not throw.
  virtual void ForRowBlocks(int64_t rows, const std::function<void(const RowBlock&)>& fn) = 0;

  // Of LinearInput::data, a multiple of 64; 0 for float32. `data` is aligned to 64.
  virtual int64_t LinearInputBytes(Dtype dtype, int64_t rows, int64_t width) const = 0;

  // x [ids.count, table.k] = rows of the table, unpacked (and rotated back).
  virtual void Embed(const LinearWeight& table, const StepIndices& ids, float* x) = 0;
  // The same outside of a step: ids [n] in the host's memory.
  virtual void UnpackRows(const LinearWeight& table, const int32_t* ids, int64_t n, float* x) = 0;
  // x [indices.count, width] += table[indices[i]]
  virtual void AddRows(const float* table, const StepIndices& indices, int64_t width, float* x) = 0;
  // out [indices.count, width] = rows x[indices[i]]
  virtual void GatherRows(const float* x, const StepIndices& indices, int64_t width, float* out) = 0;
  virtual void Norm(const NormWeight& weight, const float* x, int64_t rows, LinearInput* out) = 0;
  // x [rows, out->width] as input of a linear. Blocks of `rotation` values (a power of two up to 64; 1: single ones) of x
  // are rotated, as attention leaves them (AttentionShape::rotation): they are turned back, in place, or taken as they
  // are where the linear wants them so. out->f32 then points to x.
  virtual void Prepare(float* x, int64_t rows, int rotation, LinearInput* out) = 0;
  // out [rows, ld_out] = (accumulate ? out : 0) + x W^T + b
  virtual void Linear(const LinearWeight& weight, const LinearInput& x, int64_t rows, float* out,
                      int64_t ld_out, bool accumulate) = 0;
  // act(gate) * up for gate_up [rows, 2 * width], or act(x) for x [rows, width]; f32 work rows are in `scratch`.
  virtual void Activation(const ActivationForm& form, bool gated, const float* x, int64_t rows,
                          float* scratch, LinearInput* out) = 0;
  // Linear and Activation in one: x W^T, W of gate and up or of up alone, activated, as input of the next linear.
  // scratch [rows, out->width] as for Activation, wide [rows, weight.n].
  virtual void LinearActivation(const LinearWeight& weight, const ActivationForm& form, const LinearInput& x,
                                int64_t rows, float* wide, float* scratch, LinearInput* out) = 0;
  // x [rows, width] joined by y [rows, width] (nullptr: see JoinForm).
  virtual void AddNorm(const AddNormForm& form, const float* y, int64_t rows, int64_t width, float* x) = 0;
  // x [rows, width] += factor of the row * y [rows, width]
  virtual void AddScaledRows(const RowFactors& factors, const float* y, int64_t rows, int64_t width,
                             float* x) = 0;
  // x [rows, width] scaled and capped.
  virtual void Scale(const Scaling& scaling, int64_t rows, int64_t width, float* x) = 0;
  // x [rows, width], of attention, turned back and gated.
  virtual void ApplyGate(const OutputGate& gate, int64_t rows, int64_t width, float* x) = 0;
  // The experts that each row uses, the best first, the lower id first among equals: ids and weights [rows, router.used] of
  // logits [rows, router.n_experts].
  virtual void Route(const RouterForm& router, const float* logits, int64_t rows, int32_t* ids,
                     float* weights) = 0;
  // Of the scratch memory of Experts for up to `rows` rows, aligned to 64.
  virtual int64_t ExpertsScratchBytes(const ExpertsForm& form, int64_t rows) const = 0;
  // out [rows, hidden] = for each row the weighted sum of what its experts make of it, in the order of ranks. x holds the
  // rows in float32, and quantized where any expert's gate_up is INT8. A step with experts is not a whole one
  // (StepInput::whole): a GPU is asked which experts are used.
  virtual void Experts(const ExpertsForm& form, const LinearInput& x, const RoutedRows& routed, int64_t rows,
                       void* scratch, float* out) = 0;
  // qkv [block.count, (n_heads + 2 n_kv_heads) * head_dim]: head norm, rotary embedding, scale of the position, then K and V into the cache, Q into
  // queries.
  virtual void StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv,
                       Queries* queries) = 0;
  // out [rows, n_heads * head_dim], where args.sequences say: these may be parts of the step's, and other rows of `out`
  // are undefined then. V's rotation (AttentionShape::rotation) is still in it: Prepare undoes it.
  virtual void Attention(const AttentionArgs& args, const Queries& queries, float* out) = 0;
  // Layers with a state: each sequence's rows in order, from the state before them to the one after. A GPU has none.
  virtual void ShortConv(const ShortConvArgs& args) = 0;
  // q, k and v are convolved and activated, keys and queries brought to length 1, queries divided by the root of their
  // dimension; then for each value head, with S [key_dim, value_dim]: S *= decay, S += k (beta (v - S^T k))^T, out = S^T q;
  // out = norm(out) * silu(z).
  virtual void DeltaNet(const DeltaNetArgs& args) = 0;
  // Takes the memory for Summarize of so many rows and fewer, which may grow with use otherwise.
  virtual void ReserveSummary(int64_t rows, int64_t vocab, int64_t n_candidates) = 0;
  // logits [rows, vocab]
  virtual void Summarize(const float* logits, int64_t rows, int64_t vocab, int64_t n_candidates,
                         LogitsSummary* summaries) = 0;
};

}  // namespace kvasir
