// std::thread, with an error of ours where the system has no thread to give.
#pragma once

#include <exception>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/thread_stack.h"

namespace kvasir {

template <typename Fn>
std::thread StartThread(Fn&& fn) {
  WidenThreadStacks();
  try {
    return std::thread(std::forward<Fn>(fn));
  } catch (const std::exception&) {  // the system's refusal, or no memory
    throw Error(
        ErrorCode::kInsufficientMemory,
        "The system starts no more threads: raise the limit on processes (ulimit -u, the pids limit of a "
        "container) or on memory");
  }
}

}  // namespace kvasir
