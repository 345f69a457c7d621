// The INT8 form as a file: it gives the bits of quantizing at load, on every kernel table; what is wrong with it is
// found. Also what packing refuses.
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

#include "backend/cpu/kernel_select.h"
#include "core/checksum.h"
#include "quant/int8_check.h"
#include "quant/int8_layout.h"
#include "runtime/load.h"
#include "runtime/quantize.h"
#include "testing/io_files.h"
#include "testing/kernel_inputs.h"
#include "testing/native_tests.h"
#include "testing/transformer_models.h"

namespace kvasir::testing {
namespace {

constexpr ErrorCode kFormat = ErrorCode::kModelFormat;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TensorMap NamesOf(const Container& container) {
  TensorMap map;
  for (const TensorInfo& tensor : container.tensors()) map[tensor.name] = {tensor.name, false, 0};
  return map;
}

class StoredModel {
 public:
  explicit StoredModel(const ModelKind& kind, const Setup& setup)
      : kind_(kind), source_(kind, 11), path_(folder_.path() + "/model.safetensors") {
    QuantizeToFile(kind.spec, source_.canonical(), OptionsOf(setup), source_, path_,
                   {{"source", "a \"b\"\n"}}, CancellationToken(), nullptr);
  }

  const RandomContainer& source() const { return source_; }
  const std::string& path() const { return path_; }
  std::string bytes() const { return ReadAll(path_); }

  // Loads the file's bytes, as they are or changed.
  std::unique_ptr<Transformer> Load(const std::string& bytes, const Setup& setup) const {
    const std::shared_ptr<Container> container =
        Container::Open({folder_.Write("changed.safetensors", bytes)});
    TensorMap names = NamesOf(*container);
    names["embed.tokens.blocks"] = {"embed.tokens.blocks", false, 0};
    return LoadTransformer(kind_.spec, names, OptionsOf(setup), *container, CancellationToken(), nullptr);
  }

 private:
  ModelKind kind_;
  RandomContainer source_;
  TemporaryFolder folder_;
  std::string path_;
};

Setup Int8(const std::string& isa, int threads) {
  return {Dtype::kInt8, Dtype::kInt8, isa, threads, 64, 128};
}

Rows RowsOf(Transformer& transformer) {
  const std::vector<int32_t> tokens = RandomTokens(3, 20, transformer.spec().vocab_size);
  return Forward(transformer, BatchOf({{transformer.cache().Create(), tokens}}));
}

KV_TEST(stored_weights_give_the_bits_of_quantizing_at_load) {
  for (const ModelKind& kind : {LlamaLike(), WideHeads(), GptLike(), BertLike(), ModernBertLike()}) {
    for (const cpu::KernelTable* writer : cpu::AvailableKernels()) {
      const StoredModel stored(kind, Int8(writer->name, 2));
      const std::string bytes = stored.bytes();
      for (const cpu::KernelTable* reader : cpu::AvailableKernels()) {
        const Setup setup = Int8(reader->name, 2);
        const auto expected = Load(kind, stored.source(), setup), actual = stored.Load(bytes, setup);
        KV_EXPECT_EQ(RowDifference(RowsOf(*actual), RowsOf(*expected)), "");
        KV_EXPECT_EQ(actual->weights().bytes, expected->weights().bytes);
        KV_EXPECT_EQ(actual->weights().scale_bytes, expected->weights().scale_bytes);
        KV_EXPECT_EQ(actual->weights().parameters, expected->weights().parameters);
      }
    }
  }
}

KV_TEST(stored_weights_do_not_depend_on_threads) {
  const StoredModel one(GptLike(), Int8("", 1)), three(GptLike(), Int8("", 3));
  KV_EXPECT(one.bytes() == three.bytes());
}

KV_TEST(stored_weights_say_what_they_are) {
  const StoredModel stored(LlamaLike(), Int8("", 1));
  const auto container = Container::Open({stored.path()});
  const auto text = [&](const char* key) { return std::get<std::string>(container->metadata().at(key)); };
  KV_EXPECT_EQ(text("format"), "kvasir-int8");
  KV_EXPECT_EQ(text("version"), "2");
  KV_EXPECT_EQ(text("source"), "a \"b\"\n");
  const TensorInfo* qkv = container->Find("layers.0.qkv.blocks");
  KV_EXPECT(qkv != nullptr && qkv->dtype == "U8" && qkv->shape.back() == 2112);
}

KV_TEST(stored_weights_refuse_float32) {
  const StoredModel stored(LlamaLike(), Int8("", 1));
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "INT8 form",
                        stored.Load(stored.bytes(), {Dtype::kF32, Dtype::kF32, "", 1, 64, 128}));
}

// Replaces the first `from` after `after`, in the header or behind it.
std::string Replaced(std::string bytes, const std::string& from, const std::string& to,
                     const std::string& after = "") {
  const size_t at = bytes.find(from, bytes.find(after));
  KV_EXPECT(at != std::string::npos && from.size() == to.size());
  return bytes.replace(at, from.size(), to);
}

KV_TEST(stored_weights_refuse_another_scheme) {
  const StoredModel stored(LlamaLike(), Int8("", 1));
  const std::string bytes = stored.bytes();
  const Setup setup = Int8("", 1);
  const struct {
    const char *from, *to, *message;
  } cases[] = {
      {R"("version":"2")", R"("version":"3")", "'version' is '3'"},
      {R"("group_size":"64")", R"("group_size":"32")", "'group_size' is '32'"},
      {R"("rotation":"hadamard")", R"("rotation":"nonenone")", "'rotation'"},
      {R"("rotation_size":"64")", R"("rotation_size":"16")", "'rotation_size'"},
      {R"("scale_dtype":"F16")", R"("scale_dtype":"F32")", "'scale_dtype'"},
      {R"("weight_offset":"128")", R"("weight_offset":"000")", "'weight_offset'"},
      {R"("panel_columns":"32")", R"("panel_columns":"16")", "'panel_columns'"},
      {R"("format":"kvasir-int8")", R"("format":"kvasir-int9")", "'format'"},
      {R"("version")", R"("versiox")", "'version' is missing"},
      {R"("checksum.final_norm.weight")", R"("checksux.final_norm.weight")",
       "no checksum of tensor 'final_norm"},
  };
  for (const auto& each : cases) {
    KV_EXPECT_THROWS_WITH(kFormat, each.message, stored.Load(Replaced(bytes, each.from, each.to), setup));
  }
}

KV_TEST(stored_weights_refuse_other_tensors) {
  const StoredModel stored(LlamaLike(), Int8("", 1));
  const std::string bytes = stored.bytes();
  const Setup setup = Int8("", 1);
  const std::string first = R"(,"layers.0.o.blocks":)";
  KV_EXPECT_THROWS_WITH(kFormat, "'layers.0.o.blocks' is missing",
                        stored.Load(Replaced(bytes, first, R"(,"layers.9.o.blocks":)"), setup));
  KV_EXPECT_THROWS_WITH(kFormat, "'layers.0.o.blocks' is I8",
                        stored.Load(Replaced(bytes, R"("U8")", R"("I8")", first), setup));
  KV_EXPECT_THROWS_WITH(kFormat, "'layers.0.o.blocks' is U8 [1, ",
                        stored.Load(Replaced(bytes, R"("shape":[3,2)", R"("shape":[1,6)", first), setup));
  // One more, with no byte of its own.
  std::string more = bytes;
  const std::string extra = R"(,"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  uint64_t length;
  std::memcpy(&length, more.data(), sizeof length);
  more.insert(more.find(first), extra);
  length += extra.size();
  std::memcpy(more.data(), &length, sizeof length);
  KV_EXPECT_THROWS_WITH(kFormat, "'x' belongs to no part", stored.Load(more, setup));
}

// Where the values of a tensor begin in the file.
size_t OffsetOf(const std::string& path, const std::string& name) {
  return static_cast<size_t>(Container::Open({path})->Find(name)->offset);
}

// With the checksum that the changed bytes have, as whoever means harm would write it.
std::string WithChecksum(std::string bytes, const std::string& path, const std::string& name) {
  const uint64_t size = Container::Open({path})->Find(name)->bytes;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(Checksum(bytes.data() + OffsetOf(path, name), size)));
  const std::string key = "\"checksum." + name + "\":\"";
  return bytes.replace(bytes.find(key) + key.size(), 16, text);
}

KV_TEST(stored_weights_refuse_values_that_cannot_be) {
  const StoredModel stored(GptLike(), Int8("", 1));
  const Setup setup = Int8("", 1);
  const auto changed = [&](const std::string& name, size_t at, const std::string& value) {
    std::string bytes = stored.bytes();
    bytes.replace(OffsetOf(stored.path(), name) + at, value.size(), value);
    return WithChecksum(bytes, stored.path(), name);
  };
  const std::string down = "layers.1.down.blocks";
  const size_t scale = offsetof(Int8Block, scales) + 2 * 5;
  KV_EXPECT(stored.Load(changed(down, scale, Bytes<uint16_t>(0x0001)), setup) != nullptr);
  for (const uint16_t half : {0x7c00, 0x7e00, 0x8001, 0xbc00, 0xfc00}) {
    KV_EXPECT_THROWS_WITH(kFormat, down + "' has a scale",
                          stored.Load(changed(down, scale, Bytes(half)), setup));
  }
  KV_EXPECT_THROWS_WITH(kFormat, down + "' has a weight",
                        stored.Load(changed(down, 77, Bytes<uint8_t>(0)), setup));
  for (const char* name : {"layers.1.qkv.bias", "layers.0.ffn_norm.weight", "embed.positions"}) {
    KV_EXPECT_THROWS_WITH(kFormat, std::string(name) + "' has a value",
                          stored.Load(changed(name, 4, Bytes(HUGE_VALF)), setup));
  }
}

KV_TEST(stored_weights_notice_every_damaged_byte) {
  const StoredModel stored(GptLike(), Int8("", 1));
  const std::string bytes = stored.bytes();
  const Setup setup = Int8("", 1);
  const auto first = static_cast<int64_t>(OffsetOf(stored.path(), "embed.tokens.blocks"));
  Random random(5);
  for (int i = 0; i < 100; ++i) {
    std::string damaged = bytes;
    const auto at = static_cast<size_t>(random.Integer(first, static_cast<int64_t>(bytes.size()) - 1));
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.Integer(0, 7)));
    KV_EXPECT_THROWS(kFormat, stored.Load(damaged, setup));
  }
  for (int i = 0; i < 100; ++i) {
    const auto length = static_cast<size_t>(random.Integer(0, static_cast<int64_t>(bytes.size()) - 1));
    KV_EXPECT_THROWS(kFormat, stored.Load(bytes.substr(0, length), setup));
  }
  // A header may say something else that is as good; it must not crash.
  for (int i = 0; i < 300; ++i) {
    std::string damaged = bytes;
    damaged[static_cast<size_t>(random.Integer(0, first - 1))] = static_cast<char>(random.Integer(0, 255));
    try {
      stored.Load(damaged, setup);
    } catch (const Error& error) {
      KV_EXPECT_EQ(ErrorCodeName(error.code()), std::string("MODEL_FORMAT"));
    }
  }
}

KV_TEST(stored_weights_cannot_be_written_over_a_file) {
  const TemporaryFolder folder;
  const RandomContainer source(LlamaLike(), 1);
  const std::string path = folder.Write("there", "x");
  const auto write = [&](const std::string& to, const CancellationToken& cancellation) {
    return QuantizeToFile(LlamaLike().spec, source.canonical(), OptionsOf(Int8("", 1)), source, to, {},
                          cancellation, nullptr);
  };
  KV_EXPECT_THROWS_WITH(ErrorCode::kInvalidOption, "cannot be written", write(path, CancellationToken()));
  KV_EXPECT_EQ(ReadAll(path), "x");
  KV_EXPECT_THROWS(ErrorCode::kInvalidOption, write(folder.path() + "/none/model", CancellationToken()));
  CancellationToken cancelled;
  cancelled.Cancel();
  KV_EXPECT_THROWS(ErrorCode::kCancelled, write(folder.path() + "/new", cancelled));
  KV_EXPECT_EQ(ReadAll(folder.path() + "/new"), "");
}

// What a checkpoint may not hold, and what it may.
KV_TEST(packing_refuses_values_that_int8_cannot_hold) {
  for (const int threads : {1, 3}) {
    for (const char* name :
         {"layers.1.k.weight", "embed.tokens", "layers.0.down.bias", "final_norm.weight"}) {
      for (const float value : {HUGE_VALF, -HUGE_VALF, NAN}) {
        for (const Dtype dtype : {Dtype::kInt8, Dtype::kF32}) {
          RandomContainer container(GptLike(), 7);
          container.values(name)[5] = value;
          KV_EXPECT_THROWS_WITH(kFormat, "'" + std::string(name) + "' holds a value",
                                Load(GptLike(), container, {dtype, dtype, "", threads, 64, 128}));
        }
      }
    }
    RandomContainer container(GptLike(), 7);
    // Alone in its group: rotated it is 8 times smaller, and 65,504 is the largest scale.
    for (float& weight : container.values("layers.1.k.weight")) weight = 0;
    container.values("layers.1.k.weight")[5] = 8.0f * 127 * 65504;
    KV_EXPECT(Load(GptLike(), container, Int8("", threads)) != nullptr);
    container.values("layers.1.k.weight")[5] = 8.0f * 127 * 65536;
    KV_EXPECT_THROWS_WITH(kFormat, "'layers.1.k.weight' has weights above",
                          Load(GptLike(), container, Int8("", threads)));
    KV_EXPECT(Load(GptLike(), container, {Dtype::kF32, Dtype::kF32, "", threads, 64, 128}) != nullptr);
  }
}

KV_TEST(checksum_adds_up_and_sees_every_word) {
  Random random(9);
  std::vector<uint8_t> bytes(1003);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.Integer(0, 255));
  const uint64_t whole = Checksum(bytes.data(), bytes.size());
  KV_EXPECT_EQ(Checksum(bytes.data(), 496) + Checksum(bytes.data() + 496, bytes.size() - 496, 496), whole);
  // By the definition, in another order.
  uint64_t sum = 0;
  for (size_t i = bytes.size(); i-- > 0;) sum += (uint64_t{bytes[i]} << 8 * (i % 8)) * (i / 8 * 2 + 1);
  KV_EXPECT_EQ(sum, whole);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] = static_cast<uint8_t>(bytes[i] ^ (1 << bit));
      KV_EXPECT(Checksum(bytes.data(), bytes.size()) != whole);
      bytes[i] = static_cast<uint8_t>(bytes[i] ^ (1 << bit));
    }
  }
  std::swap_ranges(bytes.begin(), bytes.begin() + 8, bytes.begin() + 512);
  KV_EXPECT(Checksum(bytes.data(), bytes.size()) != whole);
}

KV_TEST(first_not_finite_finds_the_place) {
  for (const int64_t n : {1, 7, 1023, 1024, 1025, 3000}) {
    std::vector<float> values(static_cast<size_t>(n), -3.4e38f);
    KV_EXPECT_EQ(FirstNotFinite(values.data(), n), n);
    for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
      for (const float bad : {NAN, HUGE_VALF, -HUGE_VALF}) {
        std::vector<float> changed = values;
        changed[static_cast<size_t>(at)] = bad;
        KV_EXPECT_EQ(FirstNotFinite(changed.data(), n), at);
      }
    }
  }
}

}  // namespace
}  // namespace kvasir::testing
