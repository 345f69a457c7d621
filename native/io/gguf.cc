// GGUF versions 2 and 3, little-endian.
#include <algorithm>
#include <array>
#include <utility>

#include "io/format_error.h"
#include "io/gguf_types.h"
#include "io/header_reader.h"
#include "io/parsed_file.h"

namespace kvasir {
namespace {

enum class ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

// The smallest metadata entry (key length, one-byte key, type, one-byte value) and tensor entry (name length,
// name, number of dimensions, one dimension, type, offset).
constexpr uint64_t kMinEntryBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
// The format's own limit on keys; names are held to it too.
constexpr size_t kMaxNameBytes = 65535;
constexpr uint64_t kDefaultAlignment = 32;

constexpr char kAlignmentKey[] = "general.alignment";

struct Preamble {
  uint64_t n_tensors = 0;
  uint64_t n_entries = 0;
};

Preamble ReadPreamble(const File& file, HeaderReader* header) {
  if (header->Read<std::array<char, 4>>() != std::array<char, 4>{'G', 'G', 'U', 'F'}) {
    ThrowFormat(file.path(), "this is not a GGUF file: it does not begin with 'GGUF'");
  }
  const auto version = header->Read<uint32_t>();
  if (version != 0 && (version & 0xffff) == 0) {
    ThrowFormat(file.path(), "this GGUF file is big-endian",
                "Convert the model to a little-endian GGUF file.");
  }
  if (version < 2 || version > 3) {
    ThrowFormat(file.path(), "GGUF version " + std::to_string(version) + " is not supported",
                "Use a file of version 2 or 3: download a current one, or convert the model again.");
  }
  Preamble counts;
  counts.n_tensors = header->Read<uint64_t>();
  counts.n_entries = header->Read<uint64_t>();
  header->SetSection("the number of metadata entries");
  header->RequireItems(counts.n_entries, kMinEntryBytes);
  header->SetSection("the number of tensors");
  header->RequireItems(counts.n_tensors, kMinTensorBytes);
  return counts;
}

// A boolean byte; all but 0 and 1 means that the reader is lost.
bool ReadBool(const File& file, HeaderReader* header) {
  const auto byte = header->Read<uint8_t>();
  if (byte > 1)
    ThrowFormat(file.path(), header->section() + " has a boolean of value " + std::to_string(byte));
  return byte != 0;
}

template <typename T>
void ReadNumbers(HeaderReader* header, uint64_t count, std::vector<double>* out) {
  header->RequireItems(count, sizeof(T));
  out->reserve(count);
  // 64-bit integers above 2^53 become the nearest double: container.h has no other number.
  for (uint64_t i = 0; i < count; ++i) out->push_back(static_cast<double>(header->Read<T>()));
}

// Appends `count` numbers. False when the type is no number.
bool ReadNumbersOf(ValueType type, HeaderReader* header, uint64_t count, std::vector<double>* out) {
  switch (type) {
    case ValueType::kU8: return ReadNumbers<uint8_t>(header, count, out), true;
    case ValueType::kI8: return ReadNumbers<int8_t>(header, count, out), true;
    case ValueType::kU16: return ReadNumbers<uint16_t>(header, count, out), true;
    case ValueType::kI16: return ReadNumbers<int16_t>(header, count, out), true;
    case ValueType::kU32: return ReadNumbers<uint32_t>(header, count, out), true;
    case ValueType::kI32: return ReadNumbers<int32_t>(header, count, out), true;
    case ValueType::kU64: return ReadNumbers<uint64_t>(header, count, out), true;
    case ValueType::kI64: return ReadNumbers<int64_t>(header, count, out), true;
    case ValueType::kF32: return ReadNumbers<float>(header, count, out), true;
    case ValueType::kF64: return ReadNumbers<double>(header, count, out), true;
    default: return false;
  }
}

[[noreturn]] void ThrowUnknownType(const File& file, const HeaderReader& header, ValueType type) {
  ThrowFormat(file.path(), header.section() + " has the unknown value type " +
                               std::to_string(static_cast<uint32_t>(type)));
}

MetadataArray ReadArray(const File& file, HeaderReader* header) {
  const auto type = static_cast<ValueType>(header->Read<uint32_t>());
  const auto count = header->Read<uint64_t>();
  MetadataArray array;
  if (type == ValueType::kString) {
    array.type = MetadataArray::Type::kString;
    header->RequireItems(count, sizeof(uint64_t));
    array.strings.reserve(count);
    for (uint64_t i = 0; i < count; ++i) array.strings.push_back(header->ReadString());
  } else if (type == ValueType::kBool) {
    array.type = MetadataArray::Type::kBool;
    header->RequireItems(count, 1);
    array.numbers.reserve(count);
    for (uint64_t i = 0; i < count; ++i) array.numbers.push_back(ReadBool(file, header));
  } else if (type == ValueType::kArray) {
    ThrowFormat(file.path(), header->section() + " is an array of arrays, which is not supported",
                "Convert the model again without this key.");
  } else if (!ReadNumbersOf(type, header, count, &array.numbers)) {
    ThrowUnknownType(file, *header, type);
  }
  return array;
}

MetadataValue ReadValue(const File& file, HeaderReader* header) {
  const auto type = static_cast<ValueType>(header->Read<uint32_t>());
  if (type == ValueType::kString) return header->ReadString();
  if (type == ValueType::kBool) return ReadBool(file, header);
  if (type == ValueType::kArray) return ReadArray(file, header);
  std::vector<double> number;
  if (!ReadNumbersOf(type, header, 1, &number)) ThrowUnknownType(file, *header, type);
  return number[0];
}

std::string ReadName(const File& file, HeaderReader* header) {
  std::string name = header->ReadString();
  if (name.empty() || name.size() > kMaxNameBytes) {
    ThrowFormat(file.path(), header->section() + " has a name of " + std::to_string(name.size()) +
                                 " bytes; 1 to " + std::to_string(kMaxNameBytes) + " are allowed");
  }
  return name;
}

void ReadMetadata(const File& file, uint64_t n_entries, HeaderReader* header,
                  std::map<std::string, MetadataValue>* metadata) {
  for (uint64_t i = 0; i < n_entries; ++i) {
    header->SetSection("metadata entry " + std::to_string(i));
    std::string key = ReadName(file, header);
    header->SetSection("metadata key " + Quote(key));
    MetadataValue value = ReadValue(file, header);
    const auto [entry, unique] = metadata->try_emplace(std::move(key), std::move(value));
    if (!unique) ThrowFormat(file.path(), "metadata key " + Quote(entry->first) + " is there twice");
  }
}

uint64_t Alignment(const File& file, const std::map<std::string, MetadataValue>& metadata) {
  const auto entry = metadata.find(kAlignmentKey);
  if (entry == metadata.end()) return kDefaultAlignment;
  const auto* number = std::get_if<double>(&entry->second);
  const bool fits = number != nullptr && *number >= 8 && *number <= UINT32_MAX;
  const uint64_t alignment = fits ? static_cast<uint64_t>(*number) : 0;
  if (!fits || static_cast<double>(alignment) != *number || (alignment & (alignment - 1)) != 0) {
    ThrowFormat(file.path(), std::string(kAlignmentKey) + " must be a power of two from 8 to 2147483648");
  }
  return alignment;
}

// One entry of the tensor table. `offset` is still relative to the data section; `bytes` is 0 for a type
// whose size is not known.
TensorInfo ReadTensor(const File& file, uint64_t index, HeaderReader* header) {
  header->SetSection("tensor entry " + std::to_string(index));
  TensorInfo tensor;
  tensor.name = ReadName(file, header);
  const std::string label = TensorLabel(tensor.name);
  header->SetSection(label);
  const auto n_dims = header->Read<uint32_t>();
  if (n_dims < 1 || n_dims > 4) {
    ThrowFormat(file.path(), label + " has " + std::to_string(n_dims) + " dimensions; 1 to 4 are allowed");
  }
  tensor.shape.resize(n_dims);
  // The file lists the innermost dimension first.
  for (uint32_t d = n_dims; d-- > 0;) tensor.shape[d] = static_cast<int64_t>(header->Read<uint64_t>());
  for (const int64_t d : tensor.shape) {
    if (d == 0) ThrowFormat(file.path(), label + " has a dimension of 0");
  }
  const int64_t elements = CheckedElements(file, label, tensor.shape);
  const auto type_id = header->Read<uint32_t>();
  tensor.offset = header->Read<uint64_t>();
  const GgufType* type = FindGgufType(type_id);
  if (type == nullptr) {
    tensor.dtype = "ggml type " + std::to_string(type_id);
    return tensor;
  }
  tensor.dtype = type->name;
  if (tensor.shape.back() % type->block_elements != 0) {
    ThrowFormat(file.path(), label + " has rows of " + std::to_string(tensor.shape.back()) + " values, but " +
                                 type->name + " stores blocks of " + std::to_string(type->block_elements));
  }
  uint64_t bytes;
  if (__builtin_mul_overflow(static_cast<uint64_t>(elements / type->block_elements),
                             static_cast<uint64_t>(type->block_bytes), &bytes)) {
    ThrowFormat(file.path(), label + " has a shape whose size overflows 64 bits");
  }
  tensor.bytes = bytes;
  return tensor;
}

// Turns relative offsets into absolute ones and checks that tensors are aligned, inside the file and apart.
void PlaceTensors(const File& file, uint64_t data_begin, uint64_t alignment,
                  std::vector<TensorInfo>* tensors) {
  std::vector<TensorInfo*> by_offset;
  for (TensorInfo& tensor : *tensors) {
    const std::string label = TensorLabel(tensor.name);
    if (tensor.offset % alignment != 0) {
      ThrowFormat(file.path(), label + " begins at byte " + std::to_string(tensor.offset) +
                                   " of the data, which is not a multiple of the alignment " +
                                   std::to_string(alignment));
    }
    const uint64_t available = file.size() > data_begin ? file.size() - data_begin : 0;
    if (tensor.offset >= available || tensor.bytes > available - tensor.offset) {
      ThrowFormat(file.path(), "the file is truncated: " + label + " takes " + std::to_string(tensor.bytes) +
                                   " bytes from byte " + std::to_string(tensor.offset) +
                                   " of the data, but only " + std::to_string(available) +
                                   " bytes of data are there (the file has " + std::to_string(file.size()) +
                                   " bytes)");
    }
    tensor.offset += data_begin;
    by_offset.push_back(&tensor);
  }
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
  for (size_t i = 0; i < by_offset.size(); ++i) {
    TensorInfo* tensor = by_offset[i];
    const uint64_t next = i + 1 < by_offset.size() ? by_offset[i + 1]->offset : file.size();
    // A type of unknown size has all bytes up to the next tensor.
    if (tensor->bytes == 0) tensor->bytes = next - tensor->offset;
    if (tensor->bytes > next - tensor->offset || next == tensor->offset) {
      ThrowFormat(file.path(),
                  TensorLabel(tensor->name) + " and " + TensorLabel(by_offset[i + 1]->name) + " overlap");
    }
  }
}

}  // namespace

ParsedFile ParseGguf(const File& file) {
  HeaderReader header(file);
  const Preamble counts = ReadPreamble(file, &header);
  ParsedFile parsed;
  ReadMetadata(file, counts.n_entries, &header, &parsed.metadata);
  for (uint64_t i = 0; i < counts.n_tensors; ++i) parsed.tensors.push_back(ReadTensor(file, i, &header));
  const uint64_t alignment = Alignment(file, parsed.metadata);
  const uint64_t data_begin = (header.position() + alignment - 1) / alignment * alignment;
  PlaceTensors(file, data_begin, alignment, &parsed.tensors);
  return parsed;
}

}  // namespace kvasir
