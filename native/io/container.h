// The only parser of container bytes: safetensors (one file or shards) and GGUF v2/v3. It gives metadata as
// plain values and tensors with checked bounds, and reads their values as float32. It knows no architecture.
// Bytes are read with pread, never mapped: a file that shrinks under a mapping kills the process with SIGBUS.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace kvasir {

struct MetadataArray {
  enum class Type { kString, kNumber, kBool } type = Type::kNumber;
  std::vector<std::string> strings;
  std::vector<double> numbers;  // booleans as 0 and 1
  size_t size() const { return type == Type::kString ? strings.size() : numbers.size(); }
};

// Numbers of every stored type are doubles: 64-bit integers above 2^53 become the nearest one. GGUF strings
// are the file's own bytes, not checked to be UTF-8.
using MetadataValue = std::variant<std::string, double, bool, MetadataArray>;

struct TensorInfo {
  std::string name;
  std::string dtype;  // "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", or the file's own name for others
  std::vector<int64_t> shape;  // outermost dimension first
  uint64_t bytes = 0;          // stored size
  uint64_t offset = 0;         // absolute, within file `file`
  int file = 0;
  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : shape) n *= d;
    return n;
  }
};

class Container {
 public:
  // Reads and checks the headers. Throws Error(kModelNotFound | kModelFormat | kInsufficientMemory).
  static std::shared_ptr<Container> Open(const std::vector<std::string>& paths);
  virtual ~Container() = default;

  virtual const char* format() const = 0;  // "safetensors" or "gguf"
  virtual const std::map<std::string, MetadataValue>& metadata() const = 0;
  virtual const std::vector<TensorInfo>& tensors() const = 0;
  // nullptr when the file has no such tensor.
  virtual const TensorInfo* Find(const std::string& name) const = 0;
  // Rows [first_row, first_row + n_rows) of a tensor seen as [rows, columns] (all outer dimensions flattened;
  // a 1-D tensor is one row) as float32 into out [n_rows, columns]. Thread-safe.
  // Throws Error(kModelFormat) for a dtype without a dequantizer, a range outside the tensor or a short read.
  virtual void ReadRows(const TensorInfo& tensor, int64_t first_row, int64_t n_rows, float* out) const = 0;
  // The stored bytes [begin, begin + size) of a tensor. Thread-safe. Throws as ReadRows does.
  virtual void ReadBytes(const TensorInfo& tensor, uint64_t begin, uint64_t size, void* out) const = 0;
};

// Whether two tensors are the same in dtype, shape and every stored byte. Reads up to the first difference, a megabyte of each
// at a time. Throws Error(kModelFormat) for a short read.
bool AreCopies(const Container& container, const TensorInfo& a, const TensorInfo& b);

}  // namespace kvasir
