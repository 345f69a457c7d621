// Norms of heads, rotary embedding, and the KV cache's writes.
#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu_backend.h"

namespace kvasir::cpu {

namespace {

// (low, high)[i * kStride] turned by the angle of cos[i], sin[i], n of them.
template <int kStride>
void RotatePairs(const float* __restrict cos, const float* __restrict sin, int64_t n, float* low,
                 float* high) {
  for (int64_t i = 0; i < n; ++i) {
    const float a = low[i * kStride], b = high[i * kStride];
    low[i * kStride] = a * cos[i] - b * sin[i];
    high[i * kStride] = b * cos[i] + a * sin[i];
  }
}

// x [head_dim] of one position. cos and sin [rope_dim / 2].
void Rope(const AttentionShape& shape, int64_t position, float* x) {
  const int64_t half = shape.rope_dim / 2;
  const float* cos = shape.rope_cos + position * half;
  const float* sin = shape.rope_sin + position * half;
  // Two loops without a condition inside: the compiler makes vectors of both.
  if (shape.rope == RopeKind::kInterleaved) {
    RotatePairs<2>(cos, sin, half, x, x + 1);
  } else {
    RotatePairs<1>(cos, sin, half, x, x + half);
  }
}

// Head vectors of one token that are prepared together: a vector that has just been stored in parts is slow to load whole.
constexpr int64_t kHeadsTogether = 8;

// What is done to the head vectors of one token's queries, keys or values.
struct HeadWork {
  int64_t rope_position = -1;  // < 0: they are not turned
  HeadNorm norm = {};
  const float* weight = nullptr;  // the norm's, of the first head
  int64_t weight_step = 0;        // to that of the next one: 0 where all share it
  float row_scale = 0;            // of kFullRow: that of the whole row's RMS norm
  float scale = 1;
};

void PrepareHead(const AttentionShape& shape, const KernelTable& kernels, const HeadWork& work,
                 const float* source, const float* weight, float* head) {
  const int64_t n = shape.head_dim;
  const bool per_head = work.norm.kind == HeadNormKind::kPerHead;
  if (work.norm.kind == HeadNormKind::kFullRow) {
    kernels.scale_by_weight(source, weight, n, work.row_scale, head);
  } else if (per_head && !work.norm.after_rope) {
    kernels.rms_norm(source, weight, n, work.norm.eps, head);
  } else {
    std::copy_n(source, n, head);
  }
  std::fill(head + n, head + shape.padded_head_dim, 0.0f);
  if (work.rope_position >= 0 && shape.rope != RopeKind::kNone) Rope(shape, work.rope_position, head);
  if (per_head && work.norm.after_rope) kernels.rms_norm(head, weight, n, work.norm.eps, head);
  if (work.scale != 1.0f) kernels.scale_values(n, work.scale, head);
}

// Nothing is done to single heads and nothing stands between them, as in encoders and of values.
bool IsPlain(const AttentionShape& shape, const HeadWork& work) {
  return work.norm.kind == HeadNormKind::kNone && work.scale == 1.0f &&
         (work.rope_position < 0 || shape.rope == RopeKind::kNone) && shape.head_dim == shape.padded_head_dim;
}

// `n` head vectors in a row, each padded with zeros, rotated for an INT8 cache.
void LoadHeads(const AttentionShape& shape, const KernelTable& kernels, const HeadWork& work,
               const float* source, int64_t n, float* heads) {
  if (IsPlain(shape, work)) {
    std::copy_n(source, n * shape.head_dim, heads);
  } else {
    for (int64_t h = 0; h < n; ++h) {
      PrepareHead(shape, kernels, work, source + h * shape.head_dim, work.weight + h * work.weight_step,
                  heads + h * shape.padded_head_dim);
    }
  }
  // The order of the rotation divides the padding too, where there is any.
  if (shape.rotation > 1) kernels.rotate_blocks(heads, n * shape.padded_head_dim, shape.rotation);
}

HeadWork WorkOf(const AttentionArgs& args, const KernelTable& kernels, int64_t position, const float* row,
                bool is_query) {
  const AttentionShape& s = *args.shape;
  HeadWork work = {.rope_position = position, .norm = args.norm};
  work.weight = is_query ? args.norm.q_weight : args.norm.k_weight;
  if (args.norm.kind == HeadNormKind::kFullRow) {
    work.weight_step = s.head_dim;
    work.row_scale =
        kernels.rms_scale(row, (is_query ? s.n_heads : s.n_kv_heads) * s.head_dim, args.norm.eps);
  }
  if (is_query && s.q_scales != nullptr) work.scale = s.q_scales[position];
  return work;
}

// One position's K into `slot` of a head's part of a page: dimensions lie 64 positions apart (AttentionChunk::k_pages).
void StoreKey(const KernelTable& kernels, Dtype dtype, const float* head, int64_t width, int64_t slot,
              uint8_t* to, float* scale) {
  if (dtype == Dtype::kF32) {
    float* keys = reinterpret_cast<float*>(to);
    for (int64_t d = 0; d < width; ++d) keys[d * kKvPagePositions + slot] = head[d];
  } else if (dtype == Dtype::kF16) {
    uint16_t halves[kMaxHeadDim];
    kernels.round_to_half(head, width, halves);
    uint16_t* keys = reinterpret_cast<uint16_t*>(to);
    for (int64_t d = 0; d < width; ++d) keys[d * kKvPagePositions + slot] = halves[d];
  } else {
    int8_t quantized[kMaxHeadDim];
    kernels.quantize_head_s8(head, width, quantized, scale);
    static_assert(kWeightOffset == 128);
    for (int64_t quad = 0; quad < width / 4; ++quad) {  // adding 128 to a byte turns its sign bit
      uint32_t four;
      std::memcpy(&four, quantized + 4 * quad, 4);
      four ^= 0x80808080u;
      std::memcpy(to + (quad * kKvPagePositions + slot) * 4, &four, 4);
    }
  }
}

// The same of V: positions lie together, two by two in INT8 (AttentionChunk::v_pages).
void StoreValue(const KernelTable& kernels, Dtype dtype, const float* head, int64_t width, int64_t slot,
                uint8_t* to, float* scale) {
  if (dtype == Dtype::kF32) {
    std::copy_n(head, width, reinterpret_cast<float*>(to) + slot * width);
  } else if (dtype == Dtype::kF16) {
    kernels.round_to_half(head, width, reinterpret_cast<uint16_t*>(to) + slot * width);
  } else {
    int8_t quantized[kMaxHeadDim];
    kernels.quantize_head_s8(head, width, quantized, scale);
    int8_t* pairs = reinterpret_cast<int8_t*>(to) + slot / 2 * width * 2 + slot % 2;
    for (int64_t d = 0; d < width; ++d) pairs[2 * d] = quantized[d];
  }
}

}  // namespace

void CpuBackend::StoreToken(const AttentionArgs& args, const SequenceSpan& sequence, int64_t token,
                            const float* qkv_row, Queries* queries) const {
  const AttentionShape& s = *args.shape;
  const KvLayout& layout = *args.layout;
  const int64_t position = sequence.start + token, row = sequence.row + token;
  const int64_t group = s.n_heads / s.n_kv_heads, width = s.padded_head_dim;
  const int32_t page = sequence.pages[position / kKvPagePositions];
  const int64_t slot = position % kKvPagePositions;
  float heads[kHeadsTogether * kMaxHeadDim];
  // Calls back with the number and the vector of each of n heads from `source` on.
  const auto each_head = [&](const float* source, int64_t n, HeadWork work, const auto& use) {
    for (int64_t first = 0; first < n; first += kHeadsTogether) {
      const int64_t together = std::min(kHeadsTogether, n - first);
      LoadHeads(s, kernels_, work, source + first * s.head_dim, together, heads);
      work.weight += together * work.weight_step;
      for (int64_t h = 0; h < together; ++h) use(first + h, heads + h * width);
    }
  };

  each_head(
      qkv_row, s.n_heads, WorkOf(args, kernels_, position, qkv_row, true), [&](int64_t h, const float* head) {
        const int64_t index = (h / group * args.rows + row) * group + h % group;
        if (queries->dtype == Dtype::kF32) {
          std::copy_n(head, width, queries->f32 + index * width);
        } else {
          kernels_.quantize_head(
              head, width, static_cast<uint8_t*>(queries->values) + index * width * kernels_.quantized_bytes,
              queries->scales + index, queries->start + index);
        }
      });
  const float* keys = qkv_row + s.n_heads * s.head_dim;
  each_head(keys, s.n_kv_heads, WorkOf(args, kernels_, position, keys, false),
            [&](int64_t h, const float* head) {
              const KvPlace place = layout.Place(page, args.layer, h);
              float* scale = reinterpret_cast<float*>(args.pages + place.k_scales) + slot;
              StoreKey(kernels_, layout.dtype, head, width, slot, args.pages + place.k, scale);
            });
  const float* values = keys + s.n_kv_heads * s.head_dim;
  each_head(values, s.n_kv_heads, {}, [&](int64_t h, const float* head) {
    const KvPlace place = layout.Place(page, args.layer, h);
    float* scale = reinterpret_cast<float*>(args.pages + place.v_scales) + slot;
    StoreValue(kernels_, layout.dtype, head, width, slot, args.pages + place.v, scale);
  });
}

void CpuBackend::StoreKv(const AttentionArgs& args, const RowBlock& block, const float* qkv,
                         Queries* queries) {
  const AttentionShape& s = *args.shape;
  const int64_t width = (s.n_heads + 2 * s.n_kv_heads) * s.head_dim;
  // Some 1.5 us a token: three are done before another thread has helped.
  constexpr int64_t kFewTokens = 3, kTokensPerTask = 8;
  const int64_t parts = block.count <= kFewTokens ? 1 : threads();
  const int64_t n_tasks = std::max(parts, CeilDiv(block.count, kTokensPerTask));
  pool_.ParallelFor(n_tasks, [&](int64_t task, int) {
    const int64_t end = block.first + block.count * (task + 1) / n_tasks;
    int64_t row = block.first + block.count * task / n_tasks;
    // Rows follow sequence after sequence.
    const SequenceSpan* sequence = args.sequences;
    for (; row < end; ++row) {
      while (row >= sequence->row + sequence->n_tokens) ++sequence;
      StoreToken(args, *sequence, row - sequence->row, qkv + (row - block.first) * width, queries);
    }
  });
}

}  // namespace kvasir::cpu
