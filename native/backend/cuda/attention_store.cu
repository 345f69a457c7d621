// The projections of new tokens to where attention reads them: rotary embedding, the rotation of heads for an INT8
// cache, quantization, K and V into the pages and Q into the queries. One warp a head vector, value 32 j + lane in
// register j of a lane.
#include "backend/cuda/attention.cuh"
#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"

namespace kvasir::cuda {

namespace {

constexpr int kStoreThreads = 128;

struct StoreArgs {
  CacheView cache;
  const int32_t* pages;  // [n_sequences, ld_pages]
  int64_t ld_pages;
  const int32_t* positions;  // [rows]
  const int32_t* sequences;  // [rows]
  int64_t step_rows;
  int64_t first, count;
  const float* qkv;  // [count, n_heads + 2 n_kv_heads, head_dim]
  void* queries;     // [n_kv_heads, step_rows, group, padded_head_dim] s8, or f32 for a float cache
  float* query_scales;
  int n_heads, n_kv_heads, group, head_dim, padded_head_dim;
  RopeKind rope;
  int rope_dim;
  const float* cos;  // [positions, rope_dim / 2]
  const float* sin;
  int rotation;
  float rotation_norm;
  HeadNorm norm;
  const float* q_scales;  // [positions] or nullptr
};

// A head vector x, value d turned by its position: pairs (d, d + half) or (2 i, 2 i + 1).
template <typename Vector>
__device__ __forceinline__ float Rope(const StoreArgs& a, const Vector& x, int position, int d) {
  const int half = a.rope_dim / 2;
  if (d >= 2 * half) return x[d];
  const bool interleaved = a.rope == RopeKind::kInterleaved;
  const int i = interleaved ? d / 2 : d % half;
  const bool is_high = interleaved ? d % 2 != 0 : d >= half;
  const float other = x[interleaved ? d ^ 1 : is_high ? d - half : d + half];
  const float cos = a.cos[static_cast<int64_t>(position) * half + i];
  const float sin = a.sin[static_cast<int64_t>(position) * half + i];
  const float straight = __fmul_rn(x[d], cos), crossed = __fmul_rn(other, sin);
  return is_high ? __fadd_rn(straight, crossed) : __fsub_rn(straight, crossed);
}

// The end of the CPU's RmsScale (backend/cpu/ops_norms.h): its 64 running sums, each over values 64 apart, are sums `lane`
// and `lane + 32` of a lane.
__device__ __forceinline__ float RmsScaleOfSums(float low, float high, int n, float eps) {
  low = __fadd_rn(low, __shfl_xor_sync(kAllLanes, low, 16));
  high = __fadd_rn(high, __shfl_xor_sync(kAllLanes, high, 16));
  const float mean = __fdiv_rn(SumLanes16(__fadd_rn(low, high)), static_cast<float>(n));
  return __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(mean, eps)));
}

// 1 / sqrt(mean(x^2) + eps) of x [n], by one warp.
__device__ __forceinline__ float RmsScaleOfRow(const float* x, int n, float eps) {
  float low = 0, high = 0;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < n; i += 64) {
    low = __fmaf_rn(x[i], x[i], low);
    if (i + 32 < n) high = __fmaf_rn(x[i + 32], x[i + 32], high);
  }
  return RmsScaleOfSums(low, high, n, eps);
}

// A head vector as the norm leaves it, computed where it is read.
struct NormedHead {
  const float* x;
  const float* weight;
  float scale;
  __device__ __forceinline__ float operator[](int d) const {
    return __fmul_rn(__fmul_rn(x[d], scale), weight[d]);
  }
};

// A query or key with its norm, before rotary embedding or after it, and the scale of its position.
template <int kCount>
__device__ __forceinline__ void LoadNormed(const StoreArgs& a, int64_t local, int head, int position,
                                           float (&v)[kCount]) {
  const bool is_q = head < a.n_heads, whole = a.norm.kind == HeadNormKind::kFullRow;
  const int lane = static_cast<int>(threadIdx.x) % 32, kv_head = head - a.n_heads;
  const float* row = a.qkv + local * (a.n_heads + 2 * a.n_kv_heads) * a.head_dim;
  const float* x = row + head * a.head_dim;
  const float* weight = is_q ? a.norm.q_weight : a.norm.k_weight;
  const bool turns = a.rope != RopeKind::kNone;
  if (a.norm.kind == HeadNormKind::kNone || a.norm.after_rope) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const int d = 32 * j + lane;
      v[j] = d >= a.head_dim ? 0.0f : turns ? Rope(a, x, position, d) : x[d];
    }
    if (a.norm.kind != HeadNormKind::kNone) {
      float sums[2] = {};
#pragma unroll
      for (int j = 0; j < kCount; ++j) sums[j % 2] = __fmaf_rn(v[j], v[j], sums[j % 2]);
      const float scale = RmsScaleOfSums(sums[0], sums[1], a.head_dim, a.norm.eps);
#pragma unroll
      for (int j = 0; j < kCount; ++j) {
        const int d = 32 * j + lane;
        if (d < a.head_dim) v[j] = __fmul_rn(__fmul_rn(v[j], scale), weight[d]);
      }
    }
  } else {
    const float* normed = !whole ? x : is_q ? row : row + a.n_heads * a.head_dim;
    const int n = a.head_dim * (!whole ? 1 : is_q ? a.n_heads : a.n_kv_heads);
    const int64_t of_head = whole ? static_cast<int64_t>(is_q ? head : kv_head) * a.head_dim : 0;
    const NormedHead values = {x, weight + of_head, RmsScaleOfRow(normed, n, a.norm.eps)};
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const int d = 32 * j + lane;
      v[j] = d >= a.head_dim ? 0.0f : turns ? Rope(a, values, position, d) : values[d];
    }
  }
  if (!is_q || a.q_scales == nullptr) return;
#pragma unroll
  for (int j = 0; j < kCount; ++j) v[j] = __fmul_rn(v[j], a.q_scales[position]);
}

// Orthonormal Hadamard of order `rotation` on blocks of the head: stride 32 lies between registers, smaller ones between
// lanes. The padding past head_dim is zero and stays so, as the order divides head_dim.
template <int kCount>
__device__ __forceinline__ void RotateHead(const StoreArgs& a, float (&v)[kCount]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int stride = 1; stride < 32; stride *= 2) {
    if (stride >= a.rotation) break;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const float other = __shfl_xor_sync(kAllLanes, v[j], stride);
      v[j] = (lane & stride) != 0 ? __fsub_rn(other, v[j]) : __fadd_rn(v[j], other);
    }
  }
  if (a.rotation == 64) {
#pragma unroll
    for (int j = 0; j + 1 < kCount; j += 2) {
      const float low = v[j], high = v[j + 1];
      v[j] = __fadd_rn(low, high);
      v[j + 1] = __fsub_rn(low, high);
    }
  }
#pragma unroll
  for (int j = 0; j < kCount; ++j) v[j] = __fmul_rn(v[j], a.rotation_norm);
}

// The scale of a head vector; its largest magnitude that is not NaN.
template <int kCount>
__device__ __forceinline__ QuantScale ScaleOfHead(const float (&v)[kCount]) {
  float largest = 0;
#pragma unroll
  for (int j = 0; j < kCount; ++j) largest = fmaxf(AbsOf(v[j]), largest);
  largest = LargestOfLanes(largest);
  return ScaleOf(fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 16)));
}

// Calls store(d, value) for a lane's values of a head.
template <int kCount, typename T, typename Store>
__device__ __forceinline__ void ForValues(const StoreArgs& a, const T (&v)[kCount], const Store& store) {
#pragma unroll
  for (int j = 0; j < kCount; ++j) {
    const int d = 32 * j + static_cast<int>(threadIdx.x) % 32;
    if (d < a.padded_head_dim) store(d, v[j]);
  }
}

// Where a head vector goes: a query, or K or V of a slot of a page.
struct Destination {
  int head;  // n_heads queries, then n_kv_heads K, then as many V
  int64_t query;
  uint8_t* page;
  int slot;
};

// Where a K or V of a float cache begins.
template <typename Element>
__device__ __forceinline__ Element* Entry(const StoreArgs& a, const Destination& to) {
  const bool is_v = to.head >= a.n_heads + a.n_kv_heads;
  const int kv_head = to.head - a.n_heads - (is_v ? a.n_kv_heads : 0);
  return reinterpret_cast<Element*>(to.page + (is_v ? a.cache.v : a.cache.k) + kv_head * a.cache.head_bytes) +
         to.slot * a.padded_head_dim;
}

template <int kCount>
__device__ __forceinline__ void StoreF32(const StoreArgs& a, const Destination& to,
                                         const float (&v)[kCount]) {
  float* out = to.head < a.n_heads ? static_cast<float*>(a.queries) + to.query * a.padded_head_dim
                                   : Entry<float>(a, to);
  ForValues(a, v, [=](int d, float value) { out[d] = value; });
}

template <int kCount>
__device__ __forceinline__ void StoreF16(const StoreArgs& a, const Destination& to,
                                         const float (&v)[kCount]) {
  if (to.head < a.n_heads) return StoreF32<kCount>(a, to, v);
  uint16_t* out = Entry<uint16_t>(a, to);
  ForValues(a, v, [=](int d, float value) { out[d] = HalfFromFloat(value); });
}

template <int kCount>
__device__ __forceinline__ void StoreS8(const StoreArgs& a, const Destination& to, const float (&v)[kCount]) {
  const QuantScale s = ScaleOfHead(v);
  const bool writes_scale = threadIdx.x % 32 == 0;
  int q[kCount];
#pragma unroll
  for (int j = 0; j < kCount; ++j) q[j] = QuantizeValue(v[j], s.inverse);
  if (to.head < a.n_heads) {
    int8_t* out = static_cast<int8_t*>(a.queries) + to.query * a.padded_head_dim;
    ForValues(a, q, [=](int d, int value) { out[d] = static_cast<int8_t>(value); });
    if (writes_scale) a.query_scales[to.query] = s.scale;
    return;
  }
  const bool is_v = to.head >= a.n_heads + a.n_kv_heads;
  const int kv_head = to.head - a.n_heads - (is_v ? a.n_kv_heads : 0);
  float* scales = reinterpret_cast<float*>(to.page + (is_v ? a.cache.v_scales : a.cache.k_scales)) +
                  kv_head * kPage + to.slot;
  if (writes_scale) *scales = s.scale;
  int8_t* out =
      reinterpret_cast<int8_t*>(to.page + (is_v ? a.cache.v : a.cache.k) + kv_head * a.cache.head_bytes);
  if (is_v) {
    // Positions l, l + 16, l + 32 and l + 48 of a page lie together, as the softmax makes their weights.
    out += to.slot % 16 * 4 + to.slot / 16;
    ForValues(a, q, [=](int d, int value) { out[d * kPage] = static_cast<int8_t>(value); });
  } else {
    out += to.slot * a.padded_head_dim;
    ForValues(a, q, [=](int d, int value) { out[d] = static_cast<int8_t>(value); });
  }
}

// kCount values a lane: padded_head_dim / 32, rounded up to 2, 4 or 8. kNormed: queries and keys have a norm or a scale.
template <int kCount, Dtype kDtype, bool kNormed>
__global__ void __launch_bounds__(kStoreThreads) StoreHeads(StoreArgs a) {
  const int heads = a.n_heads + 2 * a.n_kv_heads;
  const int64_t index = (static_cast<int64_t>(blockIdx.x) * kStoreThreads + threadIdx.x) / 32;
  if (index >= a.count * heads) return;  // the whole warp
  const int64_t local = index / heads, row = a.first + local;
  const int head = static_cast<int>(index - local * heads), lane = static_cast<int>(threadIdx.x) % 32;
  const int position = a.positions[row];
  const float* x = a.qkv + index * a.head_dim;
  const bool turns = a.rope != RopeKind::kNone && head < a.n_heads + a.n_kv_heads;
  float v[kCount];
  if (kNormed && head < a.n_heads + a.n_kv_heads) {
    LoadNormed(a, local, head, position, v);
  } else {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const int d = 32 * j + lane;
      v[j] = d >= a.head_dim ? 0.0f : turns ? Rope(a, x, position, d) : x[d];
    }
  }
  if (a.rotation > 1) RotateHead<kCount>(a, v);
  Destination to = {head, 0, nullptr, position % kPage};
  if (head < a.n_heads) {
    to.query = (head / a.group * a.step_rows + row) * a.group + head % a.group;
  } else {
    const int32_t page = a.pages[a.sequences[row] * a.ld_pages + position / kPage];
    to.page = a.cache.pages + page * a.cache.page_bytes;
  }
  if constexpr (kDtype == Dtype::kInt8) {
    StoreS8<kCount>(a, to, v);
  } else if constexpr (kDtype == Dtype::kF16) {
    StoreF16<kCount>(a, to, v);
  } else {
    StoreF32<kCount>(a, to, v);
  }
}

template <int kCount, bool kNormed>
void Launch(const StoreArgs& args, Dtype dtype, cudaStream_t stream) {
  const int64_t threads = args.count * (args.n_heads + 2 * args.n_kv_heads) * 32;
  const LaunchConfig config = {
      .grid = dim3(static_cast<unsigned>((threads + kStoreThreads - 1) / kStoreThreads)),
      .block = dim3(kStoreThreads),
      .stream = stream};
  switch (dtype) {
    case Dtype::kF32: KVASIR_LAUNCH((StoreHeads<kCount, Dtype::kF32, kNormed>), config, args); break;
    case Dtype::kF16: KVASIR_LAUNCH((StoreHeads<kCount, Dtype::kF16, kNormed>), config, args); break;
    case Dtype::kInt8: KVASIR_LAUNCH((StoreHeads<kCount, Dtype::kInt8, kNormed>), config, args); break;
  }
}

template <bool kNormed>
void Launch(const StoreArgs& args, Dtype dtype, cudaStream_t stream) {
  if (args.padded_head_dim <= 64) return Launch<2, kNormed>(args, dtype, stream);
  if (args.padded_head_dim <= 128) return Launch<4, kNormed>(args, dtype, stream);
  Launch<8, kNormed>(args, dtype, stream);
}

}  // namespace

void StoreKv(const AttentionShape& shape, const HeadNorm& norm, const KvPages& kv, const StepTable& step,
             const RowBlock& block, const float* qkv, const Queries& queries, cudaStream_t stream) {
  if (block.count == 0) return;
  const Dtype dtype = kv.layout.dtype;
  const StoreArgs args = {
      .cache = ViewOf(kv),
      .pages = step.pages,
      .ld_pages = step.ld_pages,
      .positions = step.positions,
      .sequences = step.sequences,
      .step_rows = step.rows,
      .first = block.first,
      .count = block.count,
      .qkv = qkv,
      .queries = dtype == Dtype::kInt8 ? queries.values : queries.f32,
      .query_scales = queries.scales,
      .n_heads = static_cast<int>(shape.n_heads),
      .n_kv_heads = static_cast<int>(shape.n_kv_heads),
      .group = static_cast<int>(shape.n_heads / shape.n_kv_heads),
      .head_dim = static_cast<int>(shape.head_dim),
      .padded_head_dim = static_cast<int>(shape.padded_head_dim),
      .rope = shape.rope,
      .rope_dim = static_cast<int>(shape.rope_dim),
      .cos = shape.rope_cos,
      .sin = shape.rope_sin,
      .rotation = shape.rotation,
      .rotation_norm = 1.0f / __builtin_sqrtf(static_cast<float>(shape.rotation)),
      .norm = norm,
      .q_scales = shape.q_scales,
  };
  if (norm.kind != HeadNormKind::kNone || shape.q_scales != nullptr) return Launch<true>(args, dtype, stream);
  Launch<false>(args, dtype, stream);
}

}  // namespace kvasir::cuda
