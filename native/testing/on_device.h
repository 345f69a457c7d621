// Device memory with the values of a vector, for tests of kernels. Refuses to wait for anything but its own copies.
#pragma once

#include <vector>

#include "backend/cuda/launch.h"

namespace kvasir::testing {

template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : count_(values.size()) {
    cuda::Check(cudaMalloc(&data_, count_ * sizeof(T)), "cudaMalloc");
    cuda::Check(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

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

}  // namespace kvasir::testing
