#include "io/new_file.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "io/descriptor.h"

namespace kvasir {

namespace {

constexpr uint64_t kLargestWrite = uint64_t{8} << 20;

[[noreturn]] void ThrowWrite(const std::string& path, int error) {
  bool full = error == ENOSPC || error == EFBIG;
#ifdef EDQUOT
  full = full || error == EDQUOT;
#endif
  throw Error(ErrorCode::kInvalidOption,
              path + ": cannot be written: " + std::generic_category().message(error) +
                  (full ? ". Make room there, or choose a folder on another disk"
                        : ". Choose a folder that this user may write to"));
}

// write(bytes, offset, size) takes some of a stretch, as WriteSome does, until all of it is written.
template <typename Fn>
void WriteAll(const std::string& path, const void* bytes, uint64_t size, const Fn& write) {
  const auto* from = static_cast<const char*>(bytes);
  for (uint64_t done = 0; done < size;) {
    const int64_t written = write(from + done, done, std::min(size - done, kLargestWrite));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ThrowWrite(path, errno);
    done += static_cast<uint64_t>(written);
  }
}

}  // namespace

NewFile::NewFile(const std::string& path) : path_(path), descriptor_(CreateToWrite(path)) {
  if (descriptor_ < 0) ThrowWrite(path, errno);
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) CloseDescriptor(descriptor_);
  if (!finished_) RemoveFile(path_);
}

void NewFile::Write(const void* bytes, uint64_t size) {
  WriteAll(path_, bytes, size,
           [&](const char* from, uint64_t, uint64_t n) { return WriteSome(descriptor_, from, n); });
}

void NewFile::WriteAt(uint64_t offset, const void* bytes, uint64_t size) {
  WriteAll(path_, bytes, size, [&](const char* from, uint64_t done, uint64_t n) {
    return WriteSomeAt(descriptor_, offset + done, from, n);
  });
}

// Some file systems report a full disk only here.
void NewFile::Finish() {
  if (Flush(descriptor_) != 0 || CloseDescriptor(std::exchange(descriptor_, -1)) != 0) {
    ThrowWrite(path_, errno);
  }
  finished_ = true;
}

}  // namespace kvasir
