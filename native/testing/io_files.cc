#include "testing/io_files.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace kvasir::testing {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "kvasir-io-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::Write(const std::string& name, const std::string& bytes) const {
  const std::string path = path_ + "/" + name;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
  return path;
}

std::string FloatBytes(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) bytes += Bytes(value);
  return bytes;
}

std::string Safetensors(const std::string& header, const std::string& data) {
  return Bytes<uint64_t>(header.size()) + header + data;
}

std::string GgufString(const std::string& text) { return Bytes<uint64_t>(text.size()) + text; }

std::string GgufEntry(const std::string& key, uint32_t type, const std::string& value) {
  return GgufString(key) + Bytes(type) + value;
}

std::string GgufArray(uint32_t type, uint64_t count, const std::string& elements) {
  return Bytes(type) + Bytes(count) + elements;
}

std::string Gguf(const GgufParts& parts) {
  std::string file = parts.magic + Bytes(parts.version);
  file +=
      Bytes<uint64_t>(parts.n_tensors < 0 ? parts.tensors.size() : static_cast<uint64_t>(parts.n_tensors));
  file +=
      Bytes<uint64_t>(parts.n_entries < 0 ? parts.entries.size() : static_cast<uint64_t>(parts.n_entries));
  for (const std::string& entry : parts.entries) file += entry;
  for (const GgufTensor& tensor : parts.tensors) {
    file += GgufString(tensor.name) + Bytes<uint32_t>(static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t d : tensor.dims) file += Bytes(d);
    file += Bytes(tensor.type) + Bytes(tensor.offset);
  }
  while (file.size() % parts.alignment != 0) file += '\0';
  return file + parts.data;
}

}  // namespace kvasir::testing
