// Arrays on the (emulated) device, and what each test of a kernel does around its launches: other orders of threads, no
// reports of the emulation. It refuses to know kernels.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backend/cuda/launch.h"
#include "cuda_emulation.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"

namespace kvasir::testing {

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : count_(values.size()) {
    cuda::Check(cudaMalloc(&data_, (count_ + 1) * sizeof(T)), "cudaMalloc");
    Write(values);
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() { return data_; }
  void Write(const std::vector<T>& values) {
    if (count_ == 0) return;
    cuda::Check(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  std::vector<T> Read() const {
    std::vector<T> values(count_);
    cuda::Check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
    if (count_ == 0) return values;
    cuda::Check(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

// Runs `test` with an order of blocks and threads: of three, the calls from one place have each in turn. Nightly each call
// has all three, sanitized one all the same.
template <typename Test>
void WithThreadOrders(const Test& test) {
  constexpr uint64_t kOrders = 3;
  // A place is a type of its own here, so that no other test decides which order it has.
  static uint64_t calls = 0;
  const bool all = IsNightly() && !kSanitized;
  const uint64_t first = all ? 1 : 1 + calls++ % kOrders;
  for (uint64_t seed = first; seed <= (all ? kOrders : first); ++seed) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    test();
    for (const std::string& report : cuda_emulation::TakeReports()) KV_EXPECT_EQ(report, "");
  }
}

}  // namespace kvasir::testing
