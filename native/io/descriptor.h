// The system's calls for files, behind io/file.h and io/new_file.h. What fails returns -1 and leaves the reason in
// errno. Paths are UTF-8.
#pragma once

#include <cstdint>
#include <string>

namespace kvasir {

enum class FileKind { kRegular, kDirectory, kOther };

struct FileStatus {
  FileKind kind = FileKind::kOther;
  uint64_t bytes = 0;
};

// Neither waits for the writer of a pipe nor hands the file on to child processes.
int OpenToRead(const std::string& path);
// EEXIST where there is one.
int CreateToWrite(const std::string& path);
int StatusOf(int descriptor, FileStatus* status);
// Bytes read; 0 at the end. By any number of threads at once.
int64_t ReadSomeAt(int descriptor, uint64_t offset, void* out, uint64_t size);
int64_t WriteSome(int descriptor, const void* bytes, uint64_t size);
// Over what is there; where WriteSome goes on afterwards is left open.
int64_t WriteSomeAt(int descriptor, uint64_t offset, const void* bytes, uint64_t size);
// To the disk itself.
int Flush(int descriptor);
int CloseDescriptor(int descriptor);
void RemoveFile(const std::string& path);

}  // namespace kvasir
