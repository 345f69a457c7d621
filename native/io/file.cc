#include "io/file.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "io/descriptor.h"
#include "io/format_error.h"

namespace kvasir {
namespace {

// macOS refuses reads above INT_MAX, Linux cuts them at 2 GB.
constexpr uint64_t kLargestRead = uint64_t{1} << 30;

[[noreturn]] void ThrowNotRegular(const std::string& path, FileKind kind) {
  ThrowFormat(path, kind == FileKind::kDirectory ? "is a directory" : "is not a regular file",
              "Give the path of a .safetensors or .gguf file.");
}

[[noreturn]] void ThrowOpenError(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    throw Error(ErrorCode::kModelNotFound, path + ": no such file. Check the path of the model.");
  }
  if (error == EACCES || error == EPERM) {
    ThrowFormat(path, "permission denied",
                "Give the user of this process read access to it and to its folders.");
  }
  if (error == EISDIR) ThrowNotRegular(path, FileKind::kDirectory);
  if (error == EMFILE || error == ENFILE) {
    ThrowFormat(path, "too many open files",
                "Raise the limit (ulimit -n) or dispose models no longer in use.");
  }
  ThrowFormat(path, "cannot be opened: " + std::generic_category().message(error),
              "Check the path of the model.");
}

}  // namespace

File::File(const std::string& path) : path_(path) {
  if (path.find('\0') != std::string::npos) {
    throw Error(ErrorCode::kModelNotFound, Quote(path) + ": a path cannot hold a zero byte. Check the path.");
  }
  // It waits for nothing: a path may name a pipe.
  descriptor_ = OpenToRead(path);
  if (descriptor_ < 0) ThrowOpenError(path, errno);
  FileStatus status;
  const int failed = StatusOf(descriptor_, &status) == 0 ? 0 : errno;
  if (failed != 0 || status.kind != FileKind::kRegular) {
    // A throwing constructor runs no destructor.
    CloseDescriptor(descriptor_);
    if (failed != 0) ThrowOpenError(path, failed);
    ThrowNotRegular(path, status.kind);
  }
  size_ = status.bytes;
}

File::~File() {
  if (descriptor_ >= 0) CloseDescriptor(descriptor_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

void File::ReadAt(uint64_t offset, void* out, uint64_t size, std::string_view what) const {
  if (offset > size_ || size > size_ - offset) {
    ThrowFormat(path_, "the file is truncated: it has " + std::to_string(size_) + " bytes and ends inside " +
                           Quote(what));
  }
  auto* to = static_cast<uint8_t*>(out);
  while (size > 0) {
    const int64_t got = ReadSomeAt(descriptor_, offset, to, std::min(size, kLargestRead));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      ThrowFormat(path_,
                  "cannot be read inside " + Quote(what) + ": " + std::generic_category().message(errno),
                  "Check the disk, then copy or download the file again.");
    }
    if (got == 0) {
      ThrowFormat(path_, "the file became shorter while it was read: it ended inside " + Quote(what),
                  "Let no other program change a model while it is loaded, then load it again.");
    }
    to += got;
    offset += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
}

}  // namespace kvasir
