// The one exception type of the native core. It carries the stable code that lib/errors.ts shows to users.
// This room refuses to print, exit, abort or assert.
#pragma once

#include <stdexcept>
#include <string>

namespace kvasir {

enum class ErrorCode {
  kModelNotFound,
  kModelFormat,
  kUnsupportedArchitecture,
  kInsufficientMemory,
  kContextOverflow,
  kInvalidOption,
  kDeviceUnavailable,
  kDisposed,
  kCancelled,
  kInternal,
};

// The string users see, such as "MODEL_FORMAT".
const char* ErrorCodeName(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace kvasir
