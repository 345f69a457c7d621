// Arrays and linears in a backend's memory, for tests of ops on any backend. It refuses to know ops.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernel_table.h"
#include "quant/pack.h"

namespace kvasir::testing {

template <typename T>
class BackendArray {
 public:
  BackendArray(Backend& backend, const std::vector<T>& values)
      : count_(values.size()),
        memory_(backend.Allocate(static_cast<int64_t>((count_ + 1) * sizeof(T)), "a test", false)) {
    backend.Upload(memory_->data(), values.data(), static_cast<int64_t>(count_ * sizeof(T)));
  }
  T* data() { return reinterpret_cast<T*>(memory_->data()); }
  std::vector<T> Read(Backend& backend) {
    static_assert(sizeof(T) == sizeof(float));
    std::vector<float> buffer;
    const float* values =
        backend.HostView(reinterpret_cast<const float*>(data()), static_cast<int64_t>(count_), &buffer);
    const T* own = reinterpret_cast<const T*>(values);
    return {own, own + count_};
  }

 private:
  size_t count_;
  std::unique_ptr<BackendMemory> memory_;
};

// W [n, k] and bias [n], packed on the host and uploaded, once Device::FinishUploads has been called.
class BackendLinear {
 public:
  BackendLinear(Backend& backend, Dtype dtype, int64_t k, const std::vector<float>& w,
                const std::vector<float>& bias)
      : n_(static_cast<int64_t>(bias.size())),
        packed_(static_cast<size_t>(PackedBytes(dtype, n_, k))),
        padded_bias_(Padded(bias)),
        panels_(backend, packed_),
        bias_(backend, padded_bias_) {
    LinearWeight host = {
        .dtype = dtype, .n = n_, .k = k, .panels = packed_.data(), .bias = padded_bias_.data()};
    PackRows(host, 0, n_, w.data(), cpu::ScalarKernels().pack_panel_s8);
    weight_ = host;
    weight_.panels = panels_.data();
    weight_.bias = bias_.data();
    // A linear's copy has a stream of its own on a GPU: its memory has been cleared and filled before.
    bias_.Read(backend);
    backend.UploadLinear(host, weight_);
  }
  const LinearWeight& weight() const { return weight_; }

 private:
  static std::vector<float> Padded(std::vector<float> bias) {
    bias.resize((bias.size() + 31) / 32 * 32);
    return bias;
  }

  int64_t n_;
  std::vector<uint8_t> packed_;
  std::vector<float> padded_bias_;
  BackendArray<uint8_t> panels_;
  BackendArray<float> bias_;
  LinearWeight weight_;
};

}  // namespace kvasir::testing
