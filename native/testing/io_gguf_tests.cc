// GGUF files that are right, and those that lie.
#include "core/half.h"
#include "io/container.h"
#include "testing/io_files.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr ErrorCode kFormat = ErrorCode::kModelFormat;

std::shared_ptr<Container> Open(const GgufParts& parts) {
  const TemporaryFolder folder;
  return Container::Open({folder.Write("m.gguf", Gguf(parts))});
}

GgufParts WithEntry(const std::string& entry) {
  GgufParts parts;
  parts.entries = {entry};
  return parts;
}

GgufParts WithTensor(const GgufTensor& tensor, size_t data_bytes) {
  GgufParts parts;
  parts.tensors = {tensor};
  parts.data = std::string(data_bytes, '\1');
  return parts;
}

KV_TEST(gguf_reads_metadata_of_every_type) {
  GgufParts parts;
  parts.entries = {GgufEntry("u8", 0, Bytes<uint8_t>(200)),
                   GgufEntry("i8", 1, Bytes<int8_t>(-100)),
                   GgufEntry("u16", 2, Bytes<uint16_t>(60000)),
                   GgufEntry("i16", 3, Bytes<int16_t>(-30000)),
                   GgufEntry("u32", 4, Bytes<uint32_t>(4000000000)),
                   GgufEntry("i32", 5, Bytes<int32_t>(-2000000000)),
                   GgufEntry("f32", 6, Bytes(1.5f)),
                   GgufEntry("bool", 7, Bytes<uint8_t>(1)),
                   GgufEntry("u64", 10, Bytes<uint64_t>((uint64_t{1} << 53) + 1)),
                   GgufEntry("i64", 11, Bytes<int64_t>(-5)),
                   GgufEntry("f64", 12, Bytes(0.1)),
                   GgufEntry("string", 8, GgufString("t\xc3\xa9xt"))};
  const auto container = Open(parts);
  const auto number = [&](const char* key) { return std::get<double>(container->metadata().at(key)); };
  KV_EXPECT_EQ(std::string(container->format()), "gguf");
  KV_EXPECT_EQ(number("u8"), 200);
  KV_EXPECT_EQ(number("i8"), -100);
  KV_EXPECT_EQ(number("u16"), 60000);
  KV_EXPECT_EQ(number("i16"), -30000);
  KV_EXPECT_EQ(number("u32"), 4e9);
  KV_EXPECT_EQ(number("i32"), -2e9);
  KV_EXPECT_EQ(number("f32"), 1.5);
  KV_EXPECT_EQ(number("u64"), 9007199254740992.0);
  KV_EXPECT_EQ(number("i64"), -5);
  KV_EXPECT_EQ(number("f64"), 0.1);
  KV_EXPECT_EQ(std::get<bool>(container->metadata().at("bool")), true);
  KV_EXPECT_EQ(std::get<std::string>(container->metadata().at("string")), "t\xc3\xa9xt");
}

KV_TEST(gguf_reads_arrays) {
  GgufParts parts;
  parts.entries = {
      GgufEntry("strings", 9, GgufArray(8, 3, GgufString("a") + GgufString("") + GgufString("ccc"))),
      GgufEntry("ints", 9, GgufArray(5, 2, Bytes<int32_t>(-1) + Bytes<int32_t>(7))),
      GgufEntry("bools", 9, GgufArray(7, 2, std::string("\1\0", 2))),
      GgufEntry("empty", 9, GgufArray(6, 0, ""))};
  const auto container = Open(parts);
  const auto array = [&](const char* key) { return std::get<MetadataArray>(container->metadata().at(key)); };
  KV_EXPECT(array("strings").strings == (std::vector<std::string>{"a", "", "ccc"}));
  KV_EXPECT(array("strings").type == MetadataArray::Type::kString);
  KV_EXPECT(array("ints").numbers == (std::vector<double>{-1, 7}));
  KV_EXPECT(array("bools").numbers == (std::vector<double>{1, 0}));
  KV_EXPECT(array("bools").type == MetadataArray::Type::kBool);
  KV_EXPECT_EQ(array("empty").size(), 0u);
}

// Longer than the read buffer, so that strings straddle its end, and one string larger than it.
KV_TEST(gguf_reads_long_headers) {
  std::string elements;
  for (int i = 0; i < 60000; ++i) elements += GgufString("token " + std::to_string(i));
  GgufParts parts;
  parts.entries = {GgufEntry("tokens", 9, GgufArray(8, 60000, elements)),
                   GgufEntry("template", 8, GgufString(std::string(700000, 't'))),
                   GgufEntry("end", 4, Bytes<uint32_t>(9))};
  const auto container = Open(parts);
  const auto& tokens = std::get<MetadataArray>(container->metadata().at("tokens")).strings;
  KV_EXPECT_EQ(tokens.size(), 60000u);
  for (int i = 0; i < 60000; ++i) {
    if (tokens[static_cast<size_t>(i)] != "token " + std::to_string(i))
      return Fail(__FILE__, __LINE__, "a token differs");
  }
  KV_EXPECT_EQ(std::get<std::string>(container->metadata().at("template")).size(), 700000u);
  KV_EXPECT_EQ(std::get<double>(container->metadata().at("end")), 9);
}

KV_TEST(gguf_versions_and_byte_orders) {
  GgufParts parts = WithTensor({"a", {2}, 0, 0}, 8);
  parts.version = 2;
  KV_EXPECT(Open(parts)->Find("a") != nullptr);
  for (const uint32_t version : {0u, 1u, 4u, 99u}) {
    parts.version = version;
    KV_EXPECT_THROWS_WITH(kFormat, "version " + std::to_string(version), Open(parts));
  }
  parts.version = 0x03000000;
  KV_EXPECT_THROWS_WITH(kFormat, "big-endian", Open(parts));
  parts.version = 3;
  parts.magic = "GGML";
  KV_EXPECT_THROWS_WITH(kFormat, "not a GGUF file", Open(parts));
}

KV_TEST(gguf_tensors_with_their_shapes_outermost_first) {
  GgufParts parts;
  parts.tensors = {{"q4", {32, 2, 3}, 2, 128}, {"f32", {2, 3, 4, 1}, 0, 0}, {"k", {256}, 35, 256}};
  parts.data = std::string(400, '\1');
  const auto container = Open(parts);
  const TensorInfo& q4 = *container->Find("q4");
  KV_EXPECT(q4.shape == (std::vector<int64_t>{3, 2, 32}) && q4.dtype == "Q4_0" && q4.bytes == 6 * 18);
  const TensorInfo& f32 = *container->Find("f32");
  KV_EXPECT(f32.shape == (std::vector<int64_t>{1, 4, 3, 2}) && f32.dtype == "F32" && f32.bytes == 96);
  KV_EXPECT_EQ(q4.offset, f32.offset + 128);
  std::vector<float> out(256);
  container->ReadRows(q4, 4, 2, out.data());
  const TensorInfo& k = *container->Find("k");
  KV_EXPECT(k.dtype == "TQ2_0" && k.bytes == 66);
  KV_EXPECT_THROWS_WITH(kFormat, "'TQ2_0'", container->ReadRows(k, 0, 1, out.data()));
  container->ReadBytes(k, 0, 66, out.data());
}

// More blocks than one staging buffer holds.
KV_TEST(gguf_reads_large_block_tensors) {
  constexpr int kRows = 41;
  constexpr int kBlocks = 33;  // in a row
  GgufParts parts;
  parts.tensors = {{"a", {kBlocks * 32, kRows}, 8, 0}};
  for (int b = 0; b < kRows * kBlocks; ++b) {
    parts.data += Bytes<uint16_t>(static_cast<uint16_t>(0x2000 + b));
    for (int i = 0; i < 32; ++i) parts.data += Bytes<int8_t>(static_cast<int8_t>(b * 7 + i * 5));
  }
  const TemporaryFolder folder;
  const auto container = Container::Open({folder.Write("m.gguf", Gguf(parts))});
  std::vector<float> out((kRows - 1) * kBlocks * 32 + 1, 0.125f);
  container->ReadRows(container->tensors()[0], 1, kRows - 1, out.data());
  for (int i = 0; i < (kRows - 1) * kBlocks * 32; ++i) {
    const int b = i / 32 + kBlocks;
    const float expected =
        FloatFromHalf(static_cast<uint16_t>(0x2000 + b)) * static_cast<int8_t>(b * 7 + i % 32 * 5);
    if (out[static_cast<size_t>(i)] != expected)
      return Fail(__FILE__, __LINE__, "value " + std::to_string(i) + " differs");
  }
  KV_EXPECT_EQ(out.back(), 0.125f);
}

KV_TEST(gguf_types_of_unknown_size_reach_to_the_next_tensor) {
  GgufParts parts;
  parts.tensors = {{"x", {7}, 777, 0}, {"a", {2}, 0, 64}, {"y", {9}, 4, 96}};
  parts.data = std::string(100, '\1');
  const auto container = Open(parts);
  KV_EXPECT_EQ(container->Find("x")->dtype, "ggml type 777");
  KV_EXPECT_EQ(container->Find("x")->bytes, 64u);
  KV_EXPECT_EQ(container->Find("y")->bytes, 4u);
  float out[9];
  container->ReadBytes(*container->Find("y"), 0, 4, out);
  KV_EXPECT_THROWS_WITH(kFormat, "ggml type 777", container->ReadRows(*container->Find("x"), 0, 1, out));
  parts.tensors[1].offset = 0;
  KV_EXPECT_THROWS_WITH(kFormat, "overlap", Open(parts));
}

KV_TEST(gguf_alignment) {
  GgufParts parts;
  parts.tensors = {{"a", {2}, 0, 0}, {"b", {2}, 0, 8}};
  parts.data = FloatBytes({1, 2, 3, 4});
  KV_EXPECT_THROWS_WITH(kFormat, "alignment 32", Open(parts));
  parts.alignment = 8;
  parts.entries = {GgufEntry("general.alignment", 4, Bytes<uint32_t>(8))};
  float out[2] = {};
  const auto container = Open(parts);
  container->ReadRows(*container->Find("b"), 0, 1, out);
  KV_EXPECT(out[0] == 3 && out[1] == 4);
  for (const uint32_t wrong : {0u, 1u, 4u, 24u, 33u, 0xffffffffu}) {
    parts.entries = {GgufEntry("general.alignment", 4, Bytes(wrong))};
    KV_EXPECT_THROWS_WITH(kFormat, "general.alignment", Open(parts));
  }
  KV_EXPECT_THROWS(kFormat, Open(WithEntry(GgufEntry("general.alignment", 8, GgufString("32")))));
  KV_EXPECT_THROWS(kFormat, Open(WithEntry(GgufEntry("general.alignment", 12, Bytes(8.5)))));
  KV_EXPECT_THROWS(kFormat, Open(WithEntry(GgufEntry("general.alignment", 12, Bytes(1e300)))));
}

KV_TEST(gguf_lies_about_counts) {
  for (const int64_t count : {int64_t{3}, int64_t{1} << 32, INT64_MAX}) {
    GgufParts parts;
    parts.n_entries = count;
    KV_EXPECT_THROWS_WITH(kFormat, "truncated: the number of metadata entries", Open(parts));
    parts.n_entries = -1;
    parts.n_tensors = count;
    KV_EXPECT_THROWS_WITH(kFormat, "truncated: the number of tensors", Open(parts));
  }
  for (const uint64_t count : {uint64_t{100}, uint64_t{1} << 40, UINT64_MAX}) {
    const std::string length = Bytes(count);
    KV_EXPECT_THROWS_WITH(kFormat, "truncated", Open(WithEntry(length + "key, key, key, key")));
    KV_EXPECT_THROWS_WITH(kFormat, "'k'", Open(WithEntry(GgufEntry("k", 8, length))));
    for (const uint32_t type : {0u, 6u, 7u, 8u, 10u, 12u}) {
      KV_EXPECT_THROWS_WITH(kFormat, "truncated: metadata key 'k'",
                            Open(WithEntry(GgufEntry("k", 9, GgufArray(type, count, "")))));
    }
  }
}

KV_TEST(gguf_metadata_that_is_wrong) {
  const auto fails = [](const std::string& entry, const char* fragment) {
    KV_EXPECT_THROWS_WITH(kFormat, fragment, Open(WithEntry(entry)));
  };
  fails(GgufEntry("k", 13, Bytes<uint64_t>(0)), "unknown value type 13");
  fails(GgufEntry("k", 9, GgufArray(77, 1, Bytes<uint64_t>(0))), "unknown value type 77");
  fails(GgufEntry("k", 9, GgufArray(9, 1, GgufArray(0, 1, "x"))), "array of arrays");
  fails(GgufEntry("k", 7, "\2"), "boolean of value 2");
  fails(GgufEntry("k", 9, GgufArray(7, 2, "\1\3")), "boolean of value 3");
  fails(GgufEntry("", 0, "x"), "name of 0 bytes");
  fails(GgufEntry(std::string(65536, 'k'), 0, "x"), "name of 65536 bytes");
  GgufParts parts;
  parts.entries = {GgufEntry("k", 0, "x"), GgufEntry("k", 8, GgufString("y"))};
  KV_EXPECT_THROWS_WITH(kFormat, "'k' is there twice", Open(parts));
}

KV_TEST(gguf_lies_about_tensors) {
  const auto fails = [](const GgufTensor& tensor, const char* fragment) {
    KV_EXPECT_THROWS_WITH(kFormat, fragment, Open(WithTensor(tensor, 64)));
  };
  Open(WithTensor({"a", {16}, 0, 0}, 64));
  fails({"a", {}, 0, 0}, "0 dimensions");
  fails({"a", {1, 1, 1, 1, 1}, 0, 0}, "5 dimensions");
  fails({"a", {2, 0}, 0, 0}, "dimension of 0");
  fails({"", {2}, 0, 0}, "name of 0 bytes");
  fails({"a", {17}, 0, 0}, "truncated: tensor 'a'");
  fails({"a", {1}, 0, 64}, "truncated: tensor 'a'");
  fails({"a", {1}, 777, 64}, "truncated: tensor 'a'");
  fails({"a", {16}, 0, 32}, "truncated: tensor 'a'");
  fails({"a", {1}, 0, uint64_t{1} << 63}, "truncated: tensor 'a'");
  fails({"a", {1}, 0, UINT64_MAX - 31}, "truncated: tensor 'a'");
  fails({"a", {1}, 0, 1}, "alignment");
  fails({"a", {33}, 8, 0}, "rows of 33");
  fails({"a", {16, 2}, 2, 0}, "rows of 16");
  fails({"a", {255}, 12, 0}, "blocks of 256");
  fails({"a", {uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0}, "overflow");
  fails({"a", {uint64_t{1} << 63}, 24, 0}, "overflow");
  fails({"a", {uint64_t{1} << 62}, 0, 0}, "overflow");
  fails({"a", {uint64_t{1} << 62}, 8, 0}, "truncated");
}

KV_TEST(gguf_overlapping_and_duplicate_tensors) {
  GgufParts parts;
  parts.data = std::string(96, '\1');
  parts.tensors = {{"b", {2}, 0, 32}, {"a", {9}, 0, 0}};
  KV_EXPECT_THROWS_WITH(kFormat, "tensor 'a' and tensor 'b' overlap", Open(parts));
  parts.tensors = {{"a", {8}, 0, 0}, {"b", {2}, 0, 0}};
  KV_EXPECT_THROWS_WITH(kFormat, "overlap", Open(parts));
  parts.tensors = {{"a", {8}, 0, 0}, {"a", {2}, 0, 32}};
  KV_EXPECT_THROWS_WITH(kFormat, "'a' is there twice", Open(parts));
  parts.tensors = {{"a", {8}, 0, 0}, {"b", {2}, 0, 64}};  // a hole: the format allows it
  KV_EXPECT_EQ(Open(parts)->tensors().size(), 2u);
}

KV_TEST(gguf_split_models_need_all_their_files) {
  const TemporaryFolder folder;
  GgufParts parts = WithTensor({"a", {2}, 0, 0}, 8);
  parts.entries = {GgufEntry("split.count", 2, Bytes<uint16_t>(2)), GgufEntry("k", 8, GgufString("first"))};
  const std::string one = folder.Write("1.gguf", Gguf(parts));
  parts.tensors[0].name = "b";
  parts.entries = {GgufEntry("split.count", 2, Bytes<uint16_t>(2)), GgufEntry("k", 8, GgufString("second"))};
  const std::string two = folder.Write("2.gguf", Gguf(parts));
  const auto container = Container::Open({one, two});
  KV_EXPECT_EQ(container->Find("b")->file, 1);
  KV_EXPECT_EQ(std::get<std::string>(container->metadata().at("k")), "first");
  KV_EXPECT_THROWS_WITH(kFormat, "split into 2 files, but 1 were given", Container::Open({one}));
  parts.entries = {GgufEntry("split.count", 12, Bytes(1e300))};
  KV_EXPECT_THROWS_WITH(kFormat, "split into", Open(parts));
}

}  // namespace
}  // namespace kvasir::testing
