#include <algorithm>

#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"
#include "testing/cuda_ceilings.h"

namespace kvasir::testing {

namespace {

constexpr int kThreads = 256;
constexpr int kMmaInFlight = 8;  // accumulators of a warp, so that none waits for the one before
constexpr int kWgmmaAtOnce = 4;  // of a warpgroup, before it waits

// to [n] = from [n]
__global__ void CopyAll(const uint4* from, uint4* to, int64_t n) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    to[i] = from[i];
  }
}

// Reads from [n]; `to` is written where the sum is one that never comes, so that no read is left out.
__global__ void ReadAll(const uint4* from, uint4* to, int64_t n) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  unsigned sum = 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += 4 * step) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = i + j * step < n ? from[i + j * step] : make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int j = 0; j < 4; ++j) sum |= v[j].x | v[j].y | v[j].z | v[j].w;
  }
  if (sum == 0x12345678u) to[threadIdx.x] = make_uint4(sum, sum, sum, sum);
}

__global__ void Int8Mma(int64_t rounds, int* out) {
  int d[kMmaInFlight][4] = {};
  const uint32_t a[4] = {threadIdx.x, threadIdx.x + 1, threadIdx.x + 2, threadIdx.x + 3};
  const uint32_t b[2] = {threadIdx.x + 4, threadIdx.x + 5};
  for (int64_t i = 0; i < rounds; ++i) {
#pragma unroll
    for (int j = 0; j < kMmaInFlight; ++j) cuda::MmaS8(d[j], a, b);
  }
  int sum = 0;
#pragma unroll
  for (int j = 0; j < kMmaInFlight; ++j) sum += d[j][0] + d[j][1] + d[j][2] + d[j][3];
  if (sum == 0x12345678) out[threadIdx.x] = sum;
}

// d += A B, f16 A [16, 16] and B [16, 8], float32 sums. The emulation has no such instruction: there it is one product.
__device__ __forceinline__ void MmaHalf(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  d[0] += static_cast<float>(a[0]) * static_cast<float>(b[0]);
#endif
}

__global__ void HalfMma(int64_t rounds, int* out) {
  float d[kMmaInFlight][4] = {};
  const uint32_t a[4] = {threadIdx.x, threadIdx.x + 1, threadIdx.x + 2, threadIdx.x + 3};
  const uint32_t b[2] = {threadIdx.x + 4, threadIdx.x + 5};
  for (int64_t i = 0; i < rounds; ++i) {
#pragma unroll
    for (int j = 0; j < kMmaInFlight; ++j) MmaHalf(d[j], a, b);
  }
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kMmaInFlight; ++j) sum += d[j][0] + d[j][1] + d[j][2] + d[j][3];
  if (sum == 12345.678f) out[threadIdx.x] = 1;
}

constexpr int kConversions = 8;

// Each conversion depends on the one before through one addition of integers, eight chains a thread.
__global__ void IntToFloat(int64_t rounds, int* out) {
  int v[kConversions];
#pragma unroll
  for (int j = 0; j < kConversions; ++j) v[j] = static_cast<int>(threadIdx.x) + j;
  for (int64_t i = 0; i < rounds; ++i) {
#pragma unroll
    for (int j = 0; j < kConversions; ++j) {
#if defined(__CUDA_ARCH__)
      v[j] += __float_as_int(__int2float_rn(v[j]));
#else
      v[j] = static_cast<int>(static_cast<float>(v[j] & 0xffff));
#endif
    }
  }
  int sum = 0;
#pragma unroll
  for (int j = 0; j < kConversions; ++j) sum += v[j];
  if (sum == 0x12345678) out[threadIdx.x] = sum;
}

#if defined(__CUDACC__)

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Of a shared tile without swizzle: 8 x 16 bytes a core matrix, 128 bytes to the next along k, 256 along rows.
__device__ __forceinline__ uint64_t TileDescriptor(const void* tile) {
  const auto address = static_cast<uint64_t>(__cvta_generic_to_shared(tile));
  return ((address & 0x3ffff) >> 4) | (static_cast<uint64_t>(128 >> 4) << 16) |
         (static_cast<uint64_t>(256 >> 4) << 32);
}
__device__ __forceinline__ void BeginWgmma() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void EndWgmma() {
  asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}

// d [64, 128] += A [64, 32] B [32, 128], s8; a warpgroup, both operands in shared memory.
__device__ __forceinline__ void Wgmma(int (&d)[64], uint64_t a, uint64_t b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "
      "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "
      "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "
      "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, %64, %65, p;\n}\n"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]), "+r"(d[4]), "+r"(d[5]), "+r"(d[6]), "+r"(d[7]),
        "+r"(d[8]), "+r"(d[9]), "+r"(d[10]), "+r"(d[11]), "+r"(d[12]), "+r"(d[13]), "+r"(d[14]), "+r"(d[15]),
        "+r"(d[16]), "+r"(d[17]), "+r"(d[18]), "+r"(d[19]), "+r"(d[20]), "+r"(d[21]), "+r"(d[22]),
        "+r"(d[23]), "+r"(d[24]), "+r"(d[25]), "+r"(d[26]), "+r"(d[27]), "+r"(d[28]), "+r"(d[29]),
        "+r"(d[30]), "+r"(d[31]), "+r"(d[32]), "+r"(d[33]), "+r"(d[34]), "+r"(d[35]), "+r"(d[36]),
        "+r"(d[37]), "+r"(d[38]), "+r"(d[39]), "+r"(d[40]), "+r"(d[41]), "+r"(d[42]), "+r"(d[43]),
        "+r"(d[44]), "+r"(d[45]), "+r"(d[46]), "+r"(d[47]), "+r"(d[48]), "+r"(d[49]), "+r"(d[50]),
        "+r"(d[51]), "+r"(d[52]), "+r"(d[53]), "+r"(d[54]), "+r"(d[55]), "+r"(d[56]), "+r"(d[57]),
        "+r"(d[58]), "+r"(d[59]), "+r"(d[60]), "+r"(d[61]), "+r"(d[62]), "+r"(d[63])
      : "l"(a), "l"(b));
}
// The same of f16 A [64, 16] and B [16, 128].
__device__ __forceinline__ void Wgmma(float (&d)[64], uint64_t a, uint64_t b) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, "
      "%18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, "
      "%34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, "
      "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, %64, %65, p, 1, 1, 0, 0;\n}\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]),
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]),
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]),
        "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]),
        "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]),
        "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]),
        "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), "+f"(d[50]),
        "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), "+f"(d[56]), "+f"(d[57]),
        "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "l"(a), "l"(b));
}

#endif

// Two warpgroups a block, each with a tile [64, 128] of sums.
template <typename Sum>
__global__ void __launch_bounds__(kThreads) WgmmaLoop(int64_t rounds, int* out) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __shared__ __align__(128) unsigned char tiles[2 * 64 * 32 + 128 * 32];
  for (unsigned i = threadIdx.x; i < sizeof(tiles); i += blockDim.x) tiles[i] = i % 3;
  asm volatile("fence.proxy.async;" ::: "memory");
  __syncthreads();
  Sum d[64] = {};
  const uint64_t a = TileDescriptor(tiles + threadIdx.x / 128 * 64 * 32);
  const uint64_t b = TileDescriptor(tiles + 2 * 64 * 32);
  for (int64_t i = 0; i < rounds; ++i) {
    BeginWgmma();
#pragma unroll
    for (int j = 0; j < kWgmmaAtOnce; ++j) Wgmma(d, a, b);
    EndWgmma();
  }
  Sum sum = 0;
#pragma unroll
  for (int j = 0; j < 64; ++j) sum += d[j];
  if (sum == static_cast<Sum>(0x12345678)) out[threadIdx.x] = 1;
#endif
}

#endif  // __CUDACC__

struct Place {
  int64_t blocks;
  int major, minor;
};

Place PlaceOf() {
  int device = 0, multiprocessors = 0, major = 0, minor = 0;
  cuda::Check(cudaGetDevice(&device), "choosing the device");
  cuda::Check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device), "asking");
  cuda::Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "asking");
  cuda::Check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "asking");
  return {multiprocessors, major, minor};
}

class Memory {
 public:
  explicit Memory(int64_t bytes) {
    cuda::Check(cudaMalloc(&data_, static_cast<size_t>(bytes)), "cudaMalloc");
    cuda::Check(cudaMemset(data_, 1, static_cast<size_t>(bytes)), "cudaMemset");
  }
  ~Memory() { static_cast<void>(cudaFree(data_)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  uint4* data() const { return data_; }

 private:
  uint4* data_ = nullptr;
};

// Bytes of a copy (twice its size) or of a read.
double MeasureMemory(bool copies, int64_t scale, cudaStream_t stream) {
  const int64_t bytes = std::max<int64_t>((int64_t{2} << 30) / scale / 16 * 16, 16 * kThreads);
  const Memory from(bytes), to(bytes);
  const int64_t blocks = std::max<int64_t>(PlaceOf().blocks * 16 / scale, 1);
  const cuda::LaunchConfig config{dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream};
  const double seconds = SecondsOf(stream, 5, [&] {
    if (copies) {
      KVASIR_LAUNCH(CopyAll, config, from.data(), to.data(), bytes / 16);
    } else {
      KVASIR_LAUNCH(ReadAll, config, from.data(), to.data(), bytes / 16);
    }
  });
  return static_cast<double>(copies ? 2 * bytes : bytes) / seconds;
}

// Of one thread and round.
int64_t WorkOf(Ceiling ceiling) {
  switch (ceiling) {
    case Ceiling::kInt8Mma: return int64_t{2} * 16 * 8 * 32 * kMmaInFlight / 32;
    case Ceiling::kHalfMma: return int64_t{2} * 16 * 8 * 16 * kMmaInFlight / 32;
    case Ceiling::kInt8Wgmma: return int64_t{2} * 64 * 128 * 32 * kWgmmaAtOnce / 128;
    case Ceiling::kHalfWgmma: return int64_t{2} * 64 * 128 * 16 * kWgmmaAtOnce / 128;
    default: return kConversions;
  }
}

void LaunchLoop(Ceiling ceiling, const cuda::LaunchConfig& config, int64_t rounds, int* out) {
  switch (ceiling) {
    case Ceiling::kInt8Mma: KVASIR_LAUNCH(Int8Mma, config, rounds, out); break;
    case Ceiling::kHalfMma: KVASIR_LAUNCH(HalfMma, config, rounds, out); break;
    case Ceiling::kIntToFloat: KVASIR_LAUNCH(IntToFloat, config, rounds, out); break;
#if defined(__CUDACC__)
    case Ceiling::kInt8Wgmma: KVASIR_LAUNCH(WgmmaLoop<int>, config, rounds, out); break;
    case Ceiling::kHalfWgmma: KVASIR_LAUNCH(WgmmaLoop<float>, config, rounds, out); break;
#endif
    default: break;
  }
}

double MeasureLoop(Ceiling ceiling, int64_t scale, cudaStream_t stream) {
  const Place place = PlaceOf();
  const bool wants_wgmma = ceiling == Ceiling::kInt8Wgmma || ceiling == Ceiling::kHalfWgmma;
#if defined(__CUDACC__)
  if (wants_wgmma && (place.major != 9 || place.minor != 0)) return 0;
#else
  if (wants_wgmma) return 0;
#endif
  const int64_t blocks = std::max<int64_t>(place.blocks * (wants_wgmma ? 2 : 4) / scale, 1);
  const int64_t rounds = std::max<int64_t>(20000 / scale, 2);
  const Memory out(kThreads * 16);
  const cuda::LaunchConfig config{dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream};
  const double seconds =
      SecondsOf(stream, 5, [&] { LaunchLoop(ceiling, config, rounds, reinterpret_cast<int*>(out.data())); });
  return static_cast<double>(blocks * kThreads * rounds * WorkOf(ceiling)) / seconds;
}

}  // namespace

double SecondsOf(cudaStream_t stream, int samples, const std::function<void()>& work) {
  cudaEvent_t begin = nullptr, end = nullptr;
  cuda::Check(cudaEventCreate(&begin), "creating an event");
  cuda::Check(cudaEventCreate(&end), "creating an event");
  double least = 0;
  for (int i = 0; i <= samples; ++i) {
    cuda::Check(cudaEventRecord(begin, stream), "recording an event");
    work();
    cuda::Check(cudaEventRecord(end, stream), "recording an event");
    cuda::Check(cudaEventSynchronize(end), "running the work");
    float milliseconds = 0;
    cuda::Check(cudaEventElapsedTime(&milliseconds, begin, end), "reading the time");
    // The emulation may need no time at all.
    const double seconds = std::max(1e-3 * static_cast<double>(milliseconds), 1e-9);
    if (i == 1 || (i > 1 && seconds < least)) least = seconds;
  }
  static_cast<void>(cudaEventDestroy(begin));
  static_cast<void>(cudaEventDestroy(end));
  return least;
}

double Measure(Ceiling ceiling, int64_t scale, cudaStream_t stream) {
  if (ceiling == Ceiling::kCopy || ceiling == Ceiling::kRead) {
    return MeasureMemory(ceiling == Ceiling::kCopy, scale, stream);
  }
  return MeasureLoop(ceiling, scale, stream);
}

}  // namespace kvasir::testing
