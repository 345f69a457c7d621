// safetensors: 8 bytes of header length, a JSON header, then the tensors, which must fill the rest without
// holes.
#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "io/format_error.h"
#include "io/header_reader.h"
#include "io/json.h"
#include "io/parsed_file.h"

namespace kvasir {
namespace {

struct Dtype {
  std::string_view name;
  uint64_t bits;
};

constexpr Dtype kDtypes[] = {
    {"F32", 32},    {"F16", 16},    {"BF16", 16},   {"F64", 64},    {"I8", 8},   {"U8", 8},   {"I16", 16},
    {"U16", 16},    {"I32", 32},    {"U32", 32},    {"I64", 64},    {"U64", 64}, {"BOOL", 8}, {"F8_E5M2", 8},
    {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},   {"C64", 64},
};

std::string ReadHeader(const File& file) {
  uint64_t length = 0;
  file.ReadAt(0, &length, sizeof length, "the header length");
  if (length > kMaxHeaderBytes) {
    ThrowFormat(file.path(), "this is not a safetensors file: its header would have " +
                                 std::to_string(length) + " bytes, more than the limit of 100 MB");
  }
  if (length > file.size() - sizeof length) {
    ThrowFormat(file.path(), "the file is truncated: its header has " + std::to_string(length) +
                                 " bytes, the file has " + std::to_string(file.size()));
  }
  std::string text(static_cast<size_t>(length), '\0');
  file.ReadAt(sizeof length, text.data(), length, "the header");
  if (text.empty() || text[0] != '{') ThrowFormat(file.path(), "its header does not begin with '{'");
  return text;
}

std::map<std::string, MetadataValue> ReadMetadata(JsonReader* json) {
  std::map<std::string, MetadataValue> metadata;
  json->Object([&](const std::string& key) { metadata.emplace(key, json->String()); });
  return metadata;
}

// The stored size that dtype and shape imply.
uint64_t ImpliedBytes(const File& file, const TensorInfo& tensor) {
  const std::string label = TensorLabel(tensor.name);
  const Dtype* dtype = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                    [&](const Dtype& each) { return each.name == tensor.dtype; });
  if (dtype == std::end(kDtypes)) {
    ThrowFormat(file.path(), label + " has the unknown dtype " + Quote(tensor.dtype),
                "Convert the model to F32, F16 or BF16.");
  }
  const auto elements = static_cast<uint64_t>(CheckedElements(file, label, tensor.shape));
  uint64_t bits;
  if (__builtin_mul_overflow(elements, dtype->bits, &bits)) {
    ThrowFormat(file.path(), label + " has a shape whose size overflows 64 bits");
  }
  if (bits % 8 != 0) ThrowFormat(file.path(), label + " does not end at a whole byte");
  return bits / 8;
}

// The value of one header entry. `offset` is still relative to the data.
TensorInfo ReadTensor(const File& file, const std::string& name, JsonReader* json) {
  TensorInfo tensor;
  tensor.name = name;
  const std::string label = TensorLabel(name);
  std::optional<std::vector<uint64_t>> offsets;
  bool has_dtype = false;
  bool has_shape = false;
  json->Object([&](const std::string& key) {
    if (key == "dtype") {
      tensor.dtype = json->String();
      has_dtype = true;
    } else if (key == "shape") {
      // A value above int64 turns negative, which CheckedElements rejects.
      json->Array([&] { tensor.shape.push_back(static_cast<int64_t>(json->Unsigned())); });
      has_shape = true;
    } else if (key == "data_offsets") {
      offsets.emplace();
      json->Array([&] { offsets->push_back(json->Unsigned()); });
    } else {
      json->Skip();
    }
  });
  if (!has_dtype || !has_shape || !offsets || offsets->size() != 2) {
    ThrowFormat(file.path(), label + " must have a dtype, a shape and two data_offsets");
  }
  const uint64_t begin = (*offsets)[0];
  const uint64_t end = (*offsets)[1];
  if (begin > end) {
    ThrowFormat(file.path(), label + " ends at byte " + std::to_string(end) + " before it begins at byte " +
                                 std::to_string(begin));
  }
  const uint64_t implied = ImpliedBytes(file, tensor);
  if (implied != end - begin) {
    ThrowFormat(file.path(), label + " has " + std::to_string(end - begin) +
                                 " bytes, but its dtype and shape need " + std::to_string(implied));
  }
  tensor.offset = begin;
  tensor.bytes = implied;
  return tensor;
}

// Turns relative offsets into absolute ones. The format wants every byte of the data to belong to one tensor,
// so that nothing can hide in a file.
void PlaceTensors(const File& file, uint64_t data_begin, std::vector<TensorInfo>* tensors) {
  std::vector<TensorInfo*> by_offset;
  for (TensorInfo& tensor : *tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  const uint64_t available = file.size() - data_begin;
  uint64_t end = 0;
  for (TensorInfo* tensor : by_offset) {
    const std::string label = TensorLabel(tensor->name);
    if (tensor->offset != end) {
      ThrowFormat(file.path(), label + " begins at byte " + std::to_string(tensor->offset) +
                                   " of the data, but the tensor before it ends at byte " +
                                   std::to_string(end) +
                                   (tensor->offset < end ? ": they overlap" : ": there is a hole"));
    }
    if (tensor->bytes > available - end) {
      ThrowFormat(file.path(), "the file is truncated: " + label + " ends at byte " +
                                   std::to_string(data_begin + end + tensor->bytes) + ", the file has " +
                                   std::to_string(file.size()) + " bytes");
    }
    end += tensor->bytes;
    tensor->offset += data_begin;
  }
  if (end != available) {
    ThrowFormat(file.path(),
                std::to_string(available - end) + " bytes after the last tensor belong to no tensor");
  }
}

}  // namespace

ParsedFile ParseSafetensors(const File& file) {
  const std::string text = ReadHeader(file);
  ParsedFile parsed;
  JsonReader json(file.path(), text);
  json.Object([&](const std::string& name) {
    if (name == "__metadata__") {
      parsed.metadata = ReadMetadata(&json);
    } else {
      parsed.tensors.push_back(ReadTensor(file, name, &json));
    }
  });
  json.End();
  PlaceTensors(file, sizeof(uint64_t) + text.size(), &parsed.tensors);
  return parsed;
}

}  // namespace kvasir
