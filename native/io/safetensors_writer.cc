#include "io/safetensors_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
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

std::string JsonString(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[7];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      json += escape;
    } else {
      json += c;
    }
  }
  return json + '"';
}

std::string Header(const std::map<std::string, std::string>& metadata,
                   const std::vector<TensorToWrite>& tensors) {
  std::string json = "{\"__metadata__\":{";
  for (const auto& [key, value] : metadata) json += JsonString(key) + ':' + JsonString(value) + ',';
  if (!metadata.empty()) json.pop_back();
  json += '}';
  uint64_t begin = 0;
  for (const TensorToWrite& tensor : tensors) {
    json += ',' + JsonString(tensor.name) + ":{\"dtype\":" + JsonString(tensor.dtype) + ",\"shape\":[";
    for (const int64_t size : tensor.shape) json += std::to_string(size) + ',';
    if (!tensor.shape.empty()) json.pop_back();
    json +=
        "],\"data_offsets\":[" + std::to_string(begin) + ',' + std::to_string(begin + tensor.bytes) + "]}";
    begin += tensor.bytes;
  }
  json += '}';
  // Spaces up to a multiple of 64, so that tensors begin aligned as far as their sizes allow.
  json.resize((json.size() + 8 + 63) / 64 * 64 - 8, ' ');
  return json;
}

class NewFile {
 public:
  explicit NewFile(const std::string& path) : path_(path) {
    descriptor_ = CreateToWrite(path);
    if (descriptor_ < 0) ThrowWrite(path, errno);
  }
  ~NewFile() {
    if (descriptor_ >= 0) CloseDescriptor(descriptor_);
    if (!finished_) RemoveFile(path_);
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void Write(const void* bytes, uint64_t size) {
    const auto* from = static_cast<const char*>(bytes);
    while (size > 0) {
      const int64_t written = WriteSome(descriptor_, from, std::min(size, kLargestWrite));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) ThrowWrite(path_, errno);
      from += written;
      size -= static_cast<uint64_t>(written);
    }
  }

  // Some file systems report a full disk only here.
  void Finish() {
    if (Flush(descriptor_) != 0 || CloseDescriptor(std::exchange(descriptor_, -1)) != 0) {
      ThrowWrite(path_, errno);
    }
    finished_ = true;
  }

 private:
  const std::string& path_;
  int descriptor_ = -1;
  bool finished_ = false;
};

}  // namespace

uint64_t WriteSafetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                          const std::vector<TensorToWrite>& tensors,
                          const std::function<void(uint64_t, uint64_t)>& progress) {
  const std::string header = Header(metadata, tensors);
  const uint64_t header_bytes = header.size();
  uint64_t total = sizeof header_bytes + header_bytes, written = total;
  for (const TensorToWrite& tensor : tensors) total += tensor.bytes;
  NewFile file(path);
  file.Write(&header_bytes, sizeof header_bytes);
  file.Write(header.data(), header_bytes);
  for (const TensorToWrite& tensor : tensors) {
    file.Write(tensor.values, tensor.bytes);
    written += tensor.bytes;
    if (progress) progress(written, total);
  }
  file.Finish();
  return total;
}

}  // namespace kvasir
