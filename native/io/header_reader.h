// Reads the little-endian fields of a binary header in order, through one large buffer, and never past the
// file. Counts that the file claims are checked against the bytes that are left, before anything is
// allocated.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "io/file.h"

namespace kvasir {

// No real header is larger (safetensors has the same limit); it bounds what a hostile one can make us
// allocate.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;

class HeaderReader {
 public:
  explicit HeaderReader(const File& file) : file_(file) {}

  // What is being read, for messages: "metadata key 'x'".
  void SetSection(std::string section) { section_ = std::move(section); }
  const std::string& section() const { return section_; }

  // All of these throw Error(kModelFormat) when the file or the header limit ends first.
  template <typename T>
  T Read() {
    T value;
    if (sizeof value > end_ - next_) Fill(sizeof value);
    std::memcpy(&value, buffer_.data() + next_, sizeof value);
    next_ += sizeof value;
    return value;
  }
  // A 64-bit length and that many bytes.
  std::string ReadString();
  // Checks that `count` items of at least `item_bytes` each can follow.
  void RequireItems(uint64_t count, uint64_t item_bytes) const;

  uint64_t position() const { return buffer_offset_ + next_; }

 private:
  // Makes `wanted` bytes available from next_ on.
  void Fill(uint64_t wanted);

  const File& file_;
  std::string section_ = "the header";
  std::vector<char> buffer_;    // file bytes from buffer_offset_ on
  size_t next_ = 0;             // first unread byte of buffer_
  size_t end_ = 0;              // end of the valid bytes of buffer_
  uint64_t buffer_offset_ = 0;  // position in the file of buffer_[0]
};

}  // namespace kvasir
