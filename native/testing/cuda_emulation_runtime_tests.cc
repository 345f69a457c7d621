// The emulated runtime: work comes late, streams depend on each other only as they say, graphs replay, and injected
// faults look like a device's.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "backend/cuda/launch.h"
#include "testing/native_tests.h"
#include "testing/on_device.h"

namespace kvasir::testing {
namespace {

using cuda::LaunchConfig;

__global__ void AddTo(int* x, int value) { x[threadIdx.x] += value; }
__global__ void Scale(int* x, int factor) { x[threadIdx.x] *= factor; }

template <typename T>
T* Pinned(size_t count) {
  T* p = nullptr;
  cuda::Check(cudaMallocHost(&p, count * sizeof(T)), "cudaMallocHost");
  return p;
}

// How often `run` finds what it looks for, over seeds.
template <typename Run>
int Count(Run run) {
  int n = 0;
  for (uint64_t seed = 1; seed <= 32; ++seed) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    if (run()) ++n;
  }
  cuda_emulation::ResetDevice();
  return n;
}

KV_TEST(cuda_emulation_shows_copies_that_are_not_waited_for) {
  const int reused_too_early = Count([] {
    int* host = Pinned<int>(4);
    OnDevice<int> device(std::vector<int>(4));
    host[0] = 1;
    cudaMemcpyAsync(device.data(), host, 16, cudaMemcpyHostToDevice);
    host[0] = 2;
    return device.Read()[0] == 2;
  });
  KV_EXPECT(reused_too_early > 16);
  const int read_too_early = Count([] {
    int* host = Pinned<int>(1);
    OnDevice<int> device({7});
    host[0] = 0;
    cudaMemcpyAsync(host, device.data(), 4, cudaMemcpyDeviceToHost);
    return host[0] != 7;
  });
  KV_EXPECT(read_too_early > 16);
  // Pageable memory is read before the call returns.
  const int from_pageable = Count([] {
    int host = 1;
    OnDevice<int> device({0});
    cudaMemcpyAsync(device.data(), &host, 4, cudaMemcpyHostToDevice);
    host = 2;
    return device.Read()[0] == 1;
  });
  KV_EXPECT_EQ(from_pageable, 32);
}

int RunTwoStreams(bool with_event) {
  cudaStream_t first;
  cudaStream_t second;
  cudaEvent_t event;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  OnDevice<int> x({1});
  cudaDeviceSynchronize();
  KVASIR_LAUNCH(AddTo, (LaunchConfig{1, 1, 0, first}), x.data(), 2);
  cudaEventRecord(event, first);
  if (with_event) cudaStreamWaitEvent(second, event);
  KVASIR_LAUNCH(Scale, (LaunchConfig{1, 1, 0, second}), x.data(), 10);
  cudaDeviceSynchronize();
  const int result = x.Read()[0];
  cudaEventDestroy(event);
  cudaStreamDestroy(first);
  cudaStreamDestroy(second);
  return result;
}

KV_TEST(cuda_emulation_orders_streams_only_by_events) {
  const int ordered = Count([] { return RunTwoStreams(false) == 30; });
  KV_EXPECT(ordered > 4);
  KV_EXPECT(ordered < 28);
  KV_EXPECT_EQ(Count([] { return RunTwoStreams(true) == 30; }), 32);
}

KV_TEST(cuda_emulation_orders_the_default_stream_and_blocking_ones) {
  KV_EXPECT_EQ(Count([] {
                 cudaStream_t stream;
                 cudaStreamCreate(&stream);
                 OnDevice<int> x({1});
                 KVASIR_LAUNCH(AddTo, (LaunchConfig{1, 1, 0, stream}), x.data(), 2);
                 KVASIR_LAUNCH(Scale, (LaunchConfig{1, 1}), x.data(), 10);
                 KVASIR_LAUNCH(AddTo, (LaunchConfig{1, 1, 0, stream}), x.data(), 3);
                 cudaStreamSynchronize(stream);
                 const bool right = x.Read()[0] == 33;
                 cudaStreamDestroy(stream);
                 return right;
               }),
               32);
}

KV_TEST(cuda_emulation_replays_graphs_of_forked_streams) {
  KV_EXPECT_EQ(Count([] {
                 cudaStream_t main;
                 cudaStream_t side;
                 cudaEvent_t forked;
                 cudaEvent_t joined;
                 cudaStreamCreateWithFlags(&main, cudaStreamNonBlocking);
                 cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
                 cudaEventCreate(&forked);
                 cudaEventCreate(&joined);
                 OnDevice<int> x({1, 1});
                 cudaStreamBeginCapture(main, cudaStreamCaptureModeThreadLocal);
                 KVASIR_LAUNCH(AddTo, (LaunchConfig{1, 2, 0, main}), x.data(), 1);
                 cudaEventRecord(forked, main);
                 cudaStreamWaitEvent(side, forked);
                 KVASIR_LAUNCH(Scale, (LaunchConfig{1, 1, 0, side}), x.data(), 3);
                 KVASIR_LAUNCH(Scale, (LaunchConfig{1, 1, 0, main}), x.data() + 1, 5);
                 cudaEventRecord(joined, side);
                 cudaStreamWaitEvent(main, joined);
                 KVASIR_LAUNCH(AddTo, (LaunchConfig{1, 2, 0, main}), x.data(), 1);
                 cudaGraph_t graph;
                 cudaGraphExec_t exec;
                 cuda::Check(cudaStreamEndCapture(main, &graph), "capture");
                 cuda::Check(cudaGraphInstantiate(&exec, graph), "instantiate");
                 cudaGraphDestroy(graph);
                 const std::vector<int> untouched = x.Read();
                 cudaGraphLaunch(exec, main);
                 cudaGraphLaunch(exec, main);
                 cudaStreamSynchronize(main);
                 const std::vector<int> twice = x.Read();
                 cudaGraphExecDestroy(exec);
                 cudaEventDestroy(forked);
                 cudaEventDestroy(joined);
                 return untouched == std::vector<int>{1, 1} && twice == std::vector<int>{25, 61};
               }),
               32);
}

KV_TEST(cuda_emulation_spoils_a_capture_by_waiting) {
  cuda_emulation::ResetDevice();
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
  void* p = nullptr;
  KV_EXPECT_EQ(cudaMalloc(&p, 16), cudaErrorStreamCaptureUnsupported);
  KV_EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed);
  KV_EXPECT_EQ(cudaMalloc(&p, 16), cudaSuccess);
  KV_EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  KV_EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  cuda_emulation::ResetDevice();
}

KV_TEST(cuda_emulation_refuses_wrong_copies_and_launches) {
  cuda_emulation::ResetDevice();
  OnDevice<int> x({1, 2, 3});
  int host[4] = {};
  KV_EXPECT_EQ(cudaMemcpy(host, x.data(), 16, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  KV_EXPECT_EQ(cudaMemcpy(host, x.data(), 12, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  KV_EXPECT_EQ(cudaMemcpy(x.data(), host, 12, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  KV_EXPECT_EQ(cudaMemsetAsync(host, 0, 4), cudaErrorInvalidValue);
  KV_EXPECT_EQ(cudaFree(x.data() + 1), cudaErrorInvalidValue);
  KV_EXPECT_THROWS(ErrorCode::kDeviceUnavailable, [&] {
    KVASIR_LAUNCH(AddTo, (LaunchConfig{0, 1}), x.data(), 1);
    return 0;
  }());
  KV_EXPECT_THROWS(ErrorCode::kDeviceUnavailable, [&] {
    KVASIR_LAUNCH(AddTo, (LaunchConfig{1, 1025}), x.data(), 1);
    return 0;
  }());
  const LaunchConfig large{1, 1, 60 << 10};
  KV_EXPECT_THROWS(ErrorCode::kDeviceUnavailable, [&] {
    KVASIR_LAUNCH(AddTo, large, x.data(), 1);
    return 0;
  }());
  KV_EXPECT_EQ(cudaFuncSetAttribute(AddTo, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 << 10),
               cudaSuccess);
  KVASIR_LAUNCH(AddTo, large, x.data(), 1);
  KV_EXPECT_EQ(x.Read()[0], 2);
}

KV_TEST(cuda_emulation_limits_memory) {
  cuda_emulation::ResetDevice();
  cuda_emulation::SetDeviceMemory(1 << 20);
  void* p = nullptr;
  void* q = nullptr;
  KV_EXPECT_EQ(cudaMalloc(&p, 700 << 10), cudaSuccess);
  KV_EXPECT_EQ(cudaMalloc(&q, 400 << 10), cudaErrorMemoryAllocation);
  size_t free = 0;
  size_t total = 0;
  cudaMemGetInfo(&free, &total);
  KV_EXPECT_EQ(free, size_t{324} << 10);
  KV_EXPECT_EQ(cudaFree(p), cudaSuccess);
  KV_EXPECT_EQ(cudaMalloc(&q, 400 << 10), cudaSuccess);
  KV_EXPECT_EQ(cuda_emulation::AllocatedDeviceMemory(), uint64_t{400} << 10);
  cuda_emulation::ResetDevice();
}

KV_TEST(cuda_emulation_injects_faults) {
  cuda_emulation::ResetDevice();
  void* p = nullptr;
  cuda_emulation::InjectFaults({.allocation = 2});
  KV_EXPECT_EQ(cudaMalloc(&p, 16), cudaSuccess);
  void* q = nullptr;
  KV_EXPECT_EQ(cudaMalloc(&q, 16), cudaErrorMemoryAllocation);
  KV_EXPECT_EQ(cudaMalloc(&q, 16), cudaSuccess);

  cuda_emulation::InjectFaults({.launch = 2});
  OnDevice<int> x({1});
  KVASIR_LAUNCH(AddTo, (LaunchConfig{1, 1}), x.data(), 1);
  KV_EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  cuda_emulation::Launch("AddTo", AddTo, 1, 1, 0, nullptr, x.data(), 1);
  KV_EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  KV_EXPECT_EQ(cudaMalloc(&p, 16), cudaErrorLaunchFailure);
  KV_EXPECT(std::strstr(cudaGetErrorString(cudaErrorLaunchFailure), "unspecified launch failure") != nullptr);

  cuda_emulation::ResetDevice();
  cuda_emulation::InjectFaults({.lost = 2});
  KV_EXPECT_EQ(cudaMalloc(&p, 16), cudaSuccess);
  KV_EXPECT_EQ(cudaMalloc(&q, 16), cudaErrorDevicesUnavailable);
  KV_EXPECT_EQ(cudaFree(p), cudaErrorDevicesUnavailable);
  KV_EXPECT_EQ(cuda_emulation::AllocatedDeviceMemory(), 0u);

  setenv("KVASIR_EMULATION_FAULT", "device:none", 1);
  cuda_emulation::ResetDevice();
  int count = -1;
  KV_EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  setenv("KVASIR_EMULATION_FAULT", "alloc:1", 1);
  cuda_emulation::ResetDevice();
  KV_EXPECT_EQ(cudaMalloc(&p, 16), cudaErrorMemoryAllocation);
  unsetenv("KVASIR_EMULATION_FAULT");
  cuda_emulation::ResetDevice();
}

}  // namespace
}  // namespace kvasir::testing
