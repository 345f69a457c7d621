// Model files made byte by byte for the io tests: valid ones, and ones that lie wherever a test wants them
// to. It writes only into a temporary folder, which it removes. It shares no code with the parsers.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace kvasir::testing {

// A folder that is removed with its files at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::string& path() const { return path_; }
  // Writes (or overwrites) a file and returns its path.
  std::string Write(const std::string& name, const std::string& bytes) const;

 private:
  std::string path_;
};

// Little-endian bytes of a number.
template <typename T>
std::string Bytes(T value) {
  static_assert(std::is_arithmetic_v<T>);
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// The bytes of f32 values.
std::string FloatBytes(const std::vector<float>& values);

// Length, JSON header, data.
std::string Safetensors(const std::string& header, const std::string& data);

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> dims;  // innermost first, as the file stores them
  uint32_t type = 0;           // F32
  uint64_t offset = 0;
};

// What a GGUF file is made of. The counts follow the lists unless they are set.
struct GgufParts {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> entries;  // each one made by GgufEntry
  std::vector<GgufTensor> tensors;
  std::string data;
  uint64_t alignment = 32;
  int64_t n_entries = -1;
  int64_t n_tensors = -1;
};

std::string GgufString(const std::string& text);
// One metadata entry: key, value type, value bytes.
std::string GgufEntry(const std::string& key, uint32_t type, const std::string& value);
// The value bytes of an array: element type, count, elements.
std::string GgufArray(uint32_t type, uint64_t count, const std::string& elements);
std::string Gguf(const GgufParts& parts);

}  // namespace kvasir::testing
