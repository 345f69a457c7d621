// How attention is split among threads, and which positions each kernel call is about.
//
// Query rows of a sequence that share a kv head are numbered token * group + head in group, and cut into tiles of at
// most KernelTable::attention_rows. A tile walks its chunks of 256 positions in order, or, when a step has few tiles
// (decode), the chunks are tasks of their own and are merged in the same order afterwards: the same arithmetic either way.
// Chunks before the first position of a tile's rows are not looked at, nor are pages: they may be given back.
#include <algorithm>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

struct CpuBackend::Tile {
  const SequenceSpan* sequence;
  int64_t kv_head;
  int64_t first;  // first query row, token * group + head in group
  int rows;
  int64_t first_chunk, n_chunks;  // that its rows attend to

  // `group` heads share the kv head.
  int64_t Position(int row, int64_t group) const { return sequence->start + (first + row) / group; }
};

struct CpuBackend::ChunkPlace {
  Tile tile;
  int64_t chunk;
};

// The part of a chunk that a tile reads, from its first page on that any row attends to.
struct CpuBackend::ChunkPart {
  int64_t base, end;  // positions
};

// What the rows of a tile take of a part, as AttentionChunk and ScoreKind have it.
struct CpuBackend::RowParts {
  int first[kMaxTileRows], n_valid[kMaxTileRows], distance[kMaxTileRows];
  bool begin_later = false;  // one of them at least
};

namespace {

int64_t GroupOf(const AttentionArgs& args) { return args.shape->n_heads / args.shape->n_kv_heads; }

// At most so many chunks are looked at by a tile of `rows` query rows of a sequence.
int64_t MostChunks(const AttentionArgs& args, const SequenceSpan& sequence, int64_t rows) {
  const AttentionShape& s = *args.shape;
  const int64_t all = CeilDiv(sequence.Length(), kChunkPositions);
  if (s.before >= sequence.Length() || s.after >= sequence.Length()) return all;
  const int64_t tokens = CeilDiv(rows - 1, GroupOf(args)) + 1;
  return std::min(all, CeilDiv(s.before + tokens + s.after - 1, kChunkPositions) + 1);
}

}  // namespace

CpuBackend::Tile CpuBackend::TileAt(const AttentionArgs& args, int64_t index) const {
  const int64_t i = std::upper_bound(first_tile_.begin(), first_tile_.end(), index) - first_tile_.begin() - 1;
  const SequenceSpan& sequence = args.sequences[i];
  const int64_t group = GroupOf(args);
  const int64_t tiles_per_head = CeilDiv(sequence.n_tokens * group, kernels_.attention_rows);
  const int64_t local = index - first_tile_[static_cast<size_t>(i)];
  const int64_t first = local % tiles_per_head * kernels_.attention_rows;
  const int rows =
      static_cast<int>(std::min<int64_t>(kernels_.attention_rows, sequence.n_tokens * group - first));
  Tile tile = {&sequence, local / tiles_per_head, first, rows, 0, 0};
  const AttentionShape& s = *args.shape;
  tile.first_chunk = s.From(tile.Position(0, group)) / kChunkPositions;
  const int64_t end = s.To(tile.Position(rows - 1, group), sequence.Length());
  tile.n_chunks = CeilDiv(end, kChunkPositions) - tile.first_chunk;
  return tile;
}

// Rows' positions only rise: the first row begins first and the last one ends last.
CpuBackend::ChunkPart CpuBackend::PartOf(const AttentionArgs& args, const ChunkPlace& place) const {
  const Tile& tile = place.tile;
  const int64_t group = GroupOf(args), first = place.chunk * kChunkPositions;
  const int64_t from = args.shape->From(tile.Position(0, group));
  const int64_t to = args.shape->To(tile.Position(tile.rows - 1, group), tile.sequence->Length());
  return {std::max(first, from / kPagePositions * kPagePositions), std::min(to, first + kChunkPositions)};
}

CpuBackend::RowParts CpuBackend::RowsOf(const AttentionArgs& args, const Tile& tile,
                                        const ChunkPart& part) const {
  const int64_t group = GroupOf(args), length = tile.sequence->Length();
  RowParts rows;
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t position = tile.Position(r, group);
    const int64_t from = std::max(args.shape->From(position) - part.base, int64_t{0});
    const int64_t to = std::min(args.shape->To(position, length), part.end) - part.base;
    rows.first[r] = from < to ? static_cast<int>(from) : 0;
    rows.n_valid[r] = from < to ? static_cast<int>(to) : 0;
    rows.distance[r] = static_cast<int>(part.base - position);
    rows.begin_later |= rows.first[r] > 0;
  }
  return rows;
}

ChunkPages CpuBackend::PagesOf(const AttentionArgs& args, const ChunkPlace& place) const {
  const KvLayout& layout = *args.layout;
  const SequenceSpan& sequence = *place.tile.sequence;
  const ChunkPart part = PartOf(args, place);
  ChunkPages pages = {};
  pages.n = static_cast<int>(CeilDiv(part.end - part.base, kPagePositions));
  for (int i = 0; i < pages.n; ++i) {
    const int32_t page = sequence.pages[part.base / kPagePositions + i];
    const KvPlace at = layout.Place(page, args.layer, place.tile.kv_head);
    pages.k[i] = args.pages + at.k;
    pages.v[i] = args.pages + at.v;
    if (layout.dtype != Dtype::kInt8) continue;
    pages.k_scales[i] = reinterpret_cast<const float*>(args.pages + at.k_scales);
    pages.v_scales[i] = reinterpret_cast<const float*>(args.pages + at.v_scales);
  }
  return pages;
}

// The kernel that the rows need: the plain one but where a row begins later than the part or scores are changed.
void CpuBackend::RunChunk(const AttentionArgs& args, const Tile& tile, const RowParts& rows,
                          const AttentionChunk& c) const {
  const AttentionShape& s = *args.shape;
  const AttentionBias& bias = args.bias;
  const Dtype dtype = args.layout->dtype;
  const bool is_plain =
      !rows.begin_later && s.soft_cap == 0 && bias.slopes == nullptr && bias.distance_bias == nullptr;
  if (is_plain) {
    const auto run = dtype == Dtype::kInt8  ? kernels_.attention_chunk_s8
                     : dtype == Dtype::kF16 ? kernels_.attention_chunk_f16
                                            : kernels_.attention_chunk_f32;
    run(c);
    return;
  }
  const int64_t group = GroupOf(args);
  float slopes[kMaxTileRows];
  const float* distance_bias[kMaxTileRows];
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t head = tile.kv_head * group + (tile.first + r) % group;
    if (bias.slopes != nullptr) slopes[r] = bias.slopes[head];
    if (bias.distance_bias != nullptr) distance_bias[r] = bias.distance_bias + head * (2 * bias.reach + 1);
  }
  const ScoreKind kind = {.first = rows.first,
                          .distance = rows.distance,
                          .soft_cap = s.soft_cap,
                          .slopes = bias.slopes == nullptr ? nullptr : slopes,
                          .distance_bias = bias.distance_bias == nullptr ? nullptr : distance_bias,
                          .reach = static_cast<int>(bias.reach)};
  const AttentionKinds& kinds = *kernels_.attention_kinds;
  const auto run = dtype == Dtype::kInt8  ? kinds.chunk_s8
                   : dtype == Dtype::kF16 ? kinds.chunk_f16
                                          : kinds.chunk_f32;
  run(c, kind);
}

void CpuBackend::ChunkOfTile(const AttentionArgs& args, const Queries& queries, const ChunkPlace& place,
                             const ChunkPages* next, bool fetched, const SoftmaxState& out) const {
  const AttentionShape& s = *args.shape;
  const Tile& tile = place.tile;
  const int64_t group = GroupOf(args);
  const int64_t index = (tile.kv_head * args.rows + tile.sequence->row) * group + tile.first;
  const ChunkPages pages = PagesOf(args, place);
  const ChunkPart part = PartOf(args, place);
  const RowParts rows = RowsOf(args, tile, part);
  float traced[kMaxTileRows * kChunkPositions];
  AttentionChunk c = {};
  c.rows = tile.rows;
  c.head_dim = static_cast<int>(s.padded_head_dim);
  c.scale = s.scale;
  c.k_pages = pages.k;
  c.v_pages = pages.v;
  c.n_valid = rows.n_valid;
  c.max = out.max;
  c.sum = out.sum;
  c.acc = out.acc;
  c.trace = args.trace.scores == nullptr ? nullptr : traced;
  c.next = next;
  c.fetched = fetched;
  if (args.layout->dtype != Dtype::kInt8) {
    c.q_f32 = queries.f32 + index * s.padded_head_dim;
  } else {
    c.q_s8 =
        static_cast<const uint8_t*>(queries.values) + index * s.padded_head_dim * kernels_.quantized_bytes;
    c.q_scales = queries.scales + index;
    c.q_start = queries.start + index;
    c.k_scales = pages.k_scales;
    c.v_scales = pages.v_scales;
  }
  RunChunk(args, tile, rows, c);
  if (c.trace == nullptr) return;
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t row = tile.sequence->row + (tile.first + r) / group;
    const int64_t head = tile.kv_head * group + (tile.first + r) % group;
    const int first = rows.first[r];
    std::copy_n(traced + r * kChunkPositions + first, rows.n_valid[r] - first,
                args.trace.scores + (row * s.n_heads + head) * args.trace.positions + part.base + first);
  }
}

// The sinks come last: each is the state of one more score without a value.
void CpuBackend::MergeSinks(const AttentionArgs& args, const Tile& tile, const SoftmaxState& state) const {
  const int64_t group = GroupOf(args);
  float sinks[kMaxTileRows], ones[kMaxTileRows];
  float zeros[kMaxTileRows * kMaxHeadDim] = {};
  for (int r = 0; r < tile.rows; ++r) {
    sinks[r] = args.bias.sinks[tile.kv_head * group + (tile.first + r) % group];
    ones[r] = 1;
  }
  kernels_.attention_merge(state, {sinks, ones, zeros}, tile.rows,
                           static_cast<int>(args.shape->padded_head_dim));
}

void CpuBackend::FinishTile(const AttentionArgs& args, const Tile& tile, const SoftmaxState& state,
                            float* out) const {
  const AttentionShape& s = *args.shape;
  const int64_t group = GroupOf(args);
  if (args.bias.sinks != nullptr) MergeSinks(args, tile, state);
  float head[kMaxHeadDim];
  for (int r = 0; r < tile.rows; ++r) {
    const int64_t row = tile.sequence->row + (tile.first + r) / group;
    const int64_t h = tile.kv_head * group + (tile.first + r) % group;
    kernels_.attention_finish(state.acc + r * s.padded_head_dim, state.sum[r],
                              static_cast<int>(s.padded_head_dim), head);
    std::copy_n(head, s.head_dim, out + (row * s.n_heads + h) * s.head_dim);
  }
}

// Rows that end before the chunk keep their state, those that attended to earlier ones merge, and those that begin in it
// take the chunk's as it is. Each are neighbours, in this order; what follows begins later.
void CpuBackend::MergeChunk(const AttentionArgs& args, const Tile& tile, int64_t chunk,
                            const SoftmaxState& state, const SoftmaxState& later) const {
  const AttentionShape& s = *args.shape;
  const int width = static_cast<int>(s.padded_head_dim);
  const int64_t group = GroupOf(args), length = tile.sequence->Length();
  const int64_t begin = chunk * kChunkPositions;
  const auto from = [&](int row) { return s.From(tile.Position(row, group)); };
  int first = 0;
  while (s.To(tile.Position(first, group), length) <= begin) ++first;
  int fresh = first;
  while (fresh < tile.rows && from(fresh) < begin) ++fresh;
  if (fresh > first) {
    const auto at = [&](const SoftmaxState& one) {
      return SoftmaxState{one.max + first, one.sum + first, one.acc + first * width};
    };
    kernels_.attention_merge(at(state), at(later), fresh - first, width);
  }
  for (int r = fresh; r < tile.rows && from(r) < begin + kChunkPositions; ++r) {
    state.max[r] = later.max[r];
    state.sum[r] = later.sum[r];
    std::copy_n(later.acc + r * width, width, state.acc + r * width);
  }
}

void CpuBackend::AttentionByTile(const AttentionArgs& args, const Queries& queries, float* out) {
  pool_.ParallelFor(first_tile_.back(), [&](int64_t index, int) {
    const Tile tile = TileAt(args, index);
    const KernelScope scope(kernels_, tile.rows);
    float max[kMaxTileRows], sum[kMaxTileRows], acc[kMaxTileRows * kMaxHeadDim];
    float next_max[kMaxTileRows], next_sum[kMaxTileRows], next_acc[kMaxTileRows * kMaxHeadDim];
    // A full tile's chunks are read by its neighbours too, and computed longer than they take to come.
    const bool fetch = tile.rows < kernels_.attention_rows;
    for (int64_t i = 0; i < tile.n_chunks; ++i) {
      const int64_t chunk = tile.first_chunk + i;
      ChunkPages next;
      const bool ahead = fetch && i + 1 < tile.n_chunks;
      if (ahead) next = PagesOf(args, {tile, chunk + 1});
      ChunkOfTile(args, queries, {tile, chunk}, ahead ? &next : nullptr, fetch && i > 0,
                  i == 0 ? SoftmaxState{max, sum, acc} : SoftmaxState{next_max, next_sum, next_acc});
      if (i > 0) MergeChunk(args, tile, chunk, {max, sum, acc}, {next_max, next_sum, next_acc});
    }
    FinishTile(args, tile, {max, sum, acc}, out);
  });
}

// Chunks [first, first + count) of those that each tile attends to.
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
  const auto state = [&](int64_t tile, int64_t i) {
    const int64_t slot = i == 0 ? 0 : i - window.first + 1;
    float* max = work_.partials + (tile * window.slots + slot) * stride;
    return SoftmaxState{max, max + kMaxTileRows, max + 2 * kMaxTileRows};
  };
  for (int64_t tile = 0; tile < n_tiles; ++tile) {
    const int64_t left = std::clamp<int64_t>(TileAt(args, tile).n_chunks - window.first, 0, window.count);
    work_.chunks_left[tile].store(left, std::memory_order_relaxed);
  }
  for (int64_t thread = 0; thread < threads(); ++thread) work_.fetched[thread].task = -1;
  pool_.ParallelFor(n_tasks, [&](int64_t task, int thread) {
    const int64_t index = task / window.count, i = window.first + task % window.count;
    const Tile tile = TileAt(args, index);
    if (i >= tile.n_chunks) return;
    const KernelScope scope(kernels_, tile.rows);
    int64_t& fetched = work_.fetched[thread].task;
    const bool here = fetched == task;
    // The thread's next task, if it has one and this is its own part.
    ChunkPages next;
    const int64_t following = task + 1;
    bool ahead = task >= pool_.PartBegin(n_tasks, thread) && following < pool_.PartBegin(n_tasks, thread + 1);
    if (ahead) {
      const Tile then = TileAt(args, following / window.count);
      const int64_t next_i = window.first + following % window.count;
      ahead = next_i < then.n_chunks;
      if (ahead) next = PagesOf(args, {then, then.first_chunk + next_i});
    }
    if (ahead) fetched = following;
    ChunkOfTile(args, queries, {tile, tile.first_chunk + i}, ahead ? &next : nullptr, here, state(index, i));
    if (work_.chunks_left[index].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    const SoftmaxState merged = state(index, 0);
    const int64_t end = std::min(tile.n_chunks, window.first + window.count);
    for (int64_t later = std::max<int64_t>(1, window.first); later < end; ++later) {
      MergeChunk(args, tile, tile.first_chunk + later, merged, state(index, later));
    }
    if (window.Last(tile)) FinishTile(args, tile, merged, out);
  });
}

void CpuBackend::Attention(const AttentionArgs& args, const Queries& queries, float* out) {
  const int64_t group = GroupOf(args);
  int64_t tiles = 0, n_chunks = 1;
  first_tile_.clear();
  for (int64_t i = 0; i < args.n_sequences; ++i) {
    const SequenceSpan& sequence = args.sequences[i];
    first_tile_.push_back(tiles);
    tiles += args.shape->n_kv_heads * CeilDiv(sequence.n_tokens * group, kernels_.attention_rows);
    n_chunks = std::max(n_chunks, MostChunks(args, sequence, kernels_.attention_rows));
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
