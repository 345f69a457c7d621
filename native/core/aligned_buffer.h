// Memory straight from the kernel: zeroed, page-aligned, returned to it at once when freed, on huge pages where they
// exist. It refuses to grow: a buffer is as large as it was asked for. Not for small or short-lived objects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace kvasir {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Throws Error(kInsufficientMemory) naming `purpose`. With `lazy`, physical memory comes on first touch and the
  // kernel does not check that all of it could.
  AlignedBuffer(size_t bytes, const std::string& purpose, bool lazy = false);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = static_cast<AlignedBuffer&&>(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // Without what was released; that may read as anything.
  size_t kept() const { return kept_; }
  // Gives the physical memory from `offset` on back to the kernel; what was there is lost.
  void ReleaseFrom(size_t offset);
  // Sizes of all buffers that there are, without what was released of them: everything of a model's size is in one.
  static int64_t LiveBytes();

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  void Unmap();

  size_t kept_ = 0;  // in LiveBytes
  void* mapping_ = nullptr;
  size_t mapping_size_ = 0;
};

// Hands out 64-byte aligned parts of memory that belongs to someone else, in order. One without memory only counts: what
// is laid out twice, in the same order, first counted and then taken, fits exactly.
class Arena {
 public:
  static constexpr size_t kAlignment = 64;
  static size_t Padded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

  Arena() = default;
  Arena(uint8_t* memory, size_t size) : memory_(memory), size_(size) {}
  // nullptr from an arena that counts. Throws Error(kInternal) when the arena was sized too small.
  void* Take(size_t bytes);
  template <typename T>
  T* TakeArray(size_t count) {
    return static_cast<T*>(Take(count * sizeof(T)));
  }
  size_t used() const { return used_; }

 private:
  uint8_t* memory_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
};

}  // namespace kvasir
