// A flag that one thread raises and a long computation polls between its parts.
#pragma once

#include <atomic>

#include "core/error.h"

namespace kvasir {

class CancellationToken {
 public:
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  void ThrowIfCancelled() const {
    if (cancelled()) throw Error(ErrorCode::kCancelled, "Cancelled");
  }

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace kvasir
