#include "core/error.h"

namespace kvasir {

const char* ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kModelNotFound: return "MODEL_NOT_FOUND";
    case ErrorCode::kModelFormat: return "MODEL_FORMAT";
    case ErrorCode::kUnsupportedArchitecture: return "UNSUPPORTED_ARCHITECTURE";
    case ErrorCode::kInsufficientMemory: return "INSUFFICIENT_MEMORY";
    case ErrorCode::kContextOverflow: return "CONTEXT_OVERFLOW";
    case ErrorCode::kInvalidOption: return "INVALID_OPTION";
    case ErrorCode::kDeviceUnavailable: return "DEVICE_UNAVAILABLE";
    case ErrorCode::kDisposed: return "DISPOSED";
    case ErrorCode::kCancelled: return "CANCELLED";
    case ErrorCode::kInternal: return "INTERNAL";
  }
  return "INTERNAL";
}

}  // namespace kvasir
