// std::thread, with an error of ours where the system has no thread to give.
#pragma once

#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "core/error.h"

namespace kvasir {

template <typename Fn>
std::thread StartThread(Fn&& fn) {
  constexpr const char* kRefused =
      "The system starts no more threads: raise the limit on processes (ulimit -u, the pids limit of a "
      "container) or on "
      "memory";
  try {
    return std::thread(std::forward<Fn>(fn));
  } catch (const std::system_error&) {
    throw Error(ErrorCode::kInsufficientMemory, kRefused);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kInsufficientMemory, kRefused);
  }
}

}  // namespace kvasir
