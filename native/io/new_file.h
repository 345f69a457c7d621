// One file that is written from its beginning: made where nothing is, and gone again where it is not finished.
#pragma once

#include <cstdint>
#include <string>

namespace kvasir {

class NewFile {
 public:
  // Throws Error(kInvalidOption) where something is at `path`, or nothing can be made there.
  explicit NewFile(const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // Each throws Error(kInvalidOption), with what to do.
  void Write(const void* bytes, uint64_t size);
  // Over what was written before; nothing is written behind it afterwards.
  void WriteAt(uint64_t offset, const void* bytes, uint64_t size);
  // All of it is on the disk.
  void Finish();

 private:
  const std::string path_;
  int descriptor_;
  bool finished_ = false;
};

}  // namespace kvasir
