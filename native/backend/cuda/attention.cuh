// What the attention kernels share: their arguments, which rows and chunks a block has, and where a row's results go.
// A block has one tile (at most 16 query rows of one sequence) and one kv head. It walks the chunks of 256 positions in
// order, or, in a step with `split`, it has one chunk and leaves its state to attention_merge.cu.
#pragma once

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/softmax.cuh"

namespace kvasir::cuda {

constexpr int kAttentionThreads = 256;  // half a warp a query row
constexpr int kPagesOfChunk = kChunk / kPage;
constexpr int kScoreStride = kChunk + 8;  // floats from row to row in shared memory; see ScoreRow

// Byte offsets within a page are those of kv head 0; head_bytes lie from one head's K (or V) to the next.
struct CacheView {
  uint8_t* pages;
  int64_t page_bytes, head_bytes;
  int64_t k, v, k_scales, v_scales;
};
CacheView ViewOf(const KvPages& kv);

// What makes attention other than full and causal; see AttentionShape and AttentionBias.
struct ScoreKind {
  const int32_t* lengths;  // [n_sequences]
  int before, after;       // at most kFar
  float soft_cap, inverse_cap;
  const float* slopes;
  const float* distance_bias;
  int reach;
  const float* sinks;

  static constexpr int kFar = 1 << 29;
};

struct TileArgs {
  CacheView cache;
  const int32_t* pages;  // [n_sequences, ld_pages]
  int64_t ld_pages;
  const AttentionTile* tiles;
  int64_t n_tiles;
  int64_t max_chunks;
  int64_t step_rows;
  const void* queries;        // [n_kv_heads, step_rows, group, padded_head_dim] s8 or f32
  const float* query_scales;  // [n_kv_heads, step_rows, group]
  float scale;
  int n_heads, n_kv_heads, group, head_dim, padded_head_dim;
  float* trace;  // [step_rows, n_heads, trace_positions] or nullptr
  int64_t trace_positions;
  float* partials;  // [n_tiles, n_kv_heads, max_chunks] of PartialFloats()
  float* out;       // [step_rows, n_heads, head_dim]
  ScoreKind kind;
};

// A block a tile and kv head, and with `split` a chunk.
inline LaunchConfig TileConfig(const TileArgs& args, bool split, cudaStream_t stream) {
  return {.grid = dim3(static_cast<unsigned>(args.n_tiles), static_cast<unsigned>(args.n_kv_heads),
                       split ? static_cast<unsigned>(args.max_chunks) : 1),
          .block = dim3(kAttentionThreads),
          .stream = stream};
}

void AttentionS8(const TileArgs& args, bool split, cudaStream_t stream);
// A cache of f32, or with `half` of binary16 numbers.
void AttentionF32(const TileArgs& args, bool half, bool split, cudaStream_t stream);
// The same for all kinds (TileArgs::kind), by kernels of their own.
void AttentionKindsS8(const TileArgs& args, bool split, cudaStream_t stream);
void AttentionKindsF32(const TileArgs& args, bool half, bool split, cudaStream_t stream);

// Floats of one chunk state of a tile: max [16], sum [16], values [16][padded_head_dim].
inline __host__ __device__ int64_t PartialFloats(int64_t padded_head_dim) {
  return kTileRows * (2 + padded_head_dim);
}

// A block's tile and kv head.
struct TileRows {
  AttentionTile tile;
  int64_t index;  // of the tile
  int kv_head;

  // Row of the queries.
  __device__ __forceinline__ int64_t Query(const TileArgs& a, int row) const {
    return (kv_head * a.step_rows + tile.step_row) * a.group + tile.first + row;
  }
};

// Later tiles of a prompt attend to more positions: they start first, so that the last blocks to end are short ones.
__device__ __forceinline__ TileRows RowsOfBlock(const TileArgs& a) {
  const int64_t index = a.n_tiles - 1 - static_cast<int64_t>(blockIdx.x);
  return {a.tiles[index], index, static_cast<int>(blockIdx.y)};
}

__device__ __forceinline__ float* Partial(const TileArgs& a, const TileRows& rows, int chunk) {
  return a.partials + ((rows.index * a.n_kv_heads + rows.kv_head) * a.max_chunks + chunk) *
                          PartialFloats(a.padded_head_dim);
}

// Where a page of the tile's sequence begins. Pages past the sequence's end have no index.
__device__ __forceinline__ const uint8_t* PageOf(const TileArgs& a, const TileRows& rows, int page) {
  const int32_t index = a.pages[rows.tile.sequence * a.ld_pages + page];
  return a.cache.pages + index * a.cache.page_bytes;
}

// The number of the warp, taken from its first lane: the compiler then sees that branches on it do not part a warp.
__device__ __forceinline__ int WarpOfBlock() {
  return __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / 32, 0);
}

// The row of a thread's half-warp in the softmax. Scores are written by mma lanes, 8 rows x 4 pairs of positions at
// once, which 8 floats more than 256 a row spread over all banks; half-warps two rows apart then read other banks too
// (2 * 264 mod 32 = 16).
__device__ __forceinline__ int ScoreRow() {
  const int warp = static_cast<int>(threadIdx.x) / 32, half = static_cast<int>(threadIdx.x) / 16 % 2;
  return warp / 2 * 4 + warp % 2 + 2 * half;
}

}  // namespace kvasir::cuda
