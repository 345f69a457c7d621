#include "io/container.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "io/dequantize.h"
#include "io/file_head.h"
#include "io/format_error.h"
#include "io/parsed_file.h"

namespace kvasir {

namespace {

// On the stack, so that no thread keeps it; smaller than the 128 KB stacks of some C libraries, and in L1.
constexpr int64_t kStagingBytes = 16 * 1024;

class FileContainer : public Container {
 public:
  FileContainer(const char* format, std::vector<File> files) : format_(format), files_(std::move(files)) {}

  // The first file's metadata wins: shards repeat it or have less.
  void Merge(int file, ParsedFile parsed);
  void CheckSplit() const;

  const char* format() const override { return format_; }
  const std::map<std::string, MetadataValue>& metadata() const override { return metadata_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* Find(const std::string& name) const override {
    const auto entry = index_.find(name);
    return entry == index_.end() ? nullptr : &tensors_[entry->second];
  }
  void ReadRows(const TensorInfo& tensor, int64_t first_row, int64_t n_rows, float* out) const override;
  void ReadBytes(const TensorInfo& tensor, uint64_t begin, uint64_t size, void* out) const override;

 private:
  const File& FileOf(const TensorInfo& tensor) const { return files_.at(static_cast<size_t>(tensor.file)); }

  const char* format_;
  std::vector<File> files_;
  std::map<std::string, MetadataValue> metadata_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> index_;  // name -> place in tensors_
};

void FileContainer::Merge(int file, ParsedFile parsed) {
  metadata_.merge(parsed.metadata);
  for (TensorInfo& tensor : parsed.tensors) {
    tensor.file = file;
    const auto [entry, unique] = index_.emplace(tensor.name, tensors_.size());
    if (!unique) {
      const TensorInfo& first = tensors_[entry->second];
      ThrowFormat(FileOf(tensor).path(),
                  TensorLabel(tensor.name) + " is there twice" +
                      (first.file == file ? std::string() : ", first in " + FileOf(first).path()),
                  "Give each file of the model once, and only the files of one model.");
    }
    tensors_.push_back(std::move(tensor));
  }
}

void FileContainer::CheckSplit() const {
  const auto entry = metadata_.find("split.count");
  const auto* count = entry == metadata_.end() ? nullptr : std::get_if<double>(&entry->second);
  if (count == nullptr || !(*count > 1) || *count == static_cast<double>(files_.size())) return;
  // The format stores a 16-bit count; a double of any size is no integer yet.
  const auto parts = static_cast<int>(std::min(*count, 65535.0));
  ThrowFormat(files_[0].path(),
              "the model is split into " + std::to_string(parts) + " files, but " +
                  std::to_string(files_.size()) + " were given",
              "Put all of its files into one folder, under the names that they came with "
              "(NAME-00001-of-00002.gguf and so on).");
}

void FileContainer::ReadRows(const TensorInfo& tensor, int64_t first_row, int64_t n_rows, float* out) const {
  const File& file = FileOf(tensor);
  const std::string& name = tensor.name;
  const Dequantizer* dequantizer = FindDequantizer(tensor.dtype);
  if (dequantizer == nullptr) {
    ThrowFormat(file.path(),
                TensorLabel(name) + " is stored as " + Quote(tensor.dtype) +
                    ", whose values cannot be read; these can: " + ReadableDtypes(),
                "Use a file of this model in one of these.");
  }
  const int64_t columns = tensor.shape.empty() ? 1 : tensor.shape.back();
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < tensor.shape.size(); ++d) rows *= tensor.shape[d];
  if (first_row < 0 || n_rows < 0 || first_row > rows || n_rows > rows - first_row) {
    ThrowFormat(file.path(),
                TensorLabel(name) + " has " + std::to_string(rows) + " rows; rows " +
                    std::to_string(first_row) + " to " + std::to_string(first_row) + " + " +
                    std::to_string(n_rows) + " were asked for",
                "Check that the file fits its configuration.");
  }
  const int64_t row_blocks = columns / dequantizer->block_elements;
  uint64_t position =
      tensor.offset + static_cast<uint64_t>(first_row * row_blocks * dequantizer->block_bytes);
  int64_t left = n_rows * row_blocks;
  if (std::string_view(dequantizer->dtype) == "F32") {
    file.ReadAt(position, out, static_cast<uint64_t>(left) * sizeof(float), name);
    return;
  }
  uint8_t staging[kStagingBytes];
  const int64_t staged = kStagingBytes / dequantizer->block_bytes;
  while (left > 0) {
    const int64_t n_blocks = std::min(staged, left);
    const auto bytes = static_cast<uint64_t>(n_blocks * dequantizer->block_bytes);
    file.ReadAt(position, staging, bytes, name);
    dequantizer->convert(staging, n_blocks, out);
    position += bytes;
    out += n_blocks * dequantizer->block_elements;
    left -= n_blocks;
  }
}

void FileContainer::ReadBytes(const TensorInfo& tensor, uint64_t begin, uint64_t size, void* out) const {
  const File& file = FileOf(tensor);
  if (begin > tensor.bytes || size > tensor.bytes - begin) {
    ThrowFormat(file.path(),
                TensorLabel(tensor.name) + " has " + std::to_string(tensor.bytes) + " bytes; " +
                    std::to_string(size) + " from byte " + std::to_string(begin) + " were asked for",
                "Check that the file fits its configuration.");
  }
  file.ReadAt(tensor.offset + begin, out, size, tensor.name);
}

std::shared_ptr<Container> OpenFiles(const std::vector<std::string>& paths) {
  std::vector<File> files;
  for (const std::string& path : paths) files.emplace_back(path);
  if (files.empty())
    throw Error(ErrorCode::kModelNotFound, "No model file was given. Give at least one path.");
  const bool gguf = IsGguf(files[0]);
  std::vector<ParsedFile> parsed;
  for (const File& file : files) {
    if (IsGguf(file) != gguf) {
      ThrowFormat(file.path(), "its format differs from that of " + files[0].path(),
                  "Give the files of one model.");
    }
    parsed.push_back(gguf ? ParseGguf(file) : ParseSafetensors(file));
  }
  auto container = std::make_shared<FileContainer>(gguf ? "gguf" : "safetensors", std::move(files));
  for (size_t i = 0; i < parsed.size(); ++i) container->Merge(static_cast<int>(i), std::move(parsed[i]));
  if (gguf) container->CheckSplit();
  return container;
}

}  // namespace

std::shared_ptr<Container> Container::Open(const std::vector<std::string>& paths) {
  try {
    return OpenFiles(paths);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kInsufficientMemory,
                (paths.empty() ? std::string() : paths[0] + ": ") +
                    "not enough memory for the model's headers. Free some memory, or give the process more.");
  }
}

bool AreCopies(const Container& container, const TensorInfo& a, const TensorInfo& b) {
  if (a.dtype != b.dtype || a.shape != b.shape || a.bytes != b.bytes) return false;
  constexpr uint64_t kPiece = uint64_t{1} << 20;
  std::vector<char> pieces(2 * std::min(kPiece, a.bytes));
  for (uint64_t begin = 0; begin < a.bytes; begin += kPiece) {
    const uint64_t size = std::min(kPiece, a.bytes - begin);
    container.ReadBytes(a, begin, size, pieces.data());
    container.ReadBytes(b, begin, size, pieces.data() + size);
    if (std::memcmp(pieces.data(), pieces.data() + size, size) != 0) return false;
  }
  return true;
}

}  // namespace kvasir
