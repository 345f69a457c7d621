// The emulation finds what it is there to find, and lets clean kernels pass.
#include <numeric>
#include <vector>

#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

using cuda::DynamicShared;
using cuda::LaunchConfig;
using cuda::SharedPtr;

template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : count_(values.size()) {
    cuda::Check(cudaMalloc(&data_, count_ * sizeof(T)), "cudaMalloc");
    cuda::Check(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  T* data() { return data_; }
  std::vector<T> Read() const {
    std::vector<T> values(count_);
    cuda::Check(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

__global__ void BlockSums(const int* x, int* sums) {
  KVASIR_SHARED(int, partial, 32);
  int sum = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  int total = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) total += partial[warp];
  sums[blockIdx.x] = total;
}

KV_TEST(cuda_emulation_runs_blocks_with_shuffles_and_barriers) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    std::vector<int> x(7 * 128);
    std::iota(x.begin(), x.end(), -100);
    OnDevice<int> device_x(x);
    OnDevice<int> sums(std::vector<int>(7));
    const LaunchConfig config{7, 128};
    KVASIR_LAUNCH(BlockSums, config, device_x.data(), sums.data());
    const std::vector<int> actual = sums.Read();
    for (int i = 0; i < 7; ++i) {
      KV_EXPECT_EQ(actual[static_cast<size_t>(i)], std::accumulate(&x[i * 128], &x[i * 128] + 128, 0));
    }
    KV_EXPECT(cuda_emulation::TakeReports().empty());
  }
}

__global__ void MultiplyTiles(const uint32_t* a, const uint32_t* b, int* d) {
  SharedPtr<uint4> staged = DynamicShared<uint4>();
  const int lane = static_cast<int>(threadIdx.x);
  cuda::CopyAsync16(staged + lane, a + lane * 4);
  cuda::CopyAsyncCommit();
  cuda::CopyAsyncWait<0>();
  __syncwarp();
  const uint4 mine = staged[lane];
  const uint32_t fragment_a[4] = {mine.x, mine.y, mine.z, mine.w};
  const uint32_t fragment_b[2] = {b[lane * 2], b[lane * 2 + 1]};
  int sums[4] = {1, 2, 3, 4};
  cuda::MmaS8(sums, fragment_a, fragment_b);
  for (int i = 0; i < 4; ++i) d[lane * 4 + i] = sums[i];
}

KV_TEST(cuda_emulation_multiplies_fragments) {
  cuda_emulation::ResetDevice();
  std::vector<int8_t> a(16 * 32);
  std::vector<int8_t> b(32 * 8);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<int8_t>(i * 37 % 255 - 127);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<int8_t>(i * 91 % 255 - 127);
  std::vector<uint32_t> fragments_a(32 * 4);
  std::vector<uint32_t> fragments_b(32 * 2);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 16; ++i) {
      const cuda_emulation::Coordinate at = cuda_emulation::A16x32(lane, i);
      fragments_a[static_cast<size_t>(lane * 4 + i / 4)] |=
          uint32_t{static_cast<uint8_t>(a[static_cast<size_t>(at.row * 32 + at.column)])} << (i % 4 * 8);
    }
    for (int i = 0; i < 8; ++i) {
      const cuda_emulation::Coordinate at = cuda_emulation::B32x8(lane, i);
      fragments_b[static_cast<size_t>(lane * 2 + i / 4)] |=
          uint32_t{static_cast<uint8_t>(b[static_cast<size_t>(at.row * 8 + at.column)])} << (i % 4 * 8);
    }
  }
  OnDevice<uint32_t> device_a(fragments_a);
  OnDevice<uint32_t> device_b(fragments_b);
  OnDevice<int> device_d(std::vector<int>(32 * 4));
  const LaunchConfig config{1, 32, 32 * sizeof(uint4)};
  KVASIR_LAUNCH(MultiplyTiles, config, device_a.data(), device_b.data(), device_d.data());
  const std::vector<int> d = device_d.Read();
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const cuda_emulation::Coordinate at = cuda_emulation::D16x8(lane, i);
      int sum = i + 1;
      for (int k = 0; k < 32; ++k) {
        sum += a[static_cast<size_t>(at.row * 32 + k)] * b[static_cast<size_t>(k * 8 + at.column)];
      }
      KV_EXPECT_EQ(d[static_cast<size_t>(lane * 4 + i)], sum);
    }
  }
  KV_EXPECT(cuda_emulation::TakeReports().empty());
}

}  // namespace
}  // namespace kvasir::testing
