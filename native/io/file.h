// One read-only regular file: opened once, read at offsets by any number of threads. It refuses to map
// (a file that shrinks under a mapping kills the process), to write, and to wait for pipes or devices.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kvasir {

class File {
 public:
  // Throws Error(kModelNotFound) when nothing is there, Error(kModelFormat) when it cannot be read.
  explicit File(const std::string& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) = delete;

  const std::string& path() const { return path_; }
  // Bytes at the time of opening.
  uint64_t size() const { return size_; }

  // Reads exactly `size` bytes at `offset` into out. Thread-safe. `what` names the thing being read, for the
  // message. Throws Error(kModelFormat) when the file ends first or the device fails.
  void ReadAt(uint64_t offset, void* out, uint64_t size, std::string_view what) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace kvasir
