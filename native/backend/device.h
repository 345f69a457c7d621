// Where a backend computes: its name, its memory, and the ways of bytes between there and the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "quant/linear_weight.h"

namespace kvasir {

// Memory that the ops of one backend reach. The host reads and writes it through that backend's Device alone.
class BackendMemory {
 public:
  BackendMemory(uint8_t* data, size_t size) : data_(data), size_(size) {}
  virtual ~BackendMemory() = default;
  BackendMemory(const BackendMemory&) = delete;
  BackendMemory& operator=(const BackendMemory&) = delete;
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_;
  size_t size_;
};

class Device {
 public:
  virtual ~Device() = default;
  // "cpu" or "cuda:N".
  virtual std::string name() const = 0;
  // Zeroed memory; with `lazy` it may come on first touch. Throws Error(kInsufficientMemory) naming `purpose`.
  virtual std::unique_ptr<BackendMemory> Allocate(int64_t bytes, const std::string& purpose, bool lazy) = 0;
  // What Allocate can still give, as far as it is known.
  virtual int64_t FreeBytes() = 0;
  // Bytes of the backend's own working memory.
  virtual int64_t WorkBytes() const = 0;
  // To the device's memory from the host's or its own, in the order of the ops before and after.
  virtual void Upload(void* to, const void* from, int64_t bytes) = 0;
  virtual void Copy(void* to, const void* from, int64_t bytes) = 0;
  // Panels (quant/pack.h) and bias of `packed`, in host memory, into those of `own`, as this device's ops like them.
  virtual void UploadLinear(const LinearWeight& packed, const LinearWeight& own) = 0;
  // Until here all uploads have read what they were given.
  virtual void FinishUploads() = 0;
  // values [n] where the host can read them, when the ops before have run: themselves, or a copy in *buffer.
  virtual const float* HostView(const float* values, int64_t n, std::vector<float>* buffer) = 0;
};

}  // namespace kvasir
