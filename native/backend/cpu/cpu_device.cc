// The host's memory as a device's.
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "core/aligned_buffer.h"

namespace kvasir::cpu {

namespace {

class CpuMemory final : public BackendMemory {
 public:
  explicit CpuMemory(AlignedBuffer buffer)
      : BackendMemory(buffer.data(), buffer.size()), buffer_(std::move(buffer)) {}

 private:
  AlignedBuffer buffer_;
};

}  // namespace

std::unique_ptr<BackendMemory> CpuBackend::Allocate(int64_t bytes, const std::string& purpose, bool lazy) {
  return std::make_unique<CpuMemory>(AlignedBuffer(static_cast<size_t>(bytes), purpose, lazy));
}

void CpuBackend::Upload(void* to, const void* from, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

void CpuBackend::UploadLinear(const LinearWeight& packed, const LinearWeight& own) {
  Upload(own.panels, packed.panels, PackedBytes(packed.dtype, packed.n, packed.k));
  if (packed.bias == nullptr) return;
  Upload(own.bias, packed.bias, CeilDiv(packed.n, kPanelColumns) * kPanelColumns * 4);
}

}  // namespace kvasir::cpu
