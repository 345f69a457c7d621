// Work on threads of our own, its outcome delivered on the JS thread. libuv's pool is never used: it has four threads
// that fs and dns need too.
#pragma once

#include <napi.h>

#include <functional>

#include "core/error.h"

namespace kvasir::addon {

// Runs on the JS thread, inside a handle scope.
using JsTask = std::function<void(Napi::Env)>;

void RunJsTask(Napi::Env env, Napi::Function callback, std::nullptr_t* context, JsTask* task);

// Carries tasks to the JS thread. Keeps the process alive unless Unref'ed.
using JsQueue = Napi::TypedThreadSafeFunction<std::nullptr_t, JsTask, RunJsTask>;

JsQueue MakeJsQueue(Napi::Env env, const char* name);
// From any thread. A task that comes after the environment has begun to close is dropped.
void Post(const JsQueue& queue, JsTask task);

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

// `work` runs on a new thread and returns what converts its outcome on the JS thread; what it throws rejects.
Napi::Promise RunAsync(Napi::Env env, const char* name,
                       std::function<std::function<Napi::Value(Napi::Env)>()> work);

}  // namespace kvasir::addon
