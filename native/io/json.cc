#include "io/json.h"

#include <charconv>
#include <unordered_set>
#include <utility>

#include "io/format_error.h"

namespace kvasir {
namespace {

// Real headers nest 3 deep; each level costs stack.
constexpr int kMaxDepth = 32;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(uint32_t code, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto lead = static_cast<unsigned char>(bytes[i++]);
    if (lead < 0x80) continue;
    const int following = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || bytes.size() - i < static_cast<size_t>(following)) return false;
    uint32_t code = lead & (0x3fu >> following);
    for (int k = 0; k < following; ++k) {
      const auto byte = static_cast<unsigned char>(bytes[i++]);
      if ((byte & 0xc0) != 0x80) return false;
      code = code << 6 | (byte & 0x3fu);
    }
    const bool overlong = (following == 2 && code < 0x800) || (following == 3 && code < 0x10000);
    if (overlong || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
  }
  return true;
}

JsonReader::JsonReader(std::string path, std::string_view text) : path_(std::move(path)), text_(text) {
  if (!IsUtf8(text)) Fail("it is not UTF-8");
}

void JsonReader::Fail(const std::string& problem) const {
  ThrowFormat(path_, "the JSON header is not valid at byte " + std::to_string(position_) + ": " + problem);
}

char JsonReader::Peek() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return c;
    ++position_;
  }
  Fail("it ends too early");
}

bool JsonReader::Accept(char c) {
  if (Peek() != c) return false;
  ++position_;
  return true;
}

void JsonReader::Expect(char c) {
  if (!Accept(c)) Fail(std::string("'") + c + "' expected, found " + Quote(text_.substr(position_, 1)));
}

void JsonReader::Enter() {
  if (++depth_ > kMaxDepth) Fail("it nests deeper than " + std::to_string(kMaxDepth) + " levels");
}

void JsonReader::Object(const std::function<void(const std::string& key)>& member) {
  Expect('{');
  Enter();
  if (!Accept('}')) {
    std::unordered_set<std::string> keys;
    do {
      if (Peek() != '"') Fail("a key in double quotes expected");
      const auto [key, unique] = keys.insert(String());
      if (!unique) Fail("the key " + Quote(*key) + " is there twice");
      Expect(':');
      member(*key);
    } while (Accept(','));
    Expect('}');
  }
  --depth_;
}

void JsonReader::Array(const std::function<void()>& element) {
  Expect('[');
  Enter();
  if (!Accept(']')) {
    do {
      element();
    } while (Accept(','));
    Expect(']');
  }
  --depth_;
}

std::string JsonReader::String() {
  Expect('"');
  std::string value;
  while (position_ < text_.size()) {
    const char c = text_[position_++];
    if (c == '"') return value;
    if (static_cast<unsigned char>(c) < 0x20) Fail("a control character in a string must be escaped");
    if (c == '\\') {
      AppendEscape(&value);
    } else {
      value.push_back(c);
    }
  }
  Fail("a string does not end");
}

void JsonReader::AppendEscape(std::string* out) {
  if (position_ == text_.size()) Fail("a string does not end");
  const char c = text_[position_++];
  switch (c) {
    case '"':
    case '\\':
    case '/': return out->push_back(c);
    case 'b': return out->push_back('\b');
    case 'f': return out->push_back('\f');
    case 'n': return out->push_back('\n');
    case 'r': return out->push_back('\r');
    case 't': return out->push_back('\t');
    case 'u': break;
    default: Fail("unknown escape " + Quote({&c, 1}));
  }
  uint32_t code = HexDigits();
  if (code >= 0xd800 && code < 0xdc00) {
    if (text_.substr(position_, 2) != "\\u") Fail("a surrogate stands alone");
    position_ += 2;
    const uint32_t low = HexDigits();
    if (low < 0xdc00 || low > 0xdfff) Fail("a surrogate stands alone");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  } else if (code >= 0xdc00 && code <= 0xdfff) {
    Fail("a surrogate stands alone");
  }
  AppendUtf8(code, out);
}

uint32_t JsonReader::HexDigits() {
  if (text_.size() - position_ < 4) Fail("four hexadecimal digits expected");
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[position_++];
    const char lower = static_cast<char>(c | 0x20);
    if (!IsDigit(c) && (lower < 'a' || lower > 'f')) Fail("four hexadecimal digits expected");
    code = code << 4 | static_cast<uint32_t>(IsDigit(c) ? c - '0' : lower - 'a' + 10);
  }
  return code;
}

uint64_t JsonReader::Unsigned() {
  if (!IsDigit(Peek())) Fail("a whole number expected, found " + Quote(text_.substr(position_, 1)));
  const size_t begin = position_;
  uint64_t value = 0;
  while (position_ < text_.size() && IsDigit(text_[position_])) {
    const auto digit = static_cast<uint64_t>(text_[position_] - '0');
    if (value > (UINT64_MAX - digit) / 10) Fail("the number is too large");
    value = value * 10 + digit;
    ++position_;
  }
  if (text_[begin] == '0' && position_ - begin > 1) Fail("a number must not begin with 0");
  const char next = position_ < text_.size() ? text_[position_] : ' ';
  if (next == '.' || next == 'e' || next == 'E')
    Fail("a whole number expected, without fraction or exponent");
  return value;
}

bool JsonReader::SkipDigits() {
  const size_t begin = position_;
  while (position_ < text_.size() && IsDigit(text_[position_])) ++position_;
  return position_ > begin;
}

void JsonReader::SkipNumber() {
  const auto accept = [this](char c) {
    const bool there = position_ < text_.size() && text_[position_] == c;
    position_ += there ? 1 : 0;
    return there;
  };
  accept('-');
  if (!accept('0') && !SkipDigits()) Fail("a value expected");
  if (accept('.') && !SkipDigits()) Fail("digits expected after the point");
  if (accept('e') || accept('E')) {
    if (!accept('+')) accept('-');
    if (!SkipDigits()) Fail("digits expected in the exponent");
  }
}

double JsonReader::Number() {
  Peek();
  const size_t begin = position_;
  SkipNumber();
  double value = 0;
  const char* end = text_.data() + position_;
  const auto [stopped, error] = std::from_chars(text_.data() + begin, end, value);
  if (error != std::errc() || stopped != end) Fail("a number that fits a double expected");
  return value;
}

bool JsonReader::Bool() {
  Peek();
  for (const std::string_view word : {"true", "false"}) {
    if (text_.substr(position_, word.size()) != word) continue;
    position_ += word.size();
    return word == "true";
  }
  Fail("true or false expected");
}

void JsonReader::Skip() {
  switch (Peek()) {
    case '{': return Object([this](const std::string&) { Skip(); });
    case '[': return Array([this] { Skip(); });
    case '"': String(); return;
    default: break;
  }
  for (const std::string_view word : {"true", "false", "null"}) {
    if (text_.substr(position_, word.size()) == word) {
      position_ += word.size();
      return;
    }
  }
  SkipNumber();
}

void JsonReader::End() {
  const size_t rest = text_.find_first_not_of(" \n\r\t", position_);
  if (rest == std::string_view::npos) return;
  position_ = rest;
  Fail("something follows the end of the value");
}

}  // namespace kvasir
