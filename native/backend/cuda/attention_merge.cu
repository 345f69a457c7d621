// Where the attention of a step starts, and where the chunk states of a split one are merged in ascending order.
#include "backend/cuda/attention_rows.cuh"
#include "backend/cuda/launch.h"

namespace kvasir::cuda {

namespace {

// One block a tile and kv head; a thread walks the chunks of one value. Rows begin and end where their own positions do.
template <typename Policy>
__device__ __forceinline__ void MergeChunks(const TileArgs& a) {
  const TileRows rows = RowsOfBlock(a);
  const int64_t stride = PartialFloats(a.padded_head_dim);
  const float* states = Partial(a, rows, 0);
  for (int i = static_cast<int>(threadIdx.x); i < rows.tile.rows * a.head_dim; i += kAttentionThreads) {
    const int row = i / a.head_dim, d = i % a.head_dim;
    const typename Policy::Place place = Policy::PlaceOf(a, rows, row);
    const int first = Policy::FirstChunk(place);
    const float* p = states + first * stride;
    const int at = 2 * kTileRows + row * a.padded_head_dim + d;
    RowState state = {p[row], p[kTileRows + row]};
    float value = p[at];
    const int n_chunks = (place.length + kChunk - 1) / kChunk;
#pragma unroll 4
    for (int chunk = first + 1; chunk < n_chunks; ++chunk) {
      p += stride;
      const float later = p[at];
      value = MergeValue(value, later, MergeState(&state, {p[row], p[kTileRows + row]}));
    }
    if (Policy::kHasSinks && a.kind.sinks != nullptr) {
      value = MergeValue(value, 0.0f, MergeState(&state, SinkOf(a, place.head_row)));
    }
    a.out[static_cast<int64_t>(place.head_row) * a.head_dim + d] = __fdiv_rn(value, state.sum);
  }
}

__global__ void __launch_bounds__(kAttentionThreads) MergeTile(TileArgs a) { MergeChunks<Causal>(a); }
__global__ void __launch_bounds__(kAttentionThreads) MergeKindsTile(TileArgs a) { MergeChunks<Kinds>(a); }

bool IsCausal(const AttentionArgs& args) {
  const AttentionShape& s = *args.shape;
  const AttentionBias& bias = args.bias;
  return s.before == kUnbounded && s.after == 0 && s.soft_cap == 0 && bias.slopes == nullptr &&
         bias.distance_bias == nullptr && bias.sinks == nullptr;
}

ScoreKind KindOf(const AttentionArgs& args, const StepTable& step) {
  const AttentionShape& s = *args.shape;
  const auto near = [](int64_t n) { return static_cast<int>(n < ScoreKind::kFar ? n : ScoreKind::kFar); };
  return {.lengths = step.lengths,
          .before = near(s.before),
          .after = near(s.after),
          .soft_cap = s.soft_cap,
          .inverse_cap = s.soft_cap == 0 ? 0.0f : 1.0f / s.soft_cap,
          .slopes = args.bias.slopes,
          .distance_bias = args.bias.distance_bias,
          .reach = static_cast<int>(args.bias.reach),
          .sinks = args.bias.sinks};
}

}  // namespace

CacheView ViewOf(const KvPages& kv) {
  const KvLayout& layout = kv.layout;
  const KvPlace first = layout.Place(0, kv.layer, 0);
  return {.pages = kv.pages,
          .page_bytes = layout.PageBytes(),
          .head_bytes = 2 * layout.HeadBytes(),
          .k = first.k,
          .v = first.v,
          .k_scales = first.k_scales,
          .v_scales = first.v_scales};
}

int64_t AttentionPartialBytes(const AttentionShape& shape, int64_t n_tiles, int64_t max_chunks) {
  return n_tiles * shape.n_kv_heads * max_chunks * PartialFloats(shape.padded_head_dim) *
         static_cast<int64_t>(sizeof(float));
}

void Attention(const AttentionArgs& attention, const StepTable& step, const Queries& queries, float* partials,
               float* out, cudaStream_t stream) {
  if (step.n_tiles == 0) return;
  const AttentionShape& shape = *attention.shape;
  const Dtype dtype = attention.layout->dtype;
  const bool int8 = dtype == Dtype::kInt8, causal = IsCausal(attention);
  const TileArgs args = {
      .cache = ViewOf({attention.pages, *attention.layout, attention.layer}),
      .pages = step.pages,
      .ld_pages = step.ld_pages,
      .tiles = step.tiles,
      .n_tiles = step.n_tiles,
      .max_chunks = step.max_chunks,
      .step_rows = step.rows,
      .queries = int8 ? queries.values : queries.f32,
      .query_scales = queries.scales,
      .scale = shape.scale,
      .n_heads = static_cast<int>(shape.n_heads),
      .n_kv_heads = static_cast<int>(shape.n_kv_heads),
      .group = static_cast<int>(shape.n_heads / shape.n_kv_heads),
      .head_dim = static_cast<int>(shape.head_dim),
      .padded_head_dim = static_cast<int>(shape.padded_head_dim),
      .trace = attention.trace.scores,
      .trace_positions = attention.trace.positions,
      .partials = partials,
      .out = out,
      .kind = KindOf(attention, step),
  };
  if (int8) {
    (causal ? AttentionS8 : AttentionKindsS8)(args, step.split, stream);
  } else {
    (causal ? AttentionF32 : AttentionKindsF32)(args, dtype == Dtype::kF16, step.split, stream);
  }
  if (!step.split) return;
  const LaunchConfig config = {
      .grid = dim3(static_cast<unsigned>(args.n_tiles), static_cast<unsigned>(args.n_kv_heads)),
      .block = dim3(kAttentionThreads),
      .stream = stream};
  if (causal) {
    KVASIR_LAUNCH(MergeTile, config, args);
  } else {
    KVASIR_LAUNCH(MergeKindsTile, config, args);
  }
}

}  // namespace kvasir::cuda
