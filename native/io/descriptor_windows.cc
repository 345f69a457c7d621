#if defined(_WIN32)

#include <fcntl.h>
#include <io.h>
#include <share.h>
#include <sys/stat.h>
#include <windows.h>

#include <cerrno>

#include "core/wide_path.h"
#include "io/descriptor.h"

namespace kvasir {

int OpenToRead(const std::string& path) {
  const std::wstring wide = WidePath(path);
  const int descriptor = _wopen(wide.c_str(), _O_RDONLY | _O_BINARY | _O_NOINHERIT);
  if (descriptor < 0 && errno == EACCES) {
    const DWORD attributes = GetFileAttributesW(wide.c_str());
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) errno = EISDIR;
  }
  return descriptor;
}

int CreateToWrite(const std::string& path) {
  const int flags = _O_WRONLY | _O_CREAT | _O_EXCL | _O_BINARY | _O_NOINHERIT;
  return _wopen(WidePath(path).c_str(), flags, _S_IREAD | _S_IWRITE);
}

int StatusOf(int descriptor, FileStatus* status) {
  struct _stat64 found;
  if (_fstat64(descriptor, &found) != 0) return -1;
  status->kind = (found.st_mode & _S_IFMT) == _S_IFREG ? FileKind::kRegular : FileKind::kOther;
  status->bytes = static_cast<uint64_t>(found.st_size);
  return 0;
}

int64_t ReadSomeAt(int descriptor, uint64_t offset, void* out, uint64_t size) {
  OVERLAPPED place = {};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32);
  const auto file = reinterpret_cast<HANDLE>(_get_osfhandle(descriptor));
  DWORD got = 0;
  if (ReadFile(file, out, static_cast<DWORD>(size), &got, &place) != 0) return got;
  if (GetLastError() == ERROR_HANDLE_EOF) return 0;
  errno = EIO;
  return -1;
}

int64_t WriteSome(int descriptor, const void* bytes, uint64_t size) {
  return _write(descriptor, bytes, static_cast<unsigned>(size));
}

int64_t WriteSomeAt(int descriptor, uint64_t offset, const void* bytes, uint64_t size) {
  OVERLAPPED place = {};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32);
  const auto file = reinterpret_cast<HANDLE>(_get_osfhandle(descriptor));
  DWORD written = 0;
  if (WriteFile(file, bytes, static_cast<DWORD>(size), &written, &place) != 0) return written;
  errno = GetLastError() == ERROR_DISK_FULL ? ENOSPC : EIO;
  return -1;
}

int Flush(int descriptor) { return _commit(descriptor); }

int CloseDescriptor(int descriptor) { return _close(descriptor); }

void RemoveFile(const std::string& path) { _wunlink(WidePath(path).c_str()); }

}  // namespace kvasir

#endif
