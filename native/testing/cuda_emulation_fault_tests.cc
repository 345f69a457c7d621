// Kernels with one fault each: the emulation finds it, says where, and fails the launch.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "backend/cuda/launch.h"
#include "backend/cuda/ptx.cuh"
#include "testing/native_tests.h"
#include "testing/on_device.h"

namespace kvasir::testing {
namespace {

using cuda::DynamicShared;
using cuda::LaunchConfig;
using cuda::SharedCast;
using cuda::SharedPtr;

constexpr uint32_t kAll = 0xffffffffu;

// The report of one launch, under several seeds: each must find the fault.
template <typename... Parameters>
std::string ReportOf(const char* name, void (*kernel)(int* out, Parameters...), const LaunchConfig& config,
                     Parameters... parameters) {
  std::string first;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    int* out = nullptr;
    cuda::Check(cudaMalloc(&out, 64 * sizeof(int)), "cudaMalloc");
    cuda::Check(cuda_emulation::Launch(name, kernel, config.grid, config.block, config.shared_bytes, nullptr,
                                       out, parameters...),
                name);
    const cudaError_t status = cudaDeviceSynchronize();
    const std::vector<std::string> reports = cuda_emulation::TakeReports();
    if (reports.size() != 1 || status != cudaErrorLaunchFailure) return "no report";
    KV_EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);  // it stays
    if (first.empty()) first = reports[0];
  }
  cuda_emulation::ResetDevice();
  return first;
}

void ExpectContains(const char* file, int line, const std::string& text, const std::string& part) {
  if (text.find(part) == std::string::npos) Fail(file, line, "no '" + part + "' in: " + text);
}
#define KV_EXPECT_CONTAINS(text, part) ExpectContains(__FILE__, __LINE__, (text), (part))
#define KV_REPORT(kernel, ...) ReportOf(#kernel, kernel, __VA_ARGS__)

__global__ void ReadWithoutBarrier(int* out) {
  KVASIR_SHARED(int, slots, 64);
  slots[threadIdx.x] = 0;
  __syncthreads();
  slots[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = slots[threadIdx.x ^ 32u];
}

__global__ void WriteWithoutBarrier(int* out) {
  KVASIR_SHARED(int, slots, 64);
  slots[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = slots[(threadIdx.x + 1) % 64];
  slots[threadIdx.x] = 2;
}

__global__ void WriteSamePlace(int* out) {
  KVASIR_SHARED(int, slots, 2);
  slots[1] = 7;
  __syncthreads();
  out[threadIdx.x] = slots[1];
}

// A shuffle brings the lanes together but orders no memory.
__global__ void ShuffleForBarrier(int* out) {
  KVASIR_SHARED(int8_t, bytes, 32);
  bytes[threadIdx.x] = 3;
  const int other = __shfl_xor_sync(kAll, static_cast<int>(threadIdx.x), 1);
  out[threadIdx.x] = bytes[other];
}

__global__ void WarpBarrierForBlock(int* out) {
  KVASIR_SHARED(int, slots, 64);
  slots[threadIdx.x] = 1;
  __syncthreads();
  slots[threadIdx.x] = 2;
  __syncwarp();
  out[threadIdx.x] = slots[63 - threadIdx.x];
}

__global__ void AtomicAndPlain(int* out) {
  KVASIR_SHARED(int, sum, 1);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  cuda::AtomicAddShared(sum + 0, 1);
  out[threadIdx.x] = sum[0];
}

KV_TEST(cuda_emulation_finds_races_on_shared_memory) {
  const LaunchConfig two_warps{3, 64};
  const std::string read = KV_REPORT(ReadWithoutBarrier, two_warps);
  for (const char* part :
       {"kernel ReadWithoutBarrier, block (", "thread (", "slots[", "with no barrier between"}) {
    KV_EXPECT_CONTAINS(read, part);
  }
  KV_EXPECT_CONTAINS(KV_REPORT(WriteWithoutBarrier, two_warps), "with no barrier between");
  KV_EXPECT_CONTAINS(KV_REPORT(WriteSamePlace, two_warps), "writes slots[1], which thread (");
  KV_EXPECT_CONTAINS(KV_REPORT(ShuffleForBarrier, LaunchConfig{1, 32}), "with no barrier between");
  KV_EXPECT_CONTAINS(KV_REPORT(WarpBarrierForBlock, two_warps), "with no barrier between");
  KV_EXPECT_CONTAINS(KV_REPORT(AtomicAndPlain, two_warps), "sum[0]");
}

__global__ void ReadUnwritten(int* out) {
  KVASIR_SHARED(int, slots, 64);
  if (threadIdx.x != 5) slots[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = slots[63 - threadIdx.x];
}

__global__ void ReadBeyond(int* out) {
  KVASIR_SHARED(int, before, 64);
  KVASIR_SHARED(int, slots, 64);
  before[threadIdx.x] = slots[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = slots[static_cast<int>(threadIdx.x) + 1];
}

__global__ void WriteBefore(int* out) {
  SharedPtr<int> slots = DynamicShared<int>();
  slots[static_cast<int>(threadIdx.x) - 1] = 1;
  out[0] = 0;
}

__global__ void ReadMisaligned(int* out) {
  SharedPtr<int> slots = DynamicShared<int>();
  slots[threadIdx.x] = 1;
  __syncthreads();
  const int4 four = SharedCast<int4>(slots + 2)[0];
  out[0] = four.x;
}

KV_TEST(cuda_emulation_finds_unwritten_misaligned_and_outside_shared_memory) {
  KV_EXPECT_CONTAINS(KV_REPORT(ReadUnwritten, LaunchConfig{2, 64}),
                     "thread (58, 0, 0): reads slots[5], which nobody has written");
  KV_EXPECT_CONTAINS(KV_REPORT(ReadBeyond, LaunchConfig{1, 64}), "reads slots[64], outside its 256 bytes");
  KV_EXPECT_CONTAINS(KV_REPORT(WriteBefore, LaunchConfig{1, 32, 128}), "outside its 128 bytes");
  KV_EXPECT_CONTAINS(KV_REPORT(ReadMisaligned, LaunchConfig{1, 64, 256}), "not aligned to 16 bytes");
}

__global__ void DifferentBarriers(int*) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void BarrierForSome(int* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = __shfl_sync(kAll, 1, 16);
  if (threadIdx.x >= 40) __syncthreads();
}

__global__ void LaneMissing(int* out) {
  if (threadIdx.x != 9) out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
}

__global__ void LaneElsewhere(int* out) {
  if (threadIdx.x < 16) {
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  } else {
    out[threadIdx.x] = __shfl_xor_sync(kAll, 2, 1);
  }
}

__global__ void LaneOutsideMask(int* out) {
  if (threadIdx.x < 8) out[threadIdx.x] = __shfl_sync(0xffu, 1, 8);
}

__global__ void MaskWithoutCaller(int* out) { out[threadIdx.x] = __shfl_sync(0xffu, 1, 0); }

__global__ void HalfAnMma(int* out) {
  int d[4] = {0, 0, 0, 0};
  if (threadIdx.x < 16) cuda::MmaS8(d, {1, 1, 1, 1}, {1, 1});
  out[threadIdx.x] = d[0];
}

KV_TEST(cuda_emulation_finds_divergent_barriers_and_missing_lanes) {
  KV_EXPECT_CONTAINS(KV_REPORT(DifferentBarriers, LaunchConfig{1, 64}), "wait at different barriers");
  KV_EXPECT_CONTAINS(KV_REPORT(BarrierForSome, LaunchConfig{1, 64}), "wait at different barriers");
  KV_EXPECT_CONTAINS(KV_REPORT(LaneMissing, LaunchConfig{1, 32}), "but thread (9, 0, 0) has ended");
  KV_EXPECT_CONTAINS(KV_REPORT(LaneMissing, LaunchConfig{1, 8}), "but lane 8 is not in the block");
  KV_EXPECT_CONTAINS(KV_REPORT(LaneElsewhere, LaunchConfig{1, 32}), "lanes of one mask do different things");
  KV_EXPECT_CONTAINS(KV_REPORT(LaneOutsideMask, LaunchConfig{1, 32}),
                     "reads lane 8, which is not in the mask 0xff");
  KV_EXPECT_CONTAINS(KV_REPORT(MaskWithoutCaller, LaunchConfig{1, 32}), "lacks the calling lane");
  KV_EXPECT_CONTAINS(KV_REPORT(HalfAnMma, LaunchConfig{1, 32}), "has ended");
}

#if KVASIR_CUDA_ARCH >= 800

__global__ void ReadBeforeWait(int* out) {
  SharedPtr<uint4> staged = DynamicShared<uint4>();
  cuda::CopyAsync16(staged + threadIdx.x, out + threadIdx.x * 4);
  cuda::CopyAsyncCommit();
  const uint4 value = staged[threadIdx.x];
  cuda::CopyAsyncWait<0>();
  out[threadIdx.x] = static_cast<int>(value.x);
}

__global__ void WaitForTooFew(int* out) {
  SharedPtr<uint4> staged = DynamicShared<uint4>();
  for (unsigned i = 0; i < 2; ++i) {
    cuda::CopyAsync16(staged + i * 8 + threadIdx.x, out + threadIdx.x * 4);
    cuda::CopyAsyncCommit();
  }
  cuda::CopyAsyncWait<1>();
  const uint4 first = staged[threadIdx.x];
  const uint4 second = staged[8 + threadIdx.x];
  out[threadIdx.x] = static_cast<int>(first.x + second.x);
}

__global__ void WaitForOneself(int* out) {
  SharedPtr<uint4> staged = DynamicShared<uint4>();
  cuda::CopyAsync16(staged + threadIdx.x, out + threadIdx.x * 4);
  cuda::CopyAsyncCommit();
  cuda::CopyAsyncWait<0>();
  const uint4 other = staged[threadIdx.x ^ 1u];
  out[threadIdx.x] = static_cast<int>(other.x);
}

__global__ void CopyOntoReaders(int* out) {
  SharedPtr<uint4> staged = DynamicShared<uint4>();
  staged[threadIdx.x] = make_uint4(1, 2, 3, 4);
  __syncthreads();
  const uint4 other = staged[threadIdx.x ^ 1u];
  cuda::CopyAsync16(staged + threadIdx.x, out);
  cuda::CopyAsyncCommit();
  cuda::CopyAsyncWait<0>();
  out[threadIdx.x] = static_cast<int>(other.y);
}

KV_TEST(cuda_emulation_finds_copies_that_are_not_waited_for) {
  const LaunchConfig config{1, 8, 256};
  KV_EXPECT_CONTAINS(KV_REPORT(ReadBeforeWait, config), "before the cp.async of thread (");
  KV_EXPECT_CONTAINS(KV_REPORT(WaitForTooFew, config), "before the cp.async of thread (");
  const std::string oneself = KV_REPORT(WaitForOneself, config);
  KV_EXPECT(oneself.find("before the cp.async") != std::string::npos ||
            oneself.find("with no barrier between") != std::string::npos ||
            oneself.find("nobody has written") != std::string::npos);
  KV_EXPECT_CONTAINS(KV_REPORT(CopyOntoReaders, config), "dynamic[");
}

#endif

__global__ void WriteTo(int* out, int index) { out[index] = 1; }
__global__ void ReadFrom(int* out, const int* from) { out[0] = *from; }

KV_TEST(cuda_emulation_finds_accesses_outside_device_memory) {
#if defined(__SANITIZE_THREAD__)
  return Skip("ThreadSanitizer lets no handler leave a signal by switching stacks");
#endif
  KV_EXPECT_CONTAINS(KV_REPORT(WriteTo, LaunchConfig{1, 1}, 64), "byte 256 of device memory of 256 bytes");
  KV_EXPECT_CONTAINS(KV_REPORT(WriteTo, LaunchConfig{1, 1}, -1024),
                     "byte -4096 of device memory of 256 bytes");
  static const int kOnHost = 3;
  KV_EXPECT_CONTAINS(KV_REPORT(ReadFrom, LaunchConfig{1, 1}, &kOnHost), "is in host memory");
#if !defined(__SANITIZE_ADDRESS__)  // whose companion ends the process at a null pointer, before the fault
  KV_EXPECT_CONTAINS(KV_REPORT(ReadFrom, LaunchConfig{1, 1}, static_cast<const int*>(nullptr)), "address 0");
#endif
}

// In a process of its own, which it ends.
KV_TEST(cuda_emulation_stops_host_code_that_reads_device_memory) {
  cuda_emulation::ResetDevice();
  OnDevice<int> device({7});
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    close(STDERR_FILENO);
    const volatile int value = *device.data();
    _exit(value == 7 ? 40 : 41);
  }
  int status = 0;
  waitpid(child, &status, 0);
  KV_EXPECT(!WIFEXITED(status) || WEXITSTATUS(status) < 40);
  KV_EXPECT_EQ(device.Read()[0], 7);
}

}  // namespace
}  // namespace kvasir::testing
