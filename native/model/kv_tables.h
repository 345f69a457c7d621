// Which pages of the KV cache a model's layers need. A page table says which pages hold the positions of a sequence. Layers
// that see all positions share one; layers of the same sliding window share one whose pages are given back once no row to
// come sees them, and whose pool holds windows instead of contexts. It computes numbers of pages and holds none.
//
// What the pool of a window W has to hold. A row at position p sees positions p - W + 1 to p. Before a step appends n rows
// at position s, the pages before that of s - W + 1 are given back (KvCache::GiveBack), so that during it the sequence
// holds the pages of [s - W + 1, s + n), m = W - 1 + n positions. The first page of m positions that follow each other has
// at least one of them, and the m - 1 others lie on at most ceil((m - 1) / 64) more: at most ceil((W + n - 2) / 64) + 1
// pages. Between steps nothing is taken. With n up to a step's rows this is PagesOfWindow.
//
// What a kept prefix holds. It can be reused up to a length l while the pages of [l - W + 1, l) are there, which the end
// of a long sequence has given back for all lengths before it. So the engine keeps checkpoints: forks of a sequence at
// multiples of kCheckpointPositions (lib/engine/pages.ts), which share its pages (KvCache::Fork). Such a length is a multiple of a page,
// so a checkpoint holds ceil((W - 1) / 64) pages; of kCheckpoints that follow each other each later one adds at most
// kCheckpointPositions / 64 to those before it, or as many as it holds where that is less.
//
// A pool has room for as many sequences of the longest length as kv_capacity has, each with its window and its
// checkpoints. Where that is no less than all positions, the window's layers join those that see all.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_spec.h"

namespace kvasir {

// Lengths at which prefixes stay usable where the whole sequence does not: chunks of attention.
constexpr int64_t kCheckpointPositions = 256;
// Of each sequence that kv_capacity has room for.
constexpr int64_t kCheckpoints = 4;

struct KvTable {
  int64_t window = 0;  // a row sees positions less than so many away; 0: all before it
  int64_t n_pages = 0;
  int64_t checkpoint_pages = 0;  // of n_pages: what is there for checkpoints
};

struct KvTables {
  std::vector<KvTable> tables;        // at least one
  std::vector<int64_t> of_attention;  // [attentions] the table of each kind
  int64_t capacity = 0;               // positions of all sequences: kv_capacity in whole pages
  int64_t checkpoints = 0;  // most that are kept; 0: no sequence needs any, or no state is there for one

  // Those that have tables of their own, in positions.
  std::vector<int64_t> Windows() const;
  // Of a layer without a state.
  int64_t OfLayer(const ModelSpec& spec, int64_t layer) const {
    return of_attention[static_cast<size_t>(spec.layer(layer).attention)];
  }
};

// Most pages of one sequence whose steps have up to `rows` rows.
int64_t PagesOfWindow(int64_t window, int64_t rows);

// step_rows: most rows of a step.
KvTables KvTablesOf(const ModelSpec& spec, const LoadOptions& options, int64_t step_rows);

// How many tables there are at most, whatever a step's rows: the fewer rows, the fewer windows join.
inline int64_t MostKvTables(const ModelSpec& spec, const LoadOptions& options) {
  return static_cast<int64_t>(KvTablesOf(spec, options, 1).tables.size());
}

}  // namespace kvasir
