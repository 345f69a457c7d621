#include "model/step_scratch.h"

#include <algorithm>

namespace kvasir {

namespace {

constexpr int64_t kGroupValues = 64;  // activations are quantized in groups of 64; widths are padded to it

template <typename T>
T* TakeValues(Arena& arena, int64_t count) {
  return arena.TakeArray<T>(static_cast<size_t>(count));
}

Activations TakeActivations(Arena& arena, Dtype dtype, int64_t rows, int64_t width,
                            const ScratchShape& shape) {
  Activations out;
  out.dtype = dtype;
  out.width = width;
  if (dtype != Dtype::kInt8) return out;
  const int64_t tiles = (rows + shape.row_tile - 1) / shape.row_tile;
  const int64_t groups = (width + kGroupValues - 1) / kGroupValues * tiles * shape.row_tile;
  out.values = TakeValues<uint8_t>(arena, groups * kGroupValues * shape.quantized_bytes);
  out.scales = TakeValues<float>(arena, groups);
  out.start = TakeValues<int32_t>(arena, groups);
  out.start_of_sums = TakeValues<int32_t>(arena, groups);
  return out;
}

}  // namespace

StepScratch::StepScratch(const ModelSpec& spec, const LoadOptions& options, const ScratchShape& shape,
                         Backend* backend)
    : memory_(backend->Allocate(Bytes(spec, options, shape), "the activations", false)) {
  Arena arena(memory_->data(), memory_->size());
  Take(arena, spec, options, shape);
}

int64_t StepScratch::Bytes(const ModelSpec& spec, const LoadOptions& options, const ScratchShape& shape) {
  Arena counting;
  StepScratch().Take(counting, spec, options, shape);
  return static_cast<int64_t>(counting.used());
}

RowScratch StepScratch::TakeRows(Arena& arena, const ModelSpec& spec, Dtype dtype, int64_t rows,
                                 const ScratchShape& shape) {
  RowScratch out;
  out.wide = TakeValues<float>(arena, rows * std::max(spec.qkv_size(), (spec.gated ? 2 : 1) * spec.ffn_size));
  out.work = TakeValues<float>(arena, rows * spec.ffn_size);
  out.normed = TakeActivations(arena, dtype, rows, spec.hidden_size, shape);
  out.normed.f32 = TakeValues<float>(arena, rows * spec.hidden_size);
  out.o_input = TakeActivations(arena, dtype, rows, spec.n_heads * spec.head_dim, shape);
  out.down_input = TakeActivations(arena, dtype, rows, spec.ffn_size, shape);
  return out;
}

void StepScratch::Take(Arena& arena, const ModelSpec& spec, const LoadOptions& options,
                       const ScratchShape& shape) {
  x = TakeValues<float>(arena, shape.tokens * spec.hidden_size);
  attended = TakeValues<float>(arena, shape.tokens * spec.n_heads * spec.head_dim);
  gathered = TakeValues<float>(arena, shape.logit_rows * spec.hidden_size);
  gathered_attended = TakeValues<float>(arena, shape.logit_rows * spec.n_heads * spec.head_dim);
  logits = TakeValues<float>(arena, shape.logit_rows * spec.vocab_size);
  final_normed = TakeActivations(arena, options.dtype, shape.logit_rows, spec.hidden_size, shape);
  final_normed.f32 = TakeValues<float>(arena, shape.logit_rows * spec.hidden_size);
  const int64_t query_rows = shape.tokens * spec.n_heads;
  const int64_t query_values = query_rows * spec.padded_head_dim();
  queries.dtype = options.kv_dtype == Dtype::kInt8 ? Dtype::kInt8 : Dtype::kF32;
  if (queries.dtype == Dtype::kF32) {
    queries.f32 = TakeValues<float>(arena, query_values);
  } else {
    queries.values = TakeValues<uint8_t>(arena, query_values * shape.quantized_bytes);
    queries.scales = TakeValues<float>(arena, query_rows);
    queries.start = TakeValues<int32_t>(arena, query_rows);
  }
  lanes.clear();
  for (int64_t lane = 0; lane < shape.lanes; ++lane) {
    lanes.push_back(TakeRows(arena, spec, options.dtype, shape.block_rows, shape));
  }
}

}  // namespace kvasir
