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

// Runs `test` with `orders` orders of blocks and threads, sanitized with one.
template <typename Test>
void WithThreadOrders(const Test& test, uint64_t orders = 3) {
  for (uint64_t seed = 1; seed <= (kSanitized ? 1 : orders); ++seed) {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetSeed(seed);
    test();
    for (const std::string& report : cuda_emulation::TakeReports()) KV_EXPECT_EQ(report, "");
  }
}

}  // namespace kvasir::testing
