// Kernels without faults: the emulation runs them to the right result, under any seed, and reports nothing.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"
#include "testing/native_tests.h"
#include "testing/on_device.h"

namespace kvasir::testing {
namespace {

using cuda::DynamicShared;
using cuda::LaunchConfig;
using cuda::SharedPtr;

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

// Each thread adds to a shared histogram, then one part of each warp sums with its own mask.
__global__ void CountDigits(const int* x, int* counts, int* halves) {
  KVASIR_SHARED(int, histogram, 10);
  const int id = static_cast<int>(threadIdx.x);
  if (id < 10) histogram[id] = 0;
  __syncthreads();
  cuda::AtomicAddShared(histogram + x[id] % 10, 1);
  __syncthreads();
  if (id < 10) counts[id] = histogram[id];
  const uint32_t half = id % 32 < 16 ? 0x0000ffffu : 0xffff0000u;
  int sum = x[id];
  for (int offset = 8; offset > 0; offset /= 2) sum += __shfl_down_sync(half, sum, offset, 16);
  if (id % 16 == 0) halves[id / 16] = sum;
}

KV_TEST(cuda_emulation_runs_shared_atomics_and_half_warps) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    std::vector<int> x(96);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * i % 31);
    OnDevice<int> device_x(x);
    OnDevice<int> counts(std::vector<int>(10));
    OnDevice<int> halves(std::vector<int>(6));
    KVASIR_LAUNCH(CountDigits, (LaunchConfig{1, 96}), device_x.data(), counts.data(), halves.data());
    for (int digit = 0; digit < 10; ++digit) {
      KV_EXPECT_EQ(counts.Read()[static_cast<size_t>(digit)],
                   std::count_if(x.begin(), x.end(), [&](int v) { return v % 10 == digit; }));
    }
    for (size_t i = 0; i < 6; ++i)
      KV_EXPECT_EQ(halves.Read()[i], std::accumulate(&x[i * 16], &x[i * 16] + 16, 0));
    KV_EXPECT(cuda_emulation::TakeReports().empty());
  }
}

// What one lane writes others read after __syncwarp, of the warp or of a part of it.
__global__ void PassAround(int* out) {
  KVASIR_SHARED(int, slots, 64);
  const int id = static_cast<int>(threadIdx.x);
  const int lane = id % 32;
  const int first = id - lane;
  slots[id] = id;
  __syncwarp();
  const int next = slots[first + (lane + 1) % 32];
  __syncwarp();
  slots[id] = next;
  const uint32_t part = 0xffu << (lane / 8 * 8);
  __syncwarp(part);
  out[id] = slots[first + lane / 8 * 8 + (lane + 3) % 8];
}

KV_TEST(cuda_emulation_orders_memory_by_warp_barriers) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    OnDevice<int> out(std::vector<int>(64));
    KVASIR_LAUNCH(PassAround, (LaunchConfig{1, 64}), out.data());
    const std::vector<int> actual = out.Read();
    for (int id = 0; id < 64; ++id) {
      const int from = id / 8 * 8 + (id % 8 + 3) % 8;
      KV_EXPECT_EQ(actual[static_cast<size_t>(id)], from / 32 * 32 + (from % 32 + 1) % 32);
    }
    KV_EXPECT(cuda_emulation::TakeReports().empty());
  }
}

__global__ void VoteAndLeave(uint32_t* out) {
  const int id = static_cast<int>(threadIdx.x);
  out[id] = __ballot_sync(0xffffffffu, id % 3 == 0);
  out[32 + id] =
      static_cast<uint32_t>(__any_sync(0xffffffffu, id == 31) + 2 * __all_sync(0xffffffffu, id < 31));
  if (id >= 20) return;  // a barrier counts the threads that are left
  __syncthreads();
  out[64 + id] = __shfl_sync(0xfffffu, static_cast<uint32_t>(id) * 7, 19 - id);
}

KV_TEST(cuda_emulation_votes_and_lets_threads_leave) {
  cuda_emulation::ResetDevice();
  OnDevice<uint32_t> out(std::vector<uint32_t>(96));
  KVASIR_LAUNCH(VoteAndLeave, (LaunchConfig{1, 32}), out.data());
  const std::vector<uint32_t> actual = out.Read();
  KV_EXPECT(cuda_emulation::TakeReports().empty());
  for (size_t id = 0; id < 32; ++id) {
    KV_EXPECT_EQ(actual[id], 0x49249249u);
    KV_EXPECT_EQ(actual[32 + id], 1u);
    if (id < 20) KV_EXPECT_EQ(actual[64 + id], (19 - id) * 7);
  }
}

__global__ void RecordOrder(int* next, int* order) {
  order[atomicAdd(next, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

KV_TEST(cuda_emulation_shuffles_blocks_and_threads_by_seed) {
  std::vector<std::vector<int>> orders;
  for (const uint64_t seed : {1, 2, 2}) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    OnDevice<int> next({0});
    OnDevice<int> order(std::vector<int>(9 * 70, -1));
    KVASIR_LAUNCH(RecordOrder, (LaunchConfig{9, 70}), next.data(), order.data());
    orders.push_back(order.Read());
    std::vector<int> sorted = orders.back();
    std::sort(sorted.begin(), sorted.end());
    for (int i = 0; i < 9 * 70; ++i) KV_EXPECT_EQ(sorted[static_cast<size_t>(i)], i);
  }
  KV_EXPECT(orders[0] != orders[1]);
  KV_EXPECT(orders[1] == orders[2]);
}

KV_TEST(cuda_emulation_converts_and_multiplies_as_the_device) {
  KV_EXPECT_EQ(__float2int_rn(2.5f), 2);
  KV_EXPECT_EQ(__float2int_rn(-3.5f), -4);
  KV_EXPECT_EQ(__float2int_rn(3e9f), INT32_MAX);
  KV_EXPECT_EQ(__float2int_rn(-3e9f), INT32_MIN);
  KV_EXPECT_EQ(__float2int_rn(NAN), 0);
  KV_EXPECT_EQ(__dp4a(static_cast<int>(0x80ff017fu), static_cast<int>(0x80ff027fu), 5),
               16384 + 1 + 2 + 16129 + 5);
  KV_EXPECT_EQ(__byte_perm(0x33221100u, 0x77665544u, 0x7351u), 0x77335511u);
  KV_EXPECT_EQ(__ffs(0), 0);
  KV_EXPECT_EQ(__ffs(8), 4);
  KV_EXPECT_EQ(__clz(1), 31);
  KV_EXPECT_EQ(min(NAN, 1.0f), 1.0f);
  KV_EXPECT_EQ(cuda::HalfToFloat(0x3c01), 1 + 0x1p-10f);
  KV_EXPECT_EQ(cuda::HalfToFloat(0x8001), -0x1p-24f);
  KV_EXPECT_EQ(cuda::HalfToFloat(0xfc00), -HUGE_VALF);
  KV_EXPECT(std::isnan(cuda::HalfToFloat(0x7e00)));
}

// Every binary16 number, what lies half way to the next, and the float32 numbers beside that: to the nearest, ties to even.
KV_TEST(cuda_emulation_rounds_to_half) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = cuda::HalfToFloat(half);
    // The step above the largest number would be 65,536.
    const float next = bits == 0x7bff ? 65536.0f : cuda::HalfToFloat(static_cast<uint16_t>(bits + 1));
    const float middle = value + (next - value) / 2;
    const uint16_t up = static_cast<uint16_t>(bits + 1), even = bits % 2 == 0 ? half : up;
    KV_EXPECT_EQ(cuda::HalfFromFloat(value), half);
    KV_EXPECT_EQ(cuda::HalfFromFloat(middle), even);
    KV_EXPECT_EQ(cuda::HalfFromFloat(std::nextafter(middle, 0.0f)), half);
    KV_EXPECT_EQ(cuda::HalfFromFloat(std::nextafter(middle, HUGE_VALF)), up);
    KV_EXPECT_EQ(cuda::HalfFromFloat(-value), static_cast<uint16_t>(half | 0x8000));
  }
  KV_EXPECT_EQ(cuda::HalfFromFloat(HUGE_VALF), uint16_t{0x7c00});
  KV_EXPECT_EQ(cuda::HalfFromFloat(-3e38f), uint16_t{0xfc00});
  KV_EXPECT_EQ(cuda::HalfFromFloat(1e-45f), uint16_t{0});
  KV_EXPECT_EQ(cuda::HalfFromFloat(NAN), uint16_t{0x7fff});
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
