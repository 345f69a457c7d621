#include "io/safetensors_writer.h"

#include <cstdio>

#include "io/new_file.h"

namespace kvasir {

namespace {

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
