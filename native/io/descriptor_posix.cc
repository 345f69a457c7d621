#if !defined(_WIN32)

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/descriptor.h"

namespace kvasir {

static_assert(sizeof(off_t) == 8, "model files are larger than 2 GB: build with 64-bit file offsets");

// O_NONBLOCK means nothing to regular files.
int OpenToRead(const std::string& path) { return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }

int CreateToWrite(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

int StatusOf(int descriptor, FileStatus* status) {
  struct stat found;
  if (fstat(descriptor, &found) != 0) return -1;
  status->kind = S_ISREG(found.st_mode)   ? FileKind::kRegular
                 : S_ISDIR(found.st_mode) ? FileKind::kDirectory
                                          : FileKind::kOther;
  status->bytes = static_cast<uint64_t>(found.st_size);
  return 0;
}

int64_t ReadSomeAt(int descriptor, uint64_t offset, void* out, uint64_t size) {
  return pread(descriptor, out, size, static_cast<off_t>(offset));
}

int64_t WriteSome(int descriptor, const void* bytes, uint64_t size) { return write(descriptor, bytes, size); }

int64_t WriteSomeAt(int descriptor, uint64_t offset, const void* bytes, uint64_t size) {
  return pwrite(descriptor, bytes, size, static_cast<off_t>(offset));
}

int Flush(int descriptor) { return fsync(descriptor); }

int CloseDescriptor(int descriptor) { return close(descriptor); }

void RemoveFile(const std::string& path) { unlink(path.c_str()); }

}  // namespace kvasir

#endif
