// Weights on their way to the GPU: through two pinned buffers, so that the host fills one while the GPU copies and repacks
// the other. It packs nothing: see RepackInt8.
#pragma once

#include <memory>
#include <optional>

#include "backend/cuda/gpu.h"

namespace kvasir::cuda {

class WeightUpload {
 public:
  explicit WeightUpload(const Gpu& device);
  ~WeightUpload();
  WeightUpload(const WeightUpload&) = delete;
  WeightUpload& operator=(const WeightUpload&) = delete;

  // The panels of a linear, as the CPU backend packed them, into own.panels. What the GPU does of it is queued.
  void Send(const LinearWeight& packed, const LinearWeight& own);

 private:
  struct Lane {
    std::unique_ptr<BackendMemory> pinned, device;
    std::optional<Event> copied;    // by the copy stream
    std::optional<Event> repacked;  // by the device's stream
  };

  // Waits until the lane's buffers are free and fills the pinned one.
  void Fill(Lane& lane, const uint8_t* from, int64_t bytes);

  const Gpu& device_;
  std::optional<Stream> copies_;
  Lane lanes_[2];
  int next_ = 0;
};

}  // namespace kvasir::cuda
