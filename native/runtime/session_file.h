// The file of a session: a text that its caller gives, and a sequence of the KV cache. Little-endian: 'KVASIRSE', uint32
// version, uint32 0; uint64 bytes of the text, bytes of the sequence, positions, checksum of the model's weights, checksum
// of its layout (transformer_sequences.cc), checksum of the sequence's bytes, checksum of these 64 bytes and of the text.
// Then the text, filled up with spaces to a multiple of 8, and the bytes. What is cut, longer, changed or another model's
// is refused before a caller sees any of it.
#pragma once

#include <cstdint>
#include <string>

#include "model/transformer.h"

namespace kvasir {

// No sequence of the cache.
constexpr int32_t kNoSequence = -1;

// Writes `path`, which must not exist; with kNoSequence the text alone. Returns the file's size. Throws as NewFile does.
int64_t WriteSessionFile(Transformer* model, int32_t sequence, const std::string& text,
                         const std::string& path);

struct SessionText {
  std::string text;
  int64_t positions = 0;  // 0: there is no sequence
};

// Throws Error(kModelNotFound | kModelFormat).
SessionText ReadSessionText(const std::string& path);

// The sequence, as a new one of the cache. Throws Error(kModelFormat), kInvalidOption for the file of another model or of
// one that was loaded otherwise, kContextOverflow where pages are short; the cache is as it was then.
int32_t RestoreFromSessionFile(Transformer* model, const std::string& path);

}  // namespace kvasir
