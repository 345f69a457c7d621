#include "io/format_error.h"

#include "core/error.h"

namespace kvasir {

std::string Quote(std::string_view name) {
  constexpr size_t kShown = 80;
  constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "'";
  for (const char c : name.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      quoted += c;
    } else {
      quoted += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return quoted + (name.size() > kShown ? "...'" : "'");
}

void ThrowFormat(const std::string& path, const std::string& problem, const std::string& remedy) {
  throw Error(ErrorCode::kModelFormat, path + ": " + problem + ". " + remedy);
}

}  // namespace kvasir
