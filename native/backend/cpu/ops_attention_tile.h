// The parts of attention of one tile of query rows over one chunk of the paged cache (online softmax: Milakov and
// Gimelshein, arXiv:1805.02867; chunks as in Flash-Decoding). Included by ops_attention.h and ops_attention_kinds.h inside
// a namespace of their own. All rows of a tile share the kv head, so K and V are read once for all of them.
#pragma once

#include "backend/cpu/ops_math.h"

// Query rows of a full tile.
constexpr int kFullTileRows = kRowTile > 1 ? kRowTile : 12;
constexpr float kNegativeInfinity = -__builtin_inff();
constexpr float kWeightSteps = 32767;  // of a quantized attention weight

// What a cache holds: float, uint16_t (binary16) or int8_t.
template <typename Element>
constexpr bool kIsQuantized = sizeof(Element) == 1;

inline F32 LoadElements(const float* p) { return Load(p); }
inline F32 LoadElements(const uint16_t* p) { return LoadHalf(p); }

// The attention weights of a tile's rows in a chunk, times the scales of V: q * scale. Zero from n_valid on.
struct ChunkWeights {
  alignas(64) int16_t q[kMaxTileRows][kChunkPositions];
  float scale[kMaxTileRows];
};

inline int LargestValid(const AttentionChunk& c) {
  int largest = 0;
  for (int r = 0; r < c.rows; ++r) largest = c.n_valid[r] > largest ? c.n_valid[r] : largest;
  return largest;
}

// The pages of the next chunk, asked for a share at a time while this one is computed: decode reads each once, from memory.
class NextChunk {
 public:
  NextChunk(const ChunkPages* pages, int64_t page_bytes, int64_t shares)
      : pages_(pages), page_lines_(page_bytes / 64) {
    if (pages != nullptr) share_ = (2 * pages->n * page_lines_ + shares - 1) / shares;
  }

  void FetchScales() const {
    for (int page = 0; share_ > 0 && page < pages_->n; ++page) {
      for (int position = 0; position < kPagePositions; position += 16) {
        __builtin_prefetch(pages_->k_scales[page] + position, 0, 2);
        __builtin_prefetch(pages_->v_scales[page] + position, 0, 2);
      }
    }
  }

  void FetchShare() {
    for (int64_t i = 0; i < share_; ++i, ++line_) {
      const int64_t page = line_ / page_lines_;
      if (page >= 2 * pages_->n) return;
      const void* base = page % 2 == 0 ? pages_->k[page / 2] : pages_->v[page / 2];
      __builtin_prefetch(static_cast<const char*>(base) + 64 * (line_ % page_lines_), 0, 2);
    }
  }

 private:
  const ChunkPages* pages_;
  int64_t page_lines_;
  int64_t share_ = 0;  // lines
  int64_t line_ = 0;
};

// Scores of kRows rows at the 64 positions of one page: float32 dot product, head_dim ascending. Element is float or
// uint16_t, a binary16 number.
template <typename Element, int kRows>
inline void PageScores(const AttentionChunk& c, int row, int page, float (*scores)[kChunkPositions]) {
  const Element* k = static_cast<const Element*>(c.k_pages[page]);
  const float* q = c.q_f32 + row * c.head_dim;
  for (int base = 0; base < kPagePositions; base += 32) {
    F32 acc[kRows][2];
    for (int r = 0; r < kRows; ++r) acc[r][0] = acc[r][1] = Zero();
    for (int d = 0; d < c.head_dim; ++d) {
      const Element* keys = k + d * kPagePositions + base;
      const F32 k0 = LoadElements(keys), k1 = LoadElements(keys + 16);
      for (int r = 0; r < kRows; ++r) {
        const F32 b = Set1(q[r * c.head_dim + d]);
        acc[r][0] = Fma(b, k0, acc[r][0]);
        acc[r][1] = Fma(b, k1, acc[r][1]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      float* out = scores[row + r] + page * kPagePositions + base;
      Store(out, Mul(acc[r][0], Set1(c.scale)));
      Store(out + 16, Mul(acc[r][1], Set1(c.scale)));
    }
  }
}

// The same in INT8: float(dot) * (scale_q * scale_k). Not inline: GCC 12 would spill the sums among its callers' values.
template <int kRows, int kVectors>
[[gnu::noinline]] void PageScoresS8(const AttentionChunk& c, int row, int page,
                                    float (*scores)[kChunkPositions]) {
  const uint8_t* k = static_cast<const uint8_t*>(c.k_pages[page]);
  const Quantized* q = static_cast<const Quantized*>(c.q_s8) + row * c.head_dim;
  for (int base = 0; base < kPagePositions; base += 16 * kVectors) {
    I32 dots[kRows][kVectors];
    DotBlock({.w = k + base * 4,
              .ld_w = 4 * kPagePositions,
              .quads = c.head_dim / 4,
              .x = q,
              .ld_x = c.head_dim,
              .start = c.q_start + row,
              .ld_start = 1},
             dots);
    for (int v = 0; v < kVectors; ++v) {
      const F32 k_scale = Mul(Load(c.k_scales[page] + base + 16 * v), Set1(c.scale));
      for (int r = 0; r < kRows; ++r) {
        const F32 s = Mul(FromInt(dots[r][v]), Mul(Set1(c.q_scales[row + r]), k_scale));
        Store(scores[row + r] + page * kPagePositions + base + 16 * v, s);
      }
    }
  }
}

inline float LargestScore(const float* scores, int n_valid) {
  const int whole = n_valid / 16 * 16, left = n_valid - whole;
  F32 largest = Set1(kNegativeInfinity);
  for (int i = 0; i < whole; i += 16) largest = Max(Load(scores + i), largest);
  if (left > 0) largest = Max(SelectFirst(left, Load(scores + whole), Set1(kNegativeInfinity)), largest);
  return MaxLane(largest);
}

// scores -> scaled(i, p) for the vector p at i of the probabilities relative to `max`, in place; what lies past n_valid
// becomes exactly 0. Returns the largest of them, if all are at least 0; `sum` is that of p. Only the vector in which
// n_valid lies is masked.
template <typename ScaledFn>
inline float ChunkSoftmax(float* scores, int n_valid, int n_padded, float max, float* sum,
                          const ScaledFn& scaled) {
  const int whole = n_valid / 16 * 16, left = n_valid - whole;
  const F32 shift = Set1(max);
  F32 total = Zero(), largest = Zero();
  for (int i = 0; i < whole; i += 16) {
    const F32 p = ExpOfNegative(Sub(Load(scores + i), shift));
    const F32 weight = scaled(i, p);
    total = Add(total, p);
    largest = Max(weight, largest);
    Store(scores + i, weight);
  }
  if (left > 0) {
    const F32 p = SelectFirst(left, ExpOfNegative(Sub(Load(scores + whole), shift)), Zero());
    const F32 weight = SelectFirst(left, scaled(whole, p), Zero());
    total = Add(total, p);
    largest = Max(weight, largest);
    Store(scores + whole, weight);
  }
  for (int i = (n_valid + 15) / 16 * 16; i < n_padded; i += 16) Store(scores + i, Zero());
  *sum = Sum(total);
  return MaxLane(largest);
}

// What turns weights of at most `largest` into 15-bit integers; 0 where it would be infinite.
inline F32 WeightFactor(float largest) {
  const float inverse = kWeightSteps / largest;
  return Set1(inverse <= 3.4028234e38f ? inverse : 0.0f);
}

// weights [n], at most `largest`, to 15-bit integers, q * scale ~ weight; returns scale. 256 products of 32,767 by 127 fit
// an int32: the sums over a chunk are exact, in any order. The error is at most scale / 2 a position, 1 / 65,534 of the
// row's largest term.
inline float QuantizeWeights(const float* weights, float largest, int n, int16_t* q) {
  const F32 factor = WeightFactor(largest);
  for (int i = 0; i < n; i += 16) StoreS16(q + i, Round(Mul(Load(weights + i), factor)));
  return largest / kWeightSteps;
}

// acc[row + r] = scale[r] * the sum of q[r][position] * V[position] over n positions (a last odd one pairs with a weight of
// 0), for kRows rows and kVectors * 16 dimensions from d. Not inline: GCC 12 would spill the sums among its callers' values.
template <int kRows, int kVectors>
[[gnu::noinline]] void WeightedPairs(const AttentionChunk& c, int row, int d, int n, const ChunkWeights& w,
                                     NextChunk& next) {
  I32 sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sum[r][v] = SetInt(0);
  }
  for (int first = 0; first < n; first += kPagePositions) {
    const int8_t* values = static_cast<const int8_t*>(c.v_pages[first / kPagePositions]) + 2 * d;
    const int16_t* q = w.q[row] + first;
    const int16_t* end = q + (n - first < kPagePositions ? n - first : kPagePositions);
    for (; q < end; q += 2, values += 2 * c.head_dim) {
      Pairs value[kVectors];
      for (int v = 0; v < kVectors; ++v) value[v] = LoadPairs(values + 32 * v);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Pairs weight = SetPair(q + r * kChunkPositions);
        for (int v = 0; v < kVectors; ++v) AddDotPairs(sum[r][v], weight, value[v]);
      }
    }
    next.FetchShare();
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    if (c.n_valid[row + r] == 0) continue;
    for (int v = 0; v < kVectors; ++v) {
      Store(c.acc + (row + r) * c.head_dim + d + 16 * v, Mul(FromInt(sum[r][v]), Set1(w.scale[row + r])));
    }
  }
}

template <int kRows, int kVectors>
inline void PairsOfRows(const AttentionChunk& c, int row, int n, const ChunkWeights& w, NextChunk& next) {
  for (; c.rows - row >= kRows; row += kRows) {
    int d = 0;
    for (; d + 16 * kVectors <= c.head_dim; d += 16 * kVectors) {
      WeightedPairs<kRows, kVectors>(c, row, d, n, w, next);
    }
    for (; d < c.head_dim; d += 16) WeightedPairs<kRows, 1>(c, row, d, n, w, next);
  }
  if constexpr (kRows > 1) {
    if (row < c.rows) PairsOfRows<kRows - 1, kVectors>(c, row, n, w, next);
  }
}

// acc[r] += p[r][position] * V[position] for kRows rows and kVectors * 16 dimensions, positions ascending.
template <typename Element, int kRows, int kVectors>
inline void WeightedValues(const AttentionChunk& c, int row, int d, int n, float (*p)[kChunkPositions]) {
  F32 acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) acc[r][v] = Zero();
  }
  for (int position = 0; position < n; ++position) {
    const Element* values = static_cast<const Element*>(c.v_pages[position / kPagePositions]) +
                            (position % kPagePositions) * c.head_dim + d;
    F32 value[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = LoadElements(values + 16 * v);
    for (int r = 0; r < kRows; ++r) {
      const F32 weight = Set1(p[row + r][position]);
      for (int v = 0; v < kVectors; ++v) acc[r][v] = Fma(weight, value[v], acc[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    if (c.n_valid[row + r] == 0) continue;
    for (int v = 0; v < kVectors; ++v) Store(c.acc + (row + r) * c.head_dim + d + 16 * v, acc[r][v]);
  }
}

template <typename Element, int kRows>
inline void ValuesOfRows(const AttentionChunk& c, int row, int n, float (*p)[kChunkPositions]) {
  if (c.rows - row >= kRows) {
    int d = 0;
    for (; d + 32 <= c.head_dim; d += 32) WeightedValues<Element, kRows, 2>(c, row, d, n, p);
    for (; d < c.head_dim; d += 16) WeightedValues<Element, kRows, 1>(c, row, d, n, p);
    row += kRows;
    if (row < c.rows) ValuesOfRows<Element, kRows>(c, row, n, p);
  } else if constexpr (kRows > 1) {
    ValuesOfRows<Element, kRows - 1>(c, row, n, p);
  }
}

// Element is int8_t for a quantized cache.
template <typename Element, int kRows, int kVectors>
inline void ScoresOfRows(const AttentionChunk& c, int row, int n_pages, float (*scores)[kChunkPositions],
                         NextChunk& next) {
  for (; c.rows - row >= kRows; row += kRows) {
    for (int page = 0; page < n_pages; ++page) {
      if constexpr (kIsQuantized<Element>) {
        PageScoresS8<kRows, kVectors>(c, row, page, scores);
      } else {
        PageScores<Element, kRows>(c, row, page, scores);
      }
      next.FetchShare();
    }
  }
  if constexpr (kRows > 1) {
    if (row < c.rows) ScoresOfRows<Element, kRows - 1, kVectors>(c, row, n_pages, scores, next);
  }
}

inline void Touch(const void* p) {
  char byte;
  __builtin_memcpy(&byte, p, 1);
  asm volatile("" : : "r"(byte));
}

// Brings the pages of a chunk into the cache, a line of each in turn. A decode step reads them once, from memory, and
// each K or V of a page is only 4 KB: one after another they come at 8 GB/s to a core, eight at a time at 20, because
// the hardware runs ahead on each. It does so for loads only: prefetch instructions made no difference. The scales are
// four lines a page, nothing to run ahead on: they are asked for first and come while the loads wait.
inline void TouchPages(const AttentionChunk& c, int n_pages) {
  for (int page = 0; page < n_pages; ++page) {
    for (int position = 0; position < kPagePositions; position += 16) {
      __builtin_prefetch(c.k_scales[page] + position);
      __builtin_prefetch(c.v_scales[page] + position);
    }
  }
  for (int offset = 0; offset < c.head_dim * kPagePositions; offset += 64) {
    for (int page = 0; page < n_pages; ++page) {
      Touch(static_cast<const char*>(c.k_pages[page]) + offset);
      Touch(static_cast<const char*>(c.v_pages[page]) + offset);
    }
  }
}

// Scores of a row to whoever traces them.
inline void TraceScores(const AttentionChunk& c, int row, const float* scores) {
  if (c.trace == nullptr) return;
  for (int i = 0; i < c.n_valid[row]; ++i) c.trace[row * kChunkPositions + i] = scores[i];
}

// Probabilities of positions from i on, times the scales of V where it has scales.
template <typename Element>
struct ScaledByValues {
  const AttentionChunk& c;
  inline F32 operator()(int i, const F32& p) const {
    if constexpr (kIsQuantized<Element>) {
      return Mul(p, Load(c.v_scales[i / kPagePositions] + i % kPagePositions));
    } else {
      return p;
    }
  }
};
