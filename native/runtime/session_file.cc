#include "runtime/session_file.h"

#include <cstddef>
#include <cstring>

#include "core/checksum.h"
#include "core/error.h"
#include "io/file.h"
#include "io/new_file.h"

namespace kvasir {

namespace {

constexpr char kMagic[8] = {'K', 'V', 'A', 'S', 'I', 'R', 'S', 'E'};
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMostText = uint64_t{1} << 30;
constexpr uint64_t kMostPositions = uint64_t{1} << 24;

struct Head {
  char magic[8] = {};
  uint32_t version = kVersion;
  uint32_t zero = 0;
  uint64_t text_bytes = 0;
  uint64_t sequence_bytes = 0;
  uint64_t positions = 0;
  uint64_t weights = 0;
  uint64_t layout = 0;
  uint64_t sequence_checksum = 0;
  uint64_t checksum = 0;  // of what is before it, and of the text
};
constexpr uint64_t kSummed = offsetof(Head, checksum);
static_assert(kSummed == 64 && sizeof(Head) == 72);

uint64_t ChecksumOf(const Head& head, const std::string& text) {
  return Checksum(&head, kSummed) + Checksum(text.data(), text.size(), kSummed);
}

[[noreturn]] void ThrowDamaged(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kModelFormat,
              path + " is no whole session: " + why + ". Save the session again, or get the file again");
}

[[noreturn]] void ThrowForeign(const std::string& path, const std::string& why) {
  throw Error(ErrorCode::kInvalidOption, path + " cannot be restored here: " + why);
}

struct Opened {
  File file;
  Head head;
  std::string text;
};

Opened Open(const std::string& path) {
  Opened opened = {File(path), {}, {}};
  Head& head = opened.head;
  if (opened.file.size() < sizeof head) ThrowDamaged(path, "it is shorter than the head of one");
  opened.file.ReadAt(0, &head, sizeof head, "the head of a session");
  if (std::memcmp(head.magic, kMagic, sizeof kMagic) != 0) ThrowDamaged(path, "it begins otherwise");
  if (head.version != kVersion) {
    ThrowDamaged(path, "it has version " + std::to_string(head.version) + ", and " +
                           std::to_string(kVersion) + " is known");
  }
  const uint64_t size = opened.file.size() - sizeof head;
  if (head.text_bytes > kMostText || head.text_bytes > size || head.positions > kMostPositions ||
      head.sequence_bytes != size - head.text_bytes) {
    ThrowDamaged(path,
                 "it has " + std::to_string(opened.file.size()) + " bytes, and its head says another number");
  }
  opened.text.resize(static_cast<size_t>(head.text_bytes));
  opened.file.ReadAt(sizeof head, opened.text.data(), head.text_bytes, "the text of a session");
  if (ChecksumOf(head, opened.text) != head.checksum) ThrowDamaged(path, "its checksum is another");
  return opened;
}

}  // namespace

int64_t WriteSessionFile(Transformer* model, int32_t sequence, const std::string& text,
                         const std::string& path) {
  std::string padded = text;
  padded.resize((text.size() + 7) / 8 * 8, ' ');
  Head head;
  std::memcpy(head.magic, kMagic, sizeof kMagic);
  head.text_bytes = padded.size();
  head.weights = model->WeightsChecksum();
  head.layout = model->LayoutChecksum();
  NewFile file(path);
  file.Write(&head, sizeof head);
  file.Write(padded.data(), padded.size());
  if (sequence != kNoSequence) {
    head.positions = static_cast<uint64_t>(model->cache().Length(sequence));
    model->ReadSequence(sequence, [&](const uint8_t* bytes, int64_t size) {
      const auto n = static_cast<uint64_t>(size);
      head.sequence_checksum += Checksum(bytes, n, head.sequence_bytes);
      head.sequence_bytes += n;
      file.Write(bytes, n);
    });
  }
  head.checksum = ChecksumOf(head, padded);
  file.WriteAt(0, &head, sizeof head);
  file.Finish();
  return static_cast<int64_t>(sizeof head + padded.size() + head.sequence_bytes);
}

SessionText ReadSessionText(const std::string& path) {
  Opened opened = Open(path);
  return {std::move(opened.text), static_cast<int64_t>(opened.head.positions)};
}

int32_t RestoreFromSessionFile(Transformer* model, const std::string& path) {
  const Opened opened = Open(path);
  const Head& head = opened.head;
  if (head.weights != model->WeightsChecksum()) {
    ThrowForeign(
        path, "the weights of its model are others. Load the model, with the dtype, that it was saved with");
  }
  if (head.layout != model->LayoutChecksum()) {
    ThrowForeign(path,
                 "its cache lies otherwise. Load the model with the kvDtype, contextLength, device and "
                 "gpuLayers that it was saved with");
  }
  const auto positions = static_cast<int64_t>(head.positions);
  if (positions == 0) ThrowDamaged(path, "it holds no sequence");
  if (head.sequence_bytes != static_cast<uint64_t>(model->SequenceBytes(positions))) {
    ThrowDamaged(path, "its sequence has another size");
  }
  uint64_t sum = 0, at = 0;
  const uint64_t first = sizeof head + head.text_bytes;
  const int32_t sequence = model->RestoreSequence(positions, [&](uint8_t* bytes, int64_t size) {
    const auto n = static_cast<uint64_t>(size);
    opened.file.ReadAt(first + at, bytes, n, "the cache of a session");
    sum += Checksum(bytes, n, at);
    at += n;
  });
  if (sum == head.sequence_checksum) return sequence;
  model->cache().Free(sequence);
  ThrowDamaged(path, "the checksum of its cache is another");
}

}  // namespace kvasir
