// Which experts a row uses, the rows that an expert computes, and the sum of what experts gave. The order of all that is
// rounded is the CPU's (backend/cpu/ops_experts.h).
#include "backend/cuda/flat.cuh"
#include "backend/cuda/kernels.h"
#include "backend/cuda/math.cuh"
#include "backend/cuda/ptx.cuh"

namespace kvasir::cuda {

namespace {

constexpr float kLeast = -__builtin_huge_valf();

// x [n] in shared memory becomes its softmax. All lanes of one warp; lanes 16..31 repeat the sums of 0..15.
__device__ __forceinline__ void SoftmaxOfWarp(SharedPtr<float> x, int n) {
  const int lane = static_cast<int>(threadIdx.x);
  float largest = kLeast;
  for (int i = lane; i < n; i += 32) largest = MaxOf(x[i], largest);
  largest = MaxOf(largest, __shfl_xor_sync(kAllLanes, largest, 16));
  largest = MaxLanes16(largest);
  float sum = 0;
  for (int i = lane % 16; i < n; i += 16) sum = __fadd_rn(sum, Exp(__fsub_rn(x[i], largest)));
  sum = SumLanes16(sum);
  __syncwarp();
  for (int i = lane; i < n; i += 32) x[i] = __fdiv_rn(Exp(__fsub_rn(x[i], largest)), sum);
  __syncwarp();
}

__device__ __forceinline__ float Choosable(float value) { return value > kLeast ? value : kLeast; }

// Index of the largest of x [n], the first one among equals, which is taken out (it becomes NaN).
__device__ __forceinline__ int TakeLargest(SharedPtr<float> x, int n) {
  const int lane = static_cast<int>(threadIdx.x);
  int best = -1;
  float value = 0;
  for (int i = lane; i < n; i += 32) {
    const float candidate = x[i];
    if (candidate != candidate || (best >= 0 && !(candidate > value))) continue;
    best = i;
    value = candidate;
  }
  for (int stride = 16; stride > 0; stride /= 2) {
    const int other = __shfl_xor_sync(kAllLanes, best, stride);
    const float candidate = __shfl_xor_sync(kAllLanes, value, stride);
    if (other < 0) continue;
    if (best >= 0 && !(candidate > value || (candidate == value && other < best))) continue;
    best = other;
    value = candidate;
  }
  __syncwarp();
  if (lane == 0) x[best] = __int_as_float(0x7fc00000);
  __syncwarp();
  return best;
}

__device__ __forceinline__ float ScoreOfGroup(SharedPtr<float> choice, int first, int size, GroupScore kind) {
  float largest = kLeast, second = kLeast;
  for (int i = first; i < first + size; ++i) {
    const float value = choice[i];
    if (value > largest) {
      second = largest;
      largest = value;
    } else if (value > second) {
      second = value;
    }
  }
  return kind == GroupScore::kLargest ? largest : Choosable(__fadd_rn(largest, second));
}

__device__ __forceinline__ void LimitToGroups(const RouterForm& router, SharedPtr<float> choice,
                                              SharedPtr<float> groups) {
  const int lane = static_cast<int>(threadIdx.x), size = router.n_experts / router.n_groups;
  for (int g = lane; g < router.n_groups; g += 32) {
    groups[g] = ScoreOfGroup(choice, g * size, size, router.group_score);
  }
  __syncwarp();
  for (int i = 0; i < router.used_groups; ++i) TakeLargest(groups, router.n_groups);
  for (int i = lane; i < router.n_groups * size; i += 32) {
    const float left = groups[i / size];
    if (left == left) choice[i] = kLeast;
  }
  __syncwarp();
}

// weights [used] in shared memory as the form says.
__device__ __forceinline__ void FinishWeights(const RouterForm& router, SharedPtr<float> weights) {
  if (router.score == RouterScore::kSoftmaxOfChosen) SoftmaxOfWarp(weights, router.used);
  float divisor = 1;
  if (router.renormalises) {
    float sum = 0;
    for (int rank = 0; rank < router.used; ++rank) sum = __fadd_rn(sum, weights[rank]);
    const float added = __fadd_rn(sum, router.sum_added);
    divisor = router.sum_least > added ? router.sum_least : added;
  }
  __syncwarp();
  for (int rank = static_cast<int>(threadIdx.x); rank < router.used; rank += 32) {
    const float weight = router.renormalises ? __fdiv_rn(weights[rank], divisor) : weights[rank];
    weights[rank] = __fmul_rn(weight, router.scale);
  }
  __syncwarp();
}

// One warp a row.
__global__ void __launch_bounds__(32)
    RouteRows(RouterForm router, const float* logits, int32_t* ids, float* weights) {
  KVASIR_SHARED(float, scores, kMaxExperts);
  KVASIR_SHARED(float, choice, kMaxExperts);
  KVASIR_SHARED(float, chosen, kMaxExperts);
  KVASIR_SHARED(float, groups, kMaxExpertGroups);
  const int lane = static_cast<int>(threadIdx.x), n = router.n_experts;
  const int64_t row = blockIdx.x;
  for (int i = lane; i < n; i += 32) {
    const float x = logits[row * n + i];
    const bool sigmoid = router.score == RouterScore::kSigmoid;
    scores[i] = sigmoid ? __fdiv_rn(1.0f, __fadd_rn(1.0f, Exp(__fsub_rn(0.0f, x)))) : x;
  }
  __syncwarp();
  if (router.score == RouterScore::kSoftmax) SoftmaxOfWarp(scores, n);
  for (int i = lane; i < n; i += 32) {
    choice[i] = Choosable(router.selection_bias == nullptr ? scores[i]
                                                           : __fadd_rn(scores[i], router.selection_bias[i]));
  }
  __syncwarp();
  if (router.n_groups > 1) LimitToGroups(router, choice, groups);
  for (int rank = 0; rank < router.used; ++rank) {
    const int id = TakeLargest(choice, n);
    if (lane != 0) continue;
    ids[row * router.used + rank] = id;
    chosen[rank] = scores[id];
  }
  __syncwarp();
  FinishWeights(router, chosen);
  for (int rank = lane; rank < router.used; rank += 32) weights[row * router.used + rank] = chosen[rank];
}

// Words of rows: of 4 quantized values, of scales, of float32 values.
__global__ void GatherWords(const uint32_t* x, const int32_t* rows, int64_t n, int64_t words, uint32_t* out) {
  for (int64_t i = FlatThread(); i < n * words; i += FlatThreads()) {
    out[i] = x[rows[i / words] * words + i % words];
  }
}

struct SumArgs {
  const float* y;         // [rows * used, width]
  const int32_t* places;  // [rows, used] of y's rows
  const float* weights;   // [rows, used]
  int64_t rows, width;
  int used;
  bool accumulate;
  float* out;  // [rows, width]
};

__global__ void SumExpertsKernel(SumArgs a) {
  for (int64_t i = FlatThread(); i < a.rows * a.width; i += FlatThreads()) {
    const int64_t first = i / a.width * a.used, column = i % a.width;
    float sum = __fmul_rn(a.y[a.places[first] * a.width + column], a.weights[first]);
    for (int64_t at = first + 1; at < first + a.used; ++at) {
      sum = __fmaf_rn(a.y[a.places[at] * a.width + column], a.weights[at], sum);
    }
    a.out[i] = a.accumulate ? __fadd_rn(a.out[i], sum) : sum;
  }
}

void Gather(const void* x, const int32_t* rows, int64_t n, int64_t words, void* out, cudaStream_t stream) {
  KVASIR_LAUNCH(GatherWords, Flat(n * words, stream), static_cast<const uint32_t*>(x), rows, n, words,
                static_cast<uint32_t*>(out));
}

}  // namespace

void Route(const RouterForm& router, const float* logits, int64_t rows, int32_t* ids, float* weights,
           cudaStream_t stream) {
  if (rows == 0) return;
  const LaunchConfig config = {
      .grid = dim3(static_cast<unsigned>(rows)), .block = dim3(32), .stream = stream};
  KVASIR_LAUNCH(RouteRows, config, router, logits, ids, weights);
}

void GatherInput(const Activations& x, const int32_t* rows, int64_t n, const Activations& out,
                 cudaStream_t stream) {
  if (n == 0) return;
  if (out.dtype == Dtype::kF32) return Gather(x.f32, rows, n, x.width, out.f32, stream);
  const int64_t groups = CeilDiv(x.width, kGroup);
  Gather(x.values, rows, n, groups * (kGroup / 4), out.values, stream);
  Gather(x.scales, rows, n, groups, out.scales, stream);
}

void SumExperts(const ExpertSums& in, int64_t rows, int64_t width, float* out, cudaStream_t stream) {
  if (rows == 0) return;
  const SumArgs args = {in.y,          in.places, in.weights, rows, width, static_cast<int>(in.used),
                        in.accumulate, out};
  KVASIR_LAUNCH(SumExpertsKernel, Flat(rows * width, stream), args);
}

}  // namespace kvasir::cuda
