// safetensors files that are right, and those that lie.
#include <cmath>

#include "io/container.h"
#include "testing/io_files.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr ErrorCode kFormat = ErrorCode::kModelFormat;

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape, uint64_t begin,
                  uint64_t end) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::shared_ptr<Container> Open(const std::string& header, const std::string& data) {
  const TemporaryFolder folder;
  return Container::Open({folder.Write("m.safetensors", Safetensors(header, data))});
}

KV_TEST(safetensors_lists_every_dtype) {
  const struct {
    const char* dtype;
    uint64_t bytes;  // of 8 values
  } cases[] = {{"F32", 32}, {"F16", 16}, {"BF16", 16}, {"F64", 64}, {"I8", 8},      {"U8", 8}, {"I16", 16},
               {"I32", 32}, {"I64", 64}, {"BOOL", 8},  {"U64", 64}, {"F8_E4M3", 8}, {"F4", 4}};
  for (const auto& each : cases) {
    const auto container =
        Open("{" + Entry("a", each.dtype, "[2,4]", 0, each.bytes) + "}", std::string(each.bytes, '\1'));
    KV_EXPECT_EQ(std::string(container->format()), "safetensors");
    KV_EXPECT_EQ(container->tensors()[0].dtype, each.dtype);
    KV_EXPECT_EQ(container->tensors()[0].bytes, each.bytes);
    std::vector<char> bytes(each.bytes);
    container->ReadBytes(container->tensors()[0], 0, each.bytes, bytes.data());
    KV_EXPECT_EQ(bytes.back(), '\1');
  }
}

KV_TEST(safetensors_reads_values) {
  const std::string data = FloatBytes({1.5f, -2}) + Bytes<uint16_t>(0x3e00) + Bytes<uint16_t>(0xfc00) +
                           Bytes<uint16_t>(0x3fc0) + Bytes<uint16_t>(0x8000) + Bytes(0.1) + Bytes(-3.0);
  const auto container =
      Open("{" + Entry("f32", "F32", "[2]", 0, 8) + "," + Entry("f16", "F16", "[2]", 8, 12) + "," +
               Entry("bf16", "BF16", "[2]", 12, 16) + "," + Entry("f64", "F64", "[2]", 16, 32) + "}",
           data);
  const auto values = [&](const char* name) {
    std::vector<float> out(2);
    container->ReadRows(*container->Find(name), 0, 1, out.data());
    return out;
  };
  KV_EXPECT(values("f32") == (std::vector<float>{1.5f, -2}));
  KV_EXPECT(values("f16") == (std::vector<float>{1.5f, -INFINITY}));
  KV_EXPECT(values("bf16") == (std::vector<float>{1.5f, 0}) && std::signbit(values("bf16")[1]));
  KV_EXPECT(values("f64") == (std::vector<float>{0.1f, -3}));
}

KV_TEST(safetensors_values_of_other_dtypes_are_refused) {
  const auto container = Open("{" + Entry("ids", "I64", "[1]", 0, 8) + "}", std::string(8, '\0'));
  float out = 0;
  KV_EXPECT_THROWS_WITH(kFormat, "'I64'", container->ReadRows(container->tensors()[0], 0, 1, &out));
}

KV_TEST(safetensors_scalars_empty_tensors_and_metadata) {
  const auto container =
      Open(R"({"__metadata__":{"format":"pt","note":"\u00e9"},)" + Entry("none", "F32", "[0,7]", 0, 0) + "," +
               Entry("scalar", "F32", "[]", 0, 4) + "," + Entry("end", "F16", "[3,0]", 4, 4) + "}   ",
           FloatBytes({7}));
  float out[2] = {0, -1};
  container->ReadRows(*container->Find("scalar"), 0, 1, out);
  KV_EXPECT(out[0] == 7 && out[1] == -1);
  container->ReadRows(*container->Find("end"), 0, 3, out);
  container->ReadRows(*container->Find("none"), 0, 0, out);
  KV_EXPECT(out[0] == 7);
  KV_EXPECT_THROWS(kFormat, container->ReadRows(*container->Find("none"), 0, 1, out));
  KV_EXPECT_EQ(container->metadata().size(), 2u);
  KV_EXPECT_EQ(std::get<std::string>(container->metadata().at("note")), "\xc3\xa9");
  KV_EXPECT(Open("{}", "")->tensors().empty());
}

KV_TEST(safetensors_shards_are_merged) {
  const TemporaryFolder folder;
  const std::string metadata = R"({"__metadata__":{"format":"pt"},)";
  const std::string one = folder.Write(
      "1.safetensors", Safetensors(metadata + Entry("a", "F32", "[1]", 0, 4) + "}", FloatBytes({1})));
  const std::string two = folder.Write(
      "2.safetensors", Safetensors(metadata + Entry("b", "F32", "[1]", 0, 4) + "}", FloatBytes({2})));
  const auto container = Container::Open({one, two});
  KV_EXPECT_EQ(container->tensors().size(), 2u);
  float a = 0;
  float b = 0;
  container->ReadRows(*container->Find("a"), 0, 1, &a);
  container->ReadRows(*container->Find("b"), 0, 1, &b);
  KV_EXPECT(a == 1 && b == 2);
  KV_EXPECT_THROWS_WITH(kFormat, "'a' is there twice", Container::Open({one, two, one}));
  GgufParts parts;
  const std::string gguf = folder.Write("3.gguf", Gguf(parts));
  KV_EXPECT_THROWS_WITH(kFormat, "format differs", Container::Open({one, gguf}));
}

// Longer than what is read at once, with a difference in the last byte.
KV_TEST(safetensors_tensors_that_are_copies) {
  constexpr uint64_t kBytes = (uint64_t{1} << 20) + 4;
  const std::string shape = "[" + std::to_string(kBytes / 4) + "]";
  std::string data(4 * kBytes, '\1');
  data[3 * kBytes - 1] = '\2';
  const TemporaryFolder folder;
  const auto container = Container::Open({folder.Write(
      "m.safetensors", Safetensors("{" + Entry("a", "F32", shape, 0, kBytes) + "," +
                                       Entry("b", "F32", shape, kBytes, 2 * kBytes) + "," +
                                       Entry("last", "F32", shape, 2 * kBytes, 3 * kBytes) + "," +
                                       Entry("dtype", "I32", shape, 3 * kBytes, 4 * kBytes) + "}",
                                   data))});
  const auto copies = [&](const char* a, const char* b) {
    return AreCopies(*container, *container->Find(a), *container->Find(b));
  };
  KV_EXPECT(copies("a", "b") && copies("a", "a"));
  KV_EXPECT(!copies("a", "last") && !copies("last", "b"));
  KV_EXPECT(!copies("a", "dtype"));
}

KV_TEST(safetensors_lies_about_places) {
  const auto fails = [](const std::string& entries, size_t data_bytes, const char* fragment) {
    KV_EXPECT_THROWS_WITH(kFormat, fragment, Open("{" + entries + "}", std::string(data_bytes, '\0')));
  };
  fails(Entry("a", "F32", "[2]", 0, 8), 4, "the file is truncated: tensor 'a' ends at byte");
  fails(Entry("a", "F32", "[2]", 8, 0), 8, "before it begins");
  fails(Entry("a", "F32", "[2]", 0, 4), 4, "need 8");
  fails(Entry("a", "F32", "[1]", 0, 8), 8, "need 4");
  fails(Entry("a", "F32", "[1]", 0, 4) + "," + Entry("b", "F32", "[1]", 2, 6), 6, "overlap");
  fails(Entry("a", "F32", "[1]", 0, 4) + "," + Entry("b", "F32", "[1]", 0, 4), 4, "overlap");
  fails(Entry("a", "F32", "[1]", 0, 4) + "," + Entry("b", "F32", "[1]", 8, 12), 12, "hole");
  fails(Entry("a", "F32", "[1]", 4, 8), 8, "hole");
  fails(Entry("a", "F32", "[1]", 0, 4), 5, "1 bytes after the last tensor");
  fails(Entry("a", "F4", "[3]", 0, 2), 2, "whole byte");
  fails(Entry("a", "U8", "[0]", 18446744073709551615u, 18446744073709551615u), 0, "hole");
}

KV_TEST(safetensors_lies_about_shapes) {
  const auto fails = [](const char* dtype, const char* shape, uint64_t bytes) {
    KV_EXPECT_THROWS_WITH(kFormat, "overflow",
                          Open("{" + Entry("a", dtype, shape, 0, bytes) + "}", std::string(bytes, 'x')));
  };
  fails("F32", "[4294967296,4294967296]", 0);
  fails("F32", "[4611686018427387904,1]", 0);  // the elements fit, their bytes do not
  fails("U8", "[9223372036854775808]", 0);     // above int64
  fails("U8", "[18446744073709551615,2]", 0);
  fails("U8", "[4611686018427387904,4,0]", 0);  // TensorInfo::elements() would overflow on the way to 0
}

KV_TEST(safetensors_headers_that_are_wrong) {
  const auto fails = [](const std::string& header, const char* fragment) {
    KV_EXPECT_THROWS_WITH(kFormat, fragment, Open(header, ""));
  };
  fails("", "'{'");
  fails(" {}", "'{'");
  fails("{} x", "follows the end");
  fails(R"({"a":1})", "'{' expected");
  fails(R"({"a":{}})", "must have a dtype");
  fails(R"({"a":{"dtype":"F32","shape":[0]}})", "must have a dtype");
  fails(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0]}})", "must have a dtype");
  fails(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0,0]}})", "must have a dtype");
  fails(R"({"a":{"dtype":"F32","data_offsets":[0,0]}})", "must have a dtype");
  fails(R"({"a":{"shape":[0],"data_offsets":[0,0]}})", "must have a dtype");
  fails(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})", "whole number");
  fails(R"({"a":{"dtype":"F32","shape":[0.5],"data_offsets":[0,0]}})", "whole number");
  fails(R"({"a":{"dtype":"Q9","shape":[0],"data_offsets":[0,0]}})", "'Q9'");
  fails(R"({"__metadata__":{"a":1}})", "'\"' expected");
  fails("{" + Entry("a", "U8", "[0]", 0, 0) + "," + Entry("a", "U8", "[0]", 0, 0) + "}",
        "'a' is there twice");
  const TemporaryFolder folder;
  for (const uint64_t length : {uint64_t{100'000'001}, uint64_t{1} << 40, UINT64_MAX}) {
    const std::string path = folder.Write("m.safetensors", Bytes(length) + "{}");
    KV_EXPECT_THROWS_WITH(kFormat, "limit of 100 MB", Container::Open({path}));
  }
  KV_EXPECT_THROWS_WITH(kFormat, "truncated",
                        Container::Open({folder.Write("m.safetensors", Bytes<uint64_t>(3) + "{}")}));
}

}  // namespace
}  // namespace kvasir::testing
