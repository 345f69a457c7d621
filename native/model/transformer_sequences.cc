// A sequence as bytes, to be kept outside of the cache: stage after stage, the pages that a fork of its whole length would
// share (kv_cache.h), table after table, then its state. The bytes are those of the backends' memory, so that what goes on
// from them has the bits of what was never away; they mean nothing to a model of another layout (LayoutChecksum).
#include <algorithm>

#include "core/checksum.h"
#include "model/transformer.h"

namespace kvasir {

namespace {

uint64_t ChecksumOf(const std::vector<int64_t>& numbers) {
  return Checksum(numbers.data(), numbers.size() * sizeof(int64_t));
}

}  // namespace

uint64_t Transformer::LayoutChecksum() const {
  std::vector<int64_t> numbers = {kKvPagePositions, spec_.n_layers()};
  for (int64_t table = 0; table < cache_.n_tables(); ++table) numbers.push_back(cache_.table(table).window);
  // LongRoPE: keys of a model that was loaded for short contexts are others than those of one for long ones.
  for (const RopeSpec& rope : spec_.ropes) {
    const std::vector<float>& frequencies = rope.FrequenciesFor(context_length_);
    const uint64_t sum = Checksum(frequencies.data(), frequencies.size() * sizeof(float));
    numbers.push_back(static_cast<int64_t>(sum));
  }
  for (const auto& stage : stages_) {
    numbers.insert(numbers.end(), {stage->first(), stage->end(), stage->state_bytes()});
    for (char letter : stage->backend().name()) numbers.push_back(letter == ':' ? 0 : letter);
    const KvLayouts& layouts = stage->kv_layouts();
    for (size_t i = 0; i < layouts.pools.size(); ++i) {
      const KvLayout& pool = layouts.pools[i];
      numbers.insert(numbers.end(), {layouts.tables[i], static_cast<int64_t>(pool.dtype), pool.n_layers,
                                     pool.n_kv_heads, pool.head_dim, pool.padded_head_dim});
    }
  }
  return ChecksumOf(numbers);
}

uint64_t Transformer::WeightsChecksum() {
  if (weights_checksum_ != 0) return weights_checksum_;
  uint64_t sum = Checksum(weights_->memory.data(), weights_->memory.kept());
  if (weights_->device_memory != nullptr) {
    constexpr size_t kPiece = size_t{64} << 20;
    std::vector<float> copy;
    const BackendMemory& memory = *weights_->device_memory;
    for (size_t at = 0; at < memory.size(); at += kPiece) {
      const size_t bytes = std::min(kPiece, memory.size() - at);
      const auto* from = reinterpret_cast<const float*>(memory.data() + at);
      const float* view = backend().HostView(from, static_cast<int64_t>(bytes / sizeof(float)), &copy);
      sum += Checksum(view, bytes, at) * 3;
    }
  }
  // 0 stands for one that is not known yet.
  weights_checksum_ = sum == 0 ? 1 : sum;
  return weights_checksum_;
}

int64_t Transformer::SequenceBytes(int64_t length) const {
  int64_t bytes = 0;
  for (const auto& stage : stages_) {
    for (int64_t table = 0; table < cache_.n_tables(); ++table) {
      const int64_t pages = KvCache::PagesFor(length) - cache_.FirstPage(table, length);
      bytes += pages * stage->PageBytes(table);
    }
    bytes += stage->state_bytes();
  }
  return bytes;
}

void Transformer::ForSequence(int32_t sequence, const std::function<void(Stage*, int64_t, int32_t)>& on_page,
                              const std::function<void(Stage*)>& on_state) {
  const int64_t length = cache_.Length(sequence);
  for (const auto& stage : stages_) {
    for (int64_t table = 0; table < cache_.n_tables(); ++table) {
      const int32_t* pages = cache_.Pages(sequence, table);
      for (int64_t page = cache_.FirstPage(table, length); page < KvCache::PagesFor(length); ++page) {
        if (stage->PageBytes(table) > 0) on_page(stage.get(), table, pages[page]);
      }
    }
    if (stage->state_bytes() > 0) on_state(stage.get());
  }
}

void Transformer::ReadSequence(int32_t sequence, const std::function<void(const uint8_t*, int64_t)>& take) {
  std::vector<uint8_t> bytes;
  const int32_t slot = cache_.States(sequence).from;
  ForSequence(
      sequence,
      [&](Stage* stage, int64_t table, int32_t page) {
        bytes.resize(static_cast<size_t>(stage->PageBytes(table)));
        stage->ReadPage(table, page, bytes.data());
        take(bytes.data(), stage->PageBytes(table));
      },
      [&](Stage* stage) {
        bytes.resize(static_cast<size_t>(stage->state_bytes()));
        stage->ReadState(slot, bytes.data());
        take(bytes.data(), stage->state_bytes());
      });
}

int32_t Transformer::RestoreSequence(int64_t length, const std::function<void(uint8_t*, int64_t)>& give) {
  const int32_t sequence = cache_.Restore(length);
  try {
    std::vector<uint8_t> bytes;
    const int32_t slot = cache_.States(sequence).to;
    ForSequence(
        sequence,
        [&](Stage* stage, int64_t table, int32_t page) {
          bytes.resize(static_cast<size_t>(stage->PageBytes(table)));
          give(bytes.data(), stage->PageBytes(table));
          stage->WritePage(table, page, bytes.data());
        },
        [&](Stage* stage) {
          bytes.resize(static_cast<size_t>(stage->state_bytes()));
          give(bytes.data(), stage->state_bytes());
          stage->WriteState(slot, bytes.data());
        });
  } catch (...) {
    cache_.Free(sequence);
    throw;
  }
  cache_.KeepState(sequence);
  return sequence;
}

}  // namespace kvasir
