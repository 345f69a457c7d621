// Files, the JSON reader, and what both formats share: reading rows and bytes, damage by cuts and bit flips.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "core/half.h"
#include "io/container.h"
#include "io/file.h"
#include "io/format_error.h"
#include "io/json.h"
#include "testing/io_files.h"
#include "testing/native_tests.h"

namespace kvasir::testing {
namespace {

constexpr ErrorCode kFormat = ErrorCode::kModelFormat;
constexpr ErrorCode kNotFound = ErrorCode::kModelNotFound;

std::string SmallSafetensors() {
  return Safetensors(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]}})",
      FloatBytes({1, 2, 3, 4, 5, 6}) + Bytes<uint16_t>(0x3f80) + Bytes<uint16_t>(0xc000));
}

std::string SmallGguf() {
  GgufParts parts;
  parts.entries = {GgufEntry("general.architecture", 8, GgufString("llama")),
                   GgufEntry("tokenizer.ggml.tokens", 9, GgufArray(8, 2, GgufString("a") + GgufString("bc"))),
                   GgufEntry("llama.scales", 9, GgufArray(6, 2, FloatBytes({0.5f, 2})))};
  parts.tensors = {{"a", {3, 2}, 0, 0}, {"b", {2}, 30, 32}};
  parts.data = FloatBytes({1, 2, 3, 4, 5, 6}) + std::string(8, '\0') + Bytes<uint16_t>(0x3f80) +
               Bytes<uint16_t>(0xc000);
  return Gguf(parts);
}

// Everything a loader would touch: a file that opens must also be readable without a crash.
void ReadAll(const Container& container) {
  for (const TensorInfo& tensor : container.tensors()) {
    std::vector<char> bytes(tensor.bytes);
    container.ReadBytes(tensor, 0, tensor.bytes, bytes.data());
    if (tensor.dtype != "F32" && tensor.dtype != "BF16") continue;
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    const int64_t rows = tensor.shape.size() < 2 ? 1 : tensor.shape[0];
    if (tensor.shape.size() <= 2) container.ReadRows(tensor, 0, rows, values.data());
  }
}

struct Format {
  const char* file_name;
  std::string bytes;
};

std::vector<Format> SmallFiles() { return {{"m.safetensors", SmallSafetensors()}, {"m.gguf", SmallGguf()}}; }

KV_TEST(io_file_reads_at_offsets) {
  const TemporaryFolder folder;
  const File file(folder.Write("f", "0123456789"));
  KV_EXPECT_EQ(file.size(), 10u);
  char out[4] = {};
  file.ReadAt(6, out, 4, "x");
  KV_EXPECT_EQ(std::string(out, 4), "6789");
  KV_EXPECT_THROWS_WITH(kFormat, "truncated", file.ReadAt(7, out, 4, "x"));
  KV_EXPECT_THROWS(kFormat, file.ReadAt(UINT64_MAX, out, 2, "x"));
  KV_EXPECT_THROWS(kFormat, file.ReadAt(2, out, UINT64_MAX, "x"));
}

KV_TEST(io_file_that_shrinks_is_an_error) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("f", std::string(10000, 'x'));
  const File file(path);
  KV_EXPECT_EQ(truncate(path.c_str(), 5000), 0);
  std::vector<char> out(10000);
  KV_EXPECT_THROWS_WITH(kFormat, "became shorter", file.ReadAt(0, out.data(), out.size(), "x"));
}

KV_TEST(io_file_that_cannot_be_opened) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("m.gguf", SmallGguf());
  KV_EXPECT_THROWS_WITH(kNotFound, "/missing.gguf", Container::Open({folder.path() + "/missing.gguf"}));
  KV_EXPECT_THROWS(kNotFound, Container::Open({path + "/inside-a-file"}));
  KV_EXPECT_THROWS(kNotFound, Container::Open({path + std::string(1, '\0') + "x"}));
  KV_EXPECT_THROWS(kNotFound, Container::Open({}));
  KV_EXPECT_THROWS_WITH(kFormat, "is a directory", Container::Open({folder.path()}));
  const std::string pipe = folder.path() + "/pipe";
  KV_EXPECT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  KV_EXPECT_THROWS_WITH(kFormat, "not a regular file", Container::Open({pipe}));
}

KV_TEST(io_file_without_permission) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("m.gguf", SmallGguf());
  KV_EXPECT_EQ(chmod(path.c_str(), 0), 0);
  // Root reads everything: be nobody for a moment.
  const bool root = geteuid() == 0;
  if (root && (chmod(folder.path().c_str(), 0755) != 0 || seteuid(65534) != 0)) {
    return Skip("file without permission: root cannot become another user here");
  }
  KV_EXPECT_THROWS_WITH(kFormat, "permission denied", Container::Open({path}));
  if (root) KV_EXPECT_EQ(seteuid(0), 0);
}

KV_TEST(io_file_that_is_something_else) {
  const TemporaryFolder folder;
  const auto open = [&](const std::string& name, const std::string& bytes) {
    Container::Open({folder.Write(name, bytes)});
  };
  KV_EXPECT_THROWS_WITH(kFormat, "is empty", open("m.safetensors", ""));
  KV_EXPECT_THROWS_WITH(kFormat, "git lfs pull",
                        open("m.gguf", "version https://git-lfs.github.com/spec/v1\n"));
  KV_EXPECT_THROWS_WITH(kFormat, "PyTorch", open("m.bin", "PK\x03\x04 and more bytes of a zip file"));
  KV_EXPECT_THROWS_WITH(kFormat, "web page", open("m.gguf", "<!DOCTYPE html><html></html>"));
  KV_EXPECT_THROWS_WITH(kFormat, "HDF5", open("m.safetensors", "\x89HDF\r\n\x1a\n and more"));
  for (const char* magic : {"lmgg", "fmgg", "tjgg"}) {
    KV_EXPECT_THROWS_WITH(kFormat, "before GGUF", open("m.gguf", std::string(magic) + "\1\2\3 and more"));
  }
  for (const char* magic : {"\x1f\x8b\x08", "\x28\xb5\x2f\xfd",
                            "\xfd"
                            "7zXZ",
                            "7z\xbc\xaf"}) {
    KV_EXPECT_THROWS_WITH(kFormat, "archive", open("m.gguf", std::string(magic) + "\1\2\3 and more"));
  }
  KV_EXPECT_THROWS_WITH(kFormat, "JSON", open("m.safetensors", R"({"error":"Repository not found"})"));
  KV_EXPECT_THROWS_WITH(kFormat, "begins with 'Entry not found'", open("m.safetensors", "Entry not found"));
  KV_EXPECT_THROWS_WITH(kFormat, "begins with 'FUGG and more by'", open("m.gguf", "FUGG and more bytes"));
  KV_EXPECT_THROWS_WITH(kFormat, "not a GGUF file", open("m.gguf", "FUGG\1 and more bytes of a file"));
  KV_EXPECT_THROWS_WITH(kFormat, "not a safetensors file", open("m.safetensors", "\1\2 just some bytes"));
}

// 640 = 0x280 is how a pickle begins, 0x4b50 is "PK", 60 is '<', 0x8b1f is gzip: lengths of honest headers too.
KV_TEST(io_header_lengths_that_look_like_other_formats) {
  const TemporaryFolder folder;
  for (const size_t length : {size_t{60}, size_t{123}, size_t{0x280}, size_t{0x4b50}, size_t{0x8b1f}}) {
    std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    header.resize(length, ' ');
    KV_EXPECT(Container::Open({folder.Write("m.safetensors", Safetensors(header, "x"))})->Find("a") !=
              nullptr);
  }
}

KV_TEST(io_cut_anywhere_is_an_error) {
  const TemporaryFolder folder;
  for (const Format& format : SmallFiles()) {
    ReadAll(*Container::Open({folder.Write(format.file_name, format.bytes)}));
    for (size_t length = 0; length < format.bytes.size(); ++length) {
      const std::string path = folder.Write(format.file_name, format.bytes.substr(0, length));
      KV_EXPECT_THROWS_WITH(kFormat, path, Container::Open({path}));
    }
  }
}

KV_TEST(io_flipped_bits_never_crash) {
  const TemporaryFolder folder;
  std::mt19937 random(20240607);
  int n_errors = 0;
  for (const Format& format : SmallFiles()) {
    for (int round = 0; round < 1500; ++round) {
      std::string bytes = format.bytes;
      const int n_flips = 1 + static_cast<int>(random() % 3);
      for (int i = 0; i < n_flips; ++i)
        bytes[random() % bytes.size()] ^= static_cast<char>(1u << random() % 8);
      try {
        ReadAll(*Container::Open({folder.Write(format.file_name, bytes)}));
      } catch (const Error& error) {
        ++n_errors;
        if (error.code() != kFormat) Fail(__FILE__, __LINE__, error.what());
      }
    }
  }
  KV_EXPECT(n_errors > 500);
}

KV_TEST(io_random_tails_never_crash) {
  const TemporaryFolder folder;
  std::mt19937 random(7);
  for (const Format& format : SmallFiles()) {
    for (int round = 0; round < 500; ++round) {
      std::string bytes = format.bytes;
      for (size_t i = 8 + random() % (bytes.size() - 8); i < bytes.size(); ++i)
        bytes[i] = static_cast<char>(random());
      try {
        ReadAll(*Container::Open({folder.Write(format.file_name, bytes)}));
      } catch (const Error& error) {
        if (error.code() != kFormat) Fail(__FILE__, __LINE__, error.what());
      }
    }
  }
}

KV_TEST(io_rows_and_bytes_stay_inside_the_tensor) {
  const TemporaryFolder folder;
  for (const Format& format : SmallFiles()) {
    const auto container = Container::Open({folder.Write(format.file_name, format.bytes)});
    const TensorInfo* a = container->Find("a");
    const TensorInfo* b = container->Find("b");
    KV_EXPECT(a != nullptr && b != nullptr && container->Find("c") == nullptr);
    KV_EXPECT(a->shape == (std::vector<int64_t>{2, 3}));
    float out[6] = {};
    container->ReadRows(*a, 1, 1, out);
    KV_EXPECT(out[0] == 4 && out[1] == 5 && out[2] == 6 && out[3] == 0);
    container->ReadRows(*b, 0, 1, out);
    KV_EXPECT(out[0] == 1 && out[1] == -2);
    KV_EXPECT_THROWS_WITH(kFormat, "'a' has 2 rows", container->ReadRows(*a, 1, 2, out));
    KV_EXPECT_THROWS(kFormat, container->ReadRows(*a, -1, 1, out));
    KV_EXPECT_THROWS(kFormat, container->ReadRows(*a, 0, -1, out));
    KV_EXPECT_THROWS(kFormat, container->ReadRows(*a, 1, INT64_MAX, out));
    KV_EXPECT_THROWS(kFormat, container->ReadRows(*b, 1, 1, out));
    container->ReadRows(*a, 2, 0, out);
    uint16_t stored = 0;
    container->ReadBytes(*b, 2, 2, &stored);
    KV_EXPECT_EQ(stored, 0xc000);
    KV_EXPECT_THROWS_WITH(kFormat, "'b' has 4 bytes", container->ReadBytes(*b, 2, 3, out));
    KV_EXPECT_THROWS(kFormat, container->ReadBytes(*b, UINT64_MAX, 2, out));
    KV_EXPECT_THROWS(kFormat, container->ReadBytes(*b, 2, UINT64_MAX, out));
  }
}

// More rows than one staging buffer holds, from several threads at once.
KV_TEST(io_rows_of_large_tensors_from_threads) {
  const TemporaryFolder folder;
  constexpr int kRows = 61;
  constexpr int kColumns = 1001;
  std::string data;
  for (int i = 0; i < kRows * kColumns; ++i) data += Bytes(static_cast<uint16_t>(i % 0x7c00));
  const auto container = Container::Open({folder.Write(
      "m.safetensors", Safetensors(R"({"a":{"dtype":"F16","shape":[61,1001],"data_offsets":[0,)" +
                                       std::to_string(data.size()) + "]}}",
                                   data))});
  const auto check = [&](int first, int n_rows) {
    std::vector<float> out(static_cast<size_t>(n_rows) * kColumns + 1, -5);
    container->ReadRows(container->tensors()[0], first, n_rows, out.data());
    for (int i = 0; i < n_rows * kColumns; ++i) {
      const auto stored = static_cast<uint16_t>((first * kColumns + i) % 0x7c00);
      if (out[static_cast<size_t>(i)] != FloatFromHalf(stored))
        return Fail(__FILE__, __LINE__, "a value differs");
    }
    KV_EXPECT_EQ(out.back(), -5);
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back(check, t * 5, kRows - t * 7);
  for (std::thread& thread : threads) thread.join();
  check(kRows - 1, 1);
}

KV_TEST(io_quoted_names_are_printable_and_short) {
  KV_EXPECT_EQ(Quote("a.weight"), "'a.weight'");
  KV_EXPECT_EQ(Quote("\n\xff"), "'\\x0a\\xff'");
  KV_EXPECT_EQ(Quote(std::string(5000, 'x')), "'" + std::string(80, 'x') + "...'");
}

void SkipJson(const std::string& text) {
  JsonReader json("f", text);
  json.Skip();
  json.End();
}

KV_TEST(io_json_accepts) {
  for (const char* text :
       {"{}", " [ ] ", "[1,-2.5e+3,0,0.5,1E-2,true,false,null,\"x\"]", R"({"a":{"b":[{}]},"c":1} )",
        R"("\u00e9\ud83d\ude00\n\/")", "\"\xc3\xa9\xf0\x9f\x98\x80\""}) {
    SkipJson(text);
  }
  const std::string text = R"("\u0041\u00e9\u20AC\ud83d\ude00\"\t")";
  KV_EXPECT_EQ(JsonReader("f", text).String(), "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"\t");
  KV_EXPECT_EQ(JsonReader("f", "18446744073709551615").Unsigned(), UINT64_MAX);
  SkipJson(std::string(32, '[') + std::string(32, ']'));
}

KV_TEST(io_json_rejects) {
  for (const char* text : {"",
                           "{",
                           "[1,]",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\" 1}",
                           "[1 2]",
                           "01",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "+1",
                           "nul",
                           "NaN",
                           "\"",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"a\nb\"",
                           "[] []",
                           "{\"a\":1,\"a\":2}",
                           "{\"a\":1,\"\\u0061\":2}",
                           "[{\"b\":{\"c\":1,\"c\":1}}]",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf5\x80\x80\x80\"",
                           "\"\xe2\x82\"",
                           "\"\xf0\x80\x80\x80\""}) {
    KV_EXPECT_THROWS_WITH(kFormat, "f: the JSON header", SkipJson(text));
  }
  KV_EXPECT_THROWS_WITH(kFormat, "nests deeper", SkipJson(std::string(33, '[') + std::string(33, ']')));
  KV_EXPECT_THROWS_WITH(kFormat, "nests deeper", SkipJson(std::string(1000000, '[')));
  for (const char* text :
       {"18446744073709551616", "99999999999999999999", "-1", "1.5", "1e3", "00", "\"1\"", "x"}) {
    KV_EXPECT_THROWS(kFormat, JsonReader("f", text).Unsigned());
  }
}

}  // namespace
}  // namespace kvasir::testing
