#include "io/file_head.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "io/format_error.h"

namespace kvasir {

namespace {

using namespace std::string_view_literals;

constexpr char kTakeAnother[] = "Use the model's .safetensors or .gguf file.";
constexpr char kUnpack[] = "Unpack it, and give the model in it.";
constexpr char kDownloadItself[] = "Download the file itself.";

struct Known {
  std::string_view begin;
  const char* problem;
  const char* remedy;
};

constexpr char kPyTorch[] = "this looks like a PyTorch checkpoint, which is not supported";
constexpr char kConvert[] = "Take a .gguf file, or convert the model again.";
constexpr char kOldGgml[] = "this is a GGML file of the time before GGUF, which is not supported";
constexpr char kArchive[] = "this is a compressed archive, not a model";

// The first that fits counts.
constexpr std::array kKnown = {
    Known{"version https://"sv, "this is a Git LFS pointer, not the model itself",
          "Run 'git lfs pull' in its folder."},
    Known{"PK"sv, kPyTorch, kTakeAnother},
    Known{"\x80\x02"sv, kPyTorch, kTakeAnother},
    Known{"\x89HDF"sv, "this is an HDF5 file of TensorFlow or Keras, which is not supported", kTakeAnother},
    Known{"lmgg"sv, kOldGgml, kConvert},
    Known{"fmgg"sv, kOldGgml, kConvert},
    Known{"tjgg"sv, kOldGgml, kConvert},
    Known{"\x1f\x8b"sv, kArchive, kUnpack},
    Known{"\x28\xb5\x2f\xfd"sv, kArchive, kUnpack},
    Known{"\xfd"
          "7zXZ"sv,
          kArchive, kUnpack},
    Known{"7z\xbc\xaf"sv, kArchive, kUnpack},
    Known{"<"sv, "this is a web page, not a model", kDownloadItself},
    Known{"{"sv, "this is JSON text, not a model", kDownloadItself},
};

bool EndsWith(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

// Of a server's message in the place of a file: "Entry not found".
bool IsText(std::string_view begin) {
  return std::all_of(begin.begin(), begin.end(), [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); });
}

}  // namespace

bool IsGguf(const File& file) {
  std::array<char, 16> head{};
  const size_t read = static_cast<size_t>(std::min<uint64_t>(head.size(), file.size()));
  file.ReadAt(0, head.data(), read, "its first bytes");
  const std::string_view begin(head.data(), read);
  if (read == 0) ThrowFormat(file.path(), "the file is empty", "Download it again.");
  if (begin.substr(0, 4) == "GGUF") return true;
  // The first 8 bytes of safetensors are a length, which can look like anything below.
  if (read > 8 && begin[8] == '{') return false;
  for (const Known& known : kKnown) {
    if (begin.substr(0, known.begin.size()) == known.begin) {
      ThrowFormat(file.path(), known.problem, known.remedy);
    }
  }
  if (read > 8 && IsText(begin)) {
    ThrowFormat(file.path(), "this is text, not a model: it begins with " + Quote(begin), kDownloadItself);
  }
  if (EndsWith(file.path(), ".gguf")) {
    ThrowFormat(file.path(), "this is not a GGUF file: it begins with " + Quote(begin.substr(0, 4)));
  }
  return false;
}

}  // namespace kvasir
