#include "backend/cuda/step_tables.h"

#include <algorithm>

namespace kvasir::cuda {

namespace {

// Blocks of split attention whose states are kept: 16 rows of (2 + 128) floats each make 130 MB of them.
constexpr int64_t kMaxSplitBlocks = 16384;

}  // namespace

// The tables one after the other; pages come last, because most steps need few of them.
struct StepTables::HostTables {
  int32_t* tokens;
  int32_t* positions;
  int32_t* types;
  int32_t* sequences;
  int32_t* wanted;
  int32_t* lengths;
  AttentionTile* tiles;
  int32_t* pages;

  HostTables(uint8_t* memory, int64_t max_rows, int64_t max_tiles) {
    tokens = reinterpret_cast<int32_t*>(memory);
    positions = tokens + max_rows;
    types = positions + max_rows;
    sequences = types + max_rows;
    wanted = sequences + max_rows;
    lengths = wanted + max_rows;
    tiles = reinterpret_cast<AttentionTile*>(lengths + max_rows);
    pages = reinterpret_cast<int32_t*>(tiles + max_tiles);
  }
  static int64_t Bytes(int64_t max_rows, int64_t max_tiles, int64_t n_pages) {
    return 6 * max_rows * 4 + max_tiles * static_cast<int64_t>(sizeof(AttentionTile)) + n_pages * 4;
  }
};

StepTables::StepTables(const Gpu& gpu, const Shape& shape)
    : max_rows_(shape.rows),
      // One tile of up to 16 query rows a token at least; more where more than 16 heads share a kv head.
      max_tiles_(shape.rows * 4),
      ld_pages_(CeilDiv(shape.positions, kPage)) {
  const int64_t bytes = HostTables::Bytes(max_rows_, max_tiles_, shape.tables * max_rows_ * ld_pages_);
  device_memory_ = AllocateOnDevice(gpu, bytes, "the step's tables");
  pinned_ = AllocatePinned(gpu, bytes, "the step's tables");
}

// Sequences of a step have at least one row each, so there are at most max_rows of them.
void StepTables::BuildTiles(const StepInput& step) {
  const HostTables host(pinned_->data(), max_rows_, max_tiles_);
  const int64_t group = step.shape->n_heads / step.shape->n_kv_heads;
  int64_t n_tiles = 0, longest = 1;
  for (int64_t i = 0; i < step.n_sequences; ++i) {
    const SequenceSpan& s = step.sequences[i];
    const int64_t query_rows = s.n_tokens * group;
    if (n_tiles + CeilDiv(query_rows, kTileRows) > max_tiles_) {
      throw Error(ErrorCode::kUnsupportedArchitecture,
                  "More than 64 attention heads that share one KV head are not supported on the GPU");
    }
    for (int64_t first = 0; first < query_rows; first += kTileRows) {
      host.tiles[n_tiles++] = {static_cast<int32_t>(i), static_cast<int32_t>(first),
                               static_cast<int32_t>(std::min<int64_t>(kTileRows, query_rows - first)),
                               static_cast<int32_t>(s.row), static_cast<int32_t>(s.start)};
    }
    longest = std::max(longest, s.start + s.n_tokens);
    host.lengths[i] = static_cast<int32_t>(s.Length());
    std::fill_n(host.sequences + s.row, s.n_tokens, static_cast<int32_t>(i));
    for (int64_t table = 0; table < step.n_tables; ++table) {
      const SequenceSpan& there = step.sequences[table * step.n_sequences + i];
      std::copy_n(there.pages, CeilDiv(s.start + s.n_tokens, kPage),
                  host.pages + table * page_stride_ + i * ld_pages_);
    }
  }
  table_.n_tiles = n_tiles;
  table_.max_chunks = CeilDiv(longest, kChunk);
}

void StepTables::Send(const StepInput& step, bool recorded, const Gpu& gpu) {
  const HostTables host(pinned_->data(), max_rows_, max_tiles_);
  const HostTables there(device_memory_->data(), max_rows_, max_tiles_);
  table_ = {.tokens = there.tokens,
            .positions = there.positions,
            .sequences = there.sequences,
            .pages = there.pages,
            .tiles = there.tiles,
            .lengths = there.lengths,
            .wanted = there.wanted,
            .ld_pages = ld_pages_,
            .rows = step.rows};
  // Recorded steps of one shape have as many sequences, so each page table keeps its address.
  page_stride_ = step.n_sequences * ld_pages_;
  std::copy_n(step.tokens, step.rows, host.tokens);
  std::copy_n(step.positions, step.rows, host.positions);
  if (step.types != nullptr) std::copy_n(step.types, step.rows, host.types);
  std::copy_n(step.wanted, step.n_wanted, host.wanted);
  BuildTiles(step);
  if (recorded) {
    int64_t chunks = 1;
    while (chunks < table_.max_chunks) chunks *= 2;
    table_.max_chunks = chunks;
  }
  // One block a tile and kv head leaves most of the GPU idle while there are fewer than two of them for each
  // multiprocessor.
  const int64_t blocks = table_.n_tiles * step.shape->n_kv_heads;
  table_.split = table_.max_chunks > 1 && blocks < 2 * gpu.multiprocessors() &&
                 blocks * table_.max_chunks <= kMaxSplitBlocks;
  const int64_t bytes = HostTables::Bytes(max_rows_, max_tiles_, step.n_tables * page_stride_);
  Check(cudaMemcpyAsync(device_memory_->data(), pinned_->data(), static_cast<size_t>(bytes),
                        cudaMemcpyHostToDevice, gpu.stream()),
        "sending a step's tables");
}

StepTable StepTables::WithPages(int64_t table) const {
  StepTable with = table_;
  with.pages += table * page_stride_;
  return with;
}

const int32_t* StepTables::At(const StepIndices& indices) const {
  const HostTables there(device_memory_->data(), max_rows_, max_tiles_);
  const StepInput step = {
      .tokens = there.tokens, .positions = there.positions, .types = there.types, .wanted = there.wanted};
  return step.At(indices);
}

}  // namespace kvasir::cuda
