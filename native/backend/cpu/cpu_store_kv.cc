// Rotary embedding, and the KV cache's writes.
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

// `n` head vectors in a row, each padded with zeros, rotated for an INT8 cache. rope_position < 0: values have none.
void LoadHeads(const AttentionShape& shape, const KernelTable& kernels, const float* source, int64_t n,
               int64_t rope_position, float* heads) {
  for (int64_t h = 0; h < n; ++h) {
    float* head = heads + h * shape.padded_head_dim;
    std::copy_n(source + h * shape.head_dim, shape.head_dim, head);
    std::fill(head + shape.head_dim, head + shape.padded_head_dim, 0.0f);
    if (rope_position >= 0 && shape.rope != RopeKind::kNone) Rope(shape, rope_position, head);
  }
  // The order of the rotation divides the padding too, where there is any.
  if (shape.rotation > 1) kernels.rotate_blocks(heads, n * shape.padded_head_dim, shape.rotation);
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
  const auto each_head = [&](const float* source, int64_t n, int64_t rope_position, const auto& use) {
    for (int64_t first = 0; first < n; first += kHeadsTogether) {
      const int64_t together = std::min(kHeadsTogether, n - first);
      LoadHeads(s, kernels_, source + first * s.head_dim, together, rope_position, heads);
      for (int64_t h = 0; h < together; ++h) use(first + h, heads + h * width);
    }
  };

  each_head(qkv_row, s.n_heads, position, [&](int64_t h, const float* head) {
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
  each_head(keys, s.n_kv_heads, position, [&](int64_t h, const float* head) {
    const KvPlace place = layout.Place(page, args.layer, h);
    float* scale = reinterpret_cast<float*>(args.pages + place.k_scales) + slot;
    StoreKey(kernels_, layout.dtype, head, width, slot, args.pages + place.k, scale);
  });
  const float* values = keys + s.n_kv_heads * s.head_dim;
  each_head(values, s.n_kv_heads, -1, [&](int64_t h, const float* head) {
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
