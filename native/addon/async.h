// Work on threads of our own, its outcome delivered on the JS thread. libuv's pool is never used: it has four threads
// that fs and dns need too.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "core/error.h"

namespace kvasir::addon {

// Runs on the JS thread, inside a handle scope.
using JsTask = std::function<void(Napi::Env)>;

// Carries tasks to the JS thread. Copies share one queue. Keeps the process alive unless Unref'ed.
//
// An environment that closes (the end of the process or of a worker) frees its thread-safe functions under the threads that
// hold them, in Node without the fix of nodejs/node#55877: a call that comes later reads freed memory. So every call here
// is made under a lock that the closing environment takes too.
class JsQueue {
 public:
  JsQueue() = default;
  JsQueue(Napi::Env env, const char* name);

  // On the JS thread.
  void Ref(Napi::Env env) const;
  void Unref(Napi::Env env) const;
  // From any thread. False after Release, or when the environment has begun to close: `task` is left as it was.
  bool Post(JsTask&& task) const;
  // From any thread: no task comes any more. Idempotent.
  void Release() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// A JS Error with `code`, as lib/native.ts expects it.
Napi::Value ErrorToJs(Napi::Env env, const Error& error);

// Runs fn and turns native exceptions into JS ones.
template <typename Fn>
auto Guard(Napi::Env env, const Fn& fn) {
  try {
    return fn();
  } catch (const Error& error) {
    throw Napi::Error(env, ErrorToJs(env, error));
  } catch (const std::bad_alloc&) {
    throw Napi::Error(env,
                      ErrorToJs(env, Error(ErrorCode::kInsufficientMemory, "The process is out of memory")));
  }
}

// What becomes of work for which the system has no thread.
enum class WithoutThread { kReject, kRunHere };

// `work` runs on a new thread, where there is one, and returns what converts its outcome on the JS thread; what it throws
// rejects.
Napi::Promise RunAsync(Napi::Env env, const char* name,
                       std::function<std::function<Napi::Value(Napi::Env)>()> work,
                       WithoutThread without = WithoutThread::kReject);

}  // namespace kvasir::addon
