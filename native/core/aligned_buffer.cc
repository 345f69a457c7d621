#include "core/aligned_buffer.h"

#include <atomic>

#include "core/error.h"
#include "core/mapped_memory.h"

namespace kvasir {

namespace {
constexpr size_t kHugePage = size_t{2} << 20;
std::atomic<int64_t> live_bytes{0};
}  // namespace

int64_t AlignedBuffer::LiveBytes() { return live_bytes.load(); }

AlignedBuffer::AlignedBuffer(size_t bytes, const std::string& purpose, bool lazy) : size_(bytes) {
  if (bytes == 0) return;
  // Over-allocated by one huge page so that the start can be aligned to one; the kernel backs only touched pages.
  const bool huge = bytes >= kHugePage;
  mapping_size_ = bytes + (huge ? kHugePage : 0);
  mapping_ = MapMemory(mapping_size_, lazy);
  if (mapping_ == nullptr) {
    throw Error(ErrorCode::kInsufficientMemory, "The system refused " + std::to_string(bytes) +
                                                    " bytes for " + purpose +
                                                    "; close other programs or use a smaller model");
  }
  uintptr_t start = reinterpret_cast<uintptr_t>(mapping_);
  if (huge) {
    start = (start + kHugePage - 1) & ~(kHugePage - 1);
    PreferHugePages(reinterpret_cast<void*>(start), bytes);
  }
  data_ = reinterpret_cast<uint8_t*>(start);
  kept_ = bytes;
  live_bytes += static_cast<int64_t>(kept_);
}

void AlignedBuffer::ReleaseFrom(size_t offset) {
  if (offset < kept_) {
    live_bytes -= static_cast<int64_t>(kept_ - offset);
    kept_ = offset;
  }
  // Whole pages of any size that a kernel has.
  constexpr size_t kLargestPage = size_t{64} << 10;
  const uintptr_t begin =
      (reinterpret_cast<uintptr_t>(data_) + offset + kLargestPage - 1) & ~(kLargestPage - 1);
  const uintptr_t end = reinterpret_cast<uintptr_t>(data_) + size_;
  if (begin < end) DiscardMemory(reinterpret_cast<void*>(begin), end - begin);
}

void AlignedBuffer::Unmap() {
  if (mapping_ == nullptr) return;
  UnmapMemory(mapping_, mapping_size_);
  live_bytes -= static_cast<int64_t>(kept_);
}

AlignedBuffer::~AlignedBuffer() { Unmap(); }

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  data_ = other.data_;
  size_ = other.size_;
  kept_ = other.kept_;
  mapping_ = other.mapping_;
  mapping_size_ = other.mapping_size_;
  other.data_ = nullptr;
  other.size_ = 0;
  other.kept_ = 0;
  other.mapping_ = nullptr;
  other.mapping_size_ = 0;
  return *this;
}

void* Arena::Take(size_t bytes) {
  const size_t padded = Padded(bytes);
  if (memory_ == nullptr) {
    used_ += padded;
    return nullptr;
  }
  if (padded > size_ - used_) {
    throw Error(ErrorCode::kInternal, "An arena was sized too small for its tensors");
  }
  void* part = memory_ + used_;
  used_ += padded;
  return part;
}

}  // namespace kvasir
