#include "backend/cuda/weight_upload.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/kernels.h"

namespace kvasir::cuda {

namespace {

// Large enough that a copy's start is little beside it: 16 MiB take about 0.6 ms at 25 GB/s.
constexpr int64_t kChunkBytes = int64_t{16} << 20;

}  // namespace

WeightUpload::WeightUpload(const Gpu& device) : device_(device) {
  device.Use();
  copies_.emplace();
  for (Lane& lane : lanes_) {
    lane.pinned = AllocatePinned(device, kChunkBytes, "copying the weights");
    lane.device = AllocateOnDevice(device, kChunkBytes, "repacking the weights");
    lane.copied.emplace();
    lane.repacked.emplace();
  }
  device.Synchronize();  // the copy stream must not write before the buffers are cleared
}

WeightUpload::~WeightUpload() {
  static_cast<void>(cudaSetDevice(device_.index()));
  static_cast<void>(cudaStreamSynchronize(copies_->get()));
  static_cast<void>(cudaStreamSynchronize(device_.stream()));
}

void WeightUpload::Fill(Lane& lane, const uint8_t* from, int64_t bytes) {
  Check(cudaEventSynchronize(lane.copied->get()), "copying the weights");
  std::memcpy(lane.pinned->data(), from, static_cast<size_t>(bytes));
  Check(cudaStreamWaitEvent(copies_->get(), lane.repacked->get(), 0), "copying the weights");
}

void WeightUpload::Send(const LinearWeight& packed, const LinearWeight& own) {
  device_.Use();
  const bool int8 = packed.dtype == Dtype::kInt8;
  const int64_t groups = (packed.k + kGroup - 1) / kGroup;
  const int64_t panels = (packed.n + kPanelColumns - 1) / kPanelColumns;
  const int64_t panel_bytes =
      int8 ? groups * static_cast<int64_t>(sizeof(Int8Block)) : packed.k * kPanelColumns * 4;
  const auto* from = static_cast<const uint8_t*>(packed.panels);
  // A panel may be larger than a buffer only beyond 127,000 inputs (float32) or 508,000 (INT8).
  const int64_t run = std::max<int64_t>(1, kChunkBytes / panel_bytes);
  if (panel_bytes > kChunkBytes) {
    throw Error(ErrorCode::kUnsupportedArchitecture,
                "Linears of " + std::to_string(packed.k) + " inputs are not supported on the GPU");
  }
  for (int64_t first = 0; first < panels; first += run) {
    const int64_t count = std::min(run, panels - first), bytes = count * panel_bytes;
    Lane& lane = lanes_[next_];
    next_ = 1 - next_;
    Fill(lane, from + first * panel_bytes, bytes);
    uint8_t* to = int8 ? lane.device->data() : static_cast<uint8_t*>(own.panels) + first * panel_bytes;
    Check(cudaMemcpyAsync(to, lane.pinned->data(), static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                          copies_->get()),
          "copying the weights");
    Check(cudaEventRecord(lane.copied->get(), copies_->get()), "copying the weights");
    Check(cudaStreamWaitEvent(device_.stream(), lane.copied->get(), 0), "copying the weights");
    if (int8) {
      RepackInt8(reinterpret_cast<const Int8Block*>(lane.device->data()), first, count, own,
                 device_.stream());
    }
    Check(cudaEventRecord(lane.repacked->get(), device_.stream()), "copying the weights");
  }
}

}  // namespace kvasir::cuda
