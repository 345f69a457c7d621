// A strict pull reader for one JSON text, such as a safetensors header or a model's spec: nothing is built in memory but what
// the caller asks for, so a hostile header costs no more than its own bytes. It refuses duplicate keys, deep
// nesting, invalid UTF-8, lone surrogates, numbers out of range and anything after the value. It is no
// general JSON library.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace kvasir {

class JsonReader {
 public:
  // `path` names the file in messages; `text` must outlive the reader. All methods throw Error(kModelFormat).
  JsonReader(std::string path, std::string_view text);

  // Calls `member` once for each key, which must read or skip its value.
  void Object(const std::function<void(const std::string& key)>& member);
  // Calls `element` once for each element, which must read or skip it.
  void Array(const std::function<void()>& element);
  std::string String();
  // An integer in [0, 2^64), written without sign, fraction or exponent.
  uint64_t Unsigned();
  // Any number that a double holds.
  double Number();
  bool Bool();
  // Checks and drops a value of any type.
  void Skip();
  // Nothing but white space may follow.
  void End();

 private:
  [[noreturn]] void Fail(const std::string& problem) const;
  char Peek();
  bool Accept(char c);
  void Expect(char c);
  void Enter();
  void SkipNumber();
  bool SkipDigits();
  uint32_t HexDigits();
  void AppendEscape(std::string* out);

  std::string path_;
  std::string_view text_;
  size_t position_ = 0;
  int depth_ = 0;
};

// Whether the bytes are well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view bytes);

}  // namespace kvasir
