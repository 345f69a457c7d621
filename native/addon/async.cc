#include "addon/async.h"

#include <memory>
#include <thread>

namespace kvasir::addon {

void RunJsTask(Napi::Env env, Napi::Function, std::nullptr_t*, JsTask* task) {
  const std::unique_ptr<JsTask> owned(task);
  if (env == nullptr) return;  // the environment is closing
  Napi::HandleScope scope(env);
  (*owned)(env);
}

JsQueue MakeJsQueue(Napi::Env env, const char* name) { return JsQueue::New(env, name, 0, 1); }

void Post(const JsQueue& queue, JsTask task) {
  auto owned = std::make_unique<JsTask>(std::move(task));
  if (queue.NonBlockingCall(owned.get()) == napi_ok) owned.release();
}

Napi::Value ErrorToJs(Napi::Env env, const Error& error) {
  const Napi::Error js = Napi::Error::New(env, error.what());
  js.Value().Set("code", Napi::String::New(env, ErrorCodeName(error.code())));
  return js.Value();
}

Napi::Promise RunAsync(Napi::Env env, const char* name,
                       std::function<std::function<Napi::Value(Napi::Env)>()> work) {
  const auto deferred = std::make_shared<Napi::Promise::Deferred>(Napi::Promise::Deferred::New(env));
  JsQueue queue = MakeJsQueue(env, name);
  std::thread([deferred, queue, work = std::move(work)]() mutable {
    JsTask settle;
    try {
      settle = [deferred, convert = work()](Napi::Env js) {
        try {
          deferred->Resolve(convert(js));
        } catch (const Napi::Error& error) {
          deferred->Reject(error.Value());
        }
      };
    } catch (const Error& error) {
      settle = [deferred, error](Napi::Env js) { deferred->Reject(ErrorToJs(js, error)); };
    } catch (const std::bad_alloc&) {
      settle = [deferred](Napi::Env js) {
        deferred->Reject(
            ErrorToJs(js, Error(ErrorCode::kInsufficientMemory, "The process is out of memory")));
      };
    } catch (const std::exception& error) {
      const Error wrapped(ErrorCode::kInternal, error.what());
      settle = [deferred, wrapped](Napi::Env js) { deferred->Reject(ErrorToJs(js, wrapped)); };
    }
    work = nullptr;  // what it holds is released before the caller hears of it
    Post(queue, std::move(settle));
    queue.Release();
  }).detach();
  return deferred->Promise();
}

}  // namespace kvasir::addon
