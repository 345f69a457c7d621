// How attention is split among threads.
//
// Query rows of a sequence that share a kv head are numbered token * group + head in group, and cut into tiles of at
// most KernelTable::attention_rows. A tile walks its chunks of 256 positions in order, or, when a step has few tiles
// (decode), the chunks are tasks of their own and are merged in the same order afterwards: the same arithmetic either way.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

struct CpuBackend::Tile {
  const SequenceSpan* sequence;
  int64_t kv_head;
  int64_t first;  // first query row, token * group + head in group
  int rows;
  int64_t n_chunks;  // that its last row attends to

  // Positions that a row attends to; `group` heads share the kv head.
  int64_t Length(int row, int64_t group) const { return sequence->start + (first + row) / group + 1; }
};

struct CpuBackend::ChunkPlace {
  Tile tile;
  int64_t chunk;
};

CpuBackend::Tile CpuBackend::TileAt(const AttentionArgs& args, int64_t index) const {
  const int64_t i = std::upper_bound(first_tile_.begin(), first_tile_.end(), index) - first_tile_.begin() - 1;
  const SequenceSpan& sequence = args.sequences[i];
  const int64_t group = args.shape->n_heads / args.shape->n_kv_heads;
  const int64_t tiles_per_head = CeilDiv(sequence.n_tokens * group, kernels_.attention_rows);
  const int64_t local = index - first_tile_[static_cast<size_t>(i)];
  const int64_t first = local % tiles_per_head * kernels_.attention_rows;
  const int rows =
      static_cast<int>(std::min<int64_t>(kernels_.attention_rows, sequence.n_tokens * group - first));
  Tile tile = {&sequence, local / tiles_per_head, first, rows, 0};
  tile.n_chunks = CeilDiv(tile.Length(rows - 1, group), kChunkPositions);
  return tile;
}

ChunkPages CpuBackend::PagesOf(const AttentionArgs& args, const ChunkPlace& place) const {
  const KvLayout& layout = *args.layout;
  const SequenceSpan& sequence = *place.tile.sequence;
  const int64_t group = args.shape->n_heads / args.shape->n_kv_heads;
  const int64_t first = place.chunk * kChunkPositions;
  const int64_t length = place.tile.Length(place.tile.rows - 1, group);
  ChunkPages pages = {};
  pages.n = static_cast<int>(CeilDiv(std::min<int64_t>(length - first, kChunkPositions), kPagePositions));
  for (int i = 0; i < pages.n; ++i) {
    const int32_t page = sequence.pages[first / kPagePositions + i];
    const KvPlace at = layout.Place(page, args.layer, place.tile.kv_head);
    pages.k[i] = args.pages + at.k;
    pages.v[i] = args.pages + at.v;
    if (layout.dtype != Dtype::kInt8) continue;
    pages.k_scales[i] = reinterpret_cast<const float*>(args.pages + at.k_scales);
    pages.v_scales[i] = reinterpret_cast<const float*>(args.pages + at.v_scales);
  }
  return pages;
}

void CpuBackend::ChunkOfTile(const AttentionArgs& args, const Queries& queries, const ChunkPlace& place,
                             const ChunkPages* next, bool fetched, const SoftmaxState& out) const {
  const AttentionShape& s = *args.shape;
  const Tile& tile = place.tile;
  const int64_t chunk = place.chunk;
  const int64_t group = s.n_heads / s.n_kv_heads;
  const int64_t index = (tile.kv_head * args.rows + tile.sequence->row) * group + tile.first;
  const ChunkPages pages = PagesOf(args, place);
  int n_valid[kMaxTileRows];
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t length = tile.Length(r, group);
    n_valid[r] = static_cast<int>(std::clamp<int64_t>(length - chunk * kChunkPositions, 0, kChunkPositions));
  }
  float traced[kMaxTileRows * kChunkPositions];
  AttentionChunk c = {};
  c.rows = tile.rows;
  c.head_dim = static_cast<int>(s.padded_head_dim);
  c.scale = s.scale;
  c.k_pages = pages.k;
  c.v_pages = pages.v;
  c.n_valid = n_valid;
  c.max = out.max;
  c.sum = out.sum;
  c.acc = out.acc;
  c.trace = args.trace.scores == nullptr ? nullptr : traced;
  c.next = next;
  c.fetched = fetched;
  if (args.layout->dtype != Dtype::kInt8) {
    c.q_f32 = queries.f32 + index * s.padded_head_dim;
    (args.layout->dtype == Dtype::kF16 ? kernels_.attention_chunk_f16 : kernels_.attention_chunk_f32)(c);
  } else {
    c.q_s8 =
        static_cast<const uint8_t*>(queries.values) + index * s.padded_head_dim * kernels_.quantized_bytes;
    c.q_scales = queries.scales + index;
    c.q_start = queries.start + index;
    c.k_scales = pages.k_scales;
    c.v_scales = pages.v_scales;
    kernels_.attention_chunk_s8(c);
  }
  if (c.trace == nullptr) return;
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t row = tile.sequence->row + (tile.first + r) / group;
    const int64_t head = tile.kv_head * group + (tile.first + r) % group;
    std::copy_n(
        traced + r * kChunkPositions, n_valid[r],
        args.trace.scores + (row * s.n_heads + head) * args.trace.positions + chunk * kChunkPositions);
  }
}

void CpuBackend::FinishTile(const AttentionArgs& args, const Tile& tile, const float* sum, const float* acc,
                            float* out) const {
  const AttentionShape& s = *args.shape;
  const int64_t group = s.n_heads / s.n_kv_heads;
  float head[kMaxHeadDim];
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t row = tile.sequence->row + (tile.first + r) / group;
    const int64_t h = tile.kv_head * group + (tile.first + r) % group;
    kernels_.attention_finish(acc + r * s.padded_head_dim, sum[r], static_cast<int>(s.padded_head_dim), head);
    std::copy_n(head, s.head_dim, out + (row * s.n_heads + h) * s.head_dim);
  }
}

// Of all rows of a tile that attend to the chunk: the last ones.
void CpuBackend::MergeChunk(const AttentionArgs& args, const Tile& tile, int64_t chunk,
                            const SoftmaxState& state, const SoftmaxState& later) const {
  const int width = static_cast<int>(args.shape->padded_head_dim);
  const int64_t group = args.shape->n_heads / args.shape->n_kv_heads;
  int first = 0;
  while (tile.Length(first, group) <= chunk * kChunkPositions) ++first;
  const auto from = [&](const SoftmaxState& s) {
    return SoftmaxState{s.max + first, s.sum + first, s.acc + first * width};
  };
  kernels_.attention_merge(from(state), from(later), tile.rows - first, width);
}

void CpuBackend::AttentionByTile(const AttentionArgs& args, const Queries& queries, float* out) {
  pool_.ParallelFor(first_tile_.back(), [&](int64_t index, int) {
    const Tile tile = TileAt(args, index);
    const KernelScope scope(kernels_, tile.rows);
    float max[kMaxTileRows], sum[kMaxTileRows], acc[kMaxTileRows * kMaxHeadDim];
    float next_max[kMaxTileRows], next_sum[kMaxTileRows], next_acc[kMaxTileRows * kMaxHeadDim];
    // A full tile's chunks are read by its neighbours too, and computed longer than they take to come.
    const bool fetch = tile.rows < kernels_.attention_rows;
    for (int64_t chunk = 0; chunk < tile.n_chunks; ++chunk) {
      ChunkPages next;
      const bool ahead = fetch && chunk + 1 < tile.n_chunks;
      if (ahead) next = PagesOf(args, {tile, chunk + 1});
      ChunkOfTile(args, queries, {tile, chunk}, ahead ? &next : nullptr, fetch && chunk > 0,
                  chunk == 0 ? SoftmaxState{max, sum, acc} : SoftmaxState{next_max, next_sum, next_acc});
      if (chunk > 0) MergeChunk(args, tile, chunk, {max, sum, acc}, {next_max, next_sum, next_acc});
    }
    FinishTile(args, tile, sum, acc, out);
  });
}

// Chunks [first, first + count) of each tile.
struct CpuBackend::ChunkWindow {
  int64_t first, count;
  int64_t slots;  // states of a tile: what was merged so far, and one for each chunk
  bool Last(const Tile& tile) const { return tile.n_chunks <= first + count; }
};

// As many chunks at a time as there is memory for the states of, which is all of them but of long sequences in batches.
void CpuBackend::AttentionByChunk(const AttentionArgs& args, const Queries& queries, int64_t n_chunks,
                                  float* out) {
  const int64_t slots = work_.states / first_tile_.back(),
                window = slots - 1;  // at least two slots: ThreadWork
  for (int64_t first = 0; first < n_chunks; first += window) {
    AttentionInWindow(args, queries, {first, std::min(window, n_chunks - first), slots}, out);
  }
}

// Of the chunks of a tile each is a task; whoever does the last one merges them, in order, into the tile's first state.
void CpuBackend::AttentionInWindow(const AttentionArgs& args, const Queries& queries,
                                   const ChunkWindow& window, float* out) {
  const int64_t n_tiles = first_tile_.back(), n_tasks = n_tiles * window.count;
  const int width = static_cast<int>(args.shape->padded_head_dim);
  const int64_t stride = kMaxTileRows * (2 + width);  // max, sum, acc of a tile's rows
  const auto state = [&](int64_t tile, int64_t chunk) {
    const int64_t slot = chunk == 0 ? 0 : chunk - window.first + 1;
    float* max = work_.partials + (tile * window.slots + slot) * stride;
    return SoftmaxState{max, max + kMaxTileRows, max + 2 * kMaxTileRows};
  };
  for (int64_t tile = 0; tile < n_tiles; ++tile) {
    const int64_t left = std::clamp<int64_t>(TileAt(args, tile).n_chunks - window.first, 0, window.count);
    work_.chunks_left[tile].store(left, std::memory_order_relaxed);
  }
  for (int64_t thread = 0; thread < threads(); ++thread) work_.fetched[thread].task = -1;
  pool_.ParallelFor(n_tasks, [&](int64_t task, int thread) {
    const int64_t index = task / window.count, chunk = window.first + task % window.count;
    const Tile tile = TileAt(args, index);
    if (chunk >= tile.n_chunks) return;
    const KernelScope scope(kernels_, tile.rows);
    int64_t& fetched = work_.fetched[thread].task;
    const bool here = fetched == task;
    // The thread's next task, if it has one and this is its own part.
    ChunkPages next;
    const int64_t following = task + 1;
    bool ahead = task >= pool_.PartBegin(n_tasks, thread) && following < pool_.PartBegin(n_tasks, thread + 1);
    if (ahead) {
      const ChunkPlace place = {TileAt(args, following / window.count),
                                window.first + following % window.count};
      ahead = place.chunk < place.tile.n_chunks;
      if (ahead) next = PagesOf(args, place);
    }
    if (ahead) fetched = following;
    ChunkOfTile(args, queries, {tile, chunk}, ahead ? &next : nullptr, here, state(index, chunk));
    if (work_.chunks_left[index].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    const SoftmaxState merged = state(index, 0);
    const int64_t end = std::min(tile.n_chunks, window.first + window.count);
    for (int64_t later = std::max<int64_t>(1, window.first); later < end; ++later) {
      MergeChunk(args, tile, later, merged, state(index, later));
    }
    if (window.Last(tile)) FinishTile(args, tile, merged.sum, merged.acc, out);
  });
}

void CpuBackend::Attention(const AttentionArgs& args, const Queries& queries, float* out) {
  const int64_t group = args.shape->n_heads / args.shape->n_kv_heads;
  int64_t tiles = 0, n_chunks = 1;
  first_tile_.clear();
  for (int64_t i = 0; i < args.n_sequences; ++i) {
    const SequenceSpan& sequence = args.sequences[i];
    first_tile_.push_back(tiles);
    tiles += args.shape->n_kv_heads * CeilDiv(sequence.n_tokens * group, kernels_.attention_rows);
    n_chunks = std::max(n_chunks, CeilDiv(sequence.start + sequence.n_tokens, kChunkPositions));
  }
  first_tile_.push_back(tiles);
  const bool few = tiles < kSplitTiles * threads() && n_chunks > 1 && threads() > 1;
  if (few) {
    AttentionByChunk(args, queries, n_chunks, out);
  } else {
    AttentionByTile(args, queries, out);
  }
}

}  // namespace kvasir::cpu
